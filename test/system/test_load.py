"""Full load from dnsperf over UDP and TCP while policy is reloaded, the cache flushed and everything asked about: nothing is lost,
and status, hit log and load generator agree to the last query. This is what the thread sanitizer gets to see."""
import os, re, shutil, subprocess, threading, unittest

import sundew_test


class Load(sundew_test.Case):
    ROUNDS, NAMES = 40, 400

    def setUp(self):
        super().setUp()
        if not shutil.which("dnsperf"):
            self.skipTest("dnsperf isn't installed")
        self.upstream = self.nsd({"example.": "* 2 A 192.0.2.7\nlisted CNAME deep.evil.test.\n"})
        self.http = sundew_test.free_port()
        self.rules = ["evil.test", {"domain": "nx.test", "action": "nxdomain", "family": "Emotet"}]
        self.sundewd = self.daemon(self.upstream, rules=self.rules, log={"hits": os.path.join(self.folder, "hits.jsonl"), "repeat": 1},
                                   http={"listen": f"127.0.0.1:{self.http}"})
        self.sundewd.hits_path = os.path.join(self.folder, "hits.jsonl")
        # Every fourth name is listed, or leads to one that is.
        self.queries = os.path.join(self.folder, "queries")
        with open(self.queries, "w") as f:
            for i in range(self.NAMES // 4):
                listed = (f"h{i}.evil.test", f"h{i}.nx.test", "listed.example")[i % 3]
                f.write(f"a{i}.example A\nb{i}.example A\nc{i % 7}.example A\n{listed} A\n")

    def dnsperf(self, mode, results):
        done = subprocess.run(["dnsperf", "-s", "127.0.0.1", "-p", str(self.sundewd.port), "-d", self.queries, "-n", str(self.ROUNDS), "-c", "4",
                               "-q", "40", "-t", "10", "-m", mode], capture_output=True, text=True, timeout=120)
        results[mode] = {key: int(value) for key, value in re.findall(r"Queries (sent|completed|lost): +(\d+)", done.stdout)}

    def trouble(self, over):
        """Commands of all kinds, again and again."""
        round_ = 0
        while not over.is_set():
            round_ += 1
            self.sundewd.write_rules(self.rules + [f"r{round_}.test"])
            for command, parameters in (("reload", {}), ("status", {}), ("zones", {}), ("flush", {"name": "example"}), ("clients", {}),
                                        ("explain", {"name": "evil.test"}), ("hits", {}), ("refresh", {})):
                try:
                    self.sundewd.command(command, **parameters)
                except (AssertionError, OSError) as failure:
                    self.failures.append(str(failure))
        self.rounds = round_

    def test_load(self):
        results, over, self.failures = {}, threading.Event(), []
        trouble = threading.Thread(target=self.trouble, args=(over,))
        trouble.start()
        threads = [threading.Thread(target=self.dnsperf, args=(mode, results)) for mode in ("udp", "tcp")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        trouble.join()
        self.assertEqual(self.failures, [])
        sent = self.ROUNDS * self.NAMES
        for mode in ("udp", "tcp"):
            self.assertEqual(results[mode], {"sent": sent, "completed": sent, "lost": 0}, mode)
        status = self.sundewd.json("status")
        self.assertEqual((status["queries_udp"], status["queries_tcp"], status["policy_hits"]), (sent, sent, 2 * sent // 4))
        self.sundewd.end()
        self.assertEqual(sum(hit["count"] for hit in self.sundewd.hits()), 2 * sent // 4)


if __name__ == "__main__":
    unittest.main()
