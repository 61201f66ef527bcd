#!/usr/bin/env python3
"""What `meson install` puts where, and that the programs still find each other there. Usage: install.py BUILD"""
import os
import subprocess
import sys
import tempfile

BUILD = sys.argv[1]
PREFIX = subprocess.run(["meson", "introspect", "--buildoptions", BUILD], capture_output=True, text=True, check=True).stdout
PREFIX = next(o["value"] for o in __import__("json").loads(PREFIX) if o["name"] == "prefix")
WANTED = {
    "sbin/sundewd": 0o755, "bin/sundew": 0o755, "libexec/sundew-feeder": 0o755,
    "share/man/man1/sundew.1": 0o644, "share/man/man5/sundew.json.5": 0o644, "share/man/man5/sundew-policy.5": 0o644,
    "share/man/man8/sundewd.8": 0o644, "lib/systemd/system/sundewd.service": 0o644, "lib/sysusers.d/sundew.conf": 0o644,
    "share/doc/sundew/examples/sundew.json": 0o644,
}

with tempfile.TemporaryDirectory() as folder:
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", folder], check=True)
    top = folder + PREFIX
    for path, mode in WANTED.items():
        found = os.stat(os.path.join(top, path)).st_mode & 0o777
        assert found == mode, f"{path}: mode {found:o}"
    logrotate = [os.path.join(at, n) for at, _, names in os.walk(folder) for n in names if at.endswith("logrotate.d")]
    assert len(logrotate) == 1, logrotate
    with open(os.path.join(top, "lib/systemd/system/sundewd.service"), encoding="ascii") as file:
        unit = file.read()
    assert f"ExecStart={PREFIX}/sbin/sundewd\n" in unit and "@" not in unit.replace("@sbindir@", "@"), unit
    for program in "sbin/sundewd", "bin/sundew", "libexec/sundew-feeder":
        said = subprocess.run([os.path.join(top, program), "--version"], capture_output=True, text=True, check=True).stdout
        assert said.split()[0] == os.path.basename(program), said
print("installed files are where they belong")
