"""Each action for each type over UDP and TCP, as CONTRACT.md ("Answers", "Policy files") says; listed names never leave."""
import unittest

import sundew_test
from sundew_test import NOERROR, NXDOMAIN, REFUSED

TTL = 2147483647
KINDS = ("A", "AAAA", "TXT", "ANY", "HTTPS")
RULES = [
    "loopback.test",
    {"domain": "sinkhole.test", "action": "sinkhole"},
    {"domain": "nxdomain.test", "action": "nxdomain"},
    {"domain": "nodata.test", "action": "nodata"},
    {"domain": "refused.test", "action": "refused"},
    {"domain": "drop.test", "action": "drop"},
    {"domain": "truncate.test", "action": "truncate"},
    {"domain": "passthru.test", "action": "passthru"},
    {"domain": "cname.test", "action": "cname", "target": "garden.real"},
    {"domain": "starred.test", "action": "cname", "target": "*.garden.real"},
    {"domain": "local.test", "action": "local", "records": ['300 IN TXT "hello"', "300 IN A 192.0.2.9"]},
    {"domain": "short.test", "ttl": 60},
    {"domain": "target.test"},
    {"ip": "203.0.113.0/24"},
]


def script(name, kind):
    if name == "chain.real" and kind == "A":
        return {"answer": [(name, "CNAME", 300, "deep.target.test"), ("deep.target.test", "A", 300, "192.0.2.50")]}
    if name == "bad-address.real" and kind == "A":
        return {"answer": [(name, "A", 300, "203.0.113.9")]}
    if kind == "A":
        return {"answer": [(name, "A", 300, "192.0.2.1")]}
    return {}


class Heads(sundew_test.Case):
    def test_configuration_overrides_the_head(self):
        """The file's head decides where the configuration says nothing; what the configuration says holds, be it the default."""
        upstream = self.scripted(script)
        sundewd = self.daemon(upstream, rules=["strong.test", {"domain": "weak.test", "confidence": 10}],
                              head={"mode": "monitor", "min_confidence": 50})
        zone = sundewd.config["zones"][0]
        self.assertEqual(sundewd.ask("strong.test").addresses(), ["192.0.2.1"])
        self.assertEqual([(z["mode"], z["rules"]) for z in sundewd.json("zones")], [("monitor", 1)])
        sundewd.write_config(zones=[{**zone, "mode": "enforce", "min_confidence": 0}])
        self.assertEqual(sundewd.tool("reload").returncode, 0)
        self.assertEqual(sundewd.ask("weak.test").addresses(), ["127.0.0.3"])
        self.assertEqual([(z["mode"], z["rules"]) for z in sundewd.json("zones")], [("enforce", 2)])


