"""The page, its API and /metrics, out of a daemon that answers; what they say agrees with `sundew status`."""
import json, shutil, subprocess, unittest, urllib.error, urllib.request

import sundew_test
from sundew_test import wait_for


class Web(sundew_test.Case):
    def setUp(self):
        super().setUp()
        self.upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 300, "192.0.2.1")]})
        self.http = sundew_test.free_port()
        self.sundewd = self.daemon(self.upstream, rules=["evil.example"], http={"listen": f"127.0.0.1:{self.http}"})
        wait_for("the page", lambda: self.get("/"))

    def get(self, path, port=None, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.http}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=sundew_test.PATIENCE) as response:
                return response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return None

    def test_metrics(self):
        for i in range(5):
            self.sundewd.ask("www.example")
            self.sundewd.ask("evil.example", tcp=True)
        text = self.get("/metrics")
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        self.assertEqual((float(lines['sundew_queries_total{transport="udp"}']), float(lines['sundew_queries_total{transport="tcp"}'])), (5, 5))
        status = self.sundewd.json("status")
        self.assertEqual((status["queries_udp"], status["queries_tcp"]), (5, 5))
        self.assertEqual(float(lines["sundew_cache_hits_total"]), status["cache"]["hits"])
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_api(self):
        self.assertEqual(json.loads(self.get("/api/status"))["pid"], self.sundewd.pid)
        self.assertEqual(json.loads(self.get("/api/explain?name=x.evil.example"))["rule"], "evil.example")
        self.assertEqual(json.loads(self.get("/api/zones"))[0]["name"], "local")
        self.assertIn("<html", self.get("/"))
        self.assertIsNone(self.get("/api/stop"))
        self.assertIsNone(self.get("/api/flush", method="POST"))

    def test_reconfigured(self):
        other = sundew_test.free_port()
        self.sundewd.write_config(http={"listen": f"127.0.0.1:{other}"})
        self.assertEqual(self.sundewd.tool("reload").returncode, 0)
        wait_for("the page elsewhere", lambda: self.get("/", other))
        self.assertIsNone(self.get("/"))
        self.sundewd.write_config(http=None)
        self.assertEqual(self.sundewd.tool("reload").returncode, 0)
        wait_for("no page", lambda: self.get("/", other) is None)


if __name__ == "__main__":
    unittest.main()
