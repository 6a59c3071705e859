"""--model-control-mode=ondemand: models are loaded by their first request and make room for each other."""

import shutil
import threading

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import identity, write_ensemble_of, write_model
from server import ROOT
from tritonclient.utils import InferenceServerException

ONE = np.ones(1, np.float32)

NOT_LOADED = "not loaded: its first request loads it"


def write_models(folder, count: int):
    for number in range(count):
        write_model(folder, f"m{number}", identity())
    return folder


def loads(server, model: str) -> int:
    return server.log_text().count(f"successfully loaded '{model}'")


def loaded(client) -> set[str]:
    return {name for name, rows in client.index().items() if rows[0].get("state") == "READY"}


@pytest.fixture(params=PROTOCOLS)
def few(request, start_server, tmp_path):
    """A server of six models, of which two may be loaded."""
    server = start_server(write_models(tmp_path / "models", 6), "--model-control-mode=ondemand", "--limit=ondemand-models=2")
    client = Client(request.param, server)
    yield server, client
    client.close()


def test_clients_find_every_model_ready_before_it_is_loaded(few):
    server, client = few
    assert client.raw.is_server_ready() and client.raw.is_model_ready("m0")
    assert client.metadata("m0")["inputs"][0]["name"] == "INPUT0"
    assert client.config("m0")["backend"] == "identity"
    assert client.index()["m0"][0]["reason"] == NOT_LOADED
    assert "inference_count" not in client.statistics("m0") or int(client.statistics("m0")["inference_count"]) == 0
    assert loads(server, "m0") == 0
    assert client.identity("m0", ONE)[0] == 1
    assert loads(server, "m0") == 1
    assert loaded(client) == {"m0"}
    assert int(client.statistics("m0")["inference_count"]) == 1


def test_the_least_recently_used_model_makes_room(few):
    server, client = few
    for name in ("m0", "m1", "m0", "m2"):
        client.identity(name, ONE)
    assert loaded(client) == {"m0", "m2"}
    assert client.index()["m1"][0]["reason"] == NOT_LOADED
    for number in range(6):
        assert client.identity(f"m{number}", ONE)[0] == 1
    assert loaded(client) == {"m4", "m5"}
    assert 'nv_inference_request_success{model="m4"' in server.metrics()
    assert 'model="m1"' not in server.metrics(), "series go with their model"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_concurrent_first_requests_share_one_load(start_server, tmp_path, protocol):
    folder = tmp_path / "models"
    (folder / "mlp/1").mkdir(parents=True)
    shutil.copy(ROOT / "tests/models/mlp.onnx", folder / "mlp/1/model.onnx")
    server = start_server(folder, "--model-control-mode=ondemand")
    asked = Client(protocol, server)
    inputs = asked.metadata("mlp")["inputs"][0]
    shape = [max(int(extent), 1) for extent in inputs["shape"]]
    barrier, failures = threading.Barrier(8), []

    def ask():
        client = Client(protocol, server)
        barrier.wait()
        try:
            client.infer("mlp", client.input(inputs["name"], np.zeros(shape, np.float32), "FP32"))
        except Exception as error:
            failures.append(error)
        client.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert loads(server, "mlp") == 1
    assert int(asked.statistics("mlp")["inference_stats"]["success"]["count"]) == 8
    asked.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_model_that_fails_answers_everybody_and_is_left_alone_for_a_while(start_server, tmp_path, protocol):
    folder = write_models(tmp_path / "models", 1)
    write_model(folder, "broken", identity().replace('"identity"', '"wasm"'))
    (folder / "broken/1/model.wasm").write_bytes(b"no component")
    server = start_server(folder, "--model-control-mode=ondemand", "--disable-auto-complete-config")
    client = Client(protocol, server)
    for text in ("model 'broken' cannot be loaded: load failed for model 'broken'", "is not tried again for"):
        with pytest.raises(InferenceServerException, match=text) as refused:
            client.identity("broken", ONE)
        assert refused.value.status() in ("503", "StatusCode.UNAVAILABLE")
    assert not client.raw.is_model_ready("broken")
    assert server.log_text().count("failed to load 'broken'") == 1
    assert client.raw.is_server_ready() and client.identity("m0", ONE)[0] == 1
    client.close()


def test_loads_by_name_keep_a_model_until_it_is_unloaded_by_name(few):
    _, client = few
    client.raw.load_model("m0")
    for name in ("m1", "m2", "m3"):
        client.identity(name, ONE)
        assert loaded(client) == {"m0", name}
    client.raw.unload_model("m0")
    assert loaded(client) == {"m3"}
    assert client.identity("m0", ONE)[0] == 1, "a request loads it again"
    with pytest.raises(InferenceServerException, match="needs --model-control-mode=explicit"):
        client.raw.load_model("m1", config="{}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_ensemble_brings_its_member_and_keeps_it(start_server, tmp_path, protocol):
    folder = write_models(tmp_path / "models", 3)
    write_ensemble_of(folder, "twice", "m0")
    server = start_server(folder, "--model-control-mode=ondemand", "--limit", "ondemand-models=3")
    client = Client(protocol, server)
    assert client.identity("twice", ONE)[0] == 1
    assert loaded(client) == {"twice", "m0"}
    client.identity("m1", ONE)
    client.identity("m2", ONE)
    assert loaded(client) == {"m0", "m1", "m2"}, "the ensemble goes before the member that it is made of"
    assert loads(server, "m0") == 1
    client.close()


def test_a_stream_waits_for_the_load(start_server, tmp_path):
    server = start_server(write_models(tmp_path / "models", 1), "--model-control-mode=ondemand")
    client = Client("grpc", server)
    answers, done = [], threading.Event()

    def arrived(result, error):
        answers.append(error or result.as_numpy("OUTPUT0")[0])
        if len(answers) == 3:
            done.set()

    client.raw.start_stream(arrived)
    for number in range(3):
        client.raw.async_stream_infer("m0", [client.input("INPUT0", ONE * number, "FP32")])
    assert done.wait(30)
    assert answers == [0, 1, 2]
    client.raw.stop_stream()
    client.close()


def test_memory_comes_back_from_models_that_made_room(start_server, tmp_path):
    """Four ONNX models, one loaded at a time, sixty loads in all."""
    folder = tmp_path / "models"
    for number in range(4):
        (folder / f"p{number}/1").mkdir(parents=True)
        shutil.copy(ROOT / "tests/models/mlp.onnx", folder / f"p{number}/1/model.onnx")
    server = start_server(folder, "--model-control-mode=ondemand", "--limit=ondemand-models=1")
    client = Client("grpc", server)
    inputs = client.metadata("p0")["inputs"][0]
    tensor = np.zeros([max(int(extent), 1) for extent in inputs["shape"]], np.float32)

    def round_of_all():
        for number in range(4):
            client.infer(f"p{number}", client.input(inputs["name"], tensor, "FP32"))
        return resident_bytes(server)

    for _ in range(5):
        before = round_of_all()
    for _ in range(10):
        after = round_of_all()
    assert len(loaded(client)) == 1
    assert sum(loads(server, f"p{number}") for number in range(4)) == 60
    assert after < before + (16 << 20), f"{before} grew to {after} in 40 loads"
    client.close()


def resident_bytes(server) -> int:
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096
