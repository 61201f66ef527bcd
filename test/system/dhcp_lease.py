"""A real dnsmasq hands sundew out to a real DHCP client, in network namespaces; the client's C&C look-up names its machine. Then the
address passes to another machine: new hits are its, old ones stay where they were. Root and iproute2, dnsmasq, udhcpc; else skipped."""
import contextlib, json, os, shutil, signal, subprocess, sys, tempfile, time

BUILD, SKIP, PATIENCE = sys.argv[1], 77, 20
os.environ["PATH"] += ":/usr/sbin:/sbin"
SERVER, ADDRESS = "10.77.0.1", "10.77.0.50"
MACHINES = {"one": ("02:00:00:00:00:01", "laptop-7"), "two": ("02:00:00:00:00:02", "printer")}
NAME = f"sundew{os.getpid()}"
ended = []  # what to undo, last first

UDHCPC = """#!/bin/sh
case "$1" in
bound|renew)
    ip addr replace "$ip/24" dev "$interface"
    for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
    echo "$ip" > "$OUT" ;;
deconfig) ip addr flush dev "$interface" ; ip link set "$interface" up ;;
esac
"""


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return done


def inside(space, *command):
    return ["ip", "netns", "exec", NAME + space, *command]


def start(space, *command, log, **environment):
    with open(log, "wb") as out:
        process = subprocess.Popen(inside(space, *command), stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                   env={**os.environ, **environment})
    ended.append(lambda: end(process))
    return process


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(what, check):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            result = check()
            if result:
                return result
        time.sleep(0.05)
    raise AssertionError("waited in vain for " + what)


def read(path):
    with open(path, errors="replace") as f:
        return f.read()


def add_space(space):
    run("ip", "netns", "add", NAME + space)
    ended.append(lambda: run("ip", "netns", "del", NAME + space, check=False))
    etc = f"/etc/netns/{NAME}{space}"  # ip netns exec puts what is in there over /etc
    os.makedirs(etc)
    ended.append(lambda: shutil.rmtree(etc))
    open(etc + "/resolv.conf", "w").close()
    run(*inside(space, "ip", "link", "set", "lo", "up"))


def build_network():
    add_space("server")
    run(*inside("server", "ip", "link", "add", "br0", "type", "bridge"))
    run(*inside("server", "ip", "addr", "add", SERVER + "/24", "dev", "br0"))
    run(*inside("server", "ip", "link", "set", "br0", "up"))
    for i, (space, (mac, _)) in enumerate(MACHINES.items()):
        add_space(space)
        run(*inside("server", "ip", "link", "add", f"port{i}", "type", "veth", "peer", "name", "eth0", "netns", NAME + space))
        run(*inside("server", "ip", "link", "set", f"port{i}", "master", "br0", "up"))
        run(*inside(space, "ip", "link", "set", "eth0", "address", mac, "up"))


def start_servers(folder):
    leases = os.path.join(folder, "dnsmasq.leases")
    with open(os.path.join(folder, "local.json"), "w") as f:
        json.dump({"zone": "local", "rules": [{"domain": "evil.example", "family": "Emotet"}]}, f)
    config = {"listen": [f"dns://{SERVER}:53"], "workers": 1, "state_dir": os.path.join(folder, "state"),
              "control": os.path.join(folder, "control.sock"), "log": {"hits": os.path.join(folder, "hits.jsonl")}, "http": None,
              "forward": [{"zone": ".", "to": ["dns://127.0.0.1:9"]}], "zones": [{"name": "local", "source": "local.json"}],
              "clients": {"leases": [{"format": "dnsmasq", "path": leases}]}}
    path = os.path.join(folder, "sundew.json")
    with open(path, "w") as f:
        json.dump(config, f)
    start("server", os.path.join(BUILD, "sundewd"), "-c", path, log=os.path.join(folder, "sundewd.log"))
    wait_for("sundewd", lambda: "ready:" in read(os.path.join(folder, "sundewd.log")))
    options = os.path.join(folder, "dnsmasq.conf")
    with open(options, "w") as f:
        f.write(run(os.path.join(BUILD, "sundew"), "dhcp", "--format", "dnsmasq", "--address", SERVER).stdout)
    start("server", "dnsmasq", "--keep-in-foreground", "--conf-file=" + options, "--port=0", "--interface=br0", "--bind-interfaces",
          "--no-ping", "--user=root", "--log-facility=-", "--pid-file=" + os.path.join(folder, "dnsmasq.pid"),
          f"--dhcp-range={ADDRESS},{ADDRESS},5m", "--dhcp-leasefile=" + leases, log=os.path.join(folder, "dnsmasq.log"))
    wait_for("dnsmasq", lambda: "DHCP, IP range" in read(os.path.join(folder, "dnsmasq.log")))


def clients(folder):
    said = run(os.path.join(BUILD, "sundew"), "--control", os.path.join(folder, "control.sock"), "clients", "--json").stdout
    return {c["mac"]: (c["hostname"], c["address"], c["hits"], c["families"]) for c in json.loads(said)}


def infect(folder, space):
    """The machine gets its address by DHCP and looks the name up as any program does. Gives the DHCP client."""
    _, name = MACHINES[space]
    out, script = os.path.join(folder, space + ".ip"), os.path.join(folder, "udhcpc.sh")
    client = start(space, "udhcpc", "-i", "eth0", "-f", "-R", "-s", script, "-x", "hostname:" + name,
                   log=os.path.join(folder, space + ".log"), OUT=out)
    wait_for("a lease", lambda: read(out).strip() == ADDRESS)
    found = run(*inside(space, sys.executable, "-c", "import socket; print(socket.gethostbyname('c2.evil.example'))")).stdout
    assert found.strip() == "127.0.0.3", found
    return client


def test(folder):
    script = os.path.join(folder, "udhcpc.sh")
    with open(script, "w") as f:
        f.write(UDHCPC)
    os.chmod(script, 0o755)
    build_network()
    start_servers(folder)
    first = infect(folder, "one")
    expected = {MACHINES["one"][0]: (MACHINES["one"][1], ADDRESS, 1, ["Emotet"])}
    wait_for("the first machine", lambda: clients(folder) == expected)
    end(first)  # gives the lease back
    wait_for("the release", lambda: ADDRESS not in read(os.path.join(folder, "dnsmasq.leases")))
    infect(folder, "two")
    expected[MACHINES["two"][0]] = (MACHINES["two"][1], ADDRESS, 1, ["Emotet"])
    wait_for("both machines: " + str(clients(folder)), lambda: clients(folder) == expected)


def main():
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "dnsmasq", "udhcpc"))):
        print("needs root, iproute2, dnsmasq and udhcpc")
        return SKIP
    if run("ip", "netns", "add", NAME + "probe", check=False).returncode != 0:
        print("network namespaces can't be made here")
        return SKIP
    run("ip", "netns", "del", NAME + "probe", check=False)
    folder = tempfile.mkdtemp(prefix="sundew-lease-")
    try:
        test(folder)
    except Exception:
        for log in ("sundewd.log", "dnsmasq.log", "one.log", "two.log"):
            with contextlib.suppress(FileNotFoundError):
                print(f"--- {log}\n{read(os.path.join(folder, log))}")
        raise
    finally:
        for undo in reversed(ended):
            undo()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
