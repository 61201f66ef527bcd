"""A real DHCP server hands sundew out to a real DHCP client, in network namespaces, with what `sundew dhcp` printed for it; the
client's C&C look-up names its machine. Then the address passes to another machine: new hits are its, old ones stay where they were.

    dhcp_lease.py BUILD dnsmasq|dnsmasq-6|kea|isc-dhcpd        (-6: over DHCPv6)

Needs root, iproute2, dig, the server and its client here (SERVERS); else skipped."""
import contextlib, json, os, shutil, subprocess, sys, tempfile, time

BUILD, KIND, SKIP, PATIENCE = sys.argv[1], sys.argv[2], 77, 20
os.environ["PATH"] += ":/usr/sbin:/sbin"
FORMAT, SIX = KIND.removesuffix("-6"), KIND.endswith("-6")
SERVER, ADDRESS, SUBNET = ("fd77::1", "fd77::50", None) if SIX else ("10.77.0.1", "10.77.0.50", "10.77.0.0")
LENGTH, OTHER = (64, "fd77::99") if SIX else (24, "10.77.0.99")
MACHINES = {"one": ("02:00:00:00:00:01", "laptop-7"), "two": ("02:00:00:00:00:02", "printer")}
NAME = f"sundew{os.getpid()}"
ended = []  # what to undo, last first

# What the clients run when they got an address: it is set, and resolv.conf names the servers that came with it.
UDHCPC = """#!/bin/sh
case "$1" in
bound|renew)
    ip addr replace "$ip/24" dev "$interface"
    for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
    echo "$ip" > "$OUT" ;;
deconfig) ip addr flush dev "$interface" ; ip link set "$interface" up ;;
esac
"""
DHCLIENT = """#!/bin/sh
case "$reason" in
BOUND|RENEW|REBIND|REBOOT)
    ip addr replace "$new_ip_address/24" dev "$interface"
    for server in $new_domain_name_servers; do echo "nameserver $server"; done > /etc/resolv.conf
    echo "$new_ip_address" > "$OUT" ;;
BOUND6|RENEW6|REBIND6)
    ip addr replace "$new_ip6_address/64" dev "$interface" nodad
    for server in $new_dhcp6_name_servers; do echo "nameserver $server"; done > /etc/resolv.conf
    echo "$new_ip6_address" > "$OUT" ;;
RELEASE|EXPIRE|STOP|PREINIT) ip addr flush dev "$interface" ; ip link set "$interface" up ;;
RELEASE6|EXPIRE6|STOP6) ip addr del "$old_ip6_address/64" dev "$interface" ;;
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
    for where in ("all", "default"):  # nobody else has our addresses, so they need no second of trial
        run(*inside(space, "sh", "-c", f"echo 0 > /proc/sys/net/ipv6/conf/{where}/accept_dad"))
    run(*inside(space, "ip", "link", "set", "lo", "up"))


def build_network():
    add_space("server")
    run(*inside("server", "ip", "link", "add", "br0", "type", "bridge"))
    run(*inside("server", "ip", "addr", "add", f"{SERVER}/{LENGTH}", "dev", "br0", *(["nodad"] if SIX else [])))
    run(*inside("server", "ip", "link", "set", "br0", "up"))
    for i, (space, (mac, _)) in enumerate(MACHINES.items()):
        add_space(space)
        run(*inside("server", "ip", "link", "add", f"port{i}", "type", "veth", "peer", "name", "eth0", "netns", NAME + space))
        run(*inside("server", "ip", "link", "set", f"port{i}", "master", "br0", "up"))
        run(*inside(space, "ip", "link", "set", "eth0", "address", mac, "up"))


def pasted(server):
    """What an operator pastes into the server's configuration."""
    return run(os.path.join(BUILD, "sundew"), "dhcp", "--format", server, "--address", SERVER).stdout


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def start_sundewd(folder):
    write(os.path.join(folder, "local.json"), json.dumps({"zone": "local", "rules": [{"domain": "evil.example", "family": "Emotet"}]}))
    listen = f"dns://[{SERVER}]:53" if SIX else f"dns://{SERVER}:53"
    config = {"listen": [listen], "workers": 1, "state_dir": os.path.join(folder, "state"),
              "control": os.path.join(folder, "control.sock"), "log": {"hits": os.path.join(folder, "hits.jsonl")}, "http": None,
              "forward": [{"zone": ".", "to": ["dns://127.0.0.1:9"]}], "zones": [{"name": "local", "source": "local.json"}],
              "clients": {"leases": [{"format": FORMAT, "path": os.path.join(folder, "leases")}]}}
    path = write(os.path.join(folder, "sundew.json"), json.dumps(config))
    start("server", os.path.join(BUILD, "sundewd"), "-c", path, log=os.path.join(folder, "sundewd.log"))
    wait_for("sundewd", lambda: "ready:" in read(os.path.join(folder, "sundewd.log")))


