"""dnstap frames at decoders that aren't ours: protobuf's own for the Policy message of each action, BIND's dnstap-read for the rest;
and collectors that are gone, come late, or stop reading.
"""
import contextlib, json, os, re, shutil, socket, struct, subprocess, threading, time, unittest

from sundew_test import TOP, Case, encode_name, free_port, query, wait_for

TYPE = b"protobuf:dnstap.Dnstap"


def start_frame():
    body = struct.pack(">III", 2, 1, len(TYPE)) + TYPE
    return struct.pack(">II", 0, len(body)) + body


class Collector(threading.Thread):
    """A frame streams receiver (bidirectional) on a unix socket or, with a port, TCP; keeps the frames. stuck: reads none."""

    READY, ACCEPT, STOP, FINISH = 4, 1, 3, 5

    def __init__(self, where, stuck=False):
        super().__init__(daemon=True)
        self.frames, self.stuck, self.over = [], stuck, threading.Event()
        self.socket = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(where)
        self.socket.listen(1)
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            connection, _ = self.socket.accept()
            with connection, connection.makefile("rb") as stream:
                while len(head := stream.read(4)) == 4:
                    length = struct.unpack(">I", head)[0]
                    if length > 0 and self.stuck:
                        self.over.wait()
                        return
                    if length > 0:
                        self.frames.append(stream.read(length))
                        continue
                    kind = struct.unpack(">I", stream.read(struct.unpack(">I", stream.read(4))[0])[:4])[0]
                    if kind == self.READY:
                        body = struct.pack(">III", self.ACCEPT, 1, len(TYPE)) + TYPE
                        connection.sendall(struct.pack(">II", 0, len(body)) + body)
                    elif kind == self.STOP:
                        connection.sendall(struct.pack(">III", 0, 4, self.FINISH))

    def end(self):
        self.over.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def decode(frame):
    """{field: value} of a frame as protoc prints it, the fields of messages inside led by their names; bytes as bytes."""
    done = subprocess.run(["protoc", "--decode=dnstap.Dnstap", f"-I{TOP}/hits", f"{TOP}/hits/dnstap.proto"], input=frame,
                          capture_output=True, check=True)
    fields, inside = {}, []
    for line in done.stdout.decode().splitlines():
        line = line.strip()
        if line.endswith("{"):
            inside.append(line[:-1].strip())
        elif line == "}":
            inside.pop()
        else:
            key, value = line.split(": ", 1)
            if value.startswith('"'):
                value = value[1:-1].encode().decode("unicode_escape").encode("latin-1")
            fields[".".join([*inside, key])] = value
    return fields


class Dnstap(Case):
    def tapped(self, path, upstream=None, rules=(), zones=(), **more):
        folder = self.sub_folder("zones")
        configured = [{"name": name, "source": os.path.join(folder, name), "format": "sundew", **keys} for name, keys, _ in zones]
        for name, _, content in zones:
            with open(os.path.join(folder, name), "w") as f:
                json.dump({"zone": name, "rules": content}, f)
        options = {} if upstream else {"forward": [{"zone": ".", "to": ["dns://127.0.0.1:9"]}]}
        where = {"socket": path} if isinstance(path, str) else {"tcp": f"127.0.0.1:{path[1]}"}
        return self.daemon(upstream, rules=rules, dnstap={**where, **more}, policy={"sinkhole": {"ipv4": "192.0.2.66"}}, **options,
                           **({"zones": configured} if zones else {}))

    def collector(self, where=None, **options):
        self.path = where or os.path.join(self.folder, "tap.sock")
        with contextlib.suppress(FileNotFoundError, TypeError):
            os.unlink(self.path)
        collector = Collector(self.path, **options)
        self.addCleanup(collector.end)
        return collector

    def connected(self, sundewd, collector):
        """What is sent before there is a connection is lost, and counted: ask until something comes."""
        wait_for("a first frame", lambda: sundewd.ask("first.example") and collector.frames)
        wait_for("nothing more under way", lambda: self.settled(sundewd, collector))
        collector.frames.clear()

    @staticmethod
    def settled(sundewd, collector):
        before = len(collector.frames)
        time.sleep(1.2) # libfstrm writes once a second
        return len(collector.frames) == before

    def frames(self, collector, count):
        return [decode(frame) for frame in wait_for(f"{count} frames", lambda: len(collector.frames) >= count and list(collector.frames))]


