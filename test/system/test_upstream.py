"""Forwarding through real servers: failover, staleness, coalescing; policy answers whatever upstream does."""
import socket, struct, threading, time, unittest

import sundew_test
from sundew_test import NOERROR, NXDOMAIN, SERVFAIL, Message, query, wait_for

ZONE = "www A 192.0.2.1\nshort 1 A 192.0.2.2\n* A 192.0.2.7\nalias CNAME www\nlisted CNAME x.evil.test.\nempty TXT \"x\"\nv6 AAAA 2001:db8::1\n"


class RealServers(sundew_test.Case):
    def setUp(self):
        super().setUp()
        self.first = self.nsd({"example.": ZONE})
        self.second = self.nsd({"example.": ZONE})
        self.forward = [{"zone": ".", "to": [f"dns://127.0.0.1:{self.first.port}", f"dns://127.0.0.1:{self.second.port}"]}]

    def test_answers(self):
        sundewd = self.daemon(forward=self.forward, rules=["evil.test"])
        for tcp in (False, True):
            self.assertEqual(sundewd.ask("www.example", tcp=tcp).addresses(), ["192.0.2.1"])
            self.assertEqual([r.text for r in sundewd.ask("alias.example", tcp=tcp).answer], ["www.example", "192.0.2.1"])
            self.assertEqual(sundewd.ask("v6.example", "AAAA", tcp=tcp).addresses(), ["2001:db8::1"])
            none = sundewd.ask("empty.example", tcp=tcp)
            self.assertEqual((none.rcode, none.answer, [r.kind for r in none.authority]), (NOERROR, [], ["SOA"]))
            self.assertEqual([r.text for r in sundewd.ask("listed.example", tcp=tcp).answer], ["x.evil.test", "127.0.0.3"])

    def test_failover(self):
        sundewd = self.daemon(forward=self.forward, rules=["evil.test"])
        self.assertEqual(sundewd.ask("www.example").addresses(), ["192.0.2.1"])
        self.first.kill()
        slowest = 0
        for i in range(20):
            began = time.monotonic()
            self.assertEqual(sundewd.ask(f"n{i}.example").addresses(), ["192.0.2.7"])
            slowest = max(slowest, time.monotonic() - began)
        self.assertLess(slowest, 1)

    def test_all_dead(self):
        sundewd = self.daemon(forward=self.forward, rules=["evil.test"])
        self.assertEqual(sundewd.ask("short.example").addresses(), ["192.0.2.2"])
        self.assertEqual(sundewd.ask("www.example").addresses(), ["192.0.2.1"])
        self.first.kill()
        self.second.kill()
        time.sleep(1.1)  # short.example has expired now
        began = time.monotonic()
        stale = sundewd.ask("short.example")
        self.assertEqual((stale.addresses(), stale.ede()), (["192.0.2.2"], [3]))
        self.assertEqual(sundewd.ask("www.example").addresses(), ["192.0.2.1"])  # still fresh
        failed = sundewd.ask("never-asked.example")
        self.assertEqual(failed.rcode, SERVFAIL)
        self.assertIn(failed.ede()[0], (22, 23))
        self.assertEqual(sundewd.ask("x.evil.test").addresses(), ["127.0.0.3"])
        self.assertLess(time.monotonic() - began, 4)

    def test_recovery(self):
        sundewd = self.daemon(forward=self.forward, rules=["evil.test"])
        self.first.kill()
        self.second.kill()
        self.assertEqual(sundewd.ask("www.example").rcode, SERVFAIL)
        again = self.nsd({"example.": ZONE}, port=self.second.port)
        wait_for("an answer", lambda: sundewd.ask("alias.example").rcode == NOERROR)
        self.assertIsNotNone(again)


class Exact(sundew_test.Case):
    def test_identical_questions_are_asked_once(self):
        upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 300, "192.0.2.1")], "delay": 0.3})
        sundewd = self.daemon(upstream, workers=4)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(sundewd.ask("same.example"))) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([a.addresses() for a in answers], [["192.0.2.1"]] * 30)
        self.assertEqual(upstream.names(), ["same.example"])

    def test_forward_by_zone(self):
        main = self.scripted(lambda name, kind: {"answer": [(name, "A", 300, "192.0.2.1")]})
        corp = self.scripted(lambda name, kind: {"answer": [(name, "A", 300, "192.0.2.10")]})
        sundewd = self.daemon(forward=[{"zone": ".", "to": [f"dns://127.0.0.1:{main.port}"]},
                                       {"zone": "corp.example", "to": [f"dns://127.0.0.1:{corp.port}"]}])
        self.assertEqual(sundewd.ask("a.corp.example").addresses(), ["192.0.2.10"])
        self.assertEqual(sundewd.ask("a.notcorp.example").addresses(), ["192.0.2.1"])
        sundewd.write_config(forward=[{"zone": ".", "to": [f"dns://127.0.0.1:{corp.port}"]}])
        self.assertEqual(sundewd.tool("reload").returncode, 0)
        self.assertEqual(sundewd.ask("b.example").addresses(), ["192.0.2.10"])

    def test_truncated_upstream_answers(self):
        upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 300, "192.0.2.1")], "tc": True})
        self.assertEqual(self.daemon(upstream).ask("tc.example").addresses(), ["192.0.2.1"])

    def test_local_names(self):
        upstream = self.scripted(lambda name, kind: {})
        sundewd = self.daemon(upstream)
        self.assertEqual(sundewd.ask("localhost").addresses(), ["127.0.0.1"])
        self.assertEqual(sundewd.ask("x.invalid").rcode, NXDOMAIN)
        self.assertEqual(sundewd.ask("1.1.168.192.in-addr.arpa", "PTR").rcode, NXDOMAIN)
        self.assertEqual(upstream.asked, [])

    def test_local_names_behind_others(self):
        """A chain or a cname rule that leads to a name served locally: answered here, too."""
        upstream = self.scripted(lambda name, kind: {"answer": [(name, "CNAME", 300, "x." + name.split(".")[0])]})
        sundewd = self.daemon(upstream, rules=[{"domain": "walled.test", "action": "cname", "target": "www.localhost"}])
        for _ in range(2):
            answer = sundewd.ask("localhost.real")
            self.assertEqual([(r.kind, r.text) for r in answer.answer], [("CNAME", "x.localhost"), ("A", "127.0.0.1")])
            answer = sundewd.ask("invalid.real")
            self.assertEqual((answer.rcode, [r.kind for r in answer.answer], [r.kind for r in answer.authority]), (NXDOMAIN, ["CNAME"], ["SOA"]))
            answer = sundewd.ask("walled.test")
            self.assertEqual([(r.kind, r.text) for r in answer.answer], [("CNAME", "www.localhost"), ("A", "127.0.0.1")])
        self.assertEqual(set(upstream.names()), {"localhost.real", "invalid.real"})


if __name__ == "__main__":
    unittest.main()
