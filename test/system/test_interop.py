"""Behind real servers of other makers: Knot DNS and BIND with zones that they signed, Unbound as a validating resolver.

What sundew answers must be what its upstream says, but for what sundew drops on purpose: the authority and additional sections of
positive answers, proofs for those who didn't ask for DNSSEC. The expectation is made from the upstream's own answer over TCP."""
import os, shutil, socket, struct, subprocess, unittest

import sundew_test
from sundew_test import FORMERR, NOERROR, NOTIMP, REFUSED, SERVFAIL, Message, Process, frame, query, read_frame, udp_exchange, wait_for

LONG = ".".join(["a" * 63] * 3 + ["b" * 53, "example"])  # 254 octets on the wire: the longest that has one above it
OVERLONG = ".".join(["a" * 63] * 3 + ["b" * 46, "over", "example"])  # what the DNAME makes of it has 256
EXAMPLE = f"""$ORIGIN example.
$TTL 300
@ SOA ns hostmaster 1 3600 900 86400 60
@ NS ns
@ MX 10 mail
@ TXT "apex" "two strings"
@ CAA 0 issue "ca.example.net"
ns A 127.0.0.1
mail A 192.0.2.25
www A 192.0.2.1
www A 192.0.2.2
www AAAA 2001:db8::1
short 5 A 192.0.2.3
MiXeD A 192.0.2.4
alias CNAME www
alias2 CNAME alias
alias3 CNAME Alias2.Example.
nowhere CNAME gone
nodata CNAME www
outside CNAME host.other.test.
chain CNAME back.other.test.
dname DNAME target
deep.target A 192.0.2.5
over DNAME host.other.test.
sub NS ns.other.test.
ent.deep TXT "below an empty non-terminal"
*.wild A 192.0.2.6
*.wild TXT "from a wildcard"
*.wildalias CNAME www
*.wildout CNAME host.other.test.
x.wild.deep A 192.0.2.7
srv SRV 1 2 443 www
naptr NAPTR 100 50 "s" "SIP+D2U" "" _sip._udp
svc HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1
svcalias HTTPS 0 svc
svcb SVCB 16 www alpn=h2 port=8443 key65333=ex1
hinfo HINFO "PC" "Linux"
rp RP admin.mail rp.txt
loc LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
uri URI 10 1 "ftp://ftp.example/public"
sshfp SSHFP 2 1 123456789abcdef67890123456789abcdef67890
tlsa TLSA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971
unknown TYPE65280 \\# 5 0102030405
empty TYPE65281 \\# 0
dot\\.ted A 192.0.2.8
sp\\032ace A 192.0.2.9
oct\\000\\255et A 192.0.2.10
under_score A 192.0.2.11
{LONG}. TXT "long"
""" + "".join(f'big TXT "{i:03} {"x" * 200}"\n' for i in range(60)) + "".join(f"many A 198.51.100.{i}\n" for i in range(90))
OTHER = """$ORIGIN other.test.
$TTL 120
@ SOA ns.other.test. hostmaster 7 3600 900 86400 30
@ NS ns.example.
host A 192.0.2.40
host AAAA 2001:db8::40
back CNAME alias3.example.
"""
ROOT = """$ORIGIN .
$TTL 900
@ SOA ns.example. host.example. 1 3600 900 86400 300
@ NS ns.example.
example NS ns.example.
other.test NS ns.example.
ns.example A 127.0.0.1
"""
QUESTIONS = [(name, kind) for name, kinds in {
    "example": (1, 2, 6, 15, 16, 43, 46, 47, 48, 51, 257, 255),
    "www.example": (1, 28, 16, 5, 65, 43, 255), "short.example": (1,), "mixed.example": (1,),
    "alias.example": (1, 28, 5, 16, 255), "alias2.example": (1,), "alias3.example": (1, 28, 16, 5), "nowhere.example": (1, 65),
    "nodata.example": (16,), "outside.example": (1, 28, 16), "chain.example": (1, 28, 15), "deep.dname.example": (1, 28),
    "none.dname.example": (1,), "dname.example": (1, 39), "over.example": (1,), "x.over.example": (1,), OVERLONG: (1,), "sub.example": (43,),
    "gone.example": (1, 28, 65), "a.b.gone.example": (1,), "deep.example": (1,), "wild.example": (1,),
    "a.wild.example": (1, 16, 28), "a.b.wild.example": (1,), "x.wildalias.example": (1, 16), "x.wildout.example": (1, 16, 28), "mail.example": (1,), "srv.example": (33,),
    "naptr.example": (35,), "svc.example": (65, 64), "svcalias.example": (65,), "svcb.example": (64,), "hinfo.example": (13,),
    "rp.example": (17,), "loc.example": (29,), "uri.example": (256,), "sshfp.example": (44,), "tlsa.example": (52,),
    "unknown.example": (65280, 65281), "empty.example": (65281,), "dot\\.ted.example": (1,), "dot.ted.example": (1,),
    "sp\\032ace.example": (1,), "oct\\000\\255et.example": (1,), "under_score.example": (1,), LONG: (16, 1), "big.example": (16,),
    "many.example": (1,), "host.other.test": (1, 28, 15), "back.other.test": (1,), "none.other.test": (1,), ".": (2, 6, 1),
}.items() for kind in kinds]
ELSEWHERE = ("outside.example", "x.wildout.example", "chain.example", "back.other.test", "x.over.example", OVERLONG)  # which Knot leaves to whom it may concern
NAMES_IN = {2: (0, 1), 5: (0, 1), 6: (0, 2), 12: (0, 1), 15: (2, 1), 17: (0, 2), 33: (6, 1), 39: (0, 1)}  # octets before, names


