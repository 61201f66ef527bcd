"""The operator's tool and the control socket behind it: exit codes, JSON, explain, flush, and clients that misbehave."""
import json, os, select, socket, stat, unittest

import sundew_test
from sundew_test import wait_for

RULES = ["evil.example", {"domain": "deep.evil.example", "action": "nxdomain", "family": "Emotet", "confidence": 90,
                          "reference": "https://example.org/7"},
         {"ip": "203.0.113.0/24"}, {"domain": "bücher.example"}, "b..ad"]


class Tool(sundew_test.Case):
    def setUp(self):
        super().setUp()
        self.upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 300, "192.0.2.1")]})
        self.sundewd = self.daemon(self.upstream, rules=RULES)

    def talk(self, *lines, end=True):
        """Raw lines to the control socket; what comes back until it closes."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(sundew_test.PATIENCE)
            s.connect(self.sundewd.control)
            try:
                for line in lines:
                    s.sendall(line)
                if end:
                    s.shutdown(socket.SHUT_WR)
                data = b""
                while part := s.recv(65536):
                    data += part
            except (BrokenPipeError, ConnectionResetError):
                return []
        return [json.loads(line) for line in data.splitlines()]

    def test_exit_codes(self):
        for wrong in (["nonsense"], ["status", "extra"], ["explain"], ["flush", "a", "b"], ["zones", "--what"], ["--what", "status"], []):
            self.assertEqual(self.sundewd.tool(*wrong).returncode, 2, wrong)
        for wrong in (("hits", "--since", "xx"), ("clients", "--since", "soon")):
            self.assertEqual(self.sundewd.tool(*wrong).returncode, 2, wrong)
        self.assertEqual(self.sundewd.tool("status").returncode, 0)
        self.assertEqual(self.sundewd.tool("--json", "status").returncode, 0)
        self.sundewd.control += ".not"
        self.assertEqual(self.sundewd.tool("status").returncode, 3)

    def test_status(self):
        for _ in range(4):
            self.sundewd.ask("www.example")
        self.sundewd.ask("evil.example", tcp=True)
        status = self.sundewd.json("status")
        wanted = {"pid": self.sundewd.pid, "workers": 2, "queries": 5, "queries_udp": 4, "queries_tcp": 1, "policy_hits": 1, "rules": 4,
                  "zones": 1, "feeder": "running"}
        self.assertEqual({**status, **wanted}, status)
        self.assertEqual(status["hit_ratio"], 0.75)
        self.assertEqual([(u["server"], u["up"], u["queries"]) for u in status["upstreams"]],
                         [(f"dns://127.0.0.1:{self.upstream.port}", True, 1)])
        self.assertIn("policy", self.sundewd.tool("status").stdout)

    def test_explain(self):
        said = self.sundewd.json("explain", "www.deep.evil.example")
        self.assertEqual((said["zone"], said["rule"], said["action"], said["family"], said["rcode"]),
                         ("local", "deep.evil.example", "nxdomain", "Emotet", "NXDOMAIN"))
        self.assertEqual([(r["state"], r["rule"]) for r in said["rules"]], [("decides", "deep.evil.example"), ("shadowed", "evil.example")])
        self.assertEqual(self.sundewd.json("explain", "203.0.113.7")["rule"], "203.0.113.0/24")
        self.assertEqual(self.sundewd.json("explain", "BÜCHER.example")["rule"], "xn--bcher-kva.example")
        self.assertEqual(self.sundewd.json("explain", "evil.example", "--type", "AAAA", "--client", "10.0.0.1")["answer"], [])
        none = self.sundewd.tool("--json", "explain", "good.example")
        self.assertEqual((none.returncode, json.loads(none.stdout)["decided"]), (1, False))
        for wrong in (["b..ad"], ["evil.example", "--client", "x"], ["evil.example", "--type", "NONSENSE"]):
            done = self.sundewd.tool("explain", *wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertTrue(done.stderr)

    def test_explain_offline(self):
        self.sundewd.end()
        done = self.sundewd.tool("--json", "explain", "-c", self.sundewd.path, "x.evil.example")
        self.assertEqual((done.returncode, json.loads(done.stdout)["rule"]), (0, "evil.example"), done.stderr)
        self.assertEqual(self.sundewd.tool("explain", "-c", self.sundewd.path, "good.example").returncode, 1)

    def test_zones(self):
        zone = self.sundewd.json("zones")[0]
        self.assertEqual((zone["name"], zone["format"], zone["mode"], zone["rules"], zone["rejected"], zone["stale"]),
                         ("local", "sundew", "enforce", 4, 1, False))
        for key in "name source format mode window rules rejected not_enforced fetched_at age_s next_at stale error".split():
            self.assertIn(key, zone)
        self.assertIn("local", self.sundewd.tool("zones").stdout)
        self.assertIn("rules[4]", self.sundewd.tool("zones", "--rejected").stdout)

    def test_zones_keep_the_age_of_what_is_in_force(self):
        sundewd = self.daemon(rules=["evil.test", {"domain": "aimless.test", "action": "cname"}])
        path = os.path.join(sundewd.folder, "local.json")
        self.assertIn(f"rule skipped: {path}:1: aimless.test: ", sundewd.text())
        read = sundewd.json("zones")[0]["fetched_at"]
        os.unlink(path)
        self.assertEqual(sundewd.tool("reload").returncode, 0)
        zone = wait_for("the error", lambda: [z for z in sundewd.json("zones") if z["error"]])[0]
        self.assertEqual((zone["rules"], zone["stale"], zone["fetched_at"]), (1, True, read))
        self.assertGreaterEqual(zone["age_s"], 0)

    def test_faults_of_a_never_block_file(self):
        never = os.path.join(self.folder, "never.json")
        with open(never, "w") as f:
            f.write('{"rules": ["fine.example",\n "not fine"]}')
        sundewd = self.daemon(policy={"never_block": [never]})
        wait_for("a word of it", lambda: f"never_block: rule skipped: {never}:2:2: rules[1]: " in sundewd.text())
        with open(never, "w") as f:
            f.write("{")
        wait_for("a word of it", lambda: f"never_block: {never}: " in sundewd.text())

    def test_refresh(self):
        self.sundewd.write_rules(["fresh.example"])
        self.assertEqual(self.sundewd.tool("refresh", "local").returncode, 0)
        self.assertEqual(self.sundewd.ask("fresh.example").addresses(), ["127.0.0.3"])  # in force when the command returns
        self.assertEqual(self.sundewd.tool("refresh").returncode, 0)
        self.assertEqual(self.sundewd.tool("refresh", "nonsense").returncode, 1)
        self.assertEqual(self.sundewd.json("refresh"), [{"zone": "local", "outcome": "unchanged", "error": None}])
        with open(os.path.join(self.sundewd.folder, "local.json"), "w") as f:
            f.write("{")
        done = self.sundewd.tool("--json", "refresh")
        outcome, = json.loads(done.stdout)
        self.assertEqual((done.returncode, outcome["zone"], outcome["outcome"]), (1, "local", "failed"))
        self.assertIn(outcome["error"], done.stderr)

    def test_flush(self):
        for name in ("a.example", "b.a.example", "c.example"):
            self.sundewd.ask(name)
        self.assertEqual(self.sundewd.json("flush", "A.example."), {"flushed": 2})
        self.sundewd.ask("a.example")
        self.assertEqual(self.upstream.names().count("a.example"), 2)
        self.assertEqual(self.sundewd.json("flush"), {"flushed": 2})
        self.assertEqual(self.sundewd.tool("flush", "b..ad").returncode, 2)

    def test_socket_is_private(self):
        mode = os.stat(self.sundewd.control).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o660)

    def test_clients_that_misbehave(self):
        for junk in (b"junk\n", b"[]\n", b"{}\n", b'{"command": 7}\n', b'{"command": "nonsense"}\n', b'{"command":"flush","name":"b..ad"}\n',
                     b"\0\0\0\n", b'{"command":"explain","name":"a","ip":"1.2.3.4"}\n', b"[" * 5000 + b"\n"):
            answers = self.talk(junk)
            self.assertEqual([a["ok"] for a in answers], [False], junk[:60])
        self.assertEqual(self.talk(b"x" * 100000 + b"\n"), [])  # too long a line: closed
        self.assertEqual(self.talk(b'{"command"', b':"flush"}\n'), [{"ok": True, "data": {"flushed": 0}}])
        self.assertEqual(len(self.talk(b'{"command":"flush"}\n' * 50)), 50)
        idle = [socket.socket(socket.AF_UNIX) for _ in range(100)]
        for s in idle:
            s.connect(self.sundewd.control)
        for s in idle:
            s.close()
        wait_for("an answer", lambda: self.sundewd.tool("status").returncode == 0)

    def test_follow(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(sundew_test.PATIENCE)
            s.connect(self.sundewd.control)
            s.sendall(b'{"command":"hits","follow":true,"family":"emotet"}\n')
            file = s.makefile()
            def hit():  # following begins when the daemon has read the request
                self.sundewd.ask("evil.example")
                self.sundewd.ask("deep.evil.example", source=f"127.0.1.{len(seen) + 1}")
                seen.append(1)
                return file.readline() if select.select([s], [], [], 0.3)[0] else None
            seen = []
            line = wait_for("a hit", hit)
            self.assertEqual(json.loads(line)["rule"], "deep.evil.example")

    def test_client(self):
        for wrong in ("10.1.2", "10.0.0.0/8", "52:54:00", "a\tb", ""):
            for command in (["hits"], ["clients"], ["hits", "-f"]):
                done = self.sundewd.tool(*command, "--client", wrong)
                self.assertEqual((done.returncode, done.stdout), (2, ""), (command, wrong))
                self.assertIn("client", done.stderr)
        self.assertEqual(self.sundewd.json("hits", "--client", "nonsense"), [])

    def test_convert(self):
        path = os.path.join(self.folder, "list")
        with open(path, "w") as f:
            f.write("evil.example\n")
        done = self.sundewd.tool("convert", "--from", "domains", "--to", "json", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("evil.example", done.stdout)

    def test_convert_any_name(self):
        """Owners that only a zone file can have come back from our own format as they went in."""
        path = os.path.join(self.folder, "zone")
        with open(path, "w") as f:
            f.write("@ 60 SOA . . 1 1 1 1 1\n" + "".join(f"{owner} 60 CNAME {target}\n" for owner, target in (
                ("a\\.b.example", "."), ("sp\\032ace.example", "*."), ("*.w\\.x.example", "."), ("quo\\\"te.example", "."), ("back\\\\slash.example", "."),
                ("st*r.example", "."), ("oct\\000\\255et.example", "a\\.b.gar\\032den.example."), ("c*.example", "*.st*r.example."))))
        first = self.sundewd.tool("convert", "--from", "rpz", "--to", "json", path)
        with open(path, "w") as f:
            f.write(first.stdout)
        second = self.sundewd.tool("convert", "--from", "sundew", "--to", "json", path)
        self.assertEqual((second.returncode, second.stderr, second.stdout), (0, "", first.stdout))
        self.assertEqual(len(json.loads(second.stdout)["rules"]), 8)

    def test_convert_cut_off(self):
        """Half of a document gives nothing that could pass for a zone."""
        path = os.path.join(self.folder, "cut.json")
        with open(path, "w") as f:
            f.write('{"zone": "x", "rules": ["a.example", "b.exam')
        for shape in ("json", "rpz", "domains"):
            done = self.sundewd.tool("convert", "--from", "sundew", "--to", shape, path)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("cut.json", done.stderr)


if __name__ == "__main__":
    unittest.main()
