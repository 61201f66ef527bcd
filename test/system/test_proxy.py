"""Behind a proxy: whom PROXY headers name, whose word counts, and a real dnsdist."""
import os, shutil, socket, struct, time, unittest

import sundew_test
from sundew_test import NOERROR, NOTIMP, REFUSED, Message, Process, frame, free_port, query, read_frame, udp_exchange, wait_for

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PROXY, STRANGER = "127.0.0.8", "127.0.0.9"
LOCAL = SIGNATURE + b"\x20\0\0\0"
UNIX = SIGNATURE + b"\x21\x31\0\xd8" + b"p" * 216
BROKEN = SIGNATURE + b"\x21\x12\0\x04" + b"abcd"  # too short for its addresses
EVIL = query("evil.example")
MAC = bytes.fromhex("525400000001")


def header(source, port=40000, extensions=b""):
    family, code, there = (socket.AF_INET6, 0x22, "::1") if ":" in source else (socket.AF_INET, 0x12, "127.0.0.1")
    block = socket.inet_pton(family, source) + socket.inet_pton(family, there) + struct.pack(">2H", port, 53) + extensions
    return SIGNATURE + bytes([0x21, code]) + struct.pack(">H", len(block)) + block


class Proxies(sundew_test.Case):
    def start(self, trust=(PROXY,), rules=(), **config):
        upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 300, "192.0.2.1")]})
        config.setdefault("allow", ["192.0.2.0/24", "2001:db8::/32", PROXY])
        return self.daemon(upstream, rules=["evil.example", *rules], clients={"trust": list(trust)}, **config)

    def udp(self, sundewd, packet, source=PROXY, timeout=5.0):
        data = udp_exchange(("127.0.0.1", sundewd.port), packet, timeout, source)
        return Message(data) if data is not None else None

    def connect(self, sundewd, source=PROXY):
        s = socket.create_connection(("127.0.0.1", sundewd.port), 5, (source, 0))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.addCleanup(s.close)
        return s

    def tcp(self, sundewd, octets, source=PROXY):
        s = self.connect(sundewd, source)
        s.sendall(octets)
        data = read_frame(s)
        return Message(data) if data is not None else None

    def clients(self, sundewd, count):
        return [(h["client"], h["proto"]) for h in sundewd.wait_hits(lambda hits: len(hits) >= count)]

    def bad_packets(self, sundewd):
        return sundewd.json("status")["bad_packets"]

    def test_named(self):
        sundewd = self.start()
        tlvs = b"\xe0\x01\x90" + b"x" * 400
        expected = []
        for i, extensions in enumerate((b"", tlvs)):
            for prefix in ("192.0.2.", "2001:db8::"):
                over_udp, over_tcp = f"{prefix}{10 + i}", f"{prefix}{20 + i}"
                self.assertEqual(self.udp(sundewd, header(over_udp, extensions=extensions) + EVIL).addresses(), ["127.0.0.3"])
                self.assertEqual(self.tcp(sundewd, header(over_tcp, extensions=extensions) + frame(EVIL)).addresses(), ["127.0.0.3"])
                expected += [(over_udp, "udp"), (over_tcp, "tcp")]
        self.assertEqual(sorted(self.clients(sundewd, 8)), sorted(expected))
        wait_for("the ledger", lambda: {c["address"] for c in sundewd.json("clients")} == {address for address, _ in expected})
        self.assertEqual(self.bad_packets(sundewd), 0)

    def test_tcp_stream(self):
        """One header a connection, however it is cut up; answers that come from upstream find their way, too."""
        sundewd = self.start()
        octets = header("2001:db8::9", extensions=b"\xe0\x17\x70" + b"x" * 6000) + frame(EVIL) + frame(query("a.example.net"))
        s = self.connect(sundewd)
        for at in range(70):
            s.sendall(octets[at:at + 1])
            time.sleep(0.001)
        s.sendall(octets[70:])
        answers = [Message(read_frame(s)) for _ in range(2)]
        self.assertEqual(sorted(a.addresses() for a in answers), [["127.0.0.3"], ["192.0.2.1"]])
        s.sendall(frame(EVIL))
        self.assertEqual(Message(read_frame(s)).rcode, NOERROR)
        self.assertEqual(self.clients(sundewd, 1), [("2001:db8::9", "tcp")])
        self.assertEqual(self.udp(sundewd, header("192.0.2.9") + query("b.example.net")).addresses(), ["192.0.2.1"])

    def test_real_client_is_judged(self):
        sundewd = self.start(rules=[{"client": "192.0.2.66", "action": "refused"}])
        for send, wrap in ((self.udp, bytes), (self.tcp, frame)):
            outside = send(sundewd, header("198.51.100.1") + wrap(EVIL))
            self.assertEqual((outside.rcode, outside.ede()), (REFUSED, [18]))
            ruled = send(sundewd, header("192.0.2.66") + wrap(query("good.example")))
            self.assertEqual((ruled.rcode, ruled.ede()), (REFUSED, [15]))
            self.assertEqual(send(sundewd, header("192.0.2.65") + wrap(query("good.example"))).rcode, NOERROR)

    def test_zone_clients(self):
        path = os.path.join(self.folder, "guests.json")
        with open(path, "w") as f:
            f.write('{"zone": "guests", "rules": ["evil.example"]}')
        sundewd = self.start(zones=[{"name": "guests", "source": path, "clients": ["2001:db8:9::/48"]}])
        self.assertEqual(self.udp(sundewd, header("2001:db8:9::1") + EVIL).addresses(), ["127.0.0.3"])
        self.assertEqual(self.udp(sundewd, header("2001:db8:8::1") + EVIL).addresses(), ["192.0.2.1"])

    def test_sender_itself(self):
        """Without a header, or with one that names nobody, the sender is the client."""
        sundewd = self.start(trust=[PROXY, "127.0.0.7"])
        for octets in (b"", LOCAL, UNIX):
            self.assertEqual(self.udp(sundewd, octets + EVIL).rcode, NOERROR)
            self.assertEqual(self.tcp(sundewd, octets + frame(EVIL)).rcode, NOERROR)
            self.assertEqual(self.udp(sundewd, octets + EVIL, source="127.0.0.7").rcode, REFUSED)
            self.assertEqual(self.tcp(sundewd, octets + frame(EVIL), source="127.0.0.7").rcode, REFUSED)
        self.assertEqual([client for client, _ in self.clients(sundewd, 1)], [PROXY])
        self.assertEqual(self.bad_packets(sundewd), 0)

    def test_malformed(self):
        sundewd = self.start()
        self.assertIsNone(self.udp(sundewd, BROKEN + EVIL, timeout=0.5))
        self.assertIsNone(self.udp(sundewd, header("192.0.2.7")[:20], timeout=0.5))
        self.assertIsNone(self.tcp(sundewd, BROKEN + frame(EVIL)))
        wait_for("the count", lambda: self.bad_packets(sundewd) == 3)
        self.assertEqual(self.udp(sundewd, header("192.0.2.7") + EVIL).rcode, NOERROR)
        self.assertEqual(len(self.clients(sundewd, 1)), 1)

    def test_untrusted(self):
        """A stranger's header is no DNS message, whatever it says."""
        sundewd = self.start(allow=["192.0.2.0/24"])
        self.assertEqual(self.udp(sundewd, header("192.0.2.7") + EVIL, source=STRANGER).rcode, REFUSED)
        sundewd = self.start(allow=["192.0.2.0/24", STRANGER])
        self.assertIn(self.udp(sundewd, header("192.0.2.7") + EVIL, source=STRANGER).rcode, (1, NOTIMP))
        s = self.connect(sundewd, STRANGER)
        s.sendall(header("192.0.2.7") + frame(EVIL))
        s.settimeout(0.5)
        self.assertRaises(TimeoutError, read_frame, s)  # it waits for a message of 0x0D0A octets
        sundewd.end()
        self.assertEqual(sundewd.hits(), [])

    def test_mac_is_the_senders_word(self):
        sundewd = self.start()
        with_mac = query("evil.example", options=struct.pack(">2H", 65001, 6) + MAC)
        self.udp(sundewd, header("192.0.2.7") + with_mac)
        hit, = sundewd.wait_hits(lambda hits: len(hits) == 1)
        self.assertEqual((hit["client"], hit["mac"]), ("192.0.2.7", "52:54:00:00:00:01"))
        sundewd = self.start(trust=["192.0.2.7"])
        self.udp(sundewd, with_mac)
        hit, = sundewd.wait_hits(lambda hits: len(hits) == 1)
        self.assertNotIn("mac", hit)

    def test_crowd(self):
        """Clients by the ten thousand, each seen once: every hit is told, and the disk holds no more than is allowed."""
        crowd, names = 30000, 20
        upstream = self.scripted(lambda name, kind: {"answer": [(name, "A", 300, "192.0.2.1")]})
        sundewd = self.daemon(upstream, rules=["evil.example"], allow=["2001:db8::/32", PROXY], history={"max_size": "1M"},
                              clients={"trust": [PROXY], "max_size": "1M"})
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((PROXY, 0))
            s.settimeout(5)
            s.connect(("127.0.0.1", sundewd.port))
            for begin in range(0, crowd, 100):
                for i in range(begin, begin + 100):
                    sender = header(f"2001:db8:{i >> 16:x}:{i & 0xffff:x}::1")
                    s.send(sender + EVIL)
                    s.send(sender + query(f"host{i % names}.example.net"))
                for _ in range(200):
                    s.recv(4096)
        hits = sundewd.wait_hits(lambda hits: len(hits) >= crowd)
        self.assertEqual((len(hits), len({h["client"] for h in hits}), sum(h["count"] for h in hits)), (crowd, crowd, crowd))
        log = sundewd.json("status")["log"]
        self.assertEqual((log["hits"], log["lines_lost"], log["ring_lost_hits"], log["ledger_lost"]), (crowd, 0, 0, 0))
        state = sundewd.config["state_dir"]
        history, ledger = os.path.join(state, "history"), os.path.join(state, "ledger.db")
        self.assertLess(sum(os.path.getsize(os.path.join(history, f)) for f in os.listdir(history)), 2 << 20)
        self.assertLess(os.path.getsize(ledger + "-wal"), 20 << 20)  # SQLite's journal, the same whatever the ledger's size
        wait_for("a ledger within its bounds", lambda: os.path.getsize(ledger) < 2 << 20)
        self.assertTrue(0 < len(sundewd.json("clients")) <= crowd)

    def test_trust_withdrawn(self):
        sundewd = self.start()
        s = self.connect(sundewd)
        s.sendall(header("192.0.2.7") + frame(EVIL))
        self.assertEqual(Message(read_frame(s)).rcode, NOERROR)
        sundewd.write_config(clients={"trust": []})
        self.assertEqual(sundewd.tool("reload").returncode, 0)
        s.sendall(frame(EVIL))
        self.assertIsNone(read_frame(s))

    @unittest.skipUnless(shutil.which("dnsdist"), "dnsdist isn't installed")
    def test_dnsdist(self):
        sundewd = self.start(trust=["127.0.0.1"], allow=["127.0.0.0/24", "::1"])
        port, path = free_port(), os.path.join(self.folder, "dnsdist.conf")
        with open(path, "w") as f:
            f.write(f'setLocal("127.0.0.1:{port}")\naddLocal("[::1]:{port}")\nsetACL({{"127.0.0.0/8", "::1"}})\n'
                    f'newServer({{address="127.0.0.1:{sundewd.port}", useProxyProtocol=true, checkName="example.net."}})\n')
        dnsdist = Process(["dnsdist", "--supervised", "--disable-syslog", "-C", path], os.path.join(self.folder, "dnsdist.log"))
        self.addCleanup(dnsdist.end)
        wait_for("dnsdist", lambda: udp_exchange(("127.0.0.1", port), query("good.example"), 0.5))
        for address, source in (("127.0.0.1", "127.0.0.77"), ("::1", "::1")):
            self.assertEqual(Message(udp_exchange((address, port), EVIL, 5, source)).addresses(), ["127.0.0.3"])
        with socket.create_connection(("127.0.0.1", port), 5, ("127.0.0.78", 0)) as s:
            s.sendall(frame(EVIL))
            self.assertEqual(Message(read_frame(s)).addresses(), ["127.0.0.3"])
        self.assertEqual(Message(udp_exchange(("127.0.0.1", port), EVIL, 5, "127.0.1.1")).rcode, REFUSED)
        self.assertEqual(sorted(self.clients(sundewd, 3)), [("127.0.0.77", "udp"), ("127.0.0.78", "tcp"), ("::1", "udp")])
        self.assertEqual(self.bad_packets(sundewd), 0)


if __name__ == "__main__":
    unittest.main()
