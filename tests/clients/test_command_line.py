"""`nereid` as an operator meets it: one clear line for each mistake, and an end without a lost request."""

import pathlib
import socket
import threading

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import SLOW_MODEL_MILLISECONDS, identity, write_model
from server import free_ports, run_to_end

LOOPBACK = [f"--{service}-address=127.0.0.1" for service in ("http", "grpc", "metrics")]


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    repository = tmp_path / "models"
    write_model(repository, "one", identity())
    return repository


def refusal(binary, *arguments: str) -> str:
    """The one line that a command line which cannot work gets, with exit code 1."""
    ended = run_to_end(binary, *arguments)
    assert ended.returncode == 1, f"exit code {ended.returncode}: {ended.stdout}{ended.stderr}"
    lines = ended.stderr.strip().splitlines()
    assert lines, "says nothing"
    return lines[-1]


def ports() -> list[str]:
    return [f"--{service}-port={port}" for service, port in zip(("http", "grpc", "metrics"), free_ports(3))]


def test_an_unknown_flag(binary):
    assert "--model-repositry" in refusal(binary, "serve", "--model-repositry=x")


def test_an_unknown_flag_is_one_line(binary):
    ended = run_to_end(binary, "serve", "--nonsense")
    assert ended.returncode == 1 and len(ended.stderr.strip().splitlines()) == 1, ended.stderr


def test_no_repository_given(binary):
    assert "--model-repository" in refusal(binary, "serve")


def test_a_repository_that_is_not_there(binary, tmp_path):
    missing = tmp_path / "nowhere"
    assert str(missing) in refusal(binary, "serve", f"--model-repository={missing}", *LOOPBACK, *ports())


@pytest.mark.parametrize("service", ["http", "grpc", "metrics"])
def test_a_busy_port(binary, folder, service):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        flags = [flag for flag in ports() if not flag.startswith(f"--{service}-port")] + [f"--{service}-port={port}"]
        line = refusal(binary, "serve", f"--model-repository={folder}", *LOOPBACK, *flags)
    assert f"127.0.0.1:{port}" in line and "already in use" in line


def test_a_model_that_fails_to_load_ends_the_server(binary, folder):
    write_model(folder, "broken", 'backend: "no_such_backend"\n' + identity().split("\n", 1)[1])
    ended = run_to_end(binary, "serve", f"--model-repository={folder}", *LOOPBACK, *ports())
    assert ended.returncode == 1
    assert "broken" in ended.stderr and "no_such_backend" in ended.stderr, ended.stderr


def test_with_exit_on_error_off_the_others_are_served(start_server, folder):
    write_model(folder, "broken", 'backend: "no_such_backend"\n' + identity().split("\n", 1)[1])
    server = start_server(folder, "--exit-on-error=false", "--strict-readiness=false")
    client = Client("http", server)
    assert client.raw.is_model_ready("one") and not client.raw.is_model_ready("broken")
    row = client.index()["broken"][0]
    assert row["state"] == "UNAVAILABLE" and "no_such_backend" in row["reason"]
    client.close()


def test_check_reads_a_repository_without_serving_it(binary, folder):
    ended = run_to_end(binary, "check", str(folder))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    write_model(folder, "typo", identity().replace("max_batch_size", "max_batchsize"))
    ended = run_to_end(binary, "check", str(folder))
    report = ended.stdout + ended.stderr
    assert ended.returncode != 0 and "max_batchsize" in report and "config.pbtxt:2:1" in report, report


def test_the_demo_repository_passes_the_check(binary):
    ended = run_to_end(binary, "check", "model_repository", seconds=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_log_shows_the_models_and_where_the_services_are(start_server, folder):
    server = start_server(folder)
    log = server.log_text()
    for expected in ("one", "READY", f"127.0.0.1:{server.http_port}", f"127.0.0.1:{server.grpc_port}"):
        assert expected in log, log


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_requests_under_way_and_in_the_queue_are_answered_before_the_end(start_server, tmp_path, protocol):
    delay = f'parameters {{ key: "execute_delay_ms" value: {{ string_value: "{SLOW_MODEL_MILLISECONDS}" }} }}\n'
    write_model(tmp_path / "slow", "slow", identity(more="max_batch_size: 0\n" + delay))
    server = start_server(tmp_path / "slow")
    found = []

    def send(number: float):
        client = Client(protocol, server)
        found.append(client.identity("slow", np.full(1, number, np.float32))[0])
        client.close()

    senders = [threading.Thread(target=send, args=(number,)) for number in (1, 2)]
    for sender in senders:
        sender.start()
    # The one instance executes the first; the server's gauge tells when the second waits behind it.
    while 'nv_inference_pending_request_count{model="slow",version="1"} 1' not in server.metrics():
        assert any(sender.is_alive() for sender in senders), "both were answered and none was seen to wait"
    server.terminate()
    for sender in senders:
        sender.join(timeout=30)
    assert sorted(found) == [1, 2], server.log_text()
    assert server.wait() == 0, server.log_text()


def test_after_the_end_nobody_listens(start_server, folder):
    server = start_server(folder)
    server.terminate()
    assert server.wait() == 0, server.log_text()
    with pytest.raises(OSError):
        server.get("/v2/health/live")