# --- servers: each has one address to give, and writes its leases to FOLDER/leases -------------------------------------------------

def start_dnsmasq(folder, leases):
    path = write(os.path.join(folder, "server.conf"), pasted("dnsmasq"))
    start("server", "dnsmasq", "--keep-in-foreground", "--conf-file=" + path, "--port=0", "--interface=br0", "--bind-interfaces",
          "--no-ping", "--user=root", "--log-facility=-", "--pid-file=" + os.path.join(folder, "dnsmasq.pid"),
          f"--dhcp-range={ADDRESS},{ADDRESS},5m", "--dhcp-leasefile=" + leases, log=os.path.join(folder, "server.log"))
    wait_for("dnsmasq", lambda: "IP range" in read(os.path.join(folder, "server.log")))


def start_kea(folder, leases):
    """It cleans its lease file up every second, so that sundew must follow it from file to file."""
    path = write(os.path.join(folder, "server.conf"), f"""{{"Dhcp4": {{
        "interfaces-config": {{"interfaces": ["br0"]}}, "valid-lifetime": 300, "loggers": [{{"name": "kea-dhcp4", "severity": "INFO"}}],
        "lease-database": {{"type": "memfile", "persist": true, "name": "{leases}", "lfc-interval": 1}},
        {pasted("kea")},
        "subnet4": [{{"id": 1, "subnet": "{SUBNET}/24", "pools": [{{"pool": "{ADDRESS} - {ADDRESS}"}}]}}]}}}}""")
    start("server", "kea-dhcp4", "-c", path, log=os.path.join(folder, "server.log"), KEA_PIDFILE_DIR=folder,
          KEA_LOCKFILE_DIR="none", KEA_DHCP_DATA_DIR=folder, KEA_LOG_FILE_DIR=folder)
    wait_for("kea-dhcp4", lambda: "DHCP4_STARTED" in read(os.path.join(folder, "server.log")))


def start_dhcpd(folder, leases):
    path = write(os.path.join(folder, "server.conf"), "authoritative; ping-check false; default-lease-time 300;\n" + pasted("isc-dhcpd") +
                 f"subnet {SUBNET} netmask 255.255.255.0 {{ range {ADDRESS}; }}\n")
    write(leases, "")
    start("server", "dhcpd", "-4", "-f", "--no-pid", "-cf", path, "-lf", leases, "br0", log=os.path.join(folder, "server.log"))
    wait_for("dhcpd", lambda: "Sending on   Socket/fallback" in read(os.path.join(folder, "server.log")))


# --- clients: each gives its address back when it is ended ------------------------------------------------------------------------

def start_udhcpc(folder, space, name, out):
    process = start(space, "udhcpc", "-i", "eth0", "-f", "-R", "-s", os.path.join(folder, "script.sh"), "-x", "hostname:" + name,
                    log=os.path.join(folder, space + ".log"), OUT=out)
    return lambda: end(process)