@unittest.skipUnless(shutil.which("protoc"), "protoc is not installed")
class Policy(Dnstap):
    ACTIONS = {"loopback": "LOCAL_DATA", "sinkhole": "LOCAL_DATA", "cname": "LOCAL_DATA", "local": "LOCAL_DATA",
               "nxdomain": "NXDOMAIN", "nodata": "NODATA", "drop": "DROP", "truncate": "TRUNCATE", "refused": None}

    def rules(self):
        more = {"cname": {"target": "garden.example"}, "local": {"records": ["300 IN A 192.0.2.9"]}}
        return [{"domain": f"{action}.example", "action": action, **more.get(action, {})} for action in self.ACTIONS]

    def by_rule(self, frames):
        return {".".join(re.findall(r"[a-z]+", frame["message.policy.rule"].decode())): frame for frame in frames}

    def check(self, frame, action, name, rule, zone="local", mode="enforce", taken=None):
        self.assertEqual(frame["message.type"], "CLIENT_QUERY" if taken == "DROP" else "CLIENT_RESPONSE", frame)
        self.assertEqual(frame["message.query_address"], socket.inet_aton("127.0.0.7"))
        self.assertEqual((frame["message.socket_family"], frame["message.socket_protocol"]), ("INET", "UDP"))
        self.assertEqual(frame["message.policy.type"], b"RPZ")
        self.assertEqual(frame["message.policy.rule"], encode_name(rule))
        self.assertEqual(frame["message.policy.match"], "QNAME")
        self.assertEqual(frame["message.policy.value"], encode_name(name))
        self.assertEqual(frame.get("message.policy.action"), taken)
        self.assertEqual(json.loads(frame["extra"]), {"zone": zone, "action": action, "mode": mode})
        self.assertIn("message.query_time_sec", frame)

    def test_each_action(self):
        collector = self.collector()
        sundewd = self.tapped(self.path, rules=[*self.rules(), "first.example"])
        self.connected(sundewd, collector)
        for action in self.ACTIONS:
            sundewd.ask(f"www.{action}.example", source="127.0.0.7", timeout=0.3 if action == "drop" else 5)
        found = self.by_rule(self.frames(collector, len(self.ACTIONS)))
        for action, taken in self.ACTIONS.items():
            self.check(found[f"{action}.example"], action, f"www.{action}.example", f"{action}.example", taken=taken)

    def test_each_action_monitored(self):
        upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 60, "192.0.2.1")]} if kind == "A" else {})
        collector = self.collector()
        sundewd = self.tapped(self.path, upstream, zones=[("watch", {"mode": "monitor"}, self.rules()), ("local", {}, ["first.example"])])
        self.connected(sundewd, collector)
        for action in self.ACTIONS:
            self.assertEqual(sundewd.ask(f"www.{action}.example", source="127.0.0.7").addresses(), ["192.0.2.1"])
        found = self.by_rule(self.frames(collector, len(self.ACTIONS)))
        for action in self.ACTIONS:
            frame = found[f"{action}.example"]
            self.check(frame, action, f"www.{action}.example", f"{action}.example", "watch", "monitor", "PASS")
            self.assertIn(socket.inet_aton("192.0.2.1"), frame["message.response_message"])

    def test_every_hit_of_a_response(self):
        """Monitored at the query name by two zones, at the CNAME's target, at its address; and enforced at the target."""
        upstream = self.scripted(lambda name, kind: {"answer": [(name, "CNAME", 60, "target.example"), ("target.example", "A", 60, "192.0.2.1")]}
                                 if name == "start.example" else {})
        collector = self.collector()
        sundewd = self.tapped(self.path, upstream, responses=True, zones=[
            ("one", {"mode": "monitor"}, ["start.example", {"ip": "192.0.2.0/24"}]),
            ("two", {"mode": "monitor"}, ["start.example", "target.example"]),
            ("local", {}, ["first.example", {"domain": "target.example", "action": "nxdomain"}])])
        self.connected(sundewd, collector)
        self.assertEqual(sundewd.ask("start.example", source="127.0.0.7").rcode, 3)
        found = [(json.loads(frame["extra"])["zone"], frame["message.policy.match"], frame["message.policy.action"],
                  frame.get("message.policy.value")) for frame in self.frames(collector, 5)]
        self.assertEqual(sorted(found, key=str), sorted([
            ("one", "QNAME", "PASS", encode_name("start.example")), ("two", "QNAME", "PASS", encode_name("start.example")),
            ("one", "RESPONSE_IP", "PASS", None), ("two", "QNAME", "PASS", encode_name("target.example")),
            ("local", "QNAME", "NXDOMAIN", encode_name("target.example"))], key=str))
        self.assertEqual(len(sundewd.wait_hits(lambda hits: len(hits) >= 6)), 6) # first.example's
        sundewd.ask("clean.example", "TXT", source="127.0.0.7")
        self.assertNotIn("message.policy.type", self.frames(collector, 6)[5])

    def test_over_tcp(self):
        port = free_port()
        collector = self.collector(("127.0.0.1", port))
        sundewd = self.tapped(("127.0.0.1", port), rules=["first.example", "evil.example"])
        self.connected(sundewd, collector)
        sundewd.ask("evil.example", tcp=True)
        self.assertEqual(self.frames(collector, 1)[0]["message.socket_protocol"], "TCP")

    @unittest.skipUnless(shutil.which("dnstap-read"), "dnstap-read is not installed")
    def test_bind_reads_it(self):
        upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 60, "192.0.2.1")], "delay": 0.2})
        collector = self.collector()
        sundewd = self.tapped(self.path, upstream, rules=["first.example"], queries=True, responses=True)
        self.connected(sundewd, collector)
        sundewd.ask("slow.example", source="127.0.0.7")
        self.frames(collector, 2)
        path = os.path.join(self.folder, "tap")
        with open(path, "wb") as f:
            f.write(start_frame() + b"".join(struct.pack(">I", len(x)) + x for x in collector.frames) + struct.pack(">III", 0, 4, 3))
        done = subprocess.run(["dnstap-read", "-y", path], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(re.findall(r"^  type: (\w+)", done.stdout, re.M), ["CLIENT_QUERY", "CLIENT_RESPONSE"], done.stdout)
        self.assertEqual(len(re.findall("slow.example. IN A", done.stdout)), 2, done.stdout)
        asked, answered = decode(collector.frames[1])["message.query_time_sec"], decode(collector.frames[1])
        began, ended = (float(answered[f"message.{what}_time_sec"]) + float(answered[f"message.{what}_time_nsec"]) / 1e9
                        for what in ("query", "response"))
        self.assertTrue(0.15 < ended - began < 20, (asked, began, ended))


class Trouble(Dnstap):
    def test_gone(self):
        sundewd = self.tapped(os.path.join(self.folder, "nobody.sock"), rules=["evil.example"], queries=True, responses=True)
        for i in range(200):
            self.assertEqual(sundewd.ask(f"n{i}.evil.example").addresses(), ["127.0.0.3"])
        log = wait_for("the losses", lambda: (lambda log: log if log["dnstap_lost"] == 400 else None)(sundewd.json("status")["log"]))
        self.assertEqual(log["dnstap_sent"], 0)
        wait_for("the complaint", lambda: "dnstap: the collector is gone, or too slow: " in sundewd.text())

    def test_stuck(self):
        """It takes the first frames and no more: answers, log and the daemon's end don't wait for it."""
        self.collector(stuck=True)
        sundewd = self.tapped(self.path, rules=["evil.example"], queries=True, responses=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", sundewd.port))
            packet, count = query("evil.example"), 0
            while sundewd.json("status")["log"]["dnstap_lost"] == 0:
                for _ in range(1000):
                    client.send(packet)
                count += 1000
                self.assertLess(count, 200000)
        self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])
        sundewd.wait_hits(len)
        sundewd.json("reload")
        began = time.monotonic()
        sundewd.signal(15)
        self.assertEqual(sundewd.wait(), 0)
        self.assertLess(time.monotonic() - began, 5)

    def test_late_and_again(self):
        path = os.path.join(self.folder, "tap.sock")
        sundewd = self.tapped(path, rules=["evil.example"])
        for _ in range(2):
            collector = self.collector(path)
            wait_for("a frame", lambda: sundewd.ask("evil.example") and collector.frames)
            collector.stuck = True
            collector.end()


if __name__ == "__main__":
    unittest.main()
