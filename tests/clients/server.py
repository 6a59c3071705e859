"""Runs the real `nereid` for a test: free ports, its log kept, ended for certain."""

import http.client
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

READY_SECONDS_MAX = 120
EXIT_SECONDS_MAX = 60
POLL_SECONDS = 0.02


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; held open together so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def run_to_end(binary: pathlib.Path, *arguments: str, seconds: float = 30) -> subprocess.CompletedProcess:
    """Runs a command line that is expected to end by itself."""
    return subprocess.run(
        [binary, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
    )


class Server:
    """A server on loopback. Use as a context manager, or call `stop`."""

    def __init__(
        self,
        binary: pathlib.Path,
        log: pathlib.Path,
        repositories: list[pathlib.Path],
        *flags: str,
        environment: dict[str, str] | None = None,
        root: pathlib.Path | None = None,
        pair=None,
    ):
        """`root` is the certificate to trust when HTTP is encrypted, `pair` what to show to a mutual server."""
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        self.log = log
        self.tls = ssl.create_default_context(cafile=str(root)) if root else None
        if pair:
            self.tls.load_cert_chain(pair.certificate, pair.key)
        command = [binary, "serve", *(f"--model-repository={repository}" for repository in repositories), *flags]
        for service, port in (("http", self.http_port), ("grpc", self.grpc_port), ("metrics", self.metrics_port)):
            command += [f"--{service}-address=127.0.0.1", f"--{service}-port={port}"]
        # In the repository's root, where the server finds .nereid/onnxruntime.
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    @property
    def http_url(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    @property
    def grpc_url(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def _wait_until_ready(self):
        end = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log_text()}")
            try:
                if self.get("/v2/health/ready").status == 200:
                    return
            except OSError:
                pass  # does not listen yet
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"the server was not ready after {READY_SECONDS_MAX} s:\n{self.log_text()}")

    def get(self, path: str, port: int | None = None) -> "Answer":
        return self.request("GET", path, port=port)

    def request(self, method: str, path: str, body: bytes = b"", headers=None, port: int | None = None, tls=None) -> "Answer":
        """One request without a client library, for what those refuse to send."""
        tls = tls or (None if port else self.tls)
        port = port or self.http_port
        if tls:
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=tls)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def metrics(self) -> str:
        answer = self.get("/metrics", port=self.metrics_port)
        assert answer.status == 200
        return answer.body.decode()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self.process.wait(timeout=EXIT_SECONDS_MAX)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()


class Answer:
    """What an HTTP request got."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"