def number(record):
    return sundew_test.TYPES[record.kind] if record.kind in sundew_test.TYPES else int(record.kind[4:])


def comparable(message, record):
    """A record without TTL, its names whole and in lower case: two servers may compress and spell them differently."""
    kind, rdata = number(record), record.rdata
    if kind in NAMES_IN:
        before, names = NAMES_IN[kind]
        out, at = [rdata[:before].hex()], record.at + before
        for _ in range(names):
            name, at = message._name(at)
            out.append(name.lower())
        rdata = " ".join(out) + message.data[at:record.at + len(record.rdata)].hex()
    return record.name.lower(), kind, rdata if isinstance(rdata, str) else rdata.hex()


class Server(Process):
    """A server on loopback that is up once it answers `ready`. A copy of it runs: a profile of AppArmor would keep the installed one out
    of our folder."""

    def __init__(self, arguments, folder, port, ready):
        self.port, self.address = port, ("127.0.0.1", port)
        super().__init__([shutil.copy(arguments[0], folder), *arguments[1:]], os.path.join(folder, "log"), cwd=folder)

        def check():
            if self.process.poll() is not None:
                raise AssertionError(f"{arguments[0]} ended:\n{self.text()}")
            data = udp_exchange(self.address, query(*(ready or ("www.real.test", "A")), do=True), 0.2)
            if not ready:
                return data and Message(data).rcode == NOERROR
            return data and (lambda m: m.rcode == NOERROR and any(number(r) == 46 for r in m.answer))(Message(data))
        try:
            wait_for(arguments[0], check)
        except AssertionError:
            self.end()
            raise AssertionError(self.text())

    def ask(self, packet):
        with socket.create_connection(self.address, sundew_test.PATIENCE) as s:
            s.sendall(frame(packet))
            return Message(read_frame(s))


def binary(name):
    """Debian keeps servers where a user's PATH doesn't lead."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise unittest.SkipTest(f"{name} isn't installed")
    return found


def write(folder, name, text):
    with open(os.path.join(folder, name), "w") as f:
        f.write(text)


def zones(folder):
    for name, text in (("example", EXAMPLE), ("other.test", OTHER), ("root", ROOT)):
        write(folder, name, text)


def knot(folder):
    port = sundew_test.free_port()
    zones(folder)
    write(folder, "knot.conf", f"""server:
    listen: 127.0.0.1@{port}
    rundir: "{folder}"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{folder}"
log:
  - target: stderr
    any: warning
policy:
  - id: nsec
    algorithm: ecdsap256sha256
template:
  - id: default
    storage: "{folder}"
zone:
  - domain: example.
    file: example
    dnssec-signing: on
    dnssec-policy: nsec
  - domain: other.test.
    file: other.test
  - domain: .
    file: root
