"""Explicit mode: models come and go by request, and a change on disk is taken over without a restart."""

import shutil
import threading

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import identity, write_model
from server import ROOT
from tritonclient.utils import InferenceServerException

ONE = np.ones(1, np.float32)


@pytest.fixture(params=PROTOCOLS)
def control(request, start_server, tmp_path):
    """A client of a server in explicit mode with `first` loaded and `second` not, and the folder that it serves."""
    folder = tmp_path / "models"
    write_model(folder, "first", identity())
    write_model(folder, "second", identity())
    server = start_server(folder, "--model-control-mode=explicit", "--load-model=first")
    client = Client(request.param, server)
    yield client, folder
    client.close()


def test_only_the_models_asked_for_are_loaded(control):
    client, _ = control
    assert client.raw.is_model_ready("first") and not client.raw.is_model_ready("second")
    index = client.index()
    assert index["first"][0]["state"] == "READY"
    assert "state" not in index["second"][0] or not index["second"][0]["state"], "never loaded: only its name"


def test_a_model_is_loaded_used_and_unloaded(control):
    client, _ = control
    client.raw.load_model("second")
    assert client.raw.is_model_ready("second")
    assert client.identity("second", ONE)[0] == 1
    client.raw.unload_model("second")
    assert not client.raw.is_model_ready("second")
    with pytest.raises(InferenceServerException, match="Request for unknown model: 'second'"):
        client.identity("second", ONE)
    assert client.identity("first", ONE)[0] == 1, "the other model is untouched"


def test_unloading_a_stranger_is_no_error_and_loading_one_is(control):
    client, _ = control
    client.raw.unload_model("stranger")
    with pytest.raises(InferenceServerException, match="failed to load 'stranger', failed to poll from model repository"):
        client.raw.load_model("stranger")


def test_a_model_added_on_disk_can_be_loaded(control):
    client, folder = control
    write_model(folder, "third", identity("TYPE_INT32"))
    client.raw.load_model("third")
    assert client.identity("third", np.array([5], np.int32), "INT32")[0] == 5


def test_a_reload_takes_the_new_configuration(control):
    client, folder = control
    write_model(folder, "first", identity("TYPE_INT32"))
    client.raw.load_model("first")
    assert client.metadata("first")["inputs"][0]["datatype"] == "INT32"


def test_a_broken_configuration_is_explained_and_the_old_model_serves_on(control):
    client, folder = control
    write_model(folder, "first", identity().replace("max_batch_size", "max_batchsize"))
    with pytest.raises(InferenceServerException, match="max_batchsize"):
        client.raw.load_model("first")
    assert client.identity("first", ONE)[0] == 1


def test_names_that_leave_the_repository_are_refused(control):
    client, _ = control
    for name in ("..", "."):
        with pytest.raises(InferenceServerException):
            client.raw.load_model(name)


@pytest.mark.parametrize("backend", ["identity", "wasm"])
def test_no_request_fails_while_the_model_is_reloaded(start_server, tmp_path, backend):
    folder = tmp_path / "models"
    config = identity().replace('"identity"', f'"{backend}"')
    write_model(folder, "busy", config)
    if backend == "wasm":
        shutil.copy(ROOT / "target/guests/identity.wasm", folder / "busy/1/model.wasm")
    server = start_server(folder, "--model-control-mode=explicit", "--load-model=busy")
    ended, answered, failures = threading.Event(), [0] * 4, []

    def hammer(worker: int):
        client = Client(PROTOCOLS[worker % 2], server)
        while not ended.is_set():
            try:
                assert client.identity("busy", np.full(1, worker, np.float32))[0] == worker
                answered[worker] += 1
            except Exception as error:  # anything at all is a failed request
                failures.append(error)
        client.close()

    workers = [threading.Thread(target=hammer, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    control = Client("grpc", server)
    seen = 0
    for reload in range(10):
        # Each reload changes the configuration, and waits until requests were answered since the one before.
        write_model(folder, "busy", config + f'parameters {{ key: "reload" value: {{ string_value: "{reload}" }} }}\n')
        control.raw.load_model("busy")
        while sum(answered) < seen + 20 and not failures:
            ended.wait(0.001)
        seen = sum(answered)
    ended.set()
    for worker in workers:
        worker.join(timeout=30)
    assert control.config("busy")["parameters"]["reload"]["string_value"] == "9"
    control.close()
    assert not failures and min(answered) > 0, f"{len(failures)} failed, {answered} answered; {failures[:3]}"
