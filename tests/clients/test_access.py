"""Who is let in: restricted parts, API keys, and certificates, through the real clients."""

import contextlib
import pathlib
import signal
import ssl
import subprocess
import time

import gevent.ssl
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from certificates import Authority
from clients import PROTOCOLS, Client
from repository import identity, write_model
from server import run_to_end
from tritonclient.utils import InferenceServerException

ONE = np.ones(1, np.float32)

# Longer than the time between two looks of the server at its files, by a margin for slow machines.
FOLLOW_SECONDS_MAX = 30
POLL_SECONDS = 0.05


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    repository = tmp_path / "models"
    write_model(repository, "one", identity())
    return repository


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path, "authority")


def refused(act, text: str, status: str = ""):
    with pytest.raises(InferenceServerException) as caught:
        act()
    assert text in caught.value.message(), caught.value
    assert status in str(caught.value.status()), caught.value


def eventually(is_so):
    """Returns once `is_so` is; a server follows its files a little later."""
    end = time.monotonic() + FOLLOW_SECONDS_MAX
    while not is_so():
        assert time.monotonic() < end, "this should have happened long ago"
        time.sleep(POLL_SECONDS)


def works(act) -> bool:
    with contextlib.suppress(Exception):
        act()
        return True
    return False


def start_refusal(binary, folder, *flags) -> str:
    ended = run_to_end(binary, "serve", f"--model-repository={folder}", *flags)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stderr


def new_key(binary, name: str, categories: str) -> tuple[str, str]:
    """A key and its entry for the file."""
    made = run_to_end(binary, "api-key", "new", f"--name={name}", f"--categories={categories}")
    assert made.returncode == 0, made.stderr
    return made.stderr.split()[-1], made.stdout


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


# --- Restrictions


def test_a_restricted_part_of_http_wants_its_header(start_server, folder):
    server = start_server(folder, "--http-restricted-api=model-repository,inference:admin-key=admin-value")
    client = Client("http", server)
    secret = {"admin-key": "admin-value"}
    text = "This API is restricted, expecting header 'admin-key'"
    tensor = client.input("INPUT0", ONE, "FP32")
    refused(lambda: client.raw.get_model_repository_index(), text, "403")
    refused(lambda: client.raw.infer("one", [tensor]), text, "403")
    refused(lambda: client.raw.infer("one", [tensor], headers={"admin-key": "guess"}), text, "403")
    assert client.raw.get_model_repository_index(headers=secret)[0]["name"] == "one"
    assert client.raw.infer("one", [tensor], headers=secret).as_numpy("OUTPUT0")[0] == 1
    assert client.raw.is_server_ready() and client.metadata("one")["name"] == "one"
    assert Client("grpc", server).identity("one", ONE)[0] == 1, "gRPC has restrictions of its own"


def test_a_restricted_protocol_wants_its_metadata(start_server, folder):
    server = start_server(folder, "--grpc-restricted-protocol=inference,metadata:infer-key=infer-value")
    client = Client("grpc", server)
    secret = {"triton-grpc-protocol-infer-key": "infer-value"}
    text = "This protocol is restricted, expecting header 'triton-grpc-protocol-infer-key'"
    tensor = client.input("INPUT0", ONE, "FP32")
    refused(lambda: client.raw.infer("one", [tensor]), text, "UNAVAILABLE")
    refused(lambda: client.raw.get_server_metadata(headers={"infer-key": "infer-value"}), text, "UNAVAILABLE")
    assert client.raw.infer("one", [tensor], headers=secret).as_numpy("OUTPUT0")[0] == 1
    assert client.raw.is_model_ready("one")
    for headers, expected in ((None, text), (secret, None)):
        answers = []
        client.raw.start_stream(lambda result, error: answers.append((result, error)), headers=headers)
        # The refusal may be quicker than this call, which then fails too.
        with contextlib.suppress(InferenceServerException):
            client.raw.async_stream_infer("one", [tensor])
        eventually(lambda: answers)
        client.raw.stop_stream()
        result, error = answers[0]
        assert (expected in error.message()) if expected else result.as_numpy("OUTPUT0")[0] == 1


def test_restrictions_that_make_no_sense_end_the_start(binary, folder):
    twice = ("--http-restricted-api=model-repository,health:k1=v1", "--http-restricted-api=metadata,health:k2=v2")
    assert "restricted api 'health' can not be specified in multiple config groups" in start_refusal(binary, folder, *twice)
    unknown = start_refusal(binary, folder, "--grpc-restricted-protocol=model-reposit:k=v")
    assert "unknown restricted protocol 'model-reposit'" in unknown


