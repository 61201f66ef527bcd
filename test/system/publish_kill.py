#!/usr/bin/env python3
"""kill -9 at any moment of publishing leaves the old policy or the new one, whole. Usage: publish_kill.py SUNDEW-FEEDER [ROUNDS]"""
import contextlib
import json
import os
import queue
import random
import subprocess
import sys
import time

from feeder_kit import Feeder, Folder, rules_in

program, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
folder = Folder()
state = folder / "state"
seed = int(time.time())
print("seed", seed)
chance = random.Random(seed)
before = None
outcomes = {"old": 0, "new": 0}
try:
    for number in range(rounds):
        names = {f"r{number}-{i}.example" for i in range(200)}
        with open(folder / "rules.json", "w", encoding="ascii") as file:
            json.dump({"rules": sorted(names)}, file)
        feeder = Feeder(program)
        feeder.serial = number
        feeder.send(type="config", path=folder / "sundew.json", serial=number, text=json.dumps({
            "listen": ["dns://127.0.0.1:5300"], "state_dir": state, "zones": [{"name": "z", "source": "rules.json"}]}))
        if before is None:
            feeder.wait("published")
        else:
            with contextlib.suppress(queue.Empty):
                feeder.wait("published", chance.uniform(0.005, 0.12))
        feeder.kill()
        try:
            now = set(rules_in(program, state))
        except subprocess.CalledProcessError as error:
            sys.exit(f"round {number}: no policy in force: {error.stderr}")
        if now not in (before, names):
            sys.exit(f"round {number}: a mixture is in force")
        outcomes["new" if now == names else "old"] += 1
        before = now
    print(rounds, "rounds:", outcomes)
    leftovers = [name for name in os.listdir(state) if name not in ("policy.snapshot", "policy.snapshot.tmp", "seed", "seed.tmp", "zones")]
    if leftovers:
        sys.exit(f"left behind: {leftovers}")
finally:
    folder.remove()
