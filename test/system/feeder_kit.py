"""What the feeder's system tests share: the feeder on a socketpair, and an HTTPS server that can be made to misbehave.

Everything is on loopback, on free ports, in a folder of its own; what was started is ended by pid.
"""
import contextlib
import http.server
import json
import os
import queue
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time


class Feeder:
    """sundew-feeder as sundewd would run it."""

    def __init__(self, program, env=None):
        mine, other = socket.socketpair()
        self.socket = mine
        self.messages = queue.Queue()
        self.logs = []
        self.serial = 0
        self.id = 0
        shell = ["/bin/sh", "-c", f'exec "$0" 3<&{other.fileno()}', program]
        self.process = subprocess.Popen(shell, pass_fds=(other.fileno(),), env={**os.environ, **(env or {})})
        other.close()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(OSError, ValueError):
            for line in self.socket.makefile("r", encoding="utf-8"):
                message = json.loads(line)
                if message["type"] == "log":
                    self.logs.append(message["text"])
                    if os.environ.get("VERBOSE"):
                        print("log:", message["text"], file=sys.stderr)
                else:
                    self.messages.put(message)
        self.messages.put({"type": "end"})

    def send(self, **message):
        self.socket.sendall((json.dumps(message) + "\n").encode())

    def wait(self, kind, timeout=20):
        end = time.monotonic() + timeout
        while True:
            message = self.messages.get(timeout=max(0.01, end - time.monotonic()))
            if message["type"] == kind:
                return message
            if message["type"] == "end":
                raise AssertionError("the feeder has ended")

    def configure(self, config, folder):
        self.serial += 1
        self.send(type="config", path=os.path.join(folder, "sundew.json"), text=json.dumps(config), serial=self.serial)
        while True:
            message = self.wait("published")
            if message["serial"] == self.serial:
                return message

    def zones(self, rejected=False):
        self.id += 1
        self.send(type="zones", id=self.id, rejected=rejected)
        return {zone["name"]: zone for zone in self.wait("reply")["data"]}

    def refresh(self, zone=None, force=False):
        self.id += 1
        self.send(type="refresh", id=self.id, zone=zone, force=force)
        return self.wait("reply", 61)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()

    def stop(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        code = self.process.wait(10)
        self.socket.close()
        return code


class Server(http.server.ThreadingHTTPServer):
    """routes: path (without query) -> bytes, (status, headers, bytes), or a function of the handler."""

    daemon_threads = True

    def __init__(self, certificate=None, key=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes = {}
        self.seen = []  # (path with query, headers)
        self.tls = certificate is not None
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, path, host="localhost"):
        return f"{'https' if self.tls else 'http'}://{host}:{self.server_address[1]}{path}"

    def count(self, path):
        return sum(1 for seen, _ in self.seen if seen.split("?")[0] == path)

    def handle_error(self, request, client_address):
        pass  # clients that hang up are the point of some tests

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        self.server.seen.append((self.path, dict(self.headers)))
        route = self.server.routes.get(self.path.split("?")[0])
        if route is None:
            self.answer(404, {}, b"no such thing")
        elif callable(route):
            route(self)
        elif isinstance(route, bytes):
            self.answer(200, {}, route)
        else:
            self.answer(*route)

    do_POST = do_GET

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 304:
            self.wfile.write(body)


def make_certificates(folder):
    """An own CA, a certificate for localhost, and one for another name."""
    def run(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test CA",
        "-keyout", "ca.key", "-out", "ca.pem")
    for name, alternative in (("server", "DNS:localhost,IP:127.0.0.1"), ("wrong", "DNS:other.example")):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
            f"{name}.key", "-out", f"{name}.csr")
        with open(os.path.join(folder, f"{name}.ext"), "w", encoding="ascii") as file:
            file.write(f"subjectAltName={alternative}\n")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem")


class Folder:
    """A temporary folder with a state and certificates."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="sundew-test-")
        make_certificates(self.path)

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


def rules_in(program, state):
    """The names and addresses in the published snapshot."""
    text = subprocess.run([program, "--convert", "--from", "snapshot", "--to", "json", os.path.join(state, "policy.snapshot")],
                          check=True, capture_output=True, text=True).stdout
    return {rule.get("domain") or rule.get("ip"): rule for rule in json.loads(text)["rules"]}