""")
    return Server([binary("knotd"), "-c", "knot.conf"], folder, port, ("example", 48))


def unbound(folder, parent, forward=None):
    """Validates by the parent's key, and asks the parent, or whom it forwards to."""
    port = sundew_test.free_port()
    keys = [r for r in parent.ask(query("example", 48)).answer if r.rdata[1] == 1]
    write(folder, "anchor", "".join(f"example. DNSKEY \\# {len(r.rdata)} {r.rdata.hex()}\n" for r in keys))
    others = f'forward-zone:\n name: "."\n forward-addr: 127.0.0.1@{forward.port}\n' if forward else "".join(
        f'stub-zone:\n name: "{zone}"\n stub-addr: 127.0.0.1@{parent.port}\n' for zone in ("example.", "other.test.", "."))
    write(folder, "unbound.conf", f"""server:
 interface: 127.0.0.1
 port: {port}
 do-daemonize: no
 username: ""
 chroot: ""
 directory: "{folder}"
 pidfile: ""
 use-syslog: no
 do-not-query-localhost: no
 outgoing-interface: 127.0.0.1
 trust-anchor-file: "anchor"
 val-permissive-mode: no
 rrset-roundrobin: no
 local-zone: "test." nodefault
remote-control:
 control-enable: no
{others}""")
    return Server([binary("unbound"), "-d", "-c", "unbound.conf"], folder, port, ("example", 48))


def bind(folder):
    port = sundew_test.free_port()
    zones(folder)
    write(folder, "named.conf", f"""options {{
    directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none; session-keyfile none;
    recursion no; notify no; dnssec-validation no; check-names primary ignore; minimal-any no; key-directory "{folder}"; lock-file none; geoip-directory none;
}};
controls {{ }};
logging {{ channel out {{ stderr; severity warning; }}; category default {{ out; }}; }};
dnssec-policy "one" {{ keys {{ csk lifetime unlimited algorithm ecdsap256sha256; }}; nsec3param iterations 0 salt-length 0; }};
zone "example" {{ type primary; file "example"; dnssec-policy "one"; inline-signing yes; }};
zone "other.test" {{ type primary; file "other.test"; }};
zone "." {{ type primary; file "root"; }};
""")
    server = Server([binary("named"), "-g", "-n", "1", "-c", os.path.join(folder, "named.conf")], folder, port, ("example", 48))
    wait_for("NSEC3", lambda: any(number(r) == 50 for r in server.ask(query("gone.example", do=True)).authority))
    return server


POLICY = """$TTL 300
@ SOA localhost. root.localhost. 1 3600 600 86400 60
  NS localhost.
nx.real.test CNAME .
*.nx.real.test CNAME .
*.below.real.test CNAME .
nodata.listed.test CNAME *.
gone.listed.test CNAME .
pass.nx.real.test CNAME rpz-passthru.
drop.real.test CNAME rpz-drop.
tcp.real.test CNAME rpz-tcp-only.
data.listed.test A 10.9.8.7
data.listed.test A 10.9.8.6
data.listed.test TXT "local text"
wall.real.test CNAME garden.test.
deepwall.real.test CNAME *.garden.test.
*.data.real.test A 10.1.1.1
*.data.real.test MX 10 mail.example.
self.real.test CNAME self.real.test.
24.0.113.0.203.rpz-ip CNAME .
32.77.113.0.203.rpz-ip CNAME rpz-passthru.
32.78.113.0.203.rpz-ip CNAME rpz-drop.
128.1.zz.bad.db8.2001.rpz-ip CNAME *.
48.zz.bad.db8.2001.rpz-ip CNAME .
32.7.100.51.198.rpz-ip A 10.7.7.7
32.79.113.0.203.rpz-ip A 10.7.7.8
32.9.0.0.127.rpz-client-ip CNAME .
32.8.0.0.127.rpz-client-ip CNAME rpz-passthru.
32.6.0.0.127.rpz-client-ip CNAME garden.test.
32.5.0.0.127.rpz-client-ip A 10.5.5.5
"""
TRUTH = {"real.test.": """
www A 192.0.2.1
www AAAA 2001:db8::1
bad A 203.0.113.5
pass A 203.0.113.77
drop4 A 203.0.113.78
two A 192.0.2.9
two A 203.0.113.5
viabad CNAME bad
viagone CNAME gone.listed.test.
viadata CNAME data.listed.test.
vianodata CNAME nodata.listed.test.
six AAAA 2001:db8:bad::1
six2 AAAA 2001:db8:bad::2
data4 A 198.51.100.7
tie A 203.0.113.79
tie A 198.51.100.7
tie2 A 198.51.100.7
tie2 A 203.0.113.79
* A 192.0.2.222
""", "listed.test.": "* A 192.0.2.51\n", "garden.test.": "@ A 192.0.2.80\n* A 192.0.2.81\n@ AAAA 2001:db8::80\n"}


