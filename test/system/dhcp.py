"""`sundew dhcp`: what it prints is taken by the servers' own checkers, where they are installed."""
import json, os, shutil, subprocess, sys, tempfile, unittest

BUILD = sys.argv.pop(1)
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
V4, V6 = ["192.0.2.1", "192.0.2.2"], ["2001:db8::1", "2001:db8::2"]


def dhcp(server, *addresses):
    return subprocess.run([os.path.join(BUILD, "sundew"), "dhcp", "--format", server, "--address", *addresses], capture_output=True,
                          text=True)


class Dhcp(unittest.TestCase):
    def setUp(self):
        # dhcpd and Kea are confined by AppArmor on some systems to folders of theirs; /tmp serves where they aren't.
        self.folder = tempfile.mkdtemp(prefix="sundew-dhcp-")
        self.addCleanup(shutil.rmtree, self.folder)

    def printed(self, server, *addresses):
        done = dhcp(server, *addresses)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def check(self, text, *command):
        """Runs a server's checker on the text as a file, whose path stands for "FILE"."""
        program = shutil.which(command[0], path=PATH)
        if program is None:
            self.skipTest(command[0] + " is not installed")
        path = os.path.join(self.folder, "config")
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        done = subprocess.run([program, *(path if a == "FILE" else a.replace("FOLDER", self.folder) for a in command[1:])],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, text + done.stdout + done.stderr)

    def test_dnsmasq(self):
        text = self.printed("dnsmasq", *V4, *V6)
        self.assertEqual(text, "dhcp-option=option:dns-server,192.0.2.1,192.0.2.2\n"
                               "dhcp-option=option6:dns-server,[2001:db8::1],[2001:db8::2]\n")
        self.check(text, "dnsmasq", "--test", "--conf-file=" + os.path.join(self.folder, "config"))

    def kea(self, text, which, subnet):
        whole = (f'{{"Dhcp{which}": {{"interfaces-config": {{"interfaces": []}}, "lease-database": {{"type": "memfile", "persist": '
                 f'false}}, {text}, "subnet{which}": [{{"id": 1, "subnet": "{subnet}"}}]}}}}')
        json.loads(whole)
        self.check(whole, f"kea-dhcp{which}", "-t", "FILE")

    def test_kea4(self):
        self.kea(self.printed("kea", *V4), 4, "192.0.2.0/24")

    def test_kea6(self):
        self.kea(self.printed("kea", *V6), 6, "2001:db8::/64")

    def test_isc_dhcpd(self):
        self.check(self.printed("isc-dhcpd", *V4) + "subnet 192.0.2.0 netmask 255.255.255.0 {}\n", "dhcpd", "-t", "-4", "-cf", "FILE")
        self.check(self.printed("isc-dhcpd", *V6) + "subnet6 2001:db8::/64 {}\n", "dhcpd", "-t", "-6", "-cf", "FILE")

    def test_radvd(self):
        text = self.printed("radvd", *V4, *V6, "2001:db8::3", "2001:db8::4")
        self.check(f"interface lo {{\nAdvSendAdvert on;\n{text}}};\n", "radvd", "--configtest", "--config", "FILE")
        self.assertEqual(dhcp("radvd", *V4).returncode, 1)

    def test_systemd_networkd(self):
        self.assertEqual(self.printed("systemd-networkd", *V4, *V6),
                         "[DHCPServer]\nEmitDNS=yes\nDNS=192.0.2.1 192.0.2.2\n\n"
                         "[IPv6SendRA]\nEmitDNS=yes\nDNS=2001:db8::1 2001:db8::2\n")

    def test_wrong(self):
        for arguments in (["--format", "kea"], ["--address", "192.0.2.1"], ["--format", "bootp", "--address", "192.0.2.1"],
                          ["--format", "kea", "--address", "example.org"], ["--format", "kea", "--address", "0.0.0.0"], []):
            done = subprocess.run([os.path.join(BUILD, "sundew"), "dhcp", *arguments], capture_output=True)
            self.assertEqual((done.returncode, done.stdout), (2, b""), arguments)


if __name__ == "__main__":
    unittest.main()