def start_dhclient(folder, space, name, out):
    asked = f'send fqdn.fqdn "{name}"; request dhcp6.name-servers;' if SIX else f'send host-name "{name}"; request domain-name-servers;'
    config = write(os.path.join(folder, space + ".conf"), asked)
    common = ["dhclient", *(["-6", "-D", "LL"] if SIX else ["-4"]), "-cf", config, "-sf", os.path.join(folder, "script.sh"),
              "-lf", os.path.join(folder, space + ".lease"),
              "-pf", os.path.join(folder, space + ".pid"), "-e", "OUT=" + out]
    process = start(space, *common, "-d", "eth0", log=os.path.join(folder, space + ".log"))
    return lambda: (run(*inside(space, *common, "-r", "eth0")), end(process))


SERVERS = {"dnsmasq": ("dnsmasq", start_dnsmasq, "udhcpc", start_udhcpc, UDHCPC),
           "kea": ("kea-dhcp4", start_kea, "dhclient", start_dhclient, DHCLIENT),
           "isc-dhcpd": ("dhcpd", start_dhcpd, "udhcpc", start_udhcpc, UDHCPC),
           "dnsmasq-6": ("dnsmasq", start_dnsmasq, "dhclient", start_dhclient, DHCLIENT)}


def clients(folder):
    said = run(os.path.join(BUILD, "sundew"), "--control", os.path.join(folder, "control.sock"), "clients", "--json").stdout
    return {c["mac"]: (c["hostname"], c["address"], c["hits"], c["families"]) for c in json.loads(said)}


def infect(folder, space):
    """The machine gets its address by DHCP and looks the name up as any program does. Gives what ends the DHCP client."""
    _, name = MACHINES[space]
    out = os.path.join(folder, space + ".ip")
    release = SERVERS[KIND][3](folder, space, name, out)
    wait_for("a lease", lambda: read(out).strip() == ADDRESS)
    found = run(*inside(space, sys.executable, "-c", "import socket; print(socket.gethostbyname('c2.evil.example'))")).stdout
    assert found.strip() == "127.0.0.3", found
    return release


def test(folder):
    _, start_server, _, _, script = SERVERS[KIND]
    os.chmod(write(os.path.join(folder, "script.sh"), script), 0o755)
    build_network()
    start_sundewd(folder)
    start_server(folder, os.path.join(folder, "leases"))
    release = infect(folder, "one")
    expected = {MACHINES["one"][0]: (MACHINES["one"][1], ADDRESS, 1, ["Emotet"])}
    wait_for("the first machine", lambda: clients(folder) == expected)
    if KIND == "kea":
        wait_for("a clean-up", lambda: os.path.exists(os.path.join(folder, "leases.2")))
    release()
    infect(folder, "two")
    expected[MACHINES["two"][0]] = (MACHINES["two"][1], ADDRESS, 1, ["Emotet"])
    wait_for("both machines: " + str(clients(folder)), lambda: clients(folder) == expected)
    # An address that no DHCP server gave: the kernel knows its MAC address, another lease of that the host name.
    run(*inside("two", "ip", "addr", "add", f"{OTHER}/{LENGTH}", "dev", "eth0", *(["nodad"] if SIX else [])))
    ask = inside("two", "dig", "-b", OTHER, "@" + SERVER, "c2.evil.example")
    wait_for("the other address", lambda: run(*ask) and clients(folder)[MACHINES["two"][0]][:2] == (MACHINES["two"][1], OTHER))


def main():
    server, _, client, _, _ = SERVERS[KIND]
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "dig", server, client))):
        print(f"needs root, iproute2, dig, {server} and {client}")
        return SKIP
    if run("ip", "netns", "add", NAME + "probe", check=False).returncode != 0:
        print("network namespaces can't be made here")
        return SKIP
    run("ip", "netns", "del", NAME + "probe", check=False)
    folder = tempfile.mkdtemp(prefix="sundew-lease-")
    try:
        test(folder)
    except Exception:
        for log in ("sundewd.log", "server.log", "leases", "one.log", "two.log"):
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
