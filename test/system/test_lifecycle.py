"""The daemon's life: command line, --check, start, reload under load, signals, the end, and the feeder's death."""
import json, os, resource, shutil, signal, socket, subprocess, threading, time, unittest, unittest.mock

import sundew_test
from sundew_test import Message, frame, program, query, read_frame, wait_for


def script(name, kind):
    if name.startswith("slow"):
        return {"answer": [(name, "A", 0, "192.0.2.2")], "delay": 0.4}
    return {"answer": [(name, "A", 300, "192.0.2.1")]} if kind == "A" else {}


def run(*arguments, **options):
    return subprocess.run([program("sundewd"), *arguments], capture_output=True, text=True, timeout=sundew_test.PATIENCE, **options)


class Load(threading.Thread):
    """Asks at a steady rate from one thread and hears from another; lost() names what was never answered."""

    def __init__(self, sundewd, name, rate=200):
        super().__init__(daemon=True)
        self.name_asked, self.rate, self.over = name, rate, False
        self.sent, self.heard, self.slowest = {}, {}, 0.0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", sundewd.port))
        self.socket.settimeout(0.2)
        self.listener = threading.Thread(target=self.hear, daemon=True)
        self.listener.start()
        self.start()

    def run(self):
        ident = 0
        while not self.over:
            self.sent[ident] = time.monotonic()
            self.socket.send(query(self.name_asked, ident=ident))
            ident += 1
            time.sleep(1 / self.rate)

    def hear(self):
        while not self.over or len(self.heard) < len(self.sent):
            try:
                answer = Message(self.socket.recv(4096))
            except TimeoutError:
                if self.over:
                    return
                continue
            self.heard[answer.id] = answer
            self.slowest = max(self.slowest, time.monotonic() - self.sent[answer.id])

    def stop(self):
        self.over = True
        self.join()
        self.listener.join()
        self.socket.close()

    def lost(self):
        return [i for i in self.sent if i not in self.heard]


class CommandLine(sundew_test.Case):
    def write(self, **config):
        path = os.path.join(self.folder, "sundew.json")
        with open(path, "w") as f:
            json.dump(config, f, indent=1)
        return path

    def test_usage(self):
        self.assertEqual(run("--version").returncode, 0)
        self.assertIn("sundewd", run("--version").stdout)
        self.assertEqual(run("--help").returncode, 0)
        for wrong in (["--nonsense"], ["-c"], ["stray"]):
            self.assertEqual(run(*wrong).returncode, 2, wrong)

    def test_check_names_every_fault(self):
        path = self.write(listen=["dns://127.0.0.1:99999"], workres=2, zones=[{"name": "a"}], cache={"size": "lots"})
        done = run("-c", path, "--check")
        faults = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(path + ":")]
        self.assertEqual(done.returncode, 1)
        self.assertGreaterEqual(len(faults), 4, done.stdout)
        self.assertIn("workers", "".join(faults))  # did you mean
        for fault in faults:
            self.assertRegex(fault, r":\d+:\d+: \S+: .+")

    def test_check_reads_policy_files(self):
        with open(os.path.join(self.folder, "p.json"), "w") as f:
            f.write('{"zone": "p", "rules": [\n"good.example",\n{"domain": "b..ad"},\n{"ip": "300.1.1.1"}]}')
        path = self.write(zones=[{"name": "p", "source": "p.json"}])
        done = run("-c", path, "--check")
        text = done.stdout + done.stderr
        self.assertEqual(done.returncode, 1, text)
        self.assertIn("p.json:3:", text)
        self.assertIn("p.json:4:", text)
        with open(os.path.join(self.folder, "p.json"), "w") as f:
            f.write('{"zone": "p", "rules": ["good.example"]}')
        done = run("-c", path, "--check")
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_faulty_start(self):
        done = run("-c", self.write(listen=["dns://127.0.0.1:0x"], worker=1))
        self.assertEqual(done.returncode, 1)
        self.assertGreaterEqual(len(done.stderr.splitlines()), 2)
        self.assertEqual(run("-c", "/nonexistent/sundew.json").returncode, 1)

    def test_embedded_default(self):
        """No file: cnc.sundew.test is answered. Another may have the port; then only the clear message is seen."""
        if os.path.exists("/etc/sundew/sundew.json"):
            self.skipTest("this system has a configuration")
        log = os.path.join(self.folder, "log")
        environment = {**os.environ, "XDG_STATE_HOME": self.folder, "XDG_RUNTIME_DIR": self.folder, "HOME": self.folder}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.bind(("127.0.0.1", 5300))
            except OSError:
                self.skipTest("port 5300 is taken")
        if os.geteuid() == 0 and os.path.exists("/run/sundew/control.sock"):
            self.skipTest("a daemon runs on this system")
        sundewd = sundew_test.Process([program("sundewd")], log, env=environment)
        self.addCleanup(sundewd.end)
        wait_for("ready", lambda: "ready:" in sundewd.text() or sundewd.process.poll() is not None)
        answer = sundew_test.udp_exchange(("127.0.0.1", 5300), query("cnc.sundew.test"))
        self.assertEqual([(r.text, r.ttl) for r in Message(answer).answer], [("127.0.0.3", 2147483647)])


