#!/usr/bin/env python3
"""Feeds over real HTTPS: what is fetched, what is kept, and what a hostile server can't do. Usage: feeder.py SUNDEW-FEEDER"""
import gzip
import io
import json
import os
import resource
import struct
import subprocess
import sys
import socket
import time
import unittest
import zipfile

from feeder_kit import Feeder, Folder, Server, rules_in

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else "sundew-feeder"


def policy(*names):
    return json.dumps({"rules": list(names)}).encode()


def threatfox(*names, last_seen=None):
    entries = {}
    for number, name in enumerate(names, 1000):
        entries[str(sum(name.encode()) * 100000 + number)] = [{
            "ioc_value": name, "ioc_type": "domain", "threat_type": "botnet_cc", "malware": "win.x", "malware_alias": None,
            "malware_printable": "X", "first_seen_utc": "2021-01-01 00:00:00", "last_seen_utc": last_seen, "confidence_level": 90,
            "is_compromised": False, "reference": None, "tags": None, "anonymous": 0, "reporter": "r"}]
    return json.dumps(entries).encode()


class Feeds(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.certificates = Folder()
        cls.https = Server(cls.certificates / "server.pem", cls.certificates / "server.key")
        cls.wrong = Server(cls.certificates / "wrong.pem", cls.certificates / "wrong.key")
        cls.http = Server()

    @classmethod
    def tearDownClass(cls):
        for server in (cls.https, cls.wrong, cls.http):
            server.close()
        cls.certificates.remove()

    def setUp(self):
        self.state = self.certificates / f"state-{self._testMethodName}"
        os.makedirs(self.state)
        for server in (self.https, self.wrong, self.http):
            server.routes.clear()
            server.seen.clear()
        self.feeder = self.start()

    def start(self):
        return Feeder(PROGRAM, {"SUNDEW_FEEDER_IDLE_SECONDS": "2"})

    def tearDown(self):
        if self.feeder.process.poll() is None:
            self.assertEqual(self.feeder.stop(), 0)

    def configure(self, *zones):
        zones = [{"ca_file": self.certificates / "ca.pem", "refresh": "1h", **zone} if "://" in zone["source"] else zone
                 for zone in zones]
        return self.feeder.configure({"listen": ["dns://127.0.0.1:5300"], "state_dir": self.state, "zones": zones}, self.state)

    def rules(self):
        return rules_in(PROGRAM, self.state)

    def fetched(self, zone="feed", **options):
        reply = self.feeder.refresh(zone, **options)
        return reply["data"][0]["outcome"] if reply["data"] else reply["why"]

    # --- what is fetched

    def test_snapshot_feed(self):
        self.https.routes["/list.json"] = policy("a.example", "b.example")
        self.configure({"name": "feed", "source": self.https.url("/list.json")})
        self.assertIn(self.fetched(), ("fetched", "unchanged"))
        self.assertEqual(set(self.rules()), {"a.example", "b.example"})
        self.https.routes["/list.json"] = policy("b.example", "c.example")
        self.assertEqual(self.fetched(), "fetched")
        self.assertEqual(set(self.rules()), {"b.example", "c.example"})
        zone = self.feeder.zones()["feed"]
        self.assertEqual((zone["rules"], zone["stale"], zone["error"], zone["window"]), (2, False, None, False))
        self.assertIsNotNone(zone["fetched_at"])

    def test_not_modified(self):
        def route(handler):
            same = handler.headers.get("If-None-Match") == '"v1"'
            handler.answer(304 if same else 200, {"ETag": '"v1"'}, b"" if same else policy("a.example"))
        self.https.routes["/f"] = route
        self.configure({"name": "feed", "source": self.https.url("/f"), "format": "sundew"})
        self.fetched()
        self.assertEqual(self.fetched(), "unchanged")
        self.assertEqual(self.https.seen[-1][1].get("If-None-Match"), '"v1"')
        self.assertEqual(set(self.rules()), {"a.example"})

    def test_same_body_is_unchanged(self):
        self.https.routes["/f.json"] = policy("a.example")
        self.configure({"name": "feed", "source": self.https.url("/f.json")})
        self.fetched()
        self.assertEqual(self.fetched(), "unchanged")

    def test_gzip_and_zip(self):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("full.json", threatfox("zipped.example"))
        self.https.routes["/full.zip"] = packed.getvalue()
        self.https.routes["/x"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(policy("packed.example")))
        self.configure({"name": "a", "source": self.https.url("/full.zip"), "format": "threatfox"},
                       {"name": "b", "source": self.https.url("/x"), "format": "sundew"})
        self.assertTrue(self.feeder.refresh()["ok"])
        self.assertEqual(set(self.rules()), {"zipped.example", "packed.example"})

    def test_post_and_no_result(self):
        self.https.routes["/api/v1/"] = lambda h: h.answer(200, {}, threatfox("a.example") if json.loads(h.body)["days"] == 1
                                                           else b"{}")
        zone = {"name": "feed", "source": self.https.url("/api/v1/"), "format": "threatfox", "post": {"query": "get_iocs", "days": 1}}
        self.configure(zone)
        self.fetched()
        self.assertEqual(set(self.rules()), {"a.example"})
        self.https.routes["/api/v1/"] = b'{"query_status":"no_result","data":"Your search did not yield any results"}'
        self.assertEqual(self.fetched(), "unchanged")
        self.assertEqual(set(self.rules()), {"a.example"})
        self.https.routes["/api/v1/"] = b'{"query_status":"unknown_auth_key"}'
        self.assertEqual(self.fetched(), "failed")
        self.assertEqual(set(self.rules()), {"a.example"})

    # --- windows and snapshots

    def test_window_ages(self):
        self.https.routes["/w"] = threatfox("a.example")
        self.configure({"name": "feed", "source": self.https.url("/w"), "format": "threatfox", "max_age": "3s"})
        self.fetched()
        self.https.routes["/w"] = threatfox("b.example")
        self.fetched()
        self.assertEqual(set(self.rules()), {"a.example", "b.example"}, "absence from a window is not removal")
        time.sleep(5.2)
        self.https.routes["/w"] = (500, {}, b"")
        self.assertEqual(self.fetched(), "failed")
        self.assertEqual(set(self.rules()), {"a.example", "b.example"}, "a feed that is down keeps its rules")
        self.https.routes["/w"] = threatfox("b.example")
        self.assertEqual(self.fetched(), "unchanged")
        self.assertEqual(set(self.rules()), {"b.example"}, "what is no longer carried ages with the next fetch")

    def test_max_shrink(self):
        self.https.routes["/f.json"] = policy(*[f"n{i}.example" for i in range(10)])
        self.configure({"name": "feed", "source": self.https.url("/f.json")})
        self.fetched()
        self.https.routes["/f.json"] = policy("n1.example", "n2.example")
        self.assertEqual(self.fetched(), "failed")
        self.assertEqual(len(self.rules()), 10)
        self.assertIn("held back", self.feeder.zones()["feed"]["error"])
        self.assertEqual(self.fetched(), "fetched")
        self.assertEqual(len(self.rules()), 2)
        self.https.routes["/f.json"] = policy()
        self.assertEqual(self.fetched(force=True), "fetched")
        self.assertEqual(len(self.rules()), 0)

    def test_max_rules(self):
        self.https.routes["/f.json"] = policy("a.example")
        self.configure({"name": "feed", "source": self.https.url("/f.json"), "max_rules": 2})
        self.fetched()
        self.https.routes["/f.json"] = policy("a.example", "b.example", "c.example")
        self.assertEqual(self.fetched(), "failed")
        self.assertEqual(self.fetched(), "failed")
        self.assertEqual(set(self.rules()), {"a.example"})

    # --- bodies that aren't the format

    def test_refused_bodies(self):
        truncated = threatfox(*[f"n{i}.example" for i in range(100)])[:-100]
        html = b"<!DOCTYPE html><html><body>Under maintenance</body></html>"
        self.https.routes["/f"] = threatfox("a.example")
        self.configure({"name": "feed", "source": self.https.url("/f"), "format": "threatfox"})
        self.fetched()
        for body in (truncated, html, b"", b'"error"', b'{"query_status":"illegal_days"}', b"[]]"):
            self.https.routes["/f"] = body
            self.assertEqual(self.fetched(), "failed", body[:40])
            self.assertEqual(set(self.rules()), {"a.example"})
            self.assertTrue(self.feeder.zones()["feed"]["stale"])
        self.https.routes["/f"] = threatfox("a.example")
        self.assertIn(self.fetched(), ("fetched", "unchanged"))
        self.assertIsNone(self.feeder.zones()["feed"]["error"])

    # --- hostile servers

    def test_hostile_servers(self):
        def drip(handler):
            handler.send_response(200)
            handler.end_headers()
            while True:
                handler.wfile.write(b" ")
                time.sleep(0.3)

        def endless(handler):
            handler.send_response(200)
            handler.end_headers()
            while True:
                handler.wfile.write(b" " * 65536)

        def headers(handler):
            handler.send_response(200)
            handler.flush_headers()
            while True:
                handler.wfile.write(b"X-More: " + b"x" * 1000 + b"\r\n")

        def cut(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            handler.wfile.write(policy("cut.example"))
            handler.close_connection = True

        def reset(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            handler.wfile.write(b'{"rules": [')
            handler.wfile.flush()
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            os.close(handler.connection.detach())

        bomb = gzip.compress(b" " * (64 << 20), 9)
        routes = {"/drip": drip, "/endless": endless, "/headers": headers, "/cut": cut, "/reset": reset,
                  "/bomb": (200, {"Content-Encoding": "gzip"}, bomb), "/bomb.gz": bomb,
                  "/loop": lambda h: h.answer(302, {"Location": "/loop"}, b""),
                  "/down": lambda h: h.answer(301, {"Location": self.http.url("/plain")}, b""),
                  "/scheme": lambda h: h.answer(302, {"Location": "file:///etc/passwd"}, b"")}
        good = policy("good.example")
        zones = []
        for path in routes:
            self.https.routes[path] = good
            zones.append({"name": path[1:], "source": self.https.url(path), "format": "sundew", "max_size": "4M"})
        self.wrong.routes["/f"] = good
        self.http.routes["/plain"] = policy("plain.example")
        zones.append({"name": "wrong", "source": self.wrong.url("/f"), "format": "sundew"})
        self.configure(*zones)
        reply = self.feeder.refresh()
        outcomes = {item["zone"]: item["outcome"] for item in reply["data"]}
        self.assertEqual(outcomes.pop("wrong"), "failed", "a certificate for another name")
        self.assertEqual(set(outcomes.values()) - {"fetched", "unchanged"}, set(), reply)
        self.https.routes.update(routes)
        began = time.monotonic()
        reply = self.feeder.refresh()
        self.assertEqual({item["outcome"] for item in reply["data"]}, {"failed"}, reply)
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(set(self.rules()), {"good.example"})
        self.assertEqual(self.http.count("/plain"), 0)
        report = self.feeder.zones()
        for name in outcomes:
            self.assertTrue(report[name]["stale"], name)
            self.assertEqual(report[name]["rules"], 1, name)
            self.assertTrue(any(f"zone {name}:" in line for line in self.feeder.logs), name)

    def test_secrets_stay_home(self):
        with open(self.certificates / "headers", "w", encoding="ascii") as file:
            file.write("Auth-Key: s3cret-header\n")
        with open(self.certificates / "password", "w", encoding="ascii") as file:
            file.write("s3cret-password\n")
        other = Server(self.certificates / "server.pem", self.certificates / "server.key")
        self.addCleanup(other.close)
        other.routes["/there"] = policy("there.example")
        self.https.routes["/f"] = lambda h: h.answer(302, {"Location": other.url("/there")}, b"")
        self.https.routes["/g"] = lambda h: h.answer(307, {"Location": "/h"}, b"")
        self.https.routes["/h"] = (403, {}, b"")
        secrets = {"headers_file": self.certificates / "headers", "username": "me", "password_file": self.certificates / "password",
                   "format": "sundew"}
        self.configure({"name": "away", "source": self.https.url("/f?auth-key=s3cret-query"), **secrets},
                       {"name": "home", "source": self.https.url("/g?auth-key=s3cret-query"), **secrets})
        self.feeder.refresh()
        self.assertEqual(self.fetched("home"), "failed")
        for path, headers in other.seen:
            self.assertNotIn("s3cret", str(headers) + path)
            self.assertNotIn("Authorization", headers)
        self.assertTrue(other.seen)
        for path, headers in self.https.seen:
            self.assertEqual(headers.get("Auth-Key"), "s3cret-header")
            self.assertIn("Authorization", headers)
        said = json.dumps([self.feeder.zones(True), self.feeder.logs])
        self.assertNotIn("s3cret", said)
        self.assertIn("HTTP status 403", said)
        with open(f"/proc/{self.feeder.process.pid}/cmdline", "rb") as file:
            self.assertNotIn(b"s3cret", file.read())

    def test_secrets_that_are_cut_off_are_not_sent(self):
        with open(self.certificates / "long", "w", encoding="ascii") as file:
            file.write("X-Padding: x\n" * 6000 + "Auth-Key: s3cret\n")
        self.https.routes["/f"] = policy("a.example")
        self.configure({"name": "feed", "source": self.https.url("/f"), "headers_file": self.certificates / "long"})
        self.assertEqual(self.fetched(), "failed")
        self.assertIn("long: File too large", self.feeder.zones()["feed"]["error"])
        self.assertEqual(self.https.count("/f"), 0)

    def test_retry_after(self):
        self.https.routes["/f"] = (429, {"Retry-After": "600"}, b"")
        self.configure({"name": "feed", "source": self.https.url("/f"), "format": "sundew"})
        self.fetched()
        asked = self.https.count("/f")
        self.assertEqual(self.fetched(), "failed")
        self.assertEqual(self.https.count("/f"), asked, "Retry-After is kept, whoever asks")

    def test_first_retry(self):
        self.configure({"name": "feed", "source": self.https.url("/f"), "format": "sundew"})
        self.feeder.zones()
        self.https.routes["/f"] = policy("late.example")
        self.feeder.wait("published", 9)
        self.assertEqual(set(self.rules()), {"late.example"})

    # --- state

    def test_restart_without_network(self):
        server = Server(self.certificates / "server.pem", self.certificates / "server.key")
        server.routes["/f"] = threatfox("a.example")
        server.routes["/taxii/collections/1/objects/"] = (200, {"X-TAXII-Date-Added-Last": "2026-01-01T00:00:00.000000Z"},
                                                          stix(("indicator--1", "b.example", 1)))
        zones = [{"name": "feed", "source": server.url("/f"), "format": "threatfox"},
                 {"name": "taxii", "source": server.url("/taxii/collections/1/"), "format": "taxii"}]
        self.configure(*zones)
        self.assertTrue(self.feeder.refresh()["ok"])
        self.assertEqual(set(self.rules()), {"a.example", "b.example"})
        self.assertEqual(self.feeder.stop(), 0)
        server.close()
        os.unlink(os.path.join(self.state, "policy.snapshot"))
        self.feeder = self.start()
        self.configure(*zones)
        self.assertEqual(set(self.rules()), {"a.example", "b.example"})
        for zone in self.feeder.zones().values():
            self.assertTrue(zone["stale"])
            self.assertIsNotNone(zone["error"])
            self.assertEqual(zone["rules"], 1)

    def test_files_keep_their_last_good_rules(self):
        folder = os.path.join(self.state, "policy.d")
        os.mkdir(folder)

        def write(name, body):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(body)
        write("a.json", policy("a.example"))
        write("b.json", policy("b.example"))
        write("list.txt", b"one.example\n")
        zones = [{"name": "many", "source": folder + "/*.json"}, {"name": "one", "source": folder + "/list.txt", "max_rules": 2}]
        self.configure(*zones)
        everything = {"a.example", "b.example", "one.example"}
        self.assertEqual(set(self.rules()), everything)
        write("a.json", b'{"rules": ["changed.example"')
        write("b.json", policy("b2.example"))
        write("list.txt", b"one.example\ntwo.example\nthree.example\n")
        self.feeder.wait("published")
        self.assertEqual(set(self.rules()), {"a.example", "b2.example", "one.example"})
        self.assertIn("a.json", self.feeder.zones()["many"]["error"])
        self.assertIn("max_rules", self.feeder.zones()["one"]["error"])
        self.assertFalse(self.feeder.refresh("many")["ok"])
        self.feeder.stop()
        os.rename(folder, folder + ".away")
        self.feeder = self.start()
        self.configure(*zones)
        self.assertEqual(set(self.rules()), {"a.example", "b2.example", "one.example"}, "a folder that is gone costs nothing")
        self.assertTrue(self.feeder.zones()["many"]["stale"])
        os.rename(folder + ".away", folder)
        write("a.json", policy())
        self.feeder.wait("published")
        self.assertNotIn("a.example", self.rules())
        os.unlink(os.path.join(folder, "b.json"))
        self.feeder.wait("published")
        self.assertEqual(set(self.rules()), {"one.example"}, "a file that is taken out of a folder takes its rules with it")
        os.unlink(os.path.join(folder, "list.txt"))
        self.assertIn("list.txt", [log for log in self.wait_log("list.txt: No such file")][-1])
        self.assertEqual(set(self.rules()), {"one.example"})

    def test_rules_that_run_out_leave_the_count(self):
        """They do without a build: nothing else changes for days, perhaps."""
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
        with open(os.path.join(self.state, "local.json"), "w", encoding="ascii") as file:
            json.dump({"rules": ["stays.example", {"domain": "goes.example", "expires": soon},
                                 {"domain": "later.example", "expires": "2099-01-01T00:00:00Z"}]}, file)
        self.configure({"name": "local", "source": self.state + "/local.json"})
        end = time.monotonic() + 20
        while (zone := self.feeder.zones()["local"])["rules"] == 3 and time.monotonic() < end:
            self.assertEqual(zone["expired"], 0)
            time.sleep(0.1)
        self.assertEqual((zone["rules"], zone["expired"]), (2, 1))

    def wait_log(self, text):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = [line for line in self.feeder.logs if text in line]
            if found:
                return found
            time.sleep(0.05)
        self.fail(f"nothing was said of {text}")

    def test_by_hand(self):
        done = subprocess.run([PROGRAM], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("sundewd", done.stderr)
        self.configure()
        with open(f"/proc/{self.feeder.process.pid}/status", encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
        self.assertEqual(status["NoNewPrivs"].strip(), "1")
        self.assertEqual(int(status["CapEff"], 16) & ~4, 0, "of all capabilities, reading policy files is the only one kept")

    def test_full_disk(self):
        """A limit on file size stands for a full disk: the snapshot can't be written whole, the old one stays."""
        def write(count):
            for zone in range(8):
                with open(os.path.join(self.state, f"local{zone}.json"), "wb") as file:
                    file.write(policy(*[f"n{zone}-{number}.example" for number in range(count)]))
        write(1)
        self.configure(*[{"name": f"local{zone}", "source": f"local{zone}.json"} for zone in range(8)])
        # each store stays below the limit, the snapshot does not
        resource.prlimit(self.feeder.process.pid, resource.RLIMIT_FSIZE, (24 << 10, resource.RLIM_INFINITY))
        write(200)
        self.feeder.wait("failed")
        self.assertEqual(len(self.rules()), 8)
        resource.prlimit(self.feeder.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.feeder.wait("published")
        self.assertEqual(len(self.rules()), 1600)

    # --- folders and pages

    def test_misp_folder(self):
        manifest = {}
        for number in range(5):
            uuid = f"{number:08x}-0000-4000-8000-000000000000"
            manifest[uuid] = {"timestamp": str(1776809739 + number), "info": "x"}
            attributes = [{"type": "domain", "to_ids": i != 9, "value": f"m{number}-{i}.example", "uuid": f"{number}{i}"}
                          for i in range(10)]
            self.https.routes[f"/misp/{uuid}.json"] = json.dumps({"Event": {"info": "x", "Attribute": attributes}}).encode()
        manifest["../../etc/passwd"] = {"timestamp": "1"}
        self.https.routes["/misp/manifest.json"] = json.dumps(manifest).encode()
        self.configure({"name": "feed", "source": self.https.url("/misp/"), "format": "misp"})
        reply = self.feeder.refresh("feed")
        self.assertTrue(reply["ok"], reply)
        before = self.feeder.zones()["feed"]["rules"]
        self.assertEqual(before, 45)
        del manifest["../../etc/passwd"]
        uuids = list(manifest)
        manifest[uuids[0]]["timestamp"] = str(int(manifest[uuids[0]]["timestamp"]) + 1)
        manifest[uuids[1]]["timestamp"] = str(int(manifest[uuids[1]]["timestamp"]) + 1)
        gone = uuids[2]
        del manifest[gone]
        self.https.routes[f"/misp/{uuids[1]}.json"] = b'{"Event": {"Attribute": [,]}}'
        self.https.routes["/misp/manifest.json"] = json.dumps(manifest).encode()
        self.https.seen.clear()
        self.feeder.refresh("feed")
        asked = {path for path, _ in self.https.seen}
        self.assertEqual(asked, {"/misp/manifest.json", f"/misp/{uuids[0]}.json", f"/misp/{uuids[1]}.json"})
        after = self.feeder.zones()["feed"]
        self.assertEqual(after["rules"], 36, "an event that is gone goes, an unreadable one keeps its last good copy")
        self.assertFalse(after["stale"])

    def test_taxii_pages(self):
        pages = {
            "": (True, "n1", "2026-01-01T00:00:01.000000Z", ("indicator--1", "one.example", 1), ("indicator--2", "two.example", 1)),
            "next=n1": (True, None, "2026-01-01T00:00:02.000000Z", ("indicator--3", "three.example", 1)),
            "added_after=2026-01-01T00%3A00%3A02.000000Z": (False, None, "2026-01-01T00:00:03.000000Z",
                                                            ("indicator--4", "four.example", 1)),
        }

        def route(handler):
            if handler.headers.get("Accept") != "application/taxii+json;version=2.1":
                handler.answer(406, {}, b"")
                return
            page = pages.get(handler.path.partition("?")[2])
            if page is None:
                handler.answer(200, {}, b"{}")
                return
            more, token, last, *objects = page
            handler.answer(200, {"X-TAXII-Date-Added-Last": last}, stix(*objects, more=more, token=token))

        self.https.routes["/c/collections/1/objects/"] = route
        self.configure({"name": "feed", "source": self.https.url("/c/collections/1/"), "format": "taxii"})
        self.assertTrue(self.feeder.refresh("feed")["ok"])
        self.assertEqual(set(self.rules()), {"one.example", "two.example", "three.example", "four.example"})
        pages["added_after=2026-01-01T00%3A00%3A03.000000Z"] = (
            False, None, "2026-01-01T00:00:04.000000Z", ("indicator--5", "five.example", 1), ("indicator--1", None, 2),
            ("indicator--2", "moved.example", 2))
        self.https.seen.clear()
        self.assertEqual(self.fetched(), "fetched")
        self.assertEqual([path for path, _ in self.https.seen],
                         ["/c/collections/1/objects/?added_after=2026-01-01T00%3A00%3A03.000000Z"])
        self.assertEqual(set(self.rules()), {"moved.example", "three.example", "four.example", "five.example"})
        self.assertEqual(self.fetched(), "unchanged", "an empty page is no news")
        self.assertEqual(len(self.rules()), 4)

    def test_taxii_families(self):
        """A family that stands on a later page, or that only an earlier poll told, is known all the same."""
        def indicator(number):
            return [{"type": "indicator", "id": f"indicator--{number}", "pattern_type": "stix", "modified": "2026-01-01T00:00:00Z",
                     "pattern": f"[domain-name:value = 'n{number}.example']"},
                    {"type": "relationship", "id": f"relationship--{number}", "relationship_type": "indicates",
                     "source_ref": f"indicator--{number}", "target_ref": "malware--1"}]

        malware = [{"type": "malware", "id": "malware--1", "name": "Candiru"}]
        pages = {"": (1, {"more": True, "next": "n1", "objects": indicator(1)}), "next=n1": (2, {"objects": malware}),
                 "added_after=2026-01-01T00%3A00%3A02.000000Z": (3, {"objects": indicator(2)})}

        def route(handler):
            second, page = pages.get(handler.path.partition("?")[2], (3, {}))
            handler.answer(200, {"X-TAXII-Date-Added-Last": f"2026-01-01T00:00:0{second}.000000Z"}, json.dumps(page).encode())

        self.https.routes["/c/collections/1/objects/"] = route
        self.configure({"name": "feed", "source": self.https.url("/c/collections/1/"), "format": "taxii", "families": ["candiru"]})
        self.assertTrue(self.feeder.refresh("feed")["ok"])
        self.assertEqual(set(self.rules()), {"n1.example"})
        self.assertEqual(self.fetched(), "fetched")
        self.assertEqual(set(self.rules()), {"n1.example", "n2.example"})

    def test_taxii_loops(self):
        last = {"X-TAXII-Date-Added-Last": "2026-01-01T00:00:01.000000Z"}
        self.https.routes["/a/objects/"] = lambda h: h.answer(200, last, stix(("indicator--1", "a.example", 1), more=True, token="x"))
        self.https.routes["/b/objects/"] = lambda h: h.answer(200, last, stix(("indicator--1", "b.example", 1), more=True))
        self.configure({"name": "a", "source": self.https.url("/a/"), "format": "taxii"},
                       {"name": "b", "source": self.https.url("/b/"), "format": "taxii"})
        outcomes = {item["zone"]: item["outcome"] for item in self.feeder.refresh()["data"]}
        self.assertEqual(outcomes, {"a": "failed", "b": "fetched"})
        self.assertLess(len(self.https.seen), 12)
        self.assertIn("loop", self.feeder.zones()["a"]["error"])

    def test_otx_pages(self):
        pages = [{"next": None, "count": 2, "results": [{"id": f"p{number}", "name": "x", "created": "2026-01-01T00:00:00", "indicators": [
            {"id": number, "indicator": f"o{number}.example", "type": "domain", "is_active": 1, "created": "2026-01-01T00:00:00",
             "expiration": None}]}]} for number in (1, 2)]
        pages[0]["next"] = self.https.url("/otx?page=2")
        self.https.routes["/otx"] = lambda h: h.answer(200, {}, json.dumps(pages["page=2" in h.path]).encode())
        self.configure({"name": "feed", "source": self.https.url("/otx"), "format": "otx"})
        self.assertTrue(self.feeder.refresh("feed")["ok"])
        self.assertGreaterEqual(self.https.count("/otx"), 2)
        before = len(self.rules())
        self.assertEqual(before, 2)
        pages[0]["next"] = self.http.url("/otx?page=2")
        self.assertEqual(self.fetched(), "failed")
        self.assertFalse(self.http.seen)
        pages[0]["next"] = self.https.url("/otx")
        self.assertEqual(self.fetched(), "failed")
        self.assertEqual(len(self.rules()), before)


def stix(*objects, more=False, token=None):
    """A TAXII envelope of indicators: (id, name or None for revoked, version)."""
    envelope = {"more": more, "objects": []}
    if token is not None:
        envelope["next"] = token
    for identifier, name, version in objects:
        envelope["objects"].append({
            "type": "indicator", "spec_version": "2.1", "id": identifier + "-0000-4000-8000-000000000000", "revoked": name is None,
            "created": "2026-01-01T00:00:00.000Z", "modified": f"2026-01-0{version}T00:00:00.000Z",
            "valid_from": "2026-01-01T00:00:00Z", "pattern_type": "stix", "indicator_types": ["malicious-activity"],
            "pattern": f"[domain-name:value = '{name or 'revoked.example'}']"})
    return json.dumps(envelope).encode()


if __name__ == "__main__":
    unittest.main(verbosity=2)