# --- API keys


@pytest.fixture
def keyed(binary, start_server, folder, tmp_path):
    """A server with a file of keys, the file, and a key for inference and metadata."""
    key, entry = new_key(binary, "app", "inference,metadata")
    file = tmp_path / "keys.toml"
    file.write_text(f'open = ["health"]\n\n{entry}')
    return start_server(folder, f"--api-key-file={file}", "--log-verbose=1"), file, key


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_key_opens_its_parts(keyed, protocol):
    server, _, key = keyed
    client = Client(protocol, server)
    tensor = client.input("INPUT0", ONE, "FP32")
    missing, wrong, lacking = {"http": ("401", "401", "403")}.get(
        protocol, ("UNAUTHENTICATED", "UNAUTHENTICATED", "PERMISSION_DENIED")
    )
    refused(lambda: client.raw.infer("one", [tensor]), "this server asks for an API key", missing)
    refused(lambda: client.raw.infer("one", [tensor], headers=bearer(f"{key}x")), "not known to the server", wrong)
    assert client.raw.infer("one", [tensor], headers=bearer(key)).as_numpy("OUTPUT0")[0] == 1
    assert client.raw.get_server_metadata(headers=bearer(key))
    text = "the API key 'app' may not use 'model-repository', only metadata, inference"
    refused(lambda: client.raw.get_model_repository_index(headers=bearer(key)), text, lacking)
    assert client.raw.is_server_ready(), "the file opens health"
    assert key not in server.log_text() and "API key 'app'" in server.log_text()


def test_http_says_how_to_authenticate_and_hides_what_exists(keyed):
    server, _, key = keyed
    for path in ("/v2", "/v2/models/none", "/nothing"):
        answer = server.get(path)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), path
    assert server.request("GET", "/nothing", headers=bearer(key)).status == 404
    assert server.request("GET", "/v2", headers={"X-Api-Key": key}).status == 401


def test_metrics_are_behind_the_keys_too(keyed, binary):
    server, file, key = keyed
    assert server.get("/metrics", port=server.metrics_port).status == 401
    answer = server.request("GET", "/metrics", headers=bearer(key), port=server.metrics_port)
    assert answer.status == 403 and b"may not use 'metrics'" in answer.body
    scraper, entry = new_key(binary, "scraper", "metrics")
    with file.open("a") as keys:
        keys.write(entry)
    server.process.send_signal(signal.SIGHUP)
    page = lambda: server.request("GET", "/metrics", headers=bearer(scraper), port=server.metrics_port)
    eventually(lambda: page().status == 200)
    assert b"nv_inference_request_success" in page().body


def test_keys_follow_their_file_and_survive_a_broken_one(keyed, binary):
    server, file, key = keyed
    client = Client("grpc", server)
    metadata = lambda key: client.raw.get_server_metadata(headers=bearer(key))
    file.write_text("[[key]]\nname = ")
    eventually(lambda: "the change cannot be used" in server.log_text())
    metadata(key)
    other, entry = new_key(binary, "other", "all")
    file.write_text(entry)
    eventually(lambda: works(lambda: metadata(other)))
    refused(lambda: metadata(key), "not known to the server", "UNAUTHENTICATED")
    refused(client.raw.is_server_ready, "this server asks for an API key", "UNAUTHENTICATED")


def test_a_file_of_keys_that_cannot_be_used_ends_the_start(binary, folder, tmp_path):
    missing = tmp_path / "nowhere.toml"
    assert f"the file of API keys '{missing}' cannot be read" in start_refusal(binary, folder, f"--api-key-file={missing}")
    missing.write_text('[[key]]\nname = "a"\nsha256 = "abc"\ncategories = ["all"]\n')
    assert "is wrong at the key 'a': 'sha256'" in start_refusal(binary, folder, f"--api-key-file={missing}")


# --- Certificates


def flags(service: str, pair, *more: str) -> list[str]:
    return [f"--{service}-server-cert={pair.certificate}", f"--{service}-server-key={pair.key}", *more]


def grpc_client(server, root: pathlib.Path, pair=None):
    options = {"root_certificates": str(root)}
    if pair:
        options |= {"private_key": str(pair.key), "certificate_chain": str(pair.certificate)}
    return tritonclient.grpc.InferenceServerClient(server.grpc_url, ssl=True, **options)


