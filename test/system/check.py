#!/usr/bin/env python3
"""sundewd --check: every fault of configuration and policy files in one go, by place; exit 0 or 1. Usage: check.py BUILD"""
import os
import subprocess
import sys
import tempfile
import unittest

SUNDEWD = os.path.join(sys.argv.pop(1), "sundewd")


class Check(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.put("sundew.json", '{"zones": [{"name": "a", "source": "a.json"}]}')

    def tearDown(self):
        self.folder.cleanup()

    def put(self, name, text):
        with open(os.path.join(self.folder.name, name), "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def check(self, *arguments):
        """(exit code, faults as 'file:line:column: path' and messages); nothing else is printed."""
        done = subprocess.run([SUNDEWD, *(arguments or ("-c", "sundew.json")), "--check"], cwd=self.folder.name, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
        places, messages = [], []
        for line in done.stdout.splitlines():
            place, path, message = line.split(": ", 2)
            places.append(f"{os.path.basename(place)}: {path}")
            messages.append(message)
        return done.returncode, places, messages

    def test_sound(self):
        self.put("a.json", '{"rules": ["a.example", {"ip": "192.0.2.0/24"}, {"client": "10.0.0.1", "action": "passthru"}]}')
        self.assertEqual(self.check(), (0, [], []))

    def test_embedded(self):
        if os.path.exists("/etc/sundew/sundew.json"):
            self.skipTest("there is a configuration in /etc/sundew")
        self.assertEqual(self.check("--check"), (0, [], []))

    def test_everything_at_once(self):
        self.put("sundew.json", '{\n "lisen": [],\n "zones": [\n  {"name": "a", "source": "a.json", "refesh": 1},\n'
                                '  {"name": "own", "rules": ["fine.example",\n    "bad..example"]},\n'
                                '  {"name": "gone", "source": "gone.json"}, {"name": "cut", "source": "cut.json"}]\n}')
        self.put("a.json", '{"rules": [\n "x..y",\n {"domain": "c.example", "action": "cname"},\n {"ip": "10.0.0.1/8"}, "fine.example",\n'
                           ' {"domain": "d.example", "action": "local", "records": ["CNAME e.example."]}]}')
        self.put("cut.json", '{"rules": ["fine.example"')
        code, places, messages = self.check()
        self.assertEqual(code, 1)
        self.assertEqual(sorted(places), ["a.json:2:2: rules[0]", "a.json:3:2: rules[1]", "a.json:4:9: rules[2].ip", "a.json:5:57: rules[4].records[0]", "cut.json:1:26: .",
                                          "gone.json:1:1: .", "sundew.json:2:2: lisen", "sundew.json:4:37: zones[0].refesh",
                                          "sundew.json:6:5: zones[1].rules[1]"])
        self.assertEqual(messages[0], 'unknown key; did you mean "listen"?')
        self.assertIn("without a target", messages[places.index("a.json:3:2: rules[1]")])

    def test_every_fault_has_its_path(self):
        """Those that only show when zones are put together, too; all of them."""
        self.put("sundew.json", '{"zones": [{"name": "a", "source": "a.json"}, {"name": "own", "rules": [\n'
                                ' {"domain": "b.example", "action": "cname"}]},\n'
                                ' {"name": "head", "source": "head.jsonl"}, {"name": "feodo", "source": "feodo.json", "format": "feodo"},\n'
                                ' {"name": "stix", "source": "stix.json", "format": "stix"}]}')
        self.put("a.json", '{"rules": [' + ",\n".join(['{"domain": "c.example", "action": "cname"}'] * 1500) + "]}")
        self.put("head.jsonl", '"fine.example"\n{"domain": "d.example", "action": "cname"}\n')
        self.put("feodo.json", '[{"ip_address": "192.0.2.1"},\n 7]')
        self.put("stix.json", '{"type": "bundle", "objects": [{"type": "identity", "id": "identity--1"},\n 7]}')
        code, places, messages = self.check()
        self.assertEqual(code, 1)
        self.assertEqual(sorted(place for place in places if not place.startswith("a.json")),
                         ["feodo.json:2:2: [1]", "head.jsonl:2:1: .", "stix.json:2:2: objects[1]",
                          "sundew.json:2:2: zones[1].rules[0]"])
        self.assertEqual(sum(place.startswith("a.json") for place in places), 1500)
        self.assertIn("a.json:1500:1: rules[1499]", places)

    def test_not_json(self):
        self.put("sundew.json", '{"zones": [,]}')
        self.assertEqual(self.check(), (1, ["sundew.json:1:12: zones"], ["not JSON: a value is expected here"]))
        self.assertEqual(self.check("-c", "nowhere.json")[:2], (1, ["nowhere.json:1:1: ."]))

    def test_terminal_is_safe(self):
        self.put("sundew.json", b'{"\\u001b[31mred\\u009b": 1}')
        code, places, messages = self.check()
        self.assertEqual((code, len(places)), (1, 1))
        self.assertTrue((places[0] + messages[0]).isprintable())

    def test_usage(self):
        for arguments in (["--chekc"], ["-c"]):
            done = subprocess.run([SUNDEWD, *arguments], capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual(done.returncode, 2)

    def test_start_is_refused(self):
        self.put("sundew.json", '{"lisen": []}')
        done = subprocess.run([SUNDEWD, "-c", "sundew.json"], cwd=self.folder.name, capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('sundew.json:1:2: lisen: unknown key; did you mean "listen"?', done.stderr)


if __name__ == "__main__":
    unittest.main()
