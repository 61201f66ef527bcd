"""Where people look: metrics, the page in a real browser, `sundew top` in a real terminal.

What a tool is missing for is skipped, and said. SUNDEW_SCREENSHOT=FILE leaves the page's picture there.
"""
import base64, contextlib, json, os, re, shutil, subprocess, unittest, urllib.error, urllib.request

from sundew_test import PATIENCE, TOP, Case, Process, free_port, program, wait_for

HOSTILE = '<script>alert("x")</script>\x1b[31m\u202e'


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
        return answer.read().decode()


def samples(text):
    """{series with labels: value} of a Prometheus exposition."""
    return {series: float(value) for series, value in re.findall(r"^(\w+(?:{.*})?) ([-+.\deE]+)$", text, re.M)}


class Browser:
    """Headless Chromium over the WebDriver protocol."""

    def __init__(self, folder):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.driver = Process([shutil.which("chromedriver"), f"--port={port}"], os.path.join(folder, "chromedriver.log"))
        wait_for("chromedriver", self._ready)
        options = {"binary": shutil.which("chromium"),
                   "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                            "--disable-background-networking", "--disable-component-update", "--window-size=1100,1400",
                            "--disable-dev-shm-usage", f"--user-data-dir={folder}/chromium"]}
        self.session = None
        self.session = self.call("POST", "", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})["sessionId"]

    def _ready(self):
        try:
            return json.load(urllib.request.urlopen(self.url + "/status", timeout=1))["value"]["ready"]
        except OSError:
            return False

    def call(self, method, path, body=None):
        where = self.url + "/session" + (f"/{self.session}" if self.session else "") + path
        request = urllib.request.Request(where, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=60))["value"]

    def script(self, text):
        return self.call("POST", "/execute/sync", {"script": text, "args": []})

    def end(self):
        with contextlib.suppress(OSError):
            self.call("DELETE", "")
        self.driver.end()


class Observe(Case):
    def observed(self, **config):
        self.http = free_port()
        return self.daemon(rules=[{"domain": "evil.example", "family": "Emotet", "confidence": 90},
                                  {"domain": "odd.example", "family": HOSTILE}, {"domain": "nx.example", "action": "nxdomain"}],
                           forward=[{"zone": ".", "to": ["dns://127.0.0.1:9"]}],
                           http={"listen": f"127.0.0.1:{self.http}"}, **config)

    def test_metrics_agree_with_status(self):
        sundewd = self.observed()
        for name in ("evil.example", "odd.example", "nx.example", "localhost"):
            sundewd.ask(name)
        sundewd.wait_hits(lambda hits: len(hits) == 3)
        text, status = get(self.http, "/metrics"), sundewd.json("status")
        found = samples(text)
        self.assertEqual(found['sundew_queries_total{transport="udp"}'], status["queries_udp"])
        self.assertEqual(found['sundew_policy_hits_total{action="loopback"}'], 2)
        self.assertEqual(found['sundew_policy_hits_total{action="nxdomain"}'], 1)
        self.assertEqual(found["sundew_snapshot_rules"], status["rules"])
        self.assertEqual(found["sundew_hit_records_total"], 3)
        self.assertEqual(found['sundew_zone_rules{zone="local"}'], 3)
        self.assertEqual(found['sundew_zone_hits_total{zone="local",action="loopback"}'], 2)
        if shutil.which("promtool"):
            checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
            self.assertEqual((checked.returncode, checked.stderr), (0, ""))

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
    def test_the_example_s_alerts_are_sound_and_use_what_is_exported(self):
        rules = os.path.join(TOP, "doc/examples/sundew.rules.yml")
        checked = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        with open(os.path.join(TOP, "resolver/metrics.c")) as f:
            exported = set(re.findall(r'"(sundew_\w+)"', f.read()))
        for example in (rules, os.path.join(TOP, "doc/examples/grafana.json")):
            with open(example) as f:
                self.assertLessEqual(set(re.findall(r"\bsundew_\w+", f.read())), exported, example)

    def test_the_api_reads_only(self):
        sundewd = self.observed()
        sundewd.ask("evil.example")
        sundewd.wait_hits(lambda hits: len(hits) == 1)
        wait_for("the client", lambda: json.loads(get(self.http, "/api/clients")))
        self.assertEqual(json.loads(get(self.http, "/api/explain?name=www.evil.example"))["rule"], "evil.example")
        self.assertEqual(json.loads(get(self.http, "/api/zones"))[0]["rules"], 3)
        for path, method in (("/api/status", "POST"), ("/api/stop", "GET"), ("/../etc/passwd", "GET")):
            with self.assertRaises(urllib.error.HTTPError):
                urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", method=method), timeout=PATIENCE)
        self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])

    @unittest.skipUnless(shutil.which("chromium") and shutil.which("chromedriver"), "chromium is not installed")
    def test_the_page(self):
        sundewd = self.observed()
        browser = Browser(self.folder)
        self.addCleanup(browser.end)
        browser.call("POST", "/url", {"url": f"http://127.0.0.1:{self.http}/"})
        sundewd.ask("evil.example", source="127.0.0.7")
        sundewd.ask("odd.example", source="127.0.0.8")

        def text(box):
            return browser.script(f'return document.getElementById("{box}").innerText')

        wait_for("both clients on the page", lambda: "127.0.0.7" in text("clients") and "127.0.0.8" in text("clients"))
        self.assertIn("Emotet", text("clients"))
        self.assertIn("local", text("zones"))
        self.assertEqual(browser.script('return document.querySelectorAll("script").length'), 1, "data became markup")
        browser.script('document.getElementById("name").value = "www.evil.example"; '
                       'document.querySelector("#ask button").click()')
        wait_for("the verdict", lambda: "decides" in text("verdict"))
        self.assertIn("evil.example", text("verdict"))
        self.assertEqual(text("trouble"), "")
        if os.environ.get("SUNDEW_SCREENSHOT"):
            with open(os.environ["SUNDEW_SCREENSHOT"], "wb") as f:
                f.write(base64.b64decode(browser.call("GET", "/screenshot")))

    @unittest.skipUnless(shutil.which("tmux"), "tmux is not installed")
    def test_top(self):
        sundewd = self.observed()
        sundewd.ask("evil.example", source="127.0.0.7")
        sundewd.wait_hits(lambda hits: len(hits) == 1)
        tmux = ["tmux", "-S", os.path.join(self.folder, "tmux")]
        subprocess.run(tmux + ["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24",
                               f"{program('sundew')} --control {sundewd.control} top"], check=True, env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"})
        self.addCleanup(subprocess.run, tmux + ["kill-server"], capture_output=True)

        def screen():
            return subprocess.run(tmux + ["capture-pane", "-p"], capture_output=True, text=True).stdout

        wait_for("the client in top", lambda: "127.0.0.7" in screen() and "Emotet" in screen())
        self.assertIn("local", screen())
        self.assertLessEqual(max(len(line) for line in screen().splitlines()), 80)
        sundewd.end()
        wait_for("a word that the daemon is gone", lambda: "no daemon" in screen())
        sundewd.launch()
        sundewd.wait_ready()
        wait_for("the daemon again", lambda: "queries/s" in screen())
        subprocess.run(tmux + ["send-keys", "q"], check=True)
        wait_for("the end of top", lambda: subprocess.run(tmux + ["has-session"], capture_output=True).returncode != 0)


if __name__ == "__main__":
    unittest.main()
