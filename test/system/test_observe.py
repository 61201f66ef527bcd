"""Where people look: metrics, the page in a real browser, `sundew top` in a real terminal.

What a tool is missing for is skipped, and said. SUNDEW_SCREENSHOT=FILE leaves a picture of the page there.
"""
import base64, concurrent.futures, contextlib, http.client, json, os, re, shutil, signal, subprocess, time, unittest, urllib.error, urllib.parse, urllib.request

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
                   "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                            "--disable-background-networking", "--disable-component-update", "--window-size=1100,1400",
                            "--disable-dev-shm-usage", f"--user-data-dir={folder}/chromium"]}
        self.session = None
        self.session = self.call("POST", "", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})["sessionId"]

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

    def devtools(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def size(self, width, height, scheme="light"):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def complaints(self):
        """What went to the console: what the Content-Security-Policy stopped, what failed; not that there is no favicon."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"}) if "favicon" not in entry["message"]]

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

    def test_a_feeder_that_hangs_doesn_t_take_the_page_along(self):
        sundewd = self.observed()
        feeder = sundewd.feeder_pid()[0]
        os.kill(feeder, signal.SIGSTOP)
        try:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                texts = list(pool.map(lambda _: get(self.http, "/metrics"), range(8)))
            for text in texts:
                self.assertEqual(samples(text)["sundew_feeder_up"], 0)
                self.assertNotIn("sundew_zone_rules{", text)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                get(self.http, "/api/zones")
            self.assertEqual(refused.exception.code, 503)
            self.assertEqual(json.loads(get(self.http, "/api/status"))["pid"], sundewd.pid)
        finally:
            os.kill(feeder, signal.SIGCONT)
        wait_for("the zones again", lambda: samples(get(self.http, "/metrics")).get('sundew_zone_rules{zone="local"}') == 3)
        os.kill(feeder, signal.SIGSTOP) # nor the daemon's end
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            last = pool.submit(self.try_get, "/metrics")
            time.sleep(0.3)
            sundewd.signal(signal.SIGTERM)
            self.assertEqual(sundewd.wait(5), 0)
            last.result()

    def try_get(self, path):
        with contextlib.suppress(OSError, http.client.HTTPException):
            get(self.http, path)

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
    def test_the_example_s_alerts(self):
        for arguments in (("check", "rules", os.path.join(TOP, "doc/examples/sundew.rules.yml")),
                          ("test", "rules", os.path.join(TOP, "test/system/alerts.test.yml"))):
            checked = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def prometheus(self):
        """A real one on the configuration in doc/examples, scraping each second."""
        folder, port = self.sub_folder("prometheus"), free_port()
        with open(os.path.join(TOP, "doc/examples/prometheus.yml")) as f:
            text = f.read()
        for there, here in (("scrape_interval: 15s", "scrape_interval: 1s"), ("127.0.0.1:9153", f"127.0.0.1:{self.http}"),
                            ("- sundew.rules.yml", f"- {TOP}/doc/examples/sundew.rules.yml")):
            self.assertIn(there, text.split("scrape_configs:")[1])
            text = text.replace(there, here)
        with open(os.path.join(folder, "prometheus.yml"), "w") as f:
            f.write(text)
        process = Process(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                           f"--web.listen-address=127.0.0.1:{port}"], os.path.join(folder, "prometheus.log"))
        self.addCleanup(process.end)

        def ask(expression):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression}),
                                        timeout=PATIENCE) as answer:
                return json.load(answer)["data"]["result"]
        return ask

    @unittest.skipUnless(shutil.which("prometheus"), "prometheus is not installed")
    def test_prometheus_scrapes_it_and_the_dashboard_s_panels_are_filled(self):
        sundewd = self.observed()
        for name in ("evil.example", "odd.example", "nx.example", "localhost"):
            sundewd.ask(name)
        sundewd.wait_hits(lambda hits: len(hits) == 3)
        ask = self.prometheus()

        def scraped():
            with contextlib.suppress(OSError):
                found = ask('up{job="sundew"}')
                return found and found[0]["value"][1] == "1" and len(ask("count_over_time(sundew_build_info[1m]) > 2")) == 1
        wait_for("three scrapes", scraped, 60)
        with open(os.path.join(TOP, "doc/examples/grafana.json")) as f:
            panels = json.load(f)["panels"]
        empty = {"sundew_upstream_rtt_seconds", "sum by (rcode) (rate(sundew_responses_total[5m])) > 0"} # no server; no new query
        for expression in [target["expr"] for panel in panels for target in panel["targets"]]:
            self.assertTrue(ask(expression) or expression in empty, f"{expression} finds nothing")
        with open(os.path.join(TOP, "doc/examples/sundew.rules.yml")) as f:
            used = set(re.findall(r"\bsundew_\w+", f.read()))
        for name in used:
            self.assertTrue(ask(name), f"{name}, which an alert uses, is not exported")
        families = {row["metric"]["family"]: float(row["value"][1]) for row in ask("sundew_family_hits_total")}
        self.assertEqual(families["Emotet"], 1)
        self.assertEqual(len(families), 2)
        self.assertFalse(any("\u202e" in family or "\x1b" in family for family in families), families)

    def test_the_api_reads_only(self):
        sundewd = self.observed()
        sundewd.ask("evil.example")
        sundewd.wait_hits(lambda hits: len(hits) == 1)
        wait_for("the client", lambda: json.loads(get(self.http, "/api/clients")))
        self.assertEqual(json.loads(get(self.http, "/api/explain?name=www.evil.example"))["rule"], "evil.example")
        self.assertEqual(json.loads(get(self.http, "/api/zones"))[0]["rules"], 3)
        self.assertEqual(sum(row["enforced"] for row in json.loads(get(self.http, "/api/hours?since=24h"))), 1)
        self.assertEqual(json.loads(get(self.http, "/api/hours?client=10.1.1.1")), [])
        for path, method in (("/api/status", "POST"), ("/api/stop", "GET"), ("/../etc/passwd", "GET")):
            with self.assertRaises(urllib.error.HTTPError):
                urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", method=method), timeout=PATIENCE)
        self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])

    @unittest.skipUnless(shutil.which("chromium") and shutil.which("chromedriver"), "chromium is not installed")
    def test_the_page(self):
        leases = os.path.join(self.folder, "leases")
        with open(leases, "w") as f:
            f.write(f"{2 ** 31 - 1} 52:54:00:12:34:56 127.0.0.7 laptop-7 *\n{2 ** 31 - 1} 52:54:00:9a:bc:de 127.0.0.9 camera-2 *\n")
        zones = [{"name": name, "source": os.path.join(self.folder, f"{name}.json"), **more} for name, more in
                 (("local", {}), ("threatfox", {"action": "sinkhole"}), ("trial", {"mode": "monitor"}))]
        rules = ([{"domain": "evil.example", "family": "Emotet"}, {"domain": "odd.example", "family": HOSTILE}],
                 [{"domain": "evil.example", "family": "Emotet", "confidence": 90}, {"domain": "c2.invalid.example", "family": "QakBot"}],
                 [{"domain": "tracker.example", "family": "Mirai"}])
        for zone, listed in zip(zones, rules):
            with open(zone["source"], "w") as f:
                json.dump({"zone": zone["name"], "rules": listed}, f)
        sundewd = self.observed(zones=zones, clients={"leases": [{"format": "dnsmasq", "path": leases}]},
                                policy={"sinkhole": {"ipv4": "192.0.2.66"}})
        browser = Browser(self.folder)
        self.addCleanup(browser.end)

        def text(box):
            return browser.script(f'return document.getElementById("{box}").innerText')

        browser.size(1100, 1340)
        browser.call("POST", "/url", {"url": f"http://127.0.0.1:{self.http}/"})
        wait_for("a page without news", lambda: "no client has asked" in text("clients") and text("hits") == "none")
        for name, client in (("www.evil.example", 7), ("c2.invalid.example", 9), ("tracker.example", 9), ("c2.invalid.example", 7)):
            sundewd.ask(name, source=f"127.0.0.{client}")
        browser.script('document.getElementById("name").value = "www.evil.example"; '
                       'document.querySelector("#ask button").click()')
        wait_for("the verdict", lambda: "decides" in text("verdict"))
        self.assertIn("shadowed", text("verdict"))
        wait_for("all hits", lambda: text("hits").count("example") == 4)
        browser.call("POST", "/refresh", {})
        wait_for("the chart", lambda: browser.script('return document.querySelectorAll("#chart rect").length') == 3)
        if os.environ.get("SUNDEW_SCREENSHOT"):
            browser.script('document.getElementById("name").value = "www.evil.example"; '
                           'document.querySelector("#ask button").click()')
            wait_for("the verdict", lambda: "decides" in text("verdict"))
            with open(os.environ["SUNDEW_SCREENSHOT"], "wb") as f:
                f.write(base64.b64decode(browser.call("GET", "/screenshot")))
        sundewd.ask("odd.example", source="127.0.0.8")
        wait_for("both clients on the page", lambda: "127.0.0.7" in text("clients") and "127.0.0.8" in text("clients"))
        for wanted in ("Emotet", "52:54:00:12:34:56", "laptop-7"):
            self.assertIn(wanted, text("clients"))
        self.assertIn("local", text("zones"))
        self.assertIn("dns://127.0.0.1:9", text("upstreams"))
        self.assertEqual(browser.script('return document.querySelectorAll("script").length'), 1, "data became markup")
        self.assertIn("\\u{202e}", text("clients"))
        self.assertNotIn("\u202e", text("clients"))
        self.assertEqual(text("trouble"), "")
        self.assertEqual(browser.complaints(), [])
        browser.size(390, 844)
        for scheme in ("light", "dark"):
            browser.size(390, 844, scheme)
            self.assertLessEqual(browser.script("return document.documentElement.scrollWidth"), 390, "a phone has to scroll sideways")
        browser.size(1100, 1340)
        sundewd.end()
        wait_for("a word that the daemon is gone", lambda: "no news from sundewd" in text("trouble"))
        self.assertIn("127.0.0.7", text("clients"))
        sundewd.launch()
        sundewd.wait_ready()
        wait_for("the daemon again", lambda: text("trouble") == "")

    @unittest.skipUnless(shutil.which("chromium") and shutil.which("chromedriver"), "chromium is not installed")
    def test_the_page_behind_a_token(self):
        token, port = os.path.join(self.folder, "token"), free_port()
        with open(token, "w") as f:
            f.write("s3cret\n")
        self.daemon(rules=["evil.example"], forward=[{"zone": ".", "to": ["dns://127.0.0.1:9"]}],
                    http={"listen": f"[::1]:{port}", "token_file": token})
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://[::1]:{port}/api/clients", timeout=PATIENCE)
        self.assertEqual(refused.exception.code, 401)
        browser = Browser(self.folder)
        self.addCleanup(browser.end)
        browser.call("POST", "/url", {"url": f"http://me:s3cret@[::1]:{port}/"})
        wait_for("news", lambda: "no client has asked" in browser.script('return document.getElementById("clients").innerText'))
        self.assertEqual(browser.complaints(), [])

    @unittest.skipUnless(shutil.which("tmux"), "tmux is not installed")
    def test_top(self):
        sundewd = self.observed()
        sundewd.ask("evil.example", source="127.0.0.7")
        sundewd.ask("odd.example", source="127.0.0.8")
        sundewd.wait_hits(lambda hits: len(hits) == 2)
        tmux = ["tmux", "-S", os.path.join(self.folder, "tmux")]
        subprocess.run(tmux + ["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24",
                               f"{program('sundew')} --control {sundewd.control} top"], check=True, env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"})
        self.addCleanup(subprocess.run, tmux + ["kill-server"], capture_output=True)

        def screen():
            return subprocess.run(tmux + ["capture-pane", "-p"], capture_output=True, text=True).stdout

        def resize(width, height):
            subprocess.run(tmux + ["resize-window", "-x", str(width), "-y", str(height)], check=True)

        wait_for("both clients in top", lambda: all(f"127.0.0.{i}" in screen() for i in (7, 8)) and "Emotet" in screen())
        for wanted in (r"^local +enforce +3 +\d+\w +ok", r"^dns://127\.0\.0\.1:9 +(up|down) ", r"^sundew  up \d+s  \d+ queries/s  ", r" 0 records lost"):
            self.assertRegex(screen(), re.compile(wanted, re.M))
        self.assertLessEqual(max(len(line) for line in screen().splitlines()), 80)
        self.assertNotIn("\u202e", screen())
        resize(40, 10)
        wait_for("a narrow top", lambda: max(len(line) for line in screen().splitlines()) <= 40 and "127.0.0.7" in screen())
        self.assertRegex(screen().splitlines()[1], r"^\d+ queries  ") # no line runs over into the next
        resize(7, 2)
        wait_for("a tiny top", lambda: screen().startswith("sundew"))
        resize(120, 40)
        wait_for("a wide top", lambda: "hits/s" in screen() and "FAMILIES" in screen())
        feeder = sundewd.feeder_pid()[0]
        os.kill(feeder, signal.SIGSTOP)
        wait_for("a word that the feeder hangs", lambda: "the feeder doesn't say" in screen() and "127.0.0.7" in screen())
        os.kill(feeder, signal.SIGCONT)
        sundewd.end()
        wait_for("a word that the daemon is gone", lambda: "no daemon" in screen())
        sundewd.launch()
        sundewd.wait_ready()
        wait_for("the daemon again", lambda: "queries/s" in screen())
        subprocess.run(tmux + ["send-keys", "q"], check=True)
        wait_for("the end of top", lambda: subprocess.run(tmux + ["has-session"], capture_output=True).returncode != 0)


if __name__ == "__main__":
    unittest.main()