def bind_rpz(folder, upstream):
    """BIND as people use it with response policy zones. Its SOA in the additional section and its limit of 5 s on TTLs are its own."""
    port = sundew_test.free_port()
    write(folder, "rpz", POLICY)
    write(folder, "named.conf", f"""options {{
    directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none; session-keyfile none;
    recursion yes; allow-recursion {{ any; }}; notify no; dnssec-validation no; lock-file none; geoip-directory none;
    forward only; forwarders {{ 127.0.0.1 port {upstream.port}; }}; query-source address 127.0.0.1; empty-zones-enable no;
    minimal-responses yes; response-policy {{ zone "rpz" max-policy-ttl 86400; }} qname-wait-recurse no break-dnssec yes;
}};
controls {{ }};
logging {{ channel out {{ stderr; severity warning; }}; category default {{ out; }}; }};
zone "rpz" {{ type primary; file "rpz"; }};
""")
    return Server([binary("named"), "-g", "-n", "1", "-c", os.path.join(folder, "named.conf")], folder, port, None)


class Interop(sundew_test.Case):
    def start(self, server):
        self.addCleanup(server.end)
        return server

    def expected(self, upstream, name, kind, options):
        """Answer, authority, rcode and AD as they must come: what the upstream says, its chain followed to the end."""
        answer, authority, authentic, wanted = {}, [], True, name
        for _ in range(8):
            message = upstream.ask(query(wanted, kind, edns=4096, **options))
            answer.update({comparable(message, r): r.ttl for r in message.answer})
            authority += [comparable(message, r) for r in message.authority]
            authentic &= message.ad
            links = [r for r in message.answer if r.kind == "CNAME"]
            whole = message.rcode != NOERROR or any(number(r) in (kind, 6) for r in message.answer + message.authority) or kind in (5, 255)
            if whole or not links:
                break
            wanted = links[-1].text
        negative = not any(number(r) == kind for r in message.answer) and kind != 255
        kept = [6] * negative + [46, 47, 50] * bool(options.get("do"))
        authority = [r for r in authority if r[1] in kept and (r[1] != 46 or int(r[2][:4], 16) in kept)]
        return message.rcode, answer, sorted(set(authority)), authentic

    def compare(self, sundewd, upstream, name, kind, tcp, **options):
        rcode, answer, authority, authentic = self.expected(upstream, name, kind, options)
        for again in range(2):  # from upstream, then from the cache
            got = sundewd.ask(name, kind, tcp=tcp, **options)
            if got.tc and not tcp:
                self.assertFalse(got.answer)
                got = sundewd.ask(name, kind, tcp=True, **options)
            about = f"{name} {kind} {options} {again}: {got} instead of {rcode} {answer} {authority}"
            self.assertEqual(got.rcode, rcode, about)
            self.assertEqual(sorted(comparable(got, r) for r in got.answer), sorted(answer), about)
            # One TTL a set, and signatures of many sets are one set. Where upstream answers from its cache, too, the two count their
            # seconds from different moments.
            for record in got.answer if kind not in (46, 255) else ():
                self.assertIn(answer[comparable(got, record)] - record.ttl, (-1, 0, 1, 2), about)
            for record in got.authority if not answer else ():
                if number(record) == 6:
                    self.assertLessEqual(record.ttl, int(record.text.split()[-1]), about)  # RFC 2308 section 5
            self.assertEqual(sorted(comparable(got, r) for r in got.authority), authority, about)
            asked = options.get("do") or options.get("flags", 0) & 0x0020
            self.assertEqual(got.ad, bool(authentic and asked), about)
            self.assertEqual((got.aa, got.ra, got.cd, got.additional), (False, True, bool(options.get("cd")), []), about)

    def everything(self, upstream):
        sundewd = self.daemon(upstream, workers=1, rules=["listed.test"])
        for name, kind in QUESTIONS:
            self.compare(sundewd, upstream, name, kind, False)
            self.compare(sundewd, upstream, name, kind, False, do=True)
        for name, kind in QUESTIONS[::4]:
            self.compare(sundewd, upstream, name, kind, True, do=True, cd=True)
            self.compare(sundewd, upstream, name, kind, True, flags=0x0020)
        return sundewd

    def test_knot(self):
        self.everything(self.start(knot(self.sub_folder("knot"))))

    def test_unbound(self):
        parent = self.start(knot(self.sub_folder("knot")))
        self.everything(self.start(unbound(self.sub_folder("unbound"), parent)))

    def test_bind(self):
        self.everything(self.start(bind(self.sub_folder("bind"))))

    def test_validator_behind(self):
        """A validating Unbound that knows nobody but sundew finds all that it needs: what it proves by itself, it proves through us."""
        parent = self.start(knot(self.sub_folder("knot")))
        sundewd = self.daemon(parent, workers=1, rules=["srv.example", {"domain": "listed.test"}])
        alone = self.start(unbound(self.sub_folder("unbound"), parent))
        behind = self.start(unbound(self.sub_folder("unbound"), parent, sundewd))
        for name, kind in QUESTIONS:
            if kind != 255 and name not in ("srv.example", "sub.example"):
                first, second = (x.ask(query(name, kind, do=True)) for x in (alone, behind))
                self.assertEqual([(m.rcode, m.ad, sorted(comparable(m, r) for r in m.answer)) for m in (second,)],
                                 [(m.rcode, m.ad, sorted(comparable(m, r) for r in m.answer)) for m in (first,)], f"{name} {kind}")
        self.assertEqual(behind.ask(query("srv.example", "SRV")).rcode, SERVFAIL, "what policy makes of a signed name is bogus")
        self.assertEqual(behind.ask(query("listed.test")).addresses(), ["127.0.0.3"])
        sundewd.write_config(policy={"break_dnssec": False})
        self.assertEqual(sundewd.tool("reload").returncode, 0)
        fresh = self.start(unbound(self.sub_folder("unbound"), parent, sundewd))
        answer = fresh.ask(query("srv.example", "SRV", do=True))
        self.assertEqual((answer.rcode, answer.ad), (NOERROR, True), "and is left alone where it must not break DNSSEC")

    def test_clients(self):
        """dig, kdig and drill, with all the options that they may send."""
        parent = self.start(knot(self.sub_folder("knot")))
        sundewd = self.daemon(parent, workers=1, rules=["listed.test"])
        batch = "".join(f"{name} TYPE{kind}\n" for name, kind in QUESTIONS if kind != 255 and name not in ELSEWHERE)
        path = os.path.join(self.folder, "batch")
        with open(path, "w") as f:
            f.write(batch)

        def dig(port, *options):
            done = subprocess.run([binary("dig"), "@127.0.0.1", "-p", str(port), "-f", path, "+noall", "+answer", "+nottlid", *options],
                                  capture_output=True, text=True, timeout=sundew_test.PATIENCE)
            return sorted(line.lower() for line in done.stdout.splitlines() if line and "rrsig" not in line)
        self.assertEqual(dig(sundewd.port), dig(parent.port, "+norec"))

        for name, expected in (("wWw.exAmple", "192.0.2.1"), ("liSted.Test", "127.0.0.3")):
            for client in (["dig", "+nsid", "+subnet=192.0.2.0/24", "+cookie", "+ednsopt=65001:0102", "+expire"], ["dig", "+noedns"],
                           ["dig", "+bufsize=512", "+dnssec", "+cdflag", "+adflag"], ["dig", "+tcp", "+keepalive", "+padding=128"],
                           ["dig", "+norecurse"], ["dig", "+opcode=query", "+ednsflags=0x1"], ["kdig", "+nsid", "+cookie", "+padding"],
                           ["kdig", "+tcp", "+edns"], ["kdig", "+subnet=2001:db8::/32"], ["kdig", "+keepopen", "+tcp", name, "A"]):
                done = subprocess.run([binary(client[0]), "@127.0.0.1", "-p", str(sundewd.port), *client[1:], name, "A"],
                                      capture_output=True, text=True, timeout=sundew_test.PATIENCE)
                self.assertEqual(done.returncode, 0, (client, done.stdout, done.stderr))
                self.assertIn(expected, done.stdout, client)
                self.assertIn("NOERROR", done.stdout, client)
                if client[0] == "dig":  # kdig asks in lower case
                    self.assertIn(f";{name}.", done.stdout, "the question comes back in the client's letters")
                self.assertNotRegex((done.stdout + done.stderr).lower(), "warning|malformed|mismatch|trailing|bad cookie", str(client))
            done = subprocess.run([binary("drill"), "-p", str(sundewd.port), name, "@127.0.0.1", "A"], capture_output=True, text=True,
                                  timeout=sundew_test.PATIENCE)
            self.assertIn(expected, done.stdout)

    def test_rpz(self):
        """A response policy zone means what it means to BIND, but for what sundew-policy(5) names: no holes below a deep rule."""
        upstream = self.nsd(TRUTH)
        theirs = self.start(bind_rpz(self.sub_folder("bind"), upstream))
        sundewd = self.daemon(upstream, workers=1, zones=[{"name": "rpz", "source": os.path.join(os.path.dirname(theirs.log), "rpz"), "format": "rpz"}])
        real = "www bad pass drop4 two viabad viagone viadata vianodata six six2 data4 tie tie2 nx x.nx y.x.nx pass.nx below q.below drop tcp wall deepwall data a.data a.b.data self"
        cases = [(f"{name}.real.test", kind, tcp, "127.0.0.1") for name in real.split() for kind in ("A", "AAAA", "TXT", "MX", "CNAME", "HTTPS") for tcp in (False, True)]
        cases += [(f"{name}.listed.test", kind, False, "127.0.0.1") for name in ("gone", "nodata", "data", "a.data", "other") for kind in ("A", "TXT")]
        cases += [(name, kind, False, f"127.0.0.{client}") for name in ("www.real.test", "nx.real.test", "bad.real.test") for kind in ("A", "TXT") for client in (5, 6, 8, 9)]
        silent = {"drop.real.test", "drop4.real.test"}
        for name, kind, tcp, source in cases:
            if name in silent and (kind != "A" or tcp):
                continue  # one time-out each is enough

            def view(port):
                if tcp:
                    with socket.create_connection(("127.0.0.1", port), sundew_test.PATIENCE) as s:
                        s.sendall(frame(query(name, kind)))
                        message = Message(read_frame(s))
                else:
                    data = udp_exchange(("127.0.0.1", port), query(name, kind), 0.3 if name in silent else sundew_test.PATIENCE, source)
                    message = data and Message(data)
                return message and (message.rcode, message.tc, sorted((*comparable(message, r), (r.ttl + 15) // 30) for r in message.answer))
            self.assertEqual(view(sundewd.port), view(theirs.port), (name, kind, tcp, source))

    def test_not_for_us(self):
        """What isn't a plain question of class IN gets an rcode, and never reaches upstream."""
        upstream = self.scripted(lambda name, kind: {})
        sundewd = self.daemon(upstream, workers=1)
        chaos = query("version.bind", "TXT", edns=None)[:-1] + b"\3"
        two = bytearray(query("www.example", edns=None) + b"\3www\7example\0\0\1\0\1")
        two[5] = 2
        none = struct.pack(">6H", 7, 0x0100, 0, 0, 0, 0)
        notify, update, iquery = (query("example", "SOA", edns=None, flags=opcode << 11) for opcode in (4, 5, 1))
        transfer = query("example", 251, edns=None)
        incremental = transfer[:8] + b"\0\1" + transfer[10:] + b"\xc0\x0c\0\6\0\1" + b"\0\0\0\0\0\x16" + b"\0\0" + b"\0\0\0\1" * 5
        for tcp in (False, True):
            for packet, rcode in ((chaos, REFUSED), (bytes(two), FORMERR), (none, FORMERR), (notify, NOTIMP), (update, NOTIMP), (iquery, NOTIMP),
                                  (query("example", 252), REFUSED), (transfer, REFUSED), (incremental, REFUSED)):
                answer = sundewd.send(packet, tcp)
                self.assertEqual((answer.rcode, answer.answer), (rcode, []), packet)
        self.assertEqual(upstream.asked, [])


if __name__ == "__main__":
    unittest.main()
