"""Real feeds over real HTTPS (nginx, an own CA), from the file to the answer: what is listed is answered, what isn't is resolved,
the counts equal jq's, and nothing is lost when the server and then the daemon go."""
import json, os, shutil, subprocess, unittest

import feeder_kit, sundew_test

DATA = os.path.join(sundew_test.TOP, "test", "data", "feeds")
UPSTREAM = "192.0.2.1"

JQ = {
    "threatfox": '[.[][]|select(.threat_type=="botnet_cc")|select(.ioc_type=="domain" or .ioc_type=="ip:port")|.ioc_value|ascii_downcase'
                 '|if test(":[0-9]+$") then sub(":[0-9]+$";"") else . end]|unique|length',
    "feodo": "[.[].ip_address]|unique|length",
    "stix": '[.objects[]|select(.type=="indicator")|.pattern|scan("(?:domain-name|ipv4-addr):value *= *\'([^\']+)\'")[0]]|unique|length',
    "urlhaus": "[]|length",
}


class Nginx(sundew_test.Process):
    """Serves a folder over TLS on loopback."""

    def __init__(self, folder, certificates, root):
        self.port = sundew_test.free_port()
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            os.makedirs(os.path.join(folder, name))
        config = os.path.join(folder, "nginx.conf")
        paths = "".join(f"{kind}_temp_path {folder}/{name};" for kind, name in (
            ("client_body", "body"), ("proxy", "proxy"), ("fastcgi", "fastcgi"), ("uwsgi", "uwsgi"), ("scgi", "scgi")))
        with open(config, "w") as f:
            f.write(f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{ }}\n"
                    f"http {{ access_log {folder}/access.log; {paths} gzip on; gzip_types *; default_type application/octet-stream;\n"
                    f"server {{ listen 127.0.0.1:{self.port} ssl; ssl_certificate {certificates}/server.pem;\n"
                    f"ssl_certificate_key {certificates}/server.key; root {root}; }} }}\n")
        super().__init__([shutil.which("nginx") or "/usr/sbin/nginx", "-c", config, "-p", folder], os.path.join(folder, "log"))

    def url(self, path):
        return f"https://localhost:{self.port}/{path}"


