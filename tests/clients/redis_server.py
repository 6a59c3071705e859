"""A real Redis server for a test: free port, nothing on disk, ended for certain. `cargo xtask setup redis` fetches it."""

import os
import pathlib
import socket
import ssl
import subprocess
import time

from server import ROOT, free_ports

READY_SECONDS_MAX = 30


class Tls:
    """Certificates of a server that speaks nothing but TLS, and of a client that it knows."""

    def __init__(self, authority, server, client):
        self.authority, self.server, self.client = authority, server, client

    @property
    def options(self) -> list[str]:
        return [
            *("--tls-ca-cert-file", self.authority.root),
            *("--tls-cert-file", self.server.certificate),
            *("--tls-key-file", self.server.key),
        ]

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.authority.root)
        context.load_cert_chain(self.client.certificate, self.client.key)
        return context.wrap_socket(connection, server_hostname="127.0.0.1")


class Redis:
    """Can be killed and started again at the same port. With `tls` it speaks nothing else, and wants clients' certificates."""

    def __init__(self, *options: str, tls: Tls | None = None):
        self.program = pathlib.Path(os.environ.get("NEREID_REDIS_SERVER", ROOT / ".nereid/redis/redis-server"))
        assert self.program.is_file(), "no Redis server: run `cargo xtask setup redis`"
        self.port = free_ports(1)[0]
        self.options = options
        self.tls = tls
        self.process = None
        self.start()

    def start(self):
        ports = ["--port", str(self.port)]
        if self.tls:
            ports = ["--port", "0", "--tls-port", str(self.port), *self.tls.options]
        command = [self.program, *ports, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [*command, *self.options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        end = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < end:
            assert self.process.poll() is None, f"Redis ended with {self.process.returncode}"
            try:
                answer = self.command("PING")
                if answer.startswith((b"+PONG", b"-NOAUTH")):
                    return
            except OSError:
                pass  # does not listen yet
            time.sleep(0.02)
        raise AssertionError("Redis was not ready in time")

    def command(self, *words: str) -> bytes:
        """The first bytes of the answer to one command."""
        text = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            with self.tls.wrap(connection) if self.tls else connection as spoken:
                spoken.sendall(text.encode())
                return spoken.recv(1 << 16)

    def entries(self) -> int:
        """How many keys there are."""
        return int(self.command("DBSIZE")[1:])

    def wait_for_entries(self, count: int):
        end = time.monotonic() + READY_SECONDS_MAX
        while self.entries() < count:
            assert time.monotonic() < end, f"{self.entries()} entries, expected {count}"
            time.sleep(0.01)

    @property
    def flags(self) -> list[str]:
        return ["--cache-config=redis,host=127.0.0.1", f"--cache-config=redis,port={self.port}"]

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
