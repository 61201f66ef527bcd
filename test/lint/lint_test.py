#!/usr/bin/env python3
"""Breaks every rule of lint.py once, in a tree of its own, and sees the fault; a clean tree gives none."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lint  # noqa: E402


def function(name, lines):
    return f"int {name}(void) {{\n" + "    (void)0;\n" * (lines - 3) + "    return 0;\n}\n"


class Broken(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = self.folder.name
        for name in lint.SOURCE_FOLDERS + ["doc", "script"]:
            os.mkdir(os.path.join(self.root, name))
        self.put("policy/a.h", "/* policy/a.h: x */\nint a(void);\n")

    def tearDown(self):
        self.folder.cleanup()

    def put(self, path, text):
        with open(os.path.join(self.root, path), "w", encoding="utf-8") as file:
            file.write(text)

    def expect(self, check, *wanted):
        faults = list(check(self.root))
        self.assertEqual(len(faults), len(wanted), faults)
        for fault, part in zip(faults, wanted):
            self.assertIn(part, fault)

    def test_arrows(self):
        self.put("config/b.h", '/* config/b.h: x */\n#include "policy/a.h"\n')
        self.expect(lint.check_arrows)
        self.put("policy/a.h", '/* policy/a.h: x */\n#include "config/b.h"\n')
        self.put("feeds/c.c", '/* feeds/c.c: x */\n#include "resolver/d.h"\n')
        self.expect(lint.check_arrows, "feeds/c.c:2: feeds/ may not include resolver/", "policy/a.h:2: policy/ may not include config/")

    def test_headers(self):
        self.expect(lint.check_headers)
        self.put("hits/b.h", "/* hits/b.h: x */\nuint32_t b(void);\n")
        self.put("hits/c.h", "/* hits/c.h: x */\nstruct twice { int a; };\n")
        self.expect(lint.check_headers, "hits/b.h: does not compile alone", "hits/c.h: does not compile alone")

    def test_sizes(self):
        table = "static const int table[] = {\n" + "    1,\n" * 200 + "};\n"
        self.put("policy/b.c", "/* policy/b.c: x */\n" + function("fits", 100) + table)
        self.expect(lint.check_sizes)
        self.put("policy/b.c", "/* policy/b.c: x */\n" + function("huge", 101))
        self.expect(lint.check_sizes, "policy/b.c:2: huge has 101 lines")
        self.put("policy/b.c", "/* policy/b.c: x */\n" + "int x;\n" * 800)
        self.expect(lint.check_sizes, "801 lines")

    def test_text(self):
        self.expect(lint.check_text)
        self.put("policy/b.c", "/* policy/b.c: x */\nint a; \n/* \u00e9 */\n")
        self.put("policy/c.c", "int a; /* " + "TO" + "DO */\n")
        self.expect(lint.check_text, "policy/b.c:2: a tab", "policy/b.c:3: not ASCII", "policy/c.c:1: does not begin", "finish it")

    @unittest.skipUnless(lint.shutil.which("clang-format"), "clang-format is not installed")
    def test_format(self):
        self.expect(lint.check_format)
        self.put("policy/b.c", "int   a;\n")
        self.assertTrue(list(lint.check_format(self.root)))

    @unittest.skipUnless(lint.shutil.which("mandoc"), "mandoc is not installed")
    def test_manuals(self):
        self.put("doc/x.8", ".Dd November 22, 2026\n.Dt X 8\n.Os\n.Sh NAME\n.Nm x\n.Nd y\n.Nonsense\n")
        self.assertTrue(list(lint.check_manuals(self.root)))

    def test_keys(self):
        table = '{"a", TYPE_BOOL, .fallback = "true", .help = "x"},\n{"b[].c", TYPE_TEXT, .help = "x"},\n'
        self.put("config/table.c", table)
        self.put("doc/sundew.json.5", ".It Ic a\nText.\nDefault:\n.Li true .\n.It Ic b[].c\nText.\n".replace(" .\n", ".\n"))
        self.expect(lint.check_keys)
        self.put("doc/sundew.json.5", ".It Ic a\nText.\nDefault:\nfalse.\n.It Ic d\nText.\n")
        self.expect(lint.check_keys, "does not document b[].c", "documents d", "default is true, the page says false")

    def test_options(self):
        self.put("tool/main.c", '{"hits", "[-f] [--since T]", "x"},\nstatic int help(void) {\n    puts("--json");\n}\n'
                                'if (strcmp(argv[at], "--json") == 0) ;\n')
        self.put("tool/hits.c", 'options[] = {"--since"};\nif (strcmp(argv[i], "-f") == 0) ;\n')
        self.put("resolver/command.c", '{"status", run_status}, {"hits", run_hits},\n')
        self.put("doc/sundew.1", ".Fl -json\n.Fl f\n.Fl -since\n.It Ic status Ta\n.It Ic hits Ta since\n")
        self.expect(lint.check_options)
        self.put("tool/hits.c", 'options[] = {"--since", "--json"};\nif (strcmp(argv[i], "--all") == 0) ;\n')
        self.put("resolver/command.c", '{"status", run_status}, {"hours", run_hours},\n')
        self.expect(lint.check_options, "--all isn't in the help of hits", "--all isn't in doc/sundew.1",
                    "--json isn't in the help of hits", "hours isn't among")


if __name__ == "__main__":
    unittest.main()
