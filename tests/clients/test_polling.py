"""Poll mode: the server follows what changes in the directories, and nobody may load or unload by request."""

import shutil
import time

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import identity, write_ensemble_of, write_model
from tritonclient.utils import InferenceServerException

ONE = np.ones(1, np.float32)

# The server looks every second; only a broken server takes so long.
SECONDS_MAX = 30


@pytest.fixture(params=PROTOCOLS)
def polled(request, start_server, tmp_path):
    """A client of a server that polls every second, the folder with `first` that it serves, and the server."""
    folder = tmp_path / "models"
    write_model(folder, "first", identity())
    server = start_server(folder, "--model-control-mode=poll", "--repository-poll-secs=1")
    client = Client(request.param, server)
    yield client, folder, server
    client.close()


def wait_for(what: str, condition):
    end = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < end, f"after {SECONDS_MAX} s still not so: {what}"
        time.sleep(0.02)


def states(client, name: str) -> dict:
    return {row.get("version"): row.get("state") for row in client.index().get(name, [])}


def test_models_are_added_changed_and_removed(polled):
    client, folder, _ = polled
    write_model(folder, "second", identity())
    wait_for("second is ready", lambda: client.raw.is_model_ready("second"))
    assert client.identity("second", ONE)[0] == 1

    (folder / "second/2").mkdir()
    wait_for("version 2 took over", lambda: states(client, "second").get("2") == "READY")
    wait_for("version 1 is gone", lambda: states(client, "second").get("1") == "UNAVAILABLE")

    write_model(folder, "second", identity("TYPE_INT32"))
    wait_for("the new type", lambda: client.metadata("second")["inputs"][0]["datatype"] == "INT32")

    shutil.rmtree(folder / "second")
    wait_for("second is gone", lambda: not client.raw.is_model_ready("second"))
    assert client.identity("first", ONE)[0] == 1, "the other model is untouched"


def test_a_broken_change_is_logged_and_the_old_model_serves_on(polled):
    client, folder, server = polled
    write_model(folder, "first", identity().replace("max_batch_size", "max_batchsize"))
    wait_for("the failure is logged", lambda: "failed to load 'first'" in server.log_text())
    assert "max_batchsize" in server.log_text()
    assert client.identity("first", ONE)[0] == 1
    write_model(folder, "first", identity("TYPE_INT32"))
    wait_for("the mended type", lambda: client.metadata("first")["inputs"][0]["datatype"] == "INT32")


def test_an_ensemble_comes_and_goes_with_its_member(polled):
    client, folder, _ = polled
    write_ensemble_of(folder, "chain", "late")
    wait_for("chain failed", lambda: set(states(client, "chain").values()) == {"UNAVAILABLE"})
    write_model(folder, "late", identity())
    wait_for("chain is ready", lambda: client.raw.is_model_ready("chain"))
    assert client.identity("chain", ONE)[0] == 1
    shutil.rmtree(folder / "late")
    wait_for("chain is gone", lambda: not client.raw.is_model_ready("chain"))


def test_models_are_neither_loaded_nor_unloaded_by_request(polled):
    client, _, _ = polled
    text = "explicit model load / unload is not allowed if polling is enabled"
    for control in (client.raw.load_model, client.raw.unload_model):
        with pytest.raises(InferenceServerException, match=text) as refused:
            control("first")
        assert refused.value.status() == {"http": "503", "grpc": "StatusCode.UNAVAILABLE"}[client.protocol]


def test_the_server_ends_cleanly_while_it_polls(polled):
    _, _, server = polled
    server.terminate()
    assert server.wait() == 0, server.log_text()[-4000:]