class Actions(sundew_test.Case):
    def setUp(self):
        super().setUp()
        self.upstream = self.scripted(script)
        self.sundewd = self.daemon(self.upstream, rules=RULES, policy={"sinkhole": {"ipv4": "192.0.2.66", "ipv6": "2001:db8::66"}})

    def each(self):
        for tcp in (False, True):
            for kind in KINDS:
                with self.subTest(tcp=tcp, kind=kind):
                    yield tcp, kind

    def soa(self, answer, owner, ttl=TTL):
        self.assertEqual([(r.name, r.kind, r.ttl) for r in answer.authority], [(owner, "SOA", ttl)])
        self.assertEqual(answer.authority[0].text.split()[-1], str(ttl))

    def check_flags(self, answer, ede):
        self.assertEqual((answer.aa, answer.ad, answer.ra, answer.rd, answer.ede()), (False, False, True, True, ede))

    def test_loopback(self):
        for tcp, kind in self.each():
            answer = self.sundewd.ask("loopback.test", kind, tcp)
            self.check_flags(answer, [4])
            self.assertEqual(answer.rcode, NOERROR)
            if kind in ("A", "ANY"):
                self.assertEqual([(r.name, r.kind, r.ttl, r.text) for r in answer.answer], [("loopback.test", "A", TTL, "127.0.0.3")])
            else:
                self.assertEqual(answer.answer, [])
                self.soa(answer, "loopback.test")
        self.assertEqual(self.sundewd.ask("deep.below.loopback.test").addresses(), ["127.0.0.3"])
        self.assertEqual(self.sundewd.ask("short.test").answer[0].ttl, 60)

    def test_sinkhole(self):
        for tcp, kind in self.each():
            answer = self.sundewd.ask("sinkhole.test", kind, tcp)
            self.check_flags(answer, [4])
            wanted = {"A": ["192.0.2.66"], "AAAA": ["2001:db8::66"], "ANY": ["192.0.2.66", "2001:db8::66"]}.get(kind, [])
            self.assertEqual(sorted(answer.addresses()), wanted)
            self.assertEqual({r.ttl for r in answer.answer} - {TTL}, set())

    def test_negative(self):
        for action, rcode in (("nxdomain", NXDOMAIN), ("nodata", NOERROR), ("refused", REFUSED)):
            for tcp, kind in self.each():
                answer = self.sundewd.ask(f"x.{action}.test", kind, tcp)
                self.check_flags(answer, [15])
                self.assertEqual((answer.rcode, answer.answer), (rcode, []), action)
                if action != "refused":
                    self.assertEqual([(r.kind, r.ttl) for r in answer.authority], [("SOA", TTL)])

    def test_drop(self):
        self.assertIsNone(self.sundewd.ask("drop.test", timeout=0.3))
        self.assertIsNone(self.sundewd.ask("drop.test", tcp=True))  # the end of the connection, not a time-out: it comes at once
        self.assertEqual(self.sundewd.ask("loopback.test").addresses(), ["127.0.0.3"])

    def test_truncate(self):
        answer = self.sundewd.ask("truncate.test")
        self.assertEqual((answer.tc, answer.answer), (True, []))
        answer = self.sundewd.ask("truncate.test", tcp=True)
        self.assertEqual((answer.tc, answer.addresses()), (False, ["192.0.2.1"]))

    def test_passthru(self):
        self.assertEqual(self.sundewd.ask("passthru.test").addresses(), ["192.0.2.1"])

    def test_cname(self):
        for tcp in (False, True):
            answer = self.sundewd.ask("x.cname.test", tcp=tcp)
            self.check_flags(answer, [4])
            self.assertEqual([(r.name, r.kind, r.text) for r in answer.answer],
                             [("x.cname.test", "CNAME", "garden.real"), ("garden.real", "A", "192.0.2.1")])
            self.assertEqual(self.sundewd.ask("starred.test", tcp=tcp).answer[0].text, "starred.test.garden.real")

    def test_local(self):
        for tcp, kind in self.each():
            answer = self.sundewd.ask("local.test", kind, tcp)
            wanted = {"A": ["A"], "TXT": ["TXT"], "ANY": ["A", "TXT"]}.get(kind, [])
            self.assertEqual(sorted(r.kind for r in answer.answer), wanted)
            self.assertEqual({r.ttl for r in answer.answer} - {300}, set())

    def test_answer_phase(self):
        for _ in range(3):  # from upstream, then from cache: the rule holds each time
            answer = self.sundewd.ask("chain.real")
            self.assertEqual([(r.name, r.kind, r.ttl <= 300 or r.ttl == TTL, r.text) for r in answer.answer],
                             [("chain.real", "CNAME", True, "deep.target.test"), ("deep.target.test", "A", True, "127.0.0.3")])
            self.assertEqual(self.sundewd.ask("bad-address.real").addresses(), ["127.0.0.3"])
        self.assertEqual(self.upstream.names().count("chain.real"), 1)
        # The repeats are summed up when their window closes, at the latest when the daemon ends.
        self.sundewd.end()
        hits = [hit for hit in self.sundewd.hits() if hit.get("via") == "deep.target.test"]
        self.assertEqual(sum(hit["count"] for hit in hits), 3)
        self.assertEqual({(hit["qname"], hit["rule"], hit["trigger"]) for hit in hits}, {("chain.real", "target.test", "domain")})

    def test_never_upstream(self):
        for rule in RULES:
            if "domain" in rule and isinstance(rule, dict) and rule["action" if "action" in rule else "domain"] not in ("drop", "passthru"):
                for kind in KINDS:
                    self.sundewd.ask("x." + rule["domain"], kind, timeout=2)
        leaked = [name for name in self.upstream.names() if name.endswith(".test") and not name.startswith(("x.truncate",))]
        self.assertEqual(leaked, [])

    def test_hit_lines(self):
        self.sundewd.ask("A.Loopback.TEST", "AAAA")
        hit = self.sundewd.wait_hits(lambda hits: hits)[0]
        wanted = {"client": "127.0.0.1", "proto": "udp", "qname": "a.loopback.test", "qtype": "AAAA", "zone": "local", "trigger": "domain",
                  "rule": "loopback.test", "action": "loopback", "mode": "enforce", "count": 1}
        self.assertEqual({**hit, **wanted}, hit)
        self.assertRegex(hit["ts"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


if __name__ == "__main__":
    unittest.main()
