"""The hit log: counts that add up, whole lines, rotation, and a disk that is full or a folder that is missing."""
import json, os, signal, unittest

import sundew_test
from sundew_test import wait_for


class HitLog(sundew_test.Case):
    def setUp(self):
        super().setUp()
        self.upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 300, "192.0.2.1")]})

    def test_counts_add_up(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example", {"ip": "192.0.2.0/24"}])
        asked = 0
        for i in range(150):
            self.assertEqual(sundewd.ask(f"n{i % 7}.evil.example", source=f"127.0.0.{1 + i % 3}").addresses(), ["127.0.0.3"])
            self.assertEqual(sundewd.ask(f"n{i % 5}.real.example", tcp=i % 2 == 0).addresses(), ["127.0.0.3"])
            asked += 2
        self.assertEqual(sundewd.json("status")["policy_hits"], asked)
        sundewd.end()
        hits = sundewd.hits()
        self.assertEqual(sum(hit["count"] for hit in hits), asked)
        self.assertLess(len(hits), 20)

    def test_a_log_that_cannot_be_written_costs_no_answer(self):
        missing = os.path.join(self.folder, "missing")
        for path in ("/dev/full", os.path.join(missing, "hits.jsonl")):
            sundewd = self.daemon(self.upstream, rules=["evil.example"], log={"hits": path, "repeat": 0})
            for i in range(50):
                self.assertEqual(sundewd.ask(f"n{i}.evil.example", source=f"127.0.1.{1 + i}").addresses(), ["127.0.0.3"])
            wait_for("the loss", lambda: sundewd.json("status")["log"]["lines_lost"] > 0)
            wait_for("a word about it", lambda: "lines lost" in sundewd.text())

    def test_rotation(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        sundewd.ask("evil.example", source="127.0.0.1")
        sundewd.wait_hits(lambda hits: len(hits) == 1)
        os.rename(sundewd.hits_path, sundewd.hits_path + ".1")
        sundewd.signal(signal.SIGUSR1)
        asked = ["127.0.0.1"]

        def ask():  # the signal and the query race: some of these may still go to the old file
            asked.append(f"127.0.0.{1 + len(asked)}")
            sundewd.ask("evil.example", source=asked[-1])
            return os.path.exists(sundewd.hits_path)
        wait_for("a new file", ask)
        sundewd.end()
        with open(sundewd.hits_path + ".1") as f:
            old = [json.loads(line)["client"] for line in f]
        self.assertEqual(old + [hit["client"] for hit in sundewd.hits()], asked)

    def test_nothing_forges_a_line(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        label = b'\n{"x":1}\n"'
        packet = sundew_test.query("evil.example")
        answer = sundewd.send(packet[:12] + bytes([len(label)]) + label + packet[12:])
        self.assertEqual(answer.addresses(), ["127.0.0.3"])
        sundewd.end()
        with open(sundewd.hits_path) as f:
            lines = f.readlines()
        self.assertEqual(len(lines), 1)
        self.assertIn("evil.example", json.loads(lines[0])["qname"])


if __name__ == "__main__":
    unittest.main()
