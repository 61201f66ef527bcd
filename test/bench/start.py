#!/usr/bin/env python3
"""From exec to the first answer by policy: sundewd and its feeder on one core, with rules in JSON lines.

For each count of rules: a start without a snapshot (the lines are read, compiled, published and mapped before the last rule is
answered), a start with one, and a full reload (all files changed, all are read again). Rules as in bench_policy.c: half exact, half
subtree, all with family and confidence, in 20 zones. Called by script/bench-policy.

usage: test/bench/start.py BUILD [RULES...]
"""
import os, random, re, statistics, subprocess, sys, tempfile, time

sys.dont_write_bytecode = True
from kit import CORES, ask, cpu, free_port, table, tree

ZONES = 20
STARTS = 5  # with a snapshot
PATIENCE = 120


class Rules:
    """A file of JSON lines a zone, in a folder that goes with the object."""

    def __init__(self, folder, count):
        chance = random.Random(20261122)
        letters = "abcdefghijklmnopqrstuvwxyz0123456789"
        parts = ["".join(chance.choices(letters, k=2 + i % 3)) for i in range(4096)]
        ends = ("com", "net", "org", "info", "xyz", "top", "com.br", "co.uk")
        self.folder, self.added = folder, 0
        self.names = []  # one a zone
        self.files = [os.path.join(folder, f"zone{zone}.jsonl") for zone in range(ZONES)]
        for zone, path in enumerate(self.files):
            with open(path, "w", encoding="ascii", buffering=1 << 20) as file:
                for i in range(zone, count, ZONES):
                    r = chance.getrandbits(60)
                    name = (f"{parts[r & 4095]}{parts[r >> 12 & 4095]}.{parts[r >> 24 & 4095]}{parts[r >> 36 & 4095]}{i:x}."
                                 f"{ends[r >> 48 & 7]}")
                    file.write(f'{{"domain":"{name}","match":"{"exact" if r >> 51 & 1 else "subtree"}",'
                               f'"family":"Family {i % 300}","confidence":{50 + (r >> 52) % 51}}}\n')
            self.names.append(name)

    def change(self):
        """Adds a rule to every zone."""
        self.added += 1
        self.names = [f"added{self.added}.zone{zone}.example" for zone in range(ZONES)]
        for path, name in zip(self.files, self.names):
            with open(path, "a", encoding="ascii") as file:
                file.write(f'{{"domain":"{name}"}}\n')


class Sundewd:
    """The daemon, on the last core."""

    def __init__(self, build, rules):
        self.build, self.rules = build, rules
        state, self.port = os.path.join(rules.folder, "state"), free_port()
        self.control = os.path.join(state, "control.sock")
        os.makedirs(state, exist_ok=True)
        zones = ",".join(f'{{"name":"zone{i}","source":"{path}"}}' for i, path in enumerate(rules.files))
        config = os.path.join(rules.folder, "sundew.json")
        with open(config, "w", encoding="ascii") as file:
            file.write(f'{{"listen":["dns://127.0.0.1:{self.port}"],"state_dir":"{state}","control":"{self.control}",'
                       f'"workers":1,"http":null,"log":{{"hits":null}},"zones":[{zones}]}}')
        self.log = open(os.path.join(rules.folder, "log"), "w", encoding="utf-8")
        self.began = time.monotonic()
        self.process = subprocess.Popen(["taskset", "-c", str(CORES[-1]), os.path.join(build, "sundewd"), "-c", config],
                                        stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def start(self):
        return self.wait(self.began)

    def wait(self, began):
        """Seconds from `began` until a name of each zone is answered by policy."""
        for name in self.rules.names:
            while ask(self.port, name, 0.02) != "127.0.0.3":
                if time.monotonic() - began > PATIENCE or self.process.poll() is not None:
                    sys.exit(f"no answer by policy: see what sundewd says:\n{open(self.log.name, encoding='utf-8').read()}")
                time.sleep(0.002)
        return time.monotonic() - began

    def reload(self):
        self.rules.change()
        began = time.monotonic()
        subprocess.run([os.path.join(self.build, "sundew"), "--control", self.control, "reload"], check=True,
                       stdout=subprocess.DEVNULL)
        return self.wait(began)

    def memory(self, key):
        """Megabytes: of the daemon, and of its feeder."""
        return [next((int(value) / 1024 for value in re.findall(rf"^{key}:\s+(\d+)", open(f"/proc/{pid}/status").read(), re.M)), 0)
                for pid in (tree(self.process.pid) + [0])[:2] if pid]


def measure(build, count):
    warm = []
    with tempfile.TemporaryDirectory(prefix="sundew-bench-") as folder:
        rules = Rules(folder, count)
        octets = sum(map(os.path.getsize, rules.files))
        with Sundewd(build, rules) as sundewd:
            cold, used = sundewd.start(), cpu(sundewd.process.pid)
            reload = sundewd.reload()
            peak = sundewd.memory("VmHWM")[1]
        for _ in range(STARTS):
            with Sundewd(build, rules) as sundewd:
                warm.append(sundewd.start())
                resident = sundewd.memory("VmRSS")[0]
    return [f"{count}", f"{octets / count:.0f}", f"{cold:.2f}", f"{used / count * 1e6:.2f}", f"{peak:.0f}", f"{reload:.2f}",
            f"{statistics.median(warm) * 1000:.0f}", f"{resident:.0f}"]


def main():
    build, counts = sys.argv[1], [int(count) for count in sys.argv[2:]] or [1_000_000, 10_000_000]
    table("From exec to the first answer by policy, sundewd and feeder on one core, 1 worker, rules in JSON lines",
          ["rules", "octets a line", "without a snapshot s", "CPU us a rule", "feeder's peak MB", "reload s", "with one ms",
           "sundewd's Rss MB"], [measure(build, count) for count in counts], True)


if __name__ == "__main__":
    main()