class Life(sundew_test.Case):
    def setUp(self):
        super().setUp()
        self.upstream = self.scripted(script)

    def test_addresses_in_use(self):
        first = self.daemon(self.upstream)
        second = self.daemon(self.upstream, ready=False, listen=first.config["listen"])
        self.assertEqual(second.wait(), 1)
        self.assertIn(f"127.0.0.1:{first.port}", second.text())
        third = self.daemon(self.upstream, ready=False, control=first.control)
        self.assertEqual(third.wait(), 1)
        self.assertIn("control", third.text())
        fourth = self.daemon(self.upstream, ready=False, state_dir=first.config["state_dir"])
        self.assertEqual(fourth.wait(), 1)
        self.assertIn("another sundewd", fourth.text())
        self.assertEqual(first.json("status")["pid"], first.pid)

    def test_restart_after_kill(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        sundewd.kill()
        sundewd.restart()  # the dead one's socket is replaced, its snapshot mapped
        self.assertNotIn("waiting", sundewd.text())
        self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])
        self.assertEqual(sundewd.tool("status").returncode, 0)

    def test_reload_under_load(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        load = Load(sundewd, "cached.example")
        wait_for("load", lambda: len(load.heard) > 50)
        self.assertEqual(sundewd.ask("new.example").addresses(), ["192.0.2.1"])  # in the cache now
        sundewd.write_rules(["evil.example", "new.example"])
        sundewd.signal(signal.SIGHUP)
        wait_for("the new rule", lambda: sundewd.ask("new.example").addresses() == ["127.0.0.3"])
        for i in range(5):
            sundewd.write_rules(["evil.example", f"rule{i}.example"])
            self.assertEqual(sundewd.tool("reload").returncode, 0)
            self.assertEqual(sundewd.ask(f"rule{i}.example").addresses(), ["127.0.0.3"])  # on the very next query
        self.assertEqual(sundewd.ask("new.example").addresses(), ["192.0.2.1"])
        load.stop()
        self.assertEqual(load.lost(), [])

    def test_removed_zones_leave_nothing(self):
        """What was kept of a zone, one file or many, goes with it; what others put there stays."""
        many, never = self.sub_folder("many"), os.path.join(self.folder, "never.txt")
        for path in (os.path.join(many, "a.json"), os.path.join(many, "b.json")):
            with open(path, "w") as f:
                json.dump(["many.example"], f)
        with open(never, "w") as f:
            f.write("good.example\n")
        zones = [{"name": "local", "source": "local.json"}, {"name": "odd name/x", "source": "local.json"},
                 {"name": "many", "source": many + "/*.json"}]
        sundewd = self.daemon(rules=["evil.example"], zones=zones, policy={"never_block": [never]})
        folder = os.path.join(sundewd.config["state_dir"], "zones")
        kept = {"local.json", "local.rules"}
        self.assertEqual(len(os.listdir(folder)), 2 + 2 + 2 + 2)
        for name in ("mine.json", "many.d/mine.rules", "notes"):
            with open(os.path.join(folder, name), "w") as f:
                f.write("{}")
        sundewd.write_config(zones=[{"name": "local", "source": "local.json"}, {"name": "bad"}])
        self.assertEqual(sundewd.tool("reload").returncode, 1)
        self.assertEqual(len(os.listdir(folder)), 2 + 2 + 2 + 2 + 2)
        sundewd.write_config(zones=zones[:1], policy={})
        self.assertEqual(sundewd.tool("reload").returncode, 0)
        wait_for("the sweep", lambda: set(os.listdir(folder)) == kept | {"mine.json", "notes", "many.d"})
        self.assertEqual(os.listdir(os.path.join(folder, "many.d")), ["mine.rules"])
        for name in ("many", "odd name/x", f".never/{never}"):
            wait_for("a word", lambda: f"zone {name} is no longer configured" in sundewd.text())

    def test_faulty_reload_is_refused(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        good = dict(sundewd.config)
        sundewd.write_config(lisen=["dns://127.0.0.1:1"], workers="many")
        sundewd.signal(signal.SIGHUP)
        wait_for("the faults", lambda: "refused" in sundewd.text())
        self.assertGreaterEqual(sundewd.text().count(sundewd.path + ":"), 2)
        done = sundewd.tool("reload")
        self.assertEqual(done.returncode, 1)
        self.assertIn("lisen", done.stderr)
        self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])
        sundewd.config = good
        sundewd.write_config()
        self.assertEqual(sundewd.tool("reload").returncode, 0)

    def test_listen_changes(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        old, new = sundewd.port, sundew_test.free_port()
        sundewd.write_config(listen=[f"dns://127.0.0.1:{old}", f"dns://127.0.0.1:{new}"])
        self.assertEqual(sundewd.tool("reload").returncode, 0)
        for port in (old, new):
            sundewd.port = port
            for tcp in (False, True):
                self.assertEqual(sundewd.ask("evil.example", tcp=tcp).addresses(), ["127.0.0.3"])
        sundewd.write_config(listen=[f"dns://127.0.0.1:{new}"])
        self.assertEqual(sundewd.tool("reload").returncode, 0)
        self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])
        sundewd.port = old
        self.assertIsNone(sundewd.ask("evil.example", timeout=0.5))
        taken = self.daemon(self.upstream)
        sundewd.write_config(listen=[f"dns://127.0.0.1:{new}", f"dns://127.0.0.1:{taken.port}"])
        self.assertEqual(sundewd.tool("reload").returncode, 1)  # refused whole
        sundewd.port = new
        self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])

    def test_end_answers_what_is_in_flight(self):
        sundewd = self.daemon(self.upstream)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, sundewd.connect() as tcp:
            udp.settimeout(4)
            tcp.settimeout(4)
            udp.connect(("127.0.0.1", sundewd.port))
            udp.send(query("slow-udp.example", ident=1))
            tcp.sendall(frame(query("slow-tcp.example", ident=2)))
            wait_for("the questions", lambda: len(self.upstream.asked) >= 2)
            began = time.monotonic()
            sundewd.signal(signal.SIGTERM)
            for answer in (Message(udp.recv(4096)), Message(read_frame(tcp))):
                self.assertEqual(answer.addresses(), ["192.0.2.2"], answer)
            self.assertEqual(sundewd.wait(), 0)
            self.assertLess(time.monotonic() - began, 5)
        self.assertFalse(os.path.exists(sundewd.control))

    def test_end_does_not_wait_for_a_dead_upstream(self):
        silent = self.scripted(lambda name, kind: None)
        sundewd = self.daemon(silent)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", sundewd.port))
            udp.send(query("never.example"))
            wait_for("the question", lambda: silent.asked)
            began = time.monotonic()
            sundewd.signal(signal.SIGINT)
            self.assertEqual(sundewd.wait(), 0)
            self.assertLess(time.monotonic() - began, 5)

    def test_systemd_is_told(self):
        path = os.path.join(self.folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s, unittest.mock.patch.dict(os.environ, NOTIFY_SOCKET=path):
            s.bind(path)
            s.settimeout(sundew_test.PATIENCE)
            sundewd = self.daemon(self.upstream)
            self.assertIn(b"READY=1\n", s.recv(4096))
            sundewd.signal(signal.SIGHUP)
            self.assertRegex(s.recv(4096), rb"RELOADING=1\nMONOTONIC_USEC=\d+\n")
            self.assertIn(b"READY=1\n", s.recv(4096))
            sundewd.signal(signal.SIGTERM)
            self.assertIn(b"STOPPING=1\n", s.recv(4096))
            sundewd.wait()

    def test_stop_while_reloading(self):
        for delay in (0, 0.01, 0.05):
            sundewd = self.daemon(self.upstream, rules=[f"r{i}.example" for i in range(20000)])
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(sundewd.control)
                s.sendall(b'{"command":"reload"}\n{"command":"zones"}\n')
                time.sleep(delay)
                sundewd.signal(signal.SIGTERM)
                self.assertEqual(sundewd.wait(), 0)

    def test_stop_while_starting(self):
        sundewd = self.daemon(self.upstream, rules=[f"r{i}.example" for i in range(50000)], ready=False)
        wait_for("the beginning", lambda: "waiting" in sundewd.text())
        sundewd.signal(signal.SIGHUP)
        sundewd.signal(signal.SIGTERM)
        self.assertEqual(sundewd.wait(), 0)

    def test_closed_descriptors(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"], ready=False)
        sundewd.end()
        sundewd.arguments = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', program("sundewd"), sundewd.path]
        sundewd.launch()
        wait_for("an answer", lambda: (lambda a: a and a.addresses() == ["127.0.0.3"])(sundewd.ask("evil.example", timeout=0.2)))
        self.assertEqual(len(wait_for("a feeder", sundewd.feeder_pid)), 1)

    def test_descriptors_are_as_many_as_may_be(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"], ready=False)
        sundewd.end()
        sundewd.arguments = ["sh", "-c", 'ulimit -S -n 100; ulimit -H -n 4000; exec "$0" -c "$1"', program("sundewd"), sundewd.path]
        sundewd.launch()
        wait_for("the limits", lambda: resource.prlimit(sundewd.pid, resource.RLIMIT_NOFILE) == (4000, 4000))

    def test_stop_command(self):
        sundewd = self.daemon(self.upstream)
        self.assertEqual(sundewd.tool("stop").returncode, 0)
        self.assertEqual(sundewd.wait(), 0)
        self.assertEqual(sundewd.tool("status").returncode, 3)

    def test_feeder_dies(self):
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        for _ in range(2):
            old = wait_for("a feeder", sundewd.feeder_pid)
            os.kill(old[0], signal.SIGKILL)
            self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])
            wait_for("another feeder", lambda: sundewd.feeder_pid() not in ([], old))
        sundewd.write_rules(["evil.example", "later.example"])
        wait_for("reload", lambda: sundewd.tool("reload").returncode == 0)
        self.assertEqual(sundewd.ask("later.example").addresses(), ["127.0.0.3"])

    def test_no_feeder(self):
        """An installation that lacks the feeder's program is told so once, and comes to life when it is there."""
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        sundewd.end()
        sundewd.arguments[0] = os.path.join(self.sub_folder("alone"), "sundewd")
        shutil.copy(program("sundewd"), sundewd.arguments[0])
        sundewd.launch()
        wait_for("a word of it", lambda: "sundew-feeder can't be started" in sundewd.text())
        self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])  # of the policy that was compiled before
        time.sleep(1.2)  # another try
        os.symlink(program("sundew-feeder"), os.path.join(os.path.dirname(sundewd.arguments[0]), "sundew-feeder"))
        wait_for("a feeder", lambda: "could be started" in sundewd.text())
        self.assertEqual(sundewd.text().count("sundew-feeder can't be started"), 1)
        self.assertNotIn("the feeder has ended", sundewd.text())

    def test_kill_and_start_at_any_moment(self):
        """Whatever the moment: the policy in force afterwards is a whole one."""
        sundewd = self.daemon(self.upstream, rules=["evil.example"])
        for i in range(6):
            sundewd.write_rules(["evil.example", f"r{i}.example"])
            sundewd.signal(signal.SIGHUP)
            time.sleep(0.013 * i)
            sundewd.kill()
            sundewd.restart()
            self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])


if __name__ == "__main__":
    unittest.main()
