#!/usr/bin/env python3
"""Turn a text file into a C header that holds it as a string. usage: embed.py INPUT OUTPUT NAME"""
import sys

source, target, name = sys.argv[1:]
octets = open(source, "rb").read()
with open(target, "w") as out:
    out.write(f"/* Made from {source.rsplit('/', 1)[-1]} at build time. */\n#include <stddef.h>\nstatic const char {name}[] = {{\n")
    for at in range(0, len(octets), 20):
        out.write("    " + ", ".join(str(o if o < 128 else o - 256) for o in octets[at:at + 20]) + ",\n")
    out.write("    0};\n")