@unittest.skipUnless(shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin") and shutil.which("jq"), "no nginx or jq")
class Feeds(sundew_test.Case):
    def setUp(self):
        super().setUp()
        self.certificates = self.sub_folder("certificates")
        feeder_kit.make_certificates(self.certificates)
        self.upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 60, UPSTREAM)] if kind == "A" else []})

    def zone(self, name, url, **more):
        return {"name": name, "source": url, "format": name, "ca_file": os.path.join(self.certificates, "ca.pem"), **more}

    def assert_listed(self, daemon, *names):
        for name in names:
            self.assertEqual(daemon.ask(name).addresses(), ["127.0.0.3"], name)

    def assert_resolved(self, daemon, *names):
        for name in names:
            self.assertEqual(daemon.ask(name).addresses(), [UPSTREAM], name)

    def test_real_feeds(self):
        root = os.path.join(self.sub_folder("www"), "root")
        shutil.copytree(DATA, root)
        nginx = Nginx(self.sub_folder("nginx"), self.certificates, root)
        self.addCleanup(nginx.end)
        files = {"threatfox": "threatfox.json", "feodo": "feodo.json", "urlhaus": "urlhaus.json", "otx": "otx.json", "stix": "stix.json",
                 "misp": "misp/", "domains": "domains.txt", "hosts": "hosts", "adblock": "adblock.txt", "rpz": "list.rpz"}
        daemon = self.daemon(self.upstream, zones=[self.zone(name, nginx.url(path)) for name, path in files.items()])
        done = daemon.tool("refresh", timeout=70)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        zones = {zone["name"]: zone for zone in daemon.json("zones")}
        for name, program in JQ.items():
            count = subprocess.run(["jq", program, os.path.join(DATA, files[name])], capture_output=True, text=True, check=True).stdout
            self.assertEqual(zones[name]["rules"], int(count), name)
        self.assertEqual(daemon.tool("zones", "--check").returncode, 0)
        for zone in zones.values():
            self.assertFalse(zone["stale"], zone)

        listed, clean = self.names()
        self.assert_listed(daemon, *listed)
        self.assert_resolved(daemon, *clean)

        nginx.end()
        daemon.restart()
        self.assert_listed(daemon, *listed)
        checked = daemon.tool("zones", "--check")
        self.assertEqual(checked.returncode, 1)
        for zone in daemon.json("zones"):
            self.assertTrue(zone["stale"], zone)
            self.assertGreater(len(zone["error"]), 10)

    @staticmethod
    def names():
        """Names that must be answered by policy, and names that stand in the same feeds and must not."""
        with open(os.path.join(DATA, "threatfox.json")) as f:
            entries = [entry for group in json.load(f).values() for entry in group if entry["ioc_type"] == "domain"]
        wanted = {e["ioc_value"].lower() for e in entries if e["threat_type"] == "botnet_cc"}
        other = {e["ioc_value"].lower() for e in entries} - wanted
        with open(os.path.join(DATA, "domains.txt")) as f:
            lists = [line.strip() for line in f if line.strip() and line[0] not in "#!"]
        listed = [name for name in sorted(wanted)[:10] + lists[:10] if name.isascii()]
        covered = wanted | set(lists)
        clean = [n for n in sorted(other) if n.isascii() and not any(n == w or n.endswith("." + w) for w in covered)][:10]
        return listed, clean + ["www.example.org", "localhost.example"]

    def test_taxii_update_by_added_after_alone(self):
        server = feeder_kit.Server(os.path.join(self.certificates, "server.pem"), os.path.join(self.certificates, "server.key"))
        self.addCleanup(server.close)
        objects = [(f"2026-01-01T00:00:{number:02d}.000000Z", name, revoked) for number, (name, revoked) in enumerate(
            [("one.example", False), ("two.example", False), ("three.example", False), ("four.example", False), ("five.example", False)])]

        def collection(handler):
            query = dict(item.split("=") for item in handler.path.partition("?")[2].split("&") if item)
            since = query.get("added_after", "").replace("%3A", ":")
            left = [item for item in objects if item[0] > since][int(query.get("next", 0)):]
            page, more = left[:2], len(left) > 2
            envelope = {"more": more, "objects": [self.indicator(*item) for item in page]} if page else {}
            if more:
                envelope["next"] = str(int(query.get("next", 0)) + 2)
            headers = {"X-TAXII-Date-Added-First": page[0][0], "X-TAXII-Date-Added-Last": page[-1][0]} if page else {}
            handler.answer(200, {"Content-Type": "application/taxii+json;version=2.1", **headers}, json.dumps(envelope).encode())

        server.routes["/api/collections/1/objects/"] = collection
        daemon = self.daemon(self.upstream, zones=[self.zone("taxii", server.url("/api/collections/1/"))])
        self.assertEqual(daemon.tool("refresh", "taxii").returncode, 0)
        self.assert_listed(daemon, *[name for _, name, _ in objects])
        server.seen.clear()
        objects.append(("2026-01-02T00:00:00.000000Z", "six.example", False))
        objects.append(("2026-01-02T00:00:01.000000Z", "one.example", True))
        self.assertEqual(daemon.tool("refresh", "taxii").returncode, 0)
        self.assertEqual([path.partition("?")[2] for path, _ in server.seen], ["added_after=2026-01-01T00%3A00%3A04.000000Z"])
        self.assert_listed(daemon, "six.example", "two.example", "five.example")
        self.assert_resolved(daemon, "one.example")

    @staticmethod
    def indicator(added, name, revoked):
        number = sum(name.encode())
        return {"type": "indicator", "spec_version": "2.1", "id": f"indicator--{number:08d}-0000-4000-8000-000000000000",
                "created": "2026-01-01T00:00:00.000Z", "modified": added[:19] + ".000Z", "valid_from": "2026-01-01T00:00:00Z",
                "revoked": revoked, "pattern_type": "stix", "pattern": f"[domain-name:value = '{name}']",
                "indicator_types": ["malicious-activity"]}

    def test_guarded_names_resolve(self):
        root = self.sub_folder("www")
        nginx = Nginx(self.sub_folder("nginx"), self.certificates, root)
        self.addCleanup(nginx.end)
        with open(os.path.join(root, "list.txt"), "w") as f:
            f.write("com\ngithub.io\nlocalhost\n2.0.192.in-addr.arpa\nwww.good.example\nparent.example\nresolver.example\nevil.example\n")
        forward = [{"zone": ".", "to": [f"dns://127.0.0.1:{self.upstream.port}"]}]
        daemon = self.daemon(forward=forward, policy={"never_block": ["good.example", "safe.parent.example", "resolver.example"]},
                             zones=[self.zone("domains", nginx.url("list.txt"))])
        self.assertEqual(daemon.tool("refresh").returncode, 0)
        self.assert_listed(daemon, "evil.example", "a.parent.example")
        self.assert_resolved(daemon, "example.com", "a.github.io", "www.good.example", "safe.parent.example", "x.safe.parent.example",
                             "resolver.example")
        zone = daemon.json("zones")[0]
        self.assertEqual(zone["rules"], 2)
        rejected = {item["rule"] for item in daemon.json("zones", "--rejected")[0]["rejected_rules"]}
        self.assertLessEqual({"github.io", "www.good.example", "resolver.example", "2.0.192.in-addr.arpa"}, rejected)


if __name__ == "__main__":
    unittest.main(verbosity=2)
