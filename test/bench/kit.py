"""What the scripts of `script/bench` that start daemons share: the job, the servers, the load and what it cost.

Every server gets the same names, list and upstream, is pinned, and is asked for right answers before it counts as ready."""
import os, random, re, signal, socket, struct, subprocess, sys, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAMES = 10_000  # that are asked for again and again
SAMPLE = 200  # listed names that show that a server is ready
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, UPSTREAM_CORE = CORES[0], CORES[1 % len(CORES)]
LOAD_CORES = CORES[2:] or CORES[1:] or CORES
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
                return tcp.getsockname()[1]
            except OSError:
                continue


def ask(port, name, timeout=1.0):
    """The first IPv4 address in the answer, or None."""
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout)
        try:
            s.sendto(struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1", ("127.0.0.1", port))
            data = s.recv(4096)
        except OSError:
            return None
    if len(data) < 12 or struct.unpack(">H", data[6:8])[0] == 0:
        return None
    at = data.find(b"\0\1\0\1", 12 + len(name) + 6)
    return socket.inet_ntoa(data[at + 10:at + 14]) if at > 0 else None


def tree(pid):
    pids = [pid]
    for one in pids:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                pids += [int(x) for x in open(f"/proc/{one}/task/{task}/children").read().split()]
        except OSError:
            pass
    return pids


def cpu(pid):
    """Seconds of CPU that the process and its children have used."""
    total = 0
    for one in tree(pid):
        try:
            fields = open(f"/proc/{one}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / TICK


def resident(pid):
    """Megabytes of memory, shared pages counted in proportion."""
    total = 0
    for one in tree(pid):
        try:
            total += int(re.search(r"Pss:\s+(\d+)", open(f"/proc/{one}/smaps_rollup").read()).group(1))
        except (OSError, AttributeError):
            pass
    return total / 1024


class Job:
    """The work that all servers are given: names, lists, query files."""

    def __init__(self, folder, rules):
        self.folder, self.unique = folder, 0
        rnd = random.Random(20261122)
        letters = "abcdefghijklmnopqrstuvwxyz0123456789"

        def word():
            return "".join(rnd.choices(letters, k=rnd.randrange(6, 18)))

        self.listed = [f"{word()}{i:x}.{rnd.choice(('com', 'net', 'org', 'xyz', 'top', 'info'))}" for i in range(rules)]
        self.names = [f"w{i}.{word()}.example" for i in range(NAMES)]
        # Spread over the list in the order of names: some servers load it in that order, and answer meanwhile.
        ordered = sorted(self.listed)
        self.sample = [ordered[i * (rules - 1) // (SAMPLE - 1)] for i in range(SAMPLE)]
        again, seldom = self.listed[:NAMES], self.listed[NAMES:NAMES + rules // 5]
        self.fresh = self.listed[NAMES + rules // 5:]  # for first hits: each is asked for once
        weights = [1 / (i + 1) for i in range(NAMES)]
        cached, repeated = (rnd.choices(names, weights, k=200_000) for names in (self.names, again))
        mixed = [hit if i % 50 == 0 else name for i, (name, hit) in enumerate(zip(cached, rnd.choices(seldom, k=200_000)))]
        both = [hit if i % 2 else name for i, (name, hit) in enumerate(zip(cached, repeated))]
        self.files = {kind: self.queries(kind, names)
                      for kind, names in (("warm", self.names), ("again", again), ("cached", cached), ("repeated", repeated),
                                          ("mixed", mixed), ("both", both))}

    def path(self, name):
        return os.path.join(self.folder, name)

    def queries(self, name, names):
        with open(self.path(name + ".queries"), "w") as f:
            f.writelines(f"{n} A\n" for n in names)
        return f.name

    def misses(self, count):
        """A file of names that nobody has asked for yet."""
        first, self.unique = self.unique, self.unique + count
        return self.queries("miss", [f"u{first + i}.miss{i % 97}.example" for i in range(count)])

    def first_hits(self, part, parts):
        """A file of listed names that are asked for once: a part of the list, the same for every server."""
        count = min(len(self.fresh) // parts, 100_000)
        return self.queries("first", self.fresh[part * count:(part + 1) * count])

    def listing(self, name, line, head=""):
        """A file with a line for each listed name; made once."""
        path = self.path(name)
        if not os.path.exists(path):
            with open(path, "w") as f:
                f.write(head)
                f.writelines(line.format(n=n) + "\n" for n in self.listed)
        return path

    def rpz(self):
        return self.listing("policy.rpz", "{n} A 127.0.0.3\n*.{n} A 127.0.0.3",
                            "$TTL 3600\n@ SOA localhost. root.localhost. 1 43200 3600 259200 300\n@ NS localhost.\n")

    def config(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return f.name


# --- the servers: each writes its configuration and returns a command line --------------------------------------------------


def echo(job, port, upstream, workers, build):
    return [job.path("echo"), "127.0.0.1", str(port)]


def sundewd(job, port, upstream, workers, build, hits="hits.jsonl"):
    name = f"sundew{workers}" + ("" if hits else "-nolog")
    state = job.path(name)
    os.makedirs(state, exist_ok=True)
    log = f'"{state}/{hits}"' if hits else "null"
    rules = job.listing("policy.jsonl", '{{"domain":"{n}","family":"Bench","confidence":90}}')
    conf = job.config(f"{name}.json", f"""{{"listen":["dns://127.0.0.1:{port}"],"workers":{workers},"state_dir":"{state}",
 "control":"{state}/control.sock","forward":[{{"zone":".","to":["dns://127.0.0.1:{upstream}"]}}],"http":null,
 "log":{{"hits":{log}}},"zones":[{{"name":"bench","source":"{rules}"}}]}}""")
    return [os.path.join(build, "sundewd"), "-c", conf]


def sundewd_nolog(job, port, upstream, workers, build):
    """The peers don't log hits either. (The ledger of infected clients is kept all the same.)"""
    return sundewd(job, port, upstream, workers, build, hits=None)


def unbound(job, port, upstream, workers, build):
    return ["unbound", "-d", "-c", job.config("unbound.conf", f"""server:
 directory: "{job.folder}"
 chroot: ""
 username: ""
 pidfile: ""
 use-syslog: no
 do-daemonize: no
 verbosity: 0
 num-threads: {workers}
 so-reuseport: yes
 interface: 127.0.0.1@{port}
 do-not-query-localhost: no
 access-control: 127.0.0.0/8 allow
 module-config: "respip iterator"
 msg-cache-size: 128m
 rrset-cache-size: 128m
remote-control:
 control-enable: no
rpz:
 name: bench.rpz
 zonefile: "{job.rpz()}"
forward-zone:
 name: "."
 forward-addr: 127.0.0.1@{upstream}
""")]


def named(job, port, upstream, workers, build):
    return ["named", "-f", "-n", str(workers), "-c", job.config("named.conf", f"""options {{ directory "{job.folder}";
 listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; dnssec-validation no;
 recursion yes; allow-query {{ any; }}; forward only; forwarders {{ 127.0.0.1 port {upstream}; }};
 response-policy {{ zone "bench.rpz"; }} qname-wait-recurse no; max-cache-size 256m; }};
controls {{ }};
zone "bench.rpz" {{ type primary; file "{job.rpz()}"; check-names ignore; }};
""")]


def dnsdist(job, port, upstream, workers, build):
    names = job.listing("policy.names", "{n}")
    local = f"addLocal('127.0.0.1:{port}',{{reusePort=true}})\n" * workers
    return ["dnsdist", "--supervised", "--disable-syslog", "-C", job.config("dnsdist.conf", f"""setSecurityPollSuffix('')
newServer{{address='127.0.0.1:{upstream}',healthCheckMode='up',sockets=8}}
setMaxUDPOutstanding(65535)
bad=newSuffixMatchNode()
for n in io.lines('{names}') do bad:add(newDNSName(n)) end
addAction(SuffixMatchNodeRule(bad), SpoofAction('127.0.0.3'))
getPool(''):setCache(newPacketCache(500000,{{maxTTL=86400}}))
{local}""")]


def pdns_recursor(job, port, upstream, workers, build):
    folder = job.path("recursor")
    os.makedirs(folder, exist_ok=True)
    job.config("recursor/recursor.conf", f"""local-address=127.0.0.1
local-port={port}
socket-dir={folder}
daemon=no
write-pid=no
threads={workers}
pdns-distributes-queries=no
reuseport=yes
security-poll-suffix=
dnssec=off
quiet=yes
loglevel=3
forward-zones-recurse=.=127.0.0.1:{upstream}
dont-query=
lua-config-file={folder}/rpz.lua
""")
    job.config("recursor/rpz.lua", f"rpzFile('{job.rpz()}', {{policyName='bench'}})\n")
    return ["pdns_recursor", f"--config-dir={folder}"]


def kresd(job, port, upstream, workers, build):
    folder = job.path("kresd")
    os.makedirs(folder, exist_ok=True)
    conf = job.config("kresd.conf", f"""net.listen('127.0.0.1', {port}, {{kind='dns'}})
cache.size = 200*MB
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
trust_anchors.remove('.')
policy.add(policy.rpz(policy.ANSWER({{[kres.type.A]={{rdata=kres.str2ip('127.0.0.3'),ttl=3600}}}}), '{job.rpz()}'))
policy.add(policy.all(policy.FORWARD('127.0.0.1@{upstream}')))
""")
    return ["kresd", "-n", "-q", "-c", conf, folder]


def dnsmasq(job, port, upstream, workers, build):
    rules = job.listing("dnsmasq.rules", "address=/{n}/127.0.0.3")
    return ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--port={port}", "--listen-address=127.0.0.1",
            "--bind-interfaces", f"--server=127.0.0.1#{upstream}", "--cache-size=20000", f"--conf-file={rules}",
            "--dns-forward-max=10000", "--user=root", "--pid-file="]


SERVERS = {f.__name__: f for f in (echo, sundewd, sundewd_nolog, unbound, dnsdist, pdns_recursor, kresd, named, dnsmasq)}


class Server:
    """One running server, pinned; raises RuntimeError where it doesn't come up."""

    def __init__(self, name, job, upstream, build, workers=1, cores=(SERVER_CORE,)):
        self.name, self.job, self.port, self.load_seconds = name, job, free_port(), 0.0
        command = SERVERS[name](job, self.port, upstream, workers, build)
        self.log = open(job.path(f"{name}.log"), "w")
        start = time.monotonic()
        self.process = subprocess.Popen(["taskset", "-c", ",".join(map(str, cores))] + command, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT, cwd=job.folder, start_new_session=True)
        while name != "echo":
            if self.process.poll() is not None or time.monotonic() - start > 120:
                self.stop()
                raise RuntimeError(f"{name} did not come up: " + open(self.log.name).read()[-300:])
            # Listed names count, all of the sample in one go: a server that answers while its policy is loading is not ready.
            if self.fault(0.3) is None:
                self.load_seconds = time.monotonic() - start
                break
            time.sleep(0.05)
        else:
            time.sleep(0.2)

    def fault(self, timeout=1.0):
        """Why this server's figures would mean nothing, or None."""
        wanted = [(name, "127.0.0.3") for name in self.job.sample] + [(self.job.names[0], "192.0.2.1")]
        for name, want in wanted if self.name != "echo" else ():
            got = ask(self.port, name, timeout)
            if got != want:
                return f"answers {name} with {got}, not {want}"
        return None

    def cpu(self):
        return cpu(self.process.pid)

    def settle(self):
        """Waits until the server has done what a load left it to do (3 s at most), so that it is counted."""
        used = self.cpu()
        for _ in range(15):
            time.sleep(0.2)
            before, used = used, self.cpu()
            if used - before < 0.02:
                return

    def stop(self):
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(sign)
                try:
                    self.process.wait(8)
                except subprocess.TimeoutExpired:
                    continue
        self.log.close()


# --- loads ---------------------------------------------------------------------------------------------------------------------


def released(given):
    """The folder of the programs to measure: the one given, else build-bench, built now as a release."""
    if given:
        return given
    folder = os.path.join(TOP, "build-bench")
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    if not os.path.isdir(folder):
        subprocess.run(["meson", "setup", folder, TOP, "--buildtype=release"], **quiet)
    subprocess.run(["meson", "compile", "-C", folder, "sundewd", "sundew", "sundew-feeder"], **quiet)
    return folder


def programs(folder):
    """Compiles test/bench/echo.c and load.c."""
    for name in ("echo", "load"):
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-pthread", "-o", os.path.join(folder, name), f"{TOP}/test/bench/{name}.c"],
                       check=True)


class Upstream:
    """An echo that answers, and counts what it is asked."""

    def __init__(self, folder, core, delay=None):
        self.port = free_port()
        self.process = subprocess.Popen(["taskset", "-c", str(core), folder + "/echo", "127.0.0.1", str(self.port), "answer"]
                                        + ([str(delay)] if delay else []))

    def asked(self):
        return struct.unpack(">I", socket.inet_aton(ask(self.port, "asked.echo") or "0.0.0.0"))[0]

    def stop(self):
        self.process.kill()
        self.process.wait()


def dnsperf(port, queries, seconds=60, once=False, outstanding=500):
    """dnsperf over the file: for so many seconds, or once through within them."""
    command = ["taskset", "-c", ",".join(map(str, LOAD_CORES)), "dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", queries,
               "-c", "20", "-T", str(min(2, len(LOAD_CORES))), "-q", str(outstanding), "-t", "2"]
    command += ["-l", str(seconds)] + (["-n", "1"] if once else [])
    text = subprocess.run(command, capture_output=True, text=True).stdout

    def figure(pattern):
        return float(re.search(pattern, text).group(1))

    return {"sent": figure(r"Queries sent:\s+(\d+)"), "done": figure(r"Queries completed:\s+(\d+)"),
            "qps": figure(r"Queries per second:\s+([\d.]+)")}


def real_time():
    """For a client that mostly sleeps: what it waits for a core isn't the server's time. Needs a privilege; goes without."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        pass


def generator(folder, port, queries, cores, *arguments, steady=False):
    """Starts test/bench/load.c; its figures come from figures()."""
    command = ["taskset", "-c", ",".join(map(str, cores)), folder + "/load", "-p", str(port), "-f", queries, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=real_time if steady else None)


def figures(process):
    text = process.communicate()[0]
    if process.returncode != 0:
        raise RuntimeError("the generator failed: " + " ".join(process.args))
    return {key: float(value) for key, value in re.findall(r"(\S+)=(\S+)", text)}


def table(title, head, rows, markdown):
    print(f"\n{'### ' if markdown else ''}{title}\n" if markdown else f"\n{title}")
    widths = [max(len(str(r[i])) for r in [head] + rows) for i in range(len(head))]
    for n, row in enumerate([head] + rows):
        cells = [str(c).rjust(w) if i else str(c).ljust(w) for i, (c, w) in enumerate(zip(row, widths))]
        print("| " + " | ".join(cells) + " |" if markdown else "  ".join(cells))
        if markdown and n == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    sys.stdout.flush()
