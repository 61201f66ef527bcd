"""What system tests share: daemons in temporary folders, upstreams, and a small exact DNS client. Standard library only.

    class Answers(sundew_test.Case):
        def test_listed(self):
            sundewd = self.daemon(rules=["evil.example"])
            self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])

Everything listens on loopback, on ports that were free a moment ago, and is ended by its process id. Programs come from the build
folder in $SUNDEW_BUILD (default: build/ in the source).
"""
import contextlib, json, os, random, re, shutil, signal, socket, struct, subprocess, tempfile, threading, time, unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SUNDEW_BUILD", os.path.join(TOP, "build"))
# libuv closes descriptors behind the thread sanitizer's back: it sees a race where a number is only used again.
os.environ["TSAN_OPTIONS"] = os.environ.get("TSAN_OPTIONS", "") + " suppressions=" + os.path.join(TOP, "test", "native", "tsan.supp")
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "OPT": 41, "HTTPS": 65, "ANY": 255}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
PATIENCE = 20  # seconds that anything may take before a test is given up; sanitizers are slow


def program(name):
    return os.path.join(BUILD, name)


def free_port():
    """A port that UDP and TCP can have on the loopback addresses in use here; below the range that the kernel gives out by itself."""
    while True:
        port = random.randrange(12000, 30000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for address in ("127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"):
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    family = socket.AF_INET6 if ":" in address else socket.AF_INET
                    stack.enter_context(socket.socket(family, kind)).bind((address, port))
            return port


def wait_for(what, check, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = check()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


# --- DNS ---

def encode_name(name):
    """With the escapes of zone files: \\. and \\DDD."""
    labels = [[]]
    for escaped, octet in re.findall(r"\\(\d{3}|\D)|([^\\])", name):
        if octet == ".":
            labels.append([])
        else:
            labels[-1].append(bytes([int(escaped)]) if escaped.isdecimal() else (octet or escaped).encode())
    return b"".join(bytes([len(x)]) + x for x in map(b"".join, labels) if x) + b"\0"


def query(name, kind="A", ident=None, rd=True, edns=1232, do=False, cd=False, options=b"", flags=0):
    """A query's octets. edns: advertised size, None for no OPT."""
    ident = random.randrange(65536) if ident is None else ident
    flags |= (0x0100 if rd else 0) | (0x0010 if cd else 0)
    number = TYPES[kind] if isinstance(kind, str) else kind
    message = struct.pack(">6H", ident, flags, 1, 0, 0, 1 if edns else 0) + encode_name(name) + struct.pack(">2H", number, 1)
    if edns:
        message += b"\0" + struct.pack(">HHIH", 41, edns, 0x8000 if do else 0, len(options)) + options
    return message


class Record:
    """`at`: where rdata stands in the message, for names in it that are compressed."""

    def __init__(self, name, kind, ttl, rdata, text, at=0):
        self.name, self.kind, self.ttl, self.rdata, self.text, self.at = name, kind, ttl, rdata, text, at

    def __repr__(self):
        return f"{self.name} {self.ttl} {self.kind} {self.text}"


class Message:
    """A parsed message. Raises ValueError for what isn't one, trailing octets included."""

    def __init__(self, data):
        self.data = data
        if len(data) < 12:
            raise ValueError("shorter than a header")
        self.id, self.flags, qd, an, ns, ar = struct.unpack(">6H", data[:12])
        self.rcode, self.edns, self.options = self.flags & 15, None, []
        self.qr, self.aa, self.tc, self.rd = (bool(self.flags & bit) for bit in (0x8000, 0x0400, 0x0200, 0x0100))
        self.ra, self.ad, self.cd = (bool(self.flags & bit) for bit in (0x0080, 0x0020, 0x0010))
        at, self.questions = 12, []
        for _ in range(qd):
            name, at = self._name(at)
            self.questions.append((name, *struct.unpack(">2H", data[at:at + 4])))
            at += 4
        sections = []
        for count in (an, ns, ar):
            section = []
            for _ in range(count):
                record, at = self._record(at)
                section.append(record)
            sections.append(section)
        if at != len(data):
            raise ValueError(f"{len(data) - at} octets behind the message")
        self.answer, self.authority, additional = sections
        self.additional = [r for r in additional if r.kind != "OPT"]

    def _name(self, at):
        labels, after, jumps = [], None, 0
        while True:
            length = self.data[at]
            if length >= 0xC0:
                after = after or at + 2
                at = struct.unpack(">H", self.data[at:at + 2])[0] & 0x3FFF
                jumps += 1
                if jumps > 64:
                    raise ValueError("compression loop")
            elif length == 0:
                return ".".join(labels) or ".", after or at + 1
            else:
                labels.append(self.data[at + 1:at + 1 + length].decode("latin-1"))
                at += 1 + length

    def _record(self, at):
        name, at = self._name(at)
        number, klass, ttl, length = struct.unpack(">HHIH", self.data[at:at + 10])
        at += 10
        rdata, kind = self.data[at:at + length], TYPE_NAMES.get(number, f"TYPE{number}")
        if len(rdata) != length:
            raise ValueError("record is cut off")
        if kind == "OPT":
            self.edns, self.do = klass, bool(ttl & 0x8000)
            self.rcode |= ttl >> 24 << 4
            while rdata:
                code, size = struct.unpack(">2H", rdata[:4])
                self.options.append((code, rdata[4:4 + size]))
                rdata = rdata[4 + size:]
            rdata = b""
        return Record(name, kind, ttl, rdata, self._text(kind, rdata, at), at), at + length

    def _text(self, kind, rdata, at):
        if kind == "A":
            return socket.inet_ntop(socket.AF_INET, rdata)
        if kind == "AAAA":
            return socket.inet_ntop(socket.AF_INET6, rdata)
        if kind in ("CNAME", "NS", "PTR"):
            return self._name(at)[0]
        if kind == "TXT":
            return rdata[1:1 + rdata[0]].decode("latin-1")
        if kind == "SOA":
            _, at = self._name(at)
            _, at = self._name(at)
            return " ".join(str(x) for x in struct.unpack(">5I", self.data[at:at + 20]))
        return rdata.hex()

    def addresses(self):
        return [r.text for r in self.answer if r.kind in ("A", "AAAA")]

    def ede(self):
        return [struct.unpack(">H", data[:2])[0] for code, data in self.options if code == 15]

    def __repr__(self):
        return f"rcode {self.rcode} tc {self.tc} question {self.questions} answer {self.answer} authority {self.authority} ede {self.ede()}"


def udp_exchange(address, packet, timeout=5.0, source=None):
    """The answer to a packet, or None. The socket is connected: an answer from another address doesn't count."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        if source:
            s.bind((source, 0))
        s.settimeout(timeout)
        s.connect(address)
        s.send(packet)
        try:
            return s.recv(65535)
        except (TimeoutError, ConnectionRefusedError):
            return None


def read_frame(s):
    """One message off a TCP connection, None at its end."""
    data = b""
    while len(data) < 2 or len(data) < 2 + struct.unpack(">H", data[:2])[0]:
        wanted = 2 - len(data) if len(data) < 2 else 2 + struct.unpack(">H", data[:2])[0] - len(data)
        try:
            part = s.recv(wanted)
        except ConnectionResetError:
            return None
        if not part:
            return None
        data += part
    return data[2:]


def frame(packet):
    return struct.pack(">H", len(packet)) + packet


# --- programs ---

class Process:
    """A program with its output in a file; ended by its process id."""

    def __init__(self, arguments, log, **options):
        self.log = log
        self.arguments, self.options = arguments, options
        self.launch()

    def launch(self):
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(self.arguments, stdout=out, stderr=out, stdin=subprocess.DEVNULL, **self.options)
        self.pid, self.killed = self.process.pid, False

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=PATIENCE):
        return self.process.wait(seconds)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self):
        self.killed = True
        self.process.kill()
        self.process.wait()


class Nsd(Process):
    """A real authoritative server on loopback. zones: {name: lines of a zone file}; SOA and NS are added."""

    def __init__(self, folder, zones, port=None):
        self.port = port or free_port()
        self.address = ("127.0.0.1", self.port)
        os.makedirs(folder, exist_ok=True)
        lines = [f'server:\n ip-address: 127.0.0.1@{self.port}\n server-count: 1\n username: ""\n rrl-ratelimit: 0\n zonesdir: "{folder}"\n database: ""\n'
                 f' pidfile: "{folder}/nsd.pid"\n zonelistfile: "{folder}/zone.list"\n xfrdfile: "{folder}/xfrd.state"\n'
                 f' xfrdir: "{folder}"\nremote-control:\n control-enable: no\n']
        for zone, text in zones.items():
            path = os.path.join(folder, zone.strip(".") or "root")
            with open(path, "w") as f:
                f.write(f"$ORIGIN {zone}\n$TTL 300\n@ IN SOA ns. host. 1 3600 900 86400 60\n@ IN NS ns.\n{text}\n")
            lines.append(f'zone:\n name: "{zone}"\n zonefile: "{path}"\n')
        config = os.path.join(folder, "nsd.conf")
        with open(config, "w") as f:
            f.writelines(lines)
        super().__init__([shutil.which("nsd") or "/usr/sbin/nsd", "-d", "-c", config], os.path.join(folder, "nsd.log"),
                         start_new_session=True)
        wait_for("nsd", lambda: udp_exchange(self.address, query("ns.", edns=None), 0.2))

    def kill(self):
        """Its children, which answer, with it: they are a process group of their own."""
        self.killed = True
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        wait_for("nsd's end", lambda: udp_exchange(self.address, query("ns.", edns=None), 0.1) is None)


class Scripted(threading.Thread):
    """An upstream of our own: counts what it is asked, answers as `script` says.

    script(name, kind) returns None (say nothing) or a dict: rcode, answer [(name, kind, ttl, text)], tc, delay (seconds)."""

    def __init__(self, script):
        super().__init__(daemon=True)
        self.script, self.port, self.asked, self.over = script, free_port(), [], False
        self.address = ("127.0.0.1", self.port)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(self.address)
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(self.address)
        self.tcp.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        self.start()

    def names(self):
        return [name for name, _ in self.asked]

    def run(self):
        while not self.over:
            try:
                data, peer = self.udp.recvfrom(65535)
            except OSError:
                return
            self._answer(data, lambda reply, peer=peer: self.udp.sendto(reply, peer))

    def _accept(self):
        while not self.over:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            while (data := read_frame(connection)) is not None:
                self._answer(data, lambda reply: connection.sendall(frame(reply)), tcp=True)

    def _answer(self, data, send, tcp=False):
        message = Message(data)
        name, number, _ = message.questions[0]
        kind = TYPE_NAMES.get(number, number)
        self.asked.append((name.lower(), kind))
        wanted = self.script(name.lower(), kind)
        if wanted is None:
            return
        answer = wanted.get("answer", [])
        truncated = wanted.get("tc", False) and not tcp
        question = data[12:12 + len(encode_name(name)) + 4]
        reply = struct.pack(">6H", message.id, 0x8180 | (0x0200 if truncated else 0) | wanted.get("rcode", 0), 1,
                            0 if truncated else len(answer), 0, 0) + question
        for owner, rtype, ttl, text in [] if truncated else answer:
            rdata = self._rdata(rtype, text)
            reply += encode_name(owner) + struct.pack(">HHIH", TYPES[rtype], 1, ttl, len(rdata)) + rdata
        if wanted.get("delay"):
            threading.Timer(wanted["delay"], lambda: self._late(send, reply)).start()
        else:
            send(reply)

    @staticmethod
    def _late(send, reply):
        with contextlib.suppress(OSError):
            send(reply)

    @staticmethod
    def _rdata(kind, text):
        if kind == "A":
            return socket.inet_pton(socket.AF_INET, text)
        if kind == "AAAA":
            return socket.inet_pton(socket.AF_INET6, text)
        if kind == "CNAME":
            return encode_name(text)
        return bytes([len(text)]) + text.encode()

    def end(self):
        self.over = True
        with contextlib.suppress(OSError):
            self.udp.close()
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()


class Daemon(Process):
    """sundewd on a configuration made of keyword arguments; `rules` become a zone "local" in local.json."""

    def __init__(self, folder, rules=(), head=None, ready=True, **config):
        self.folder, self.port = folder, free_port()
        self.hits_path = os.path.join(folder, "hits.jsonl")
        self.control = os.path.join(folder, "control.sock")
        self.config = {"listen": [f"dns://127.0.0.1:{self.port}"], "workers": 2, "state_dir": os.path.join(folder, "state"),
                       "control": self.control, "log": {"hits": self.hits_path}, "http": None,
                       "zones": [{"name": "local", "source": os.path.join(folder, "local.json")}]}
        self.config.update(config)
        self.head = {"zone": "local", **(head or {})}
        self.write_rules(list(rules))
        self.write_config()
        super().__init__([program("sundewd"), "-c", self.path], os.path.join(folder, "sundewd.log"))
        if ready:
            self.wait_ready()

    @property
    def path(self):
        return os.path.join(self.folder, "sundew.json")

    def write_config(self, **changes):
        self.config.update(changes)
        with open(self.path, "w") as f:
            json.dump(self.config, f)

    def write_rules(self, rules):
        """Aside and renamed, as an editor does it."""
        self.rules = rules
        path = os.path.join(self.folder, "local.json")
        with open(path + ".new", "w") as f:
            json.dump({**self.head, "rules": rules}, f)
        os.rename(path + ".new", path)

    def wait_ready(self):
        def check():
            if self.process.poll() is not None:
                raise AssertionError(f"sundewd ended with {self.process.returncode}:\n{self.text()}")
            return "ready:" in self.text()
        wait_for("ready:", check)

    def restart(self):
        self.end()
        self.launch()
        self.wait_ready()

    def send(self, packet, tcp=False, timeout=5.0, address="127.0.0.1", source=None):
        if not tcp:
            data = udp_exchange((address, self.port), packet, timeout, source)
        else:
            with self.connect(address) as s:
                s.settimeout(timeout)
                s.sendall(frame(packet))
                try:
                    data = read_frame(s)
                except TimeoutError:
                    data = None
        return Message(data) if data is not None else None

    def ask(self, name, kind="A", tcp=False, timeout=5.0, address="127.0.0.1", source=None, **options):
        return self.send(query(name, kind, **options), tcp, timeout, address, source)

    def connect(self, address="127.0.0.1"):
        s = socket.create_connection((address, self.port), PATIENCE)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def hits(self):
        try:
            with open(self.hits_path) as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []

    def wait_hits(self, check):
        return wait_for("hits", lambda: (lambda hits: hits if check(hits) else None)(self.hits()))

    def tool(self, *arguments, timeout=PATIENCE):
        return subprocess.run([program("sundew"), "--control", self.control, *arguments], capture_output=True, text=True, timeout=timeout)

    def json(self, *arguments):
        done = self.tool("--json", *arguments)
        if done.returncode != 0:
            raise AssertionError(f"sundew {' '.join(arguments)}: {done.returncode} {done.stderr}")
        return json.loads(done.stdout)

    def command(self, command, **parameters):
        """Straight to the control socket; the answer's "data"."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(self.control)
            s.sendall(json.dumps({"command": command, **parameters}).encode() + b"\n")
            answer = json.loads(s.makefile().readline())
        if not answer["ok"]:
            raise AssertionError(f"{command}: {answer['error']}")
        return answer["data"]

    def feeder_pid(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
            return [int(x) for x in f.read().split()]


class Case(unittest.TestCase):
    """Gives each test a folder, and ends and judges what it started."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="sundew-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.made = 0

    def sub_folder(self, name):
        self.made += 1
        path = os.path.join(self.folder, f"{name}{self.made}")
        os.mkdir(path)
        return path

    def daemon(self, upstream=None, **options):
        if upstream is not None and "forward" not in options:
            options["forward"] = [{"zone": ".", "to": [f"dns://127.0.0.1:{upstream.port}"]}]
        daemon = Daemon(self.sub_folder("sundewd"), **options)
        self.addCleanup(self.judge, daemon)
        return daemon

    def judge(self, daemon):
        """Whatever a test did: the daemon lives until it is told to end, ends well, and no sanitizer has anything to say."""
        daemon.end()
        text = daemon.text()
        self.assertNotIn("Sanitizer", text, text[-6000:])
        self.assertNotIn("runtime error", text, text[-6000:])
        self.assertTrue(daemon.killed or daemon.process.returncode >= 0, f"ended by a signal:\n{text[-3000:]}")

    def nsd(self, zones, **options):
        nsd = Nsd(self.sub_folder("nsd"), zones, **options)
        self.addCleanup(nsd.end)
        return nsd

    def scripted(self, script):
        upstream = Scripted(script)
        self.addCleanup(upstream.end)
        return upstream
