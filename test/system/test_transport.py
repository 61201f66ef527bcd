"""UDP and TCP as clients meet them: addresses, sizes, framing, pipelining, limits, access control, and packets that aren't queries."""
import os, random, resource, select, socket, struct, time, unittest

import sundew_test
from sundew_test import FORMERR, NOERROR, NOTIMP, REFUSED, Message, frame, query, read_frame, udp_exchange, wait_for


def script(name, kind):
    if name.startswith("slow"):
        return {"answer": [(name, "A", 0, "192.0.2.2")], "delay": 0.4}
    if name.startswith("big"):
        return {"answer": [(name, "TXT", 300, "x" * 250) for _ in range(40)], "tc": True}
    return {"answer": [(name, "A", 300, "192.0.2.1")]} if kind == "A" else {}


class Udp(sundew_test.Case):
    def setUp(self):
        super().setUp()
        self.upstream = self.scripted(script)

    def test_wildcard_answers_from_the_address_asked(self):
        port = sundew_test.free_port()
        sundewd = self.daemon(self.upstream, rules=["evil.example"], listen=[f"dns://0.0.0.0:{port}", f"dns://[::]:{port}"])
        sundewd.port = port
        for address in ("127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"):
            for name in ("evil.example", f"miss-{address.replace(':', '-')}.example"):
                answer = sundewd.ask(name, address=address)  # the socket is connected: another source wouldn't arrive
                self.assertIsNotNone(answer, (address, name))
                self.assertEqual(len(answer.addresses()), 1)

    def test_access(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"], allow=["127.0.0.1", "::1"])
        for tcp in (False,):
            for name in ("evil.example", "www.example"):
                answer = sundewd.ask(name, tcp=tcp, source="127.0.0.9")
                self.assertEqual((answer.rcode, answer.answer, answer.qr, answer.questions[0][0], answer.ede()), (REFUSED, [], True, name, [18]))
        self.assertEqual(sundewd.ask("evil.example").rcode, NOERROR)
        with socket.socket() as s:
            s.bind(("127.0.0.9", 0))
            s.connect(("127.0.0.1", sundewd.port))
            s.sendall(frame(query("evil.example")))
            self.assertEqual(Message(read_frame(s)).rcode, REFUSED)
        self.assertEqual(sundewd.hits()[:1] + self.upstream.asked, sundewd.hits()[:1])
        self.assertEqual(sundewd.json("status")["refused"], 3)

    def test_sizes(self):
        sundewd = self.daemon(self.upstream)
        for edns, most in ((None, 512), (512, 512), (900, 900), (1232, 1232), (4096, 1232)):
            answer = sundewd.ask("big.example", "TXT", edns=edns)
            self.assertTrue(answer.tc)
            self.assertLessEqual(len(answer.data), most)
        answer = sundewd.ask("big.example", "TXT", tcp=True)
        self.assertEqual((answer.tc, len(answer.answer)), (False, 40))

    def test_question_in_the_clients_case(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        for name in ("EvIl.eXaMpLe", "wWw.ExAmPlE", "WwW.example"):
            self.assertEqual(sundewd.ask(name).questions[0][0], name)

    def test_not_queries(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        good = query("evil.example", ident=7)
        silent = [b"", b"x", good[:11], good[:2] + b"\x81" + good[3:]]
        formerr = [good[:20], good[:4] + b"\0\2" + good[6:], good[:12] + b"\xff" * 20, good[:-1]]
        for packet in silent:
            self.assertIsNone(udp_exchange(("127.0.0.1", sundewd.port), packet, 0.2), packet)
        for packet in formerr:
            answer = sundewd.send(packet)
            self.assertEqual((answer.rcode, answer.id, answer.qr), (FORMERR, 7, True), packet)
        self.assertEqual(sundewd.send(query("evil.example", flags=0x2000)).rcode, NOTIMP)  # opcode 4
        large = query("evil.example", options=struct.pack(">2H", 65001, 5000) + b"x" * 5000)
        self.assertEqual(sundewd.send(large).rcode, FORMERR)
        version = bytearray(query("evil.example"))
        version[-5] = 1
        self.assertEqual(sundewd.send(bytes(version)).rcode, 16)  # BADVERS

    def test_damaged_packets(self):
        """Thousands of them, made from a seed that is printed on failure; right answers go on in between."""
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        sundewd = self.daemon(self.upstream, rules=["evil.example", {"ip": "192.0.2.0/24"}])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", sundewd.port))
            s.setblocking(False)
            for i in range(3000):
                packet = bytearray(query(chance.choice(("evil.example", "www.example", "a" * 63 + ".example")), chance.choice(("A", "ANY", "TXT"))))
                for _ in range(chance.randrange(1, 6)):
                    packet[chance.randrange(len(packet))] = chance.randrange(256)
                s.send(packet[:chance.randrange(len(packet) + 1)] if chance.random() < 0.3 else packet)
                while select.select([s], [], [], 0)[0]:
                    s.recv(65535)
                if i % 500 == 0:
                    self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"], f"seed {seed}")
        self.assertIsNone(sundewd.process.poll(), f"seed {seed}")


class Tcp(sundew_test.Case):
    def setUp(self):
        super().setUp()
        self.upstream = self.scripted(script)
        self.sundewd = self.daemon(self.upstream, rules=["evil.example"])

    def test_pipelining_out_of_order(self):
        names = ["slow0.example"] + [f"n{i}.example" for i in range(30)] + ["evil.example"]
        with self.sundewd.connect() as s:
            s.settimeout(sundew_test.PATIENCE)
            s.sendall(b"".join(frame(query(name, ident=i)) for i, name in enumerate(names)))
            answers = [Message(read_frame(s)) for _ in names]
        self.assertEqual(sorted(a.id for a in answers), list(range(len(names))))
        self.assertEqual(answers[-1].id, 0, "the slow one waits for nobody, and nobody for it")
        for answer in answers:
            self.assertEqual(answer.questions[0][0], names[answer.id])

    def test_any_split(self):
        stream = frame(query("evil.example", ident=1)) + frame(query("www.example", ident=2))
        with self.sundewd.connect() as s:
            s.settimeout(sundew_test.PATIENCE)
            for octet in stream:
                s.send(bytes([octet]))
            self.assertEqual(sorted(Message(read_frame(s)).id for _ in range(2)), [1, 2])
            for cut in (1, 2, 3, 14, 30, 41, 42, 43, 60):
                s.sendall(stream[:cut])
                time.sleep(0.002)
                s.sendall(stream[cut:])
                self.assertEqual(sorted(Message(read_frame(s)).id for _ in range(2)), [1, 2], cut)

    def test_many_on_one_connection(self):
        """More than may be in flight, and more than the client reads at once: all are answered."""
        count = 600
        with self.sundewd.connect() as s:
            s.settimeout(sundew_test.PATIENCE)
            s.sendall(b"".join(frame(query(f"slow{i}.example" if i % 20 == 0 else f"m{i}.example", ident=i)) for i in range(count)))
            self.assertEqual({Message(read_frame(s)).id for _ in range(count)}, set(range(count)))

    def test_half_close(self):
        with self.sundewd.connect() as s:
            s.settimeout(sundew_test.PATIENCE)
            s.sendall(frame(query("slow1.example", ident=1)) + frame(query("evil.example", ident=2)))
            s.shutdown(socket.SHUT_WR)
            self.assertEqual([Message(read_frame(s)).id for _ in range(2)], [2, 1])
            self.assertIsNone(read_frame(s))

    def test_vanished_client(self):
        for _ in range(20):
            with self.sundewd.connect() as s:
                s.sendall(frame(query("slow2.example")) + frame(query("big.example", "TXT")))
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
        self.assertEqual(self.sundewd.ask("evil.example", tcp=True).addresses(), ["127.0.0.3"])

    def test_oversized_and_empty_frames(self):
        with self.sundewd.connect() as s:
            s.settimeout(sundew_test.PATIENCE)
            large = query("evil.example", ident=9) + os.urandom(60000)
            s.sendall(frame(large) + frame(b"") + frame(query("evil.example", ident=10)))
            first = Message(read_frame(s))
            self.assertEqual((first.id, first.rcode), (9, FORMERR))
            self.assertEqual(Message(read_frame(s)).id, 10)

    def test_reader_that_does_not_read(self):
        with self.sundewd.connect() as s:
            s.setblocking(False)
            packet = frame(query("big.example", "TXT")) * 50
            end = time.monotonic() + 2
            while time.monotonic() < end:
                try:
                    s.send(packet)
                except BlockingIOError:
                    break  # it is read no more: held back
                except ConnectionError:
                    break
            self.assertEqual(self.sundewd.ask("evil.example", tcp=True).addresses(), ["127.0.0.3"])

    def test_connections_are_limited_per_client(self):
        connections = []
        try:
            for i in range(2 * 100 + 40):  # 100 a worker, two workers
                connections.append(self.sundewd.connect())
            wait_for("the rest to be closed", lambda: sum(1 for s in connections if select.select([s], [], [], 0)[0]) >= 40)
            other = socket.socket()
            connections.append(other)
            other.bind(("127.0.0.77", 0))
            other.connect(("127.0.0.1", self.sundewd.port))
            other.settimeout(sundew_test.PATIENCE)
            other.sendall(frame(query("evil.example")))
            self.assertEqual(Message(read_frame(other)).addresses(), ["127.0.0.3"])
        finally:
            for s in connections:
                s.close()

    def test_descriptors_run_out(self):
        """Connections wait until there are some again; UDP and the connections that are open go on."""
        def limit(count):
            resource.prlimit(self.sundewd.pid, resource.RLIMIT_NOFILE, (count, hard))

        def answered(s):
            s.sendall(frame(query("evil.example")))
            return Message(read_frame(s)).addresses()
        soft, hard = resource.prlimit(self.sundewd.pid, resource.RLIMIT_NOFILE)
        connections = [self.sundewd.connect()]
        try:
            self.assertEqual(answered(connections[0]), ["127.0.0.3"])
            limit(8)  # fewer than are open: none is left, not even one that was kept in reserve
            connections += [self.sundewd.connect() for _ in range(20)]
            wait_for("a complaint", lambda: "TCP connections have to wait: Too many open files" in self.sundewd.text())
            for _ in range(40):  # every worker
                self.assertEqual(self.sundewd.ask("evil.example").addresses(), ["127.0.0.3"])
            limit(soft)
            for s in connections[1:]:
                s.settimeout(sundew_test.PATIENCE)
                self.assertEqual(answered(s), ["127.0.0.3"])
            self.assertEqual(self.sundewd.tool("status").returncode, 0)
        finally:
            limit(soft)
            for s in connections:
                s.close()

    def test_idle_and_slow_connections_end(self):
        with self.sundewd.connect() as idle, self.sundewd.connect() as slow, self.sundewd.connect() as busy:
            began = time.monotonic()
            busy.settimeout(sundew_test.PATIENCE)
            ended = {}
            while len(ended) < 2 and time.monotonic() - began < 15:
                if slow not in ended:
                    try:
                        slow.send(b"\1")  # a frame of 257 octets that never gets whole
                    except OSError:
                        ended[slow] = time.monotonic() - began
                for s in select.select([s for s in (idle, slow) if s not in ended], [], [], 0.3)[0]:
                    ended[s] = time.monotonic() - began
                busy.sendall(frame(query("evil.example")))
                self.assertIsNotNone(read_frame(busy))
            self.assertEqual(len(ended), 2)


if __name__ == "__main__":
    unittest.main()
