"""Plugins that call other servers: those of `[grants] http`, and no others, through the contract and through wasi:http alike. Real
servers of the test's own, with and without TLS."""

import http.server
import shutil
import ssl
import threading
import time

import numpy as np
import pytest
from certificates import Authority
from clients import Client
from repository import tensors, write_model
from server import ROOT, Server, run_to_end
from tritonclient.utils import InferenceServerException

CONFIG = 'backend: "wasm"\nmax_batch_size: 0\ninstance_group [ { count: 2 kind: KIND_CPU } ]\n' + tensors(
    "input", ("URL", "TYPE_STRING", "1"), ("BODY", "TYPE_STRING", "1")
) + tensors("output", ("STATUS", "TYPE_INT32", "1"), ("ANSWER", "TYPE_STRING", "1"))
WAYS = ("contract", "wasi")
MIB = 1 << 20


class Answers(http.server.BaseHTTPRequestHandler):
    """What a path asks for; `server.seen` has what came."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get("content-length", 0))) if "content-length" in self.headers else self.chunks())

    def chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, body: bytes):
        server = self.server
        with server.lock:
            server.seen.append((self.command, self.path, dict(self.headers), len(body)))
        try:
            getattr(self, self.path.split("/")[1].split("?")[0])(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # who asked has left, which is what some tests are about

    def reply(self, status: int, body: bytes, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def echo(self, body):
        self.reply(200, body[::-1])

    def agent(self, body):
        self.reply(200, self.headers.get("user-agent", "none").encode())

    def redirect(self, body):
        self.reply(302, b"elsewhere", location="http://127.0.0.1:1/secret")

    def slow(self, body):
        self.server.gate.wait(20)
        self.reply(200, b"at last")

    def pair(self, body):
        self.server.barrier.wait(20)
        self.reply(200, b"together")

    def large(self, body):
        self.reply(200, b"x" * (2 * MIB))

    def drip(self, body):
        """A head at once, and a body that never ends."""
        self.send_response(200)
        self.send_header("content-length", "1000000")
        self.end_headers()
        while not self.server.gate.wait(0.05):
            self.wfile.write(b"x")

    def broken(self, body):
        self.wfile.write(b"HTTP/9 what\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_):
        pass


class Site:
    """A server on loopback; with a pair it speaks TLS."""

    def __init__(self, pair=None):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.daemon_threads = True
        self.server.seen, self.server.lock, self.server.gate = [], threading.Lock(), threading.Event()
        self.server.barrier = threading.Barrier(2)
        if pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.certificate, pair.key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.scheme = "https" if pair else "http"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}/{path}"

    @property
    def rule(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def close(self):
        self.server.gate.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"), "known")
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "unknown")
    found = {"plain": Site(), "tls": Site(authority.sign("server")), "stranger": Site(stranger.sign("server"))}
    found["root"] = authority.root
    yield found
    for site in ("plain", "tls", "stranger"):
        found[site].close()


@pytest.fixture(scope="module")
def calling(binary, sites, tmp_path_factory):
    models, folder = tmp_path_factory.mktemp("calling"), tmp_path_factory.mktemp("calling_server")
    plain, tls, stranger = sites["plain"], sites["tls"], sites["stranger"]
    names = [f"http://localhost:{plain.port}", f"https://localhost:{tls.port}"]
    open_ = [plain.rule, tls.rule, stranger.rule, *names]
    operator = folder / "nereid.toml"
    operator.write_text(
        f'[plugins]\nhttp_ca_file = "{sites["root"]}"\n[plugins.grants]\nhttp = {open_}\nhttp_private = {names}\n'
        f'[tenants.acme]\nmodels = ["acme_*"]\ngrants = {{ http = ["{tls.rule}"] }}\n'
    )
    limits = "[limits]\nhttp_timeout_ms = 700\nhttp_response_mib = 1\nhttp_request_mib = 1\nhttp_in_flight = 4\n"
    write_caller(models, "granted", f"[grants]\nhttp = {[plain.rule, tls.rule, stranger.rule]}\n{limits}")
    write_caller(models, "by_name", f"[grants]\nhttp = {names}\n")
    write_caller(models, "private_name", f"[grants]\nhttp_private = {names}\n")
    flags = [f"--server-config={operator}", "--model-control-mode=explicit"]
    loaded = [f"--load-model={name}" for name in ("granted", "by_name", "private_name")]
    with Server(binary, folder / "log", [models], *flags, *loaded) as running:
        running.models = models
        yield running


def write_caller(models, name: str, plugin_toml: str | None):
    write_model(models, name, CONFIG)
    shutil.copy(ROOT / "target/guests/caller.wasm", models / name / "1/model.wasm")
    if plugin_toml is not None:
        (models / name / "plugin.toml").write_text(plugin_toml)


@pytest.fixture
def client(calling):
    connected = Client("grpc", calling)
    yield connected
    connected.close()


def call(client, url: str, body: str = "", model: str = "granted", **parameters):
    inputs = [client.input(name, np.array([text.encode()], object), "BYTES") for name, text in (("URL", url), ("BODY", body))]
    result = client.infer(model, *inputs, parameters=parameters)
    return int(result.as_numpy("STATUS")[0]), result.as_numpy("ANSWER")[0]


def refusal(client, *arguments, **options) -> str:
    with pytest.raises(InferenceServerException) as refused:
        call(client, *arguments, **options)
    return f"{refused.value.status()} {refused.value.message()}"


@pytest.mark.parametrize("through", WAYS)
@pytest.mark.parametrize("site", ["plain", "tls"])
def test_a_granted_server_answers(client, sites, site, through):
    assert call(client, sites[site].url("echo"), "abc", through=through) == (200, b"cba")
    command, path, headers, size = sites[site].server.seen[-1]
    assert (command, path, size) == ("POST", "/echo", 3)
    assert {name.lower(): value for name, value in headers.items()}["host"] == f"127.0.0.1:{sites[site].port}"
    assert call(client, sites[site].url("redirect?to=it"), through=through) == (302, b"elsewhere")


@pytest.mark.parametrize("through", WAYS)
def test_a_megabyte_goes_both_ways(client, sites, through):
    status, answer = call(client, sites["plain"].url("echo"), "a" * (MIB - 1) + "b", through=through)
    assert (status, len(answer), answer[:2]) == (200, MIB, b"ba")


def test_what_is_not_granted_is_told_and_never_connected_to(client, sites, calling):
    other = Site()
    try:
        text = refusal(client, other.url("echo"))
        assert "PERMISSION_DENIED" in text and f"it may not call http://127.0.0.1:{other.port}: list it under [grants] http" in text
        assert "HttpRequestDenied" in refusal(client, other.url("echo"), through="wasi")
        assert f"an HTTP request was refused: it may not call http://127.0.0.1:{other.port}" in calling.log_text()
        for disguise in (f"127.1:{other.port}", f"2130706433:{other.port}", f"[::ffff:127.0.0.1]:{other.port}", f"user@127.0.0.1:{other.port}"):
            assert "PERMISSION_DENIED" in refusal(client, f"http://{disguise}/echo"), disguise
        assert not other.server.seen
    finally:
        other.close()


@pytest.mark.parametrize("through", WAYS)
def test_a_name_stands_for_public_addresses_unless_it_is_granted_as_private(client, sites, through):
    url = sites["plain"].url("echo", "localhost")
    text = refusal(client, url, "ab", model="by_name", through=through)
    assert ("http_private" in text) if through == "contract" else ("DestinationIpProhibited" in text), text
    assert call(client, url, "ab", model="private_name", through=through) == (200, b"ba")
    assert call(client, sites["tls"].url("echo", "localhost"), "ab", model="private_name", through=through) == (200, b"ba")


def test_a_certificate_of_a_stranger_is_refused(client, sites):
    text = refusal(client, sites["stranger"].url("echo"))
    assert "UNAVAILABLE" in text and "invalid peer certificate: UnknownIssuer" in text
    assert not sites["stranger"].server.seen


@pytest.mark.parametrize("through", WAYS)
def test_slow_servers_are_left_and_cost_no_computing_time(client, sites, through):
    began = time.monotonic()
    text = refusal(client, sites["plain"].url("slow"), through=through)
    assert ("DEADLINE_EXCEEDED" in text) if through == "contract" else ("HttpResponseTimeout" in text), text
    assert 0.6 < time.monotonic() - began < 15
    text = refusal(client, sites["plain"].url("drip"), through=through)
    assert ("DEADLINE_EXCEEDED" in text) if through == "contract" else ("UNAVAILABLE" in text), text
    assert call(client, sites["plain"].url("echo"), "ab", through=through) == (200, b"ba")


def test_a_guest_may_be_less_patient_than_its_limit(client, sites):
    began = time.monotonic()
    assert "DEADLINE_EXCEEDED" in refusal(client, sites["plain"].url("slow"), timeout_ms=50)
    assert time.monotonic() - began < 0.65


@pytest.mark.parametrize("through", WAYS)
def test_bodies_beyond_the_limits_are_refused(client, sites, through):
    text = refusal(client, sites["plain"].url("large"), through=through)
    assert ("RESOURCE_EXHAUSTED" in text and "http_response_mib" in text) if through == "contract" else "UNAVAILABLE" in text, text
    text = refusal(client, sites["plain"].url("echo"), "x" * (MIB + 1), through=through)
    assert ("RESOURCE_EXHAUSTED" in text and "http_request_mib" in text) if through == "contract" else ("HttpRequestBodySize" in text), text
    assert call(client, sites["plain"].url("echo"), "ab", through=through) == (200, b"ba")


def test_several_are_sent_at_one_time_up_to_the_limit(client, sites):
    # Both have come before either is answered.
    assert call(client, sites["plain"].url("pair"), times=2) == (200, b"together")
    text = refusal(client, sites["plain"].url("echo"), times=5)
    assert "RESOURCE_EXHAUSTED" in text and "4 requests of the plugin are under way, the limit (http_in_flight)" in text
    assert call(client, sites["plain"].url("echo"), "ab", times=4) == (200, b"ba")


def test_a_broken_server_and_wrong_requests_are_told(client, sites):
    assert "UNAVAILABLE" in refusal(client, sites["plain"].url("broken"))
    assert "INVALID_ARGUMENT" in refusal(client, "no url at all")
    assert "the header 'host' is the host's to write" in refusal(client, sites["plain"].url("echo"), header="Host: example.com")


def test_requests_and_bytes_are_counted(client, sites, calling):
    def counted(name):
        lines = [line for line in calling.metrics().splitlines() if line.startswith(f"nereid_plugin_http_{name}_total{{") and '"granted"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    before = {name: counted(name) for name in ("requests", "sent_bytes", "received_bytes")}
    for through in WAYS:
        call(client, sites["plain"].url("echo"), "x" * 1000, through=through)
    assert {name: counted(name) - value for name, value in before.items()} == {"requests": 2, "sent_bytes": 2000, "received_bytes": 2000}


def test_ceilings_and_missing_grants_fail_the_load_in_words(client, sites, calling):
    def load(name, plugin_toml):
        write_caller(calling.models, name, plugin_toml)
        with pytest.raises(InferenceServerException) as refused:
            client.raw.load_model(name)
        return refused.value.message()

    text = load("beyond", '[grants]\nhttp = ["api.example.com"]\n')
    assert "http 'api.example.com'" in text and "the operator does not allow it ([plugins.grants] http in nereid.toml)" in text
    text = load("acme_beyond", f'[grants]\nhttp = ["{sites["plain"].rule}"]\n')
    assert "the operator does not allow it" in text
    assert "/model.wasm' imports wasi:http, which calls other servers, and its plugin.toml lists none" in load("bare", None)
    assert "http 'https://api.example.com/v1': 'api.example.com/v1' is no host" in load("path", '[grants]\nhttp = ["https://api.example.com/v1"]\n')
    write_caller(calling.models, "acme_within", f'[grants]\nhttp = ["{sites["tls"].rule}"]\n')
    client.raw.load_model("acme_within")
    assert call(client, sites["tls"].url("echo"), "ab", model="acme_within") == (200, b"ba")


def test_a_wrong_operator_file_is_told_at_the_start(binary, tmp_path):
    for content, expected in (
        ('[plugins]\nhttp_ca_file = "/nowhere/ca.pem"\n', "is wrong at [plugins] http_ca_file"),
        ('[plugins.grants]\nhttp = ["ftp://x"]\n', "the scheme 'ftp' is neither 'https' nor 'http'"),
    ):
        (tmp_path / "nereid.toml").write_text(content)
        ended = run_to_end(binary, "serve", f"--model-repository={tmp_path}", f"--server-config={tmp_path / 'nereid.toml'}")
        assert ended.returncode != 0 and expected in ended.stdout + ended.stderr
