"""Who is infected: machines behind leases, the ledger over restarts and kill -9, what was asked before it was listed, previews."""
import json, os, time, unittest

import sundew_test
from sundew_test import wait_for

EVIL = {"domain": "evil.example", "family": "Emotet, QakBot", "confidence": 90, "reference": "https://example.org/7"}


class Clients(sundew_test.Case):
    def setUp(self):
        super().setUp()
        self.upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 300, "192.0.2.1")]})
        self.leases = os.path.join(self.folder, "dnsmasq.leases")
        self.lease({})

    def lease(self, machines):
        """As dnsmasq does it: truncated, then written."""
        with open(self.leases, "w") as f:
            for address, (mac, name) in machines.items():
                f.write(f"{int(time.time()) + 3600} {mac} {address} {name} *\n")

    def start(self, **config):
        config.setdefault("clients", {"leases": [{"format": "dnsmasq", "path": self.leases}]})
        config.setdefault("zones", [{"name": "local", "source": "local.json"}])
        return self.daemon(self.upstream, rules=[EVIL], **config)

    def test_lease_passes_on(self):
        self.lease({"127.0.0.1": ("52:54:00:00:00:01", "laptop-7")})
        sundewd = self.start()
        sundewd.ask("evil.example")
        sundewd.wait_hits(lambda hits: len(hits) == 1)
        self.lease({"127.0.0.1": ("52:54:00:00:00:02", "\x1b[31mprinter")})
        sundewd.ask("evil.example")
        hits = sundewd.wait_hits(lambda hits: len(hits) == 2)
        self.assertEqual([(h["mac"], h["hostname"]) for h in hits],
                         [("52:54:00:00:00:01", "laptop-7"), ("52:54:00:00:00:02", "\\027[31mprinter")])
        clients = {c["mac"]: c for c in sundewd.json("clients")}
        self.assertEqual({mac: (c["hostname"], c["address"], c["hits"]) for mac, c in clients.items()},
                         {"52:54:00:00:00:01": ("laptop-7", "127.0.0.1", 1), "52:54:00:00:00:02": ("\\027[31mprinter", "127.0.0.1", 1)})
        first = clients["52:54:00:00:00:01"]
        self.assertEqual((first["families"], first["zones"], first["first_seen"], first["last_seen"]),
                         (["Emotet", "QakBot"], ["local"], hits[0]["ts"], hits[0]["ts"]))
        table = sundewd.tool("clients").stdout
        self.assertIn("laptop-7", table)
        self.assertNotIn("\x1b", table)

    def test_filters(self):
        sundewd = self.start()
        for i in range(3):
            sundewd.ask("evil.example", source=f"127.0.0.{i + 1}")
        sundewd.ask("evil.example", source="127.0.0.1")
        sundewd.wait_hits(lambda hits: len(hits) == 3)
        self.assertEqual(len(sundewd.json("clients")), 3)
        self.assertEqual(len(sundewd.json("clients", "--family", "qakbot", "--zone", "local", "--since", "1h")), 3)
        self.assertEqual(sundewd.json("clients", "--family", "nobody"), [])
        self.assertEqual(sundewd.json("clients", "--since", "2099-01-01"), [])
        self.assertEqual([h["client"] for h in sundewd.json("hits", "--client", "127.0.0.2")], ["127.0.0.2"])
        few = sundewd.tool("--json", "clients", "--limit", "2")
        self.assertEqual((len(json.loads(few.stdout)), few.returncode), (2, 0))
        self.assertIn("1 more", few.stderr)
        self.assertEqual(len(json.loads(sundewd.tool("--json", "clients", "--limit", "3").stdout)), 3)
        self.assertEqual(sundewd.tool("clients", "--limit", "0").returncode, 2)
        self.assertEqual(sundewd.tool("clients", "--since", "soon").returncode, 2)
        self.assertEqual(sundewd.tool("clients", "--since").returncode, 2)
        self.assertEqual(sundewd.tool("hits", "--format", "xml").returncode, 2)
        rows = sundewd.tool("hits", "--csv").stdout.splitlines()
        self.assertTrue(rows[0].startswith("ts,client,"))
        self.assertIn("evil.example", rows[1])
        self.assertIn("evil.example", sundewd.tool("hits").stdout)
        wait_for("the repeat", lambda: sum(h["count"] for h in sundewd.json("hits")) == 4)  # once a second, before its line

    def test_history_is_the_log(self):
        sundewd = self.start()
        for i in range(40):
            sundewd.ask(f"n{i % 3}.evil.example", source=f"127.0.0.{1 + i % 5}", tcp=i % 2 == 0)
        sundewd.restart()
        log = sundewd.hits()
        self.assertEqual(sum(h["count"] for h in log), 40)
        history = sundewd.json("hits")
        key = lambda h: (h["ts"], h["client"], h["count"])
        self.assertEqual(sorted(history, key=key), sorted(log, key=key))
        self.assertEqual(sum(c["hits"] for c in sundewd.json("clients")), 40)

    def test_kill(self):
        sundewd = self.start()
        for round in range(3):
            for i in range(30):
                sundewd.ask("evil.example", source=f"127.0.{round}.{1 + i}")
            sundewd.kill()
            sundewd.launch()
            sundewd.wait_ready()
        known = {h["client"] for h in sundewd.json("hits")}
        self.assertLessEqual({h["client"] for h in sundewd.hits()}, known)
        self.assertNotIn("damaged", sundewd.text())

    def test_damaged_ledger(self):
        sundewd = self.start()
        sundewd.ask("evil.example")
        sundewd.wait_hits(lambda hits: len(hits) == 1)
        sundewd.end()
        with open(os.path.join(sundewd.config["state_dir"], "ledger.db"), "r+b") as f:
            f.write(b"not a database at all" * 100)
        sundewd.launch()
        sundewd.wait_ready()
        wait_for("a word about it", lambda: "damaged" in sundewd.text())
        sundewd.ask("evil.example", source="127.0.0.9")
        wait_for("the new book", lambda: [c["address"] for c in sundewd.json("clients")] == ["127.0.0.9"])
        self.assertTrue([n for n in os.listdir(sundewd.config["state_dir"]) if n.startswith("ledger.db.damaged")])

    def test_ledger_removed(self):
        """The ledger goes while the daemon runs: it says so, begins a new one, and reads from that."""
        sundewd = self.start()
        path = os.path.join(sundewd.config["state_dir"], "ledger.db")
        sundewd.ask("evil.example")
        wait_for("the first", lambda: len(sundewd.json("clients")) == 1)
        os.unlink(path)
        wait_for("a word about it", lambda: "removed" in sundewd.text())
        sundewd.ask("evil.example", source="127.0.0.9")
        wait_for("the new book", lambda: [c["address"] for c in sundewd.json("clients")] == ["127.0.0.9"])
        with open(path, "r+b") as f:
            f.truncate(0)
        wait_for("a word about damage", lambda: "set aside" in sundewd.text())
        sundewd.ask("evil.example", source="127.0.0.8")
        wait_for("another book", lambda: [c["address"] for c in sundewd.json("clients")] == ["127.0.0.8"])

    def test_retro(self):
        sundewd = self.start()
        before = time.time()
        for i in range(20):
            sundewd.ask(f"host{i}.example.net", source="127.0.0.7")
        after = time.time()
        sundewd.write_rules([EVIL, *({"domain": f"host{i}.example.net", "family": "Late"} for i in (3, 5, 7))])
        self.assertEqual(sundewd.tool("refresh", "local").returncode, 0)
        began = time.monotonic()
        hits = sundewd.wait_hits(lambda hits: len(hits) >= 3)
        self.assertLess(time.monotonic() - began, 2)
        self.assertEqual(sorted((h["qname"], h["client"], h["mode"], h["count"]) for h in hits),
                         [(f"host{i}.example.net", "127.0.0.7", "retro", 1) for i in (3, 5, 7)])
        for hit in hits:
            whole, fraction = hit["ts"].rstrip("Z").split(".")
            ts = time.mktime(time.strptime(whole + " UTC", "%Y-%m-%dT%H:%M:%S %Z")) - time.timezone + float("0." + fraction)
            self.assertTrue(before - 1 <= ts <= after + 1, (before, ts, after))
        sundewd.ask("host3.example.net", source="127.0.0.7")  # listed now: an ordinary hit
        sundewd.wait_hits(lambda hits: [h["mode"] for h in hits] == ["retro"] * 3 + ["enforce"])
        sundewd.write_rules([EVIL])
        self.assertEqual(sundewd.tool("refresh", "local").returncode, 0)
        sundewd.write_rules([EVIL, {"domain": "host3.example.net", "family": "Late"}])
        self.assertEqual(sundewd.tool("refresh", "local").returncode, 0)
        sundewd.restart()
        time.sleep(0.5)
        self.assertEqual(len(sundewd.hits()), 4)

    def test_no_history(self):
        sundewd = self.start(history=None)
        sundewd.ask("host.example.net")
        sundewd.write_rules([{"domain": "host.example.net"}])
        self.assertEqual(sundewd.tool("refresh", "local").returncode, 0)
        sundewd.end()
        self.assertEqual(sundewd.hits(), [])
        folder = os.path.join(sundewd.config["state_dir"], "history")
        self.assertFalse(os.path.exists(folder) and os.listdir(folder))

    def test_preview(self):
        sundewd = self.start()
        for i in range(5):
            sundewd.ask(f"host{i}.example.net", source="127.0.0.7")
        path = os.path.join(self.folder, "new.txt")
        with open(path, "w") as f:
            f.write("host3.example.net\nco.uk\nnever-asked.example\n")
        said = sundewd.json("preview", path, "--format", "domains")
        self.assertEqual([(a["client"], a["qname"], a["rule"]) for a in said["asked"]],
                         [("127.0.0.7", "host3.example.net", "host3.example.net")])
        self.assertEqual(said["rules"], 2)
        self.assertEqual([r["rule"] for r in said["rejected"]], ["co.uk"])
        text = sundewd.tool("preview", path, "--format", "domains")
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertIn("host3.example.net", text.stdout)
        self.assertIn("co.uk", text.stdout)
        self.assertEqual(sundewd.ask("host3.example.net").addresses(), ["192.0.2.1"])  # nothing is enforced
        self.assertEqual(said["popular"], [])
        self.assertNotIn("popular_lists", said)
        self.assertEqual(sundewd.tool("preview", path + ".not").returncode, 1)
        self.assertEqual(sundewd.tool("preview").returncode, 2)

    def test_preview_popular(self):
        """What many people use, by the list that comes with sundew, the operator's own names, and the operator's own list."""
        own, zone = os.path.join(self.folder, "own.txt"), os.path.join(self.folder, "zone.json")
        with open(own, "w") as f:
            f.write("intranet.example\n")
        sundewd = self.start(popular=[own, "portal.example"])
        with open(zone, "w") as f:
            json.dump({"rules": ["portal.example", "login.google.com", "a.intranet.example", "harmless.example",
                                 {"domain": "evil.s3.amazonaws.com"}, {"domain": "*.paypal.com"}, {"domain": "digicert.com"},
                                 {"domain": "bing.com", "match": "exact"}, {"domain": "ok.bing.com", "action": "passthru"}]}, f)
        popular = [(r["name"], r["rule"], r["covers"], r["list"], r["clients"]) for r in sundewd.json("preview", zone)["popular"]]
        digicert = [f"{host}digicert.com" for host in ("cacerts.", "crl3.", "crl4.", "", "ocsp.")]
        self.assertEqual(popular, [("bing.com", "bing.com", True, "built-in", None),
                                   *((name, "digicert.com", True, "built-in", None) for name in digicert),
                                   ("paypal.com", "*.paypal.com", True, "built-in", None),
                                   ("portal.example", "portal.example", True, "configuration", None),
                                   ("google.com", "login.google.com", False, "built-in", None),
                                   ("intranet.example", "a.intranet.example", False, own, None)])
        text = sundewd.tool("preview", zone).stdout
        self.assertIn("10 rules for popular names", text)
        self.assertRegex(text, r"google\.com +login\.google\.com +built-in")
        os.unlink(own)
        broken = sundewd.tool("--json", "preview", zone)
        self.assertEqual((broken.returncode, len(json.loads(broken.stdout)["popular"])), (1, 9))
        self.assertIn("own.txt", broken.stderr)


if __name__ == "__main__":
    unittest.main()