def http_client(server, root: pathlib.Path, pair=None):
    def context():
        made = gevent.ssl.create_default_context(cafile=str(root))
        if pair:
            made.load_cert_chain(pair.certificate, pair.key)
        return made

    return tritonclient.http.InferenceServerClient(server.http_url, ssl=True, ssl_context_factory=context)


def infer(client, triton):
    tensor = triton.InferInput("INPUT0", [1], "FP32")
    tensor.set_data_from_numpy(ONE)
    assert client.infer("one", [tensor]).as_numpy("OUTPUT0")[0] == 1


def test_grpc_is_encrypted_and_follows_its_certificate(start_server, folder, authority, tmp_path):
    pair = authority.sign("server")
    server = start_server(folder, "--grpc-use-ssl=true", *flags("grpc", pair))
    infer(grpc_client(server, authority.root), tritonclient.grpc)
    assert not works(Client("grpc", server).raw.is_server_live), "not without encryption"
    other = Authority(tmp_path, "other")
    assert not works(grpc_client(server, other.root).is_server_live)
    other.sign("server").copy_to(pair)
    eventually(lambda: works(lambda: infer(grpc_client(server, other.root), tritonclient.grpc)))
    assert not works(grpc_client(server, authority.root).is_server_live)


def test_http_is_encrypted_and_follows_its_certificate(start_server, folder, authority, tmp_path):
    pair = authority.sign("server")
    server = start_server(folder, "--http-use-ssl", *flags("http", pair), root=authority.root)
    client = http_client(server, authority.root)
    infer(client, tritonclient.http)
    assert not works(Client("http", server).raw.is_server_live), "not without encryption"
    other = Authority(tmp_path, "other")
    assert not works(http_client(server, other.root).is_server_live)
    pair.certificate.write_bytes(other.sign("half").certificate.read_bytes())
    eventually(lambda: "does not belong to the certificate" in server.log_text())
    infer(http_client(server, authority.root), tritonclient.http)
    other.sign("server").copy_to(pair)
    eventually(lambda: works(lambda: infer(http_client(server, other.root), tritonclient.http)))
    infer(client, tritonclient.http)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_mutual_service_asks_for_the_clients_certificate(start_server, folder, authority, tmp_path, protocol):
    roots = f"--{protocol}-root-cert={authority.root}"
    pairs = {"authority": authority.sign("client"), "stranger": Authority(tmp_path, "other").sign("client")}
    options = {"root": authority.root, "pair": pairs["authority"]} if protocol == "http" else {}
    mutual = (f"--{protocol}-use-ssl-mutual=true", *flags(protocol, authority.sign("server"), roots))
    server = start_server(folder, *mutual, **options)
    connect, triton = {"http": (http_client, tritonclient.http), "grpc": (grpc_client, tritonclient.grpc)}[protocol]
    infer(connect(server, authority.root, pairs["authority"]), triton)
    assert not works(connect(server, authority.root).is_server_live)
    assert not works(connect(server, authority.root, pairs["stranger"]).is_server_live)


def test_http2_and_curl_and_encrypted_metrics(start_server, folder, authority):
    tls = flags("http", authority.sign("server"))
    server = start_server(folder, "--http-use-ssl=on", "--metrics-use-ssl", *tls, root=authority.root)
    curl = ["curl", "--silent", "--cacert", str(authority.root), "--write-out", " %{http_version} %{http_code}"]
    asked = subprocess.run([*curl, f"https://{server.http_url}/v2/health/ready"], capture_output=True, text=True)
    assert asked.stdout.strip() == "2 200", asked
    context = ssl.create_default_context(cafile=str(authority.root))
    answer = server.request("GET", "/metrics", port=server.metrics_port, tls=context)
    assert answer.status == 200 and b"nv_inference_request_success" in answer.body
    assert not works(lambda: server.get("/metrics", port=server.metrics_port).status)


def test_certificates_that_cannot_be_used_end_the_start(binary, folder, authority, tmp_path):
    pair, other = authority.sign("server"), authority.sign("other")
    start = lambda certificate, key: start_refusal(
        binary, folder, "--grpc-use-ssl", f"--grpc-server-cert={certificate}", f"--grpc-server-key={key}"
    )
    missing = tmp_path / "nowhere.crt"
    assert f"the certificate '{missing}' cannot be read" in start(missing, pair.key)
    assert "does not belong to the certificate" in start(pair.certificate, other.key)
    assert "has no certificate in PEM form" in start(pair.key, pair.key)
    assert "--grpc-use-ssl needs --grpc-server-cert=FILE" in start_refusal(binary, folder, "--grpc-use-ssl")
