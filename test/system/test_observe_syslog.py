"""Hits as syslog messages, read by a real rsyslogd through the configuration in doc/examples, over each transport; and the hit log
turned over by a real logrotate."""
import json, os, re, shutil, socket, subprocess, threading, unittest

from sundew_test import TOP, Case, Process, encode_name, free_port, query, wait_for

FAMILY = 'a"] [x y="1"] \\" \\] \u00e4\U0001f9a0 \n<0>\t\x1b[31m\x7f\u009b1m\u202e'
HOSTNAME = 'lap"top]7\\'
NAME = b'\x0ea"]\\ \n\xff\x00.<13>1\x04evil\x07example\x00'
MAC = "52:54:00:12:34:56"


def shown(text):
    """What syslog makes of a value in the log: what hides or controls comes as names have it, octet by octet."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u202e]", lambda found: "".join(f"\\{octet:03d}" for octet in found[0].encode()), text)


@unittest.skipUnless(shutil.which("rsyslogd"), "rsyslogd is not installed")
class Syslog(Case):
    def rsyslogd(self):
        folder = self.sub_folder("rsyslog")
        self.unix, self.udp, self.tcp = os.path.join(folder, "log"), free_port(), free_port()
        self.out, config = os.path.join(folder, "out"), os.path.join(folder, "rsyslog.conf")
        with open(os.path.join(TOP, "doc/examples/sundew-rsyslog.conf")) as f:
            text = f.read()
        for there, here in (("/run/sundew/syslog.sock", self.unix), ('port="514"', f'port="{self.udp}"'),
                            ('port="601"', f'port="{self.tcp}"'), ("/var/log/sundew/syslog.jsonl", self.out),
                            ('load="imuxsock"', 'load="imuxsock" sysSock.use="off"')):
            self.assertIn(there, text)
            text = text.replace(there, here)
        with open(config, "w") as f:
            f.write(f'global(workDirectory="{folder}")\n{text}')
        self.collector = Process(["rsyslogd", "-n", "-f", config, "-i", os.path.join(folder, "pid")],
                                 os.path.join(folder, "rsyslogd.log"))
        self.addCleanup(lambda: self.collector.end())
        wait_for("rsyslogd", lambda: self.listens() or self.collector.process.poll() is not None)

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.tcp), 1).close()
        except OSError:
            return False
        return os.path.exists(self.unix)

    def messages(self, count):
        def check():
            if not os.path.exists(self.out):
                return None
            with open(self.out) as f:
                lines = f.read().splitlines()
            return [json.loads(line) for line in lines] if len(lines) >= count else None
        return wait_for(f"{count} messages", check)

    def compare(self, message, hit):
        """One message with the line that the log has of it."""
        self.assertEqual(json.loads(message["message"]), hit)
        wanted = {key: shown(str(value)) for key, value in hit.items() if key not in ("ts", "answer")}
        if "answer" in hit: # mmpstrucdata keeps the last of several
            wanted["answer"] = hit["answer"][-1]
        self.assertEqual(json.loads(message["hit"]), wanted)
        self.assertEqual((message["timestamp"], message["app"], message["id"], message["priority"]),
                         (hit["ts"], "sundewd", "hit", "29"))
        self.assertEqual(message["host"], socket.gethostname())
        self.assertEqual(message["pid"], str(self.sundewd.pid))

    def check(self, target):
        leases = os.path.join(self.folder, f"leases-{free_port()}")
        with open(leases, "w") as f:
            f.write(f"{2 ** 31 - 1} {MAC} 127.0.0.1 {HOSTNAME} *\n")
        self.sundewd = self.daemon(
            rules=[{"domain": "evil.example", "family": FAMILY, "reference": 'https://example.org/"]\\', "confidence": 90},
                   {"domain": "data.example", "action": "local", "records": ['300 IN TXT "a\\"]b"', '300 IN TXT "two"']}],
            clients={"leases": [{"format": "dnsmasq", "path": leases}]},
            forward=[{"zone": ".", "to": ["dns://127.0.0.1:9"]}])
        self.sundewd.write_config(log={"hits": self.sundewd.hits_path, "repeat": 0, "syslog": target})
        self.sundewd.restart()
        already = len(self.messages(0)) if os.path.exists(self.out) else 0
        self.sundewd.send(query(".").replace(b"\0\0\1\0\1", NAME + b"\0\1\0\1"))
        self.sundewd.wait_hits(len)
        self.sundewd.ask("data.example", "TXT")
        messages, hits = self.messages(already + 2)[already:], self.sundewd.wait_hits(lambda hits: len(hits) == 2)
        self.assertEqual(hits[0]["hostname"], HOSTNAME)
        for message, hit in zip(messages, hits, strict=True):
            self.compare(message, hit)
        self.assertEqual(hits[0]["qname"].count("\\"), 8, hits[0]["qname"])
        log = self.sundewd.json("status")["log"]
        self.assertEqual((log["syslog_sent"], log["syslog_lost"]), (2, 0))

    def test_unix(self):
        self.rsyslogd()
        self.check(f"unix:{self.unix}")

    def test_udp(self):
        self.rsyslogd()
        self.check(f"udp://127.0.0.1:{self.udp}")

    def test_tcp(self):
        self.rsyslogd()
        self.check(f"tcp://127.0.0.1:{self.tcp}")
        self.collector.end() # the collector starts again: what comes meanwhile waits
        wait_for("rsyslogd's end", lambda: not self.listens())
        self.sundewd.ask("evil.example")
        self.sundewd.wait_hits(lambda hits: len(hits) == 3)
        self.collector.launch()
        self.compare(self.messages(3)[2], self.sundewd.hits()[2])


class Faults(Case):
    def test_a_collector_that_is_gone_costs_nothing_but_is_said(self):
        sundewd = self.daemon(rules=["evil.example"], forward=[{"zone": ".", "to": ["dns://127.0.0.1:9"]}])
        sundewd.write_config(log={"hits": sundewd.hits_path, "repeat": 0, "syslog": f"udp://127.0.0.1:{free_port()}"})
        sundewd.restart()

        def lost():
            self.assertEqual(sundewd.ask("evil.example").addresses(), ["127.0.0.3"])
            return sundewd.json("status")["log"]["syslog_lost"] > 0
        wait_for("a loss", lost)
        wait_for("the complaint", lambda: re.search(r"error: syslog udp://\S+: \d+ lines lost: Connection refused", sundewd.text()))

    def test_the_target_changes_with_the_configuration(self):
        path = os.path.join(self.folder, "log")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as collector:
            collector.bind(path)
            collector.settimeout(20)
            sundewd = self.daemon(rules=["evil.example"], forward=[{"zone": ".", "to": ["dns://127.0.0.1:9"]}])
            sundewd.write_config(log={"hits": None, "repeat": 0, "syslog": f"unix:{path}"})
            sundewd.json("reload")
            sundewd.ask("evil.example")
            self.assertRegex(collector.recv(65536).decode(), r'^<29>1 \S+Z \S+ sundewd \d+ hit \[hit@32473 client="127.0.0.1" [^]]*\] {"ts":.*}$')


@unittest.skipUnless(shutil.which("logrotate") or os.path.exists("/usr/sbin/logrotate"), "logrotate is not installed")
class Logrotate(Case):
    def test_no_line_is_lost(self):
        """The example, but for the paths and whom it signals, while hits keep coming."""
        sundewd = self.daemon(rules=["evil.example"], forward=[{"zone": ".", "to": ["dns://127.0.0.1:9"]}])
        folder, config = self.sub_folder("log"), os.path.join(self.folder, "logrotate")
        sundewd.hits_path = os.path.join(folder, "hits.jsonl")
        sundewd.write_config(log={"hits": sundewd.hits_path, "repeat": 0})
        sundewd.json("reload")
        with open(os.path.join(TOP, "doc/examples/sundew.logrotate")) as f:
            text = f.read()
        self.assertIn("/var/log/sundew/*.jsonl /var/lib/sundew/*.jsonl", text)
        text = text.replace("/var/log/sundew/*.jsonl /var/lib/sundew/*.jsonl", f"{folder}/*.jsonl")
        text, replaced = re.subn(r"^ +systemctl .*$", f"kill -USR1 {sundewd.pid}", text, flags=re.M)
        self.assertEqual(replaced, 1)
        with open(config, "w") as f:
            f.write(text)
        os.chmod(config, 0o644)
        asked, over = [], threading.Event()

        def ask():
            while not over.is_set():
                asked.append(sundewd.ask("evil.example"))
        asker = threading.Thread(target=ask)
        asker.start()
        try:
            for rotations in range(1, 4):
                wait_for("lines", lambda: os.path.exists(sundewd.hits_path) and os.path.getsize(sundewd.hits_path) > 0)
                done = subprocess.run([shutil.which("logrotate") or "/usr/sbin/logrotate", "-f", "-s", os.path.join(self.folder, "state"), config],
                                      capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
        finally:
            over.set()
            asker.join()

        def lines():
            found = 0
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                found += subprocess.run(["zcat", "-f", path], capture_output=True, check=True).stdout.count(b"\n")
            return found
        wait_for("all lines", lambda: lines() == len(asked))
        self.assertEqual(len(os.listdir(folder)), 4)


if __name__ == "__main__":
    unittest.main()
