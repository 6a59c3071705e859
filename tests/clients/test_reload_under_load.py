"""Reloads and changes of instances while clients send: no request fails, and each is answered by one generation."""

import json
import os
import pathlib
import shutil
import threading

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import identity, write_model
from server import ROOT

WORKERS = 6
SWAPS = 30
# Requests that must be answered between two changes, so that each change meets load.
ANSWERS_BETWEEN = 30


class Load:
    """Clients of both protocols that send until told to stop. `check` judges one answer."""

    def __init__(self, server, send):
        self.failures, self.answered, self.ended = [], [0] * WORKERS, threading.Event()
        self.workers = [threading.Thread(target=self._work, args=(server, send, index)) for index in range(WORKERS)]
        for worker in self.workers:
            worker.start()

    def _work(self, server, send, index):
        client = Client(PROTOCOLS[index % 2], server)
        while not self.ended.is_set():
            try:
                send(client, index)
                self.answered[index] += 1
            except Exception as error:  # anything at all is a failed request
                self.failures.append(error)
        client.close()

    def wait_for_answers(self):
        enough = sum(self.answered) + ANSWERS_BETWEEN
        while sum(self.answered) < enough and not self.failures:
            self.ended.wait(0.001)

    def end(self):
        self.ended.set()
        for worker in self.workers:
            worker.join(timeout=60)
        assert not self.failures, f"{len(self.failures)} failed, {self.answered} answered; {self.failures[:3]}"
        assert min(self.answered) > 0


@pytest.fixture
def start(start_server, tmp_path):
    """A server in explicit mode over a folder that the test has filled."""
    return lambda *names: start_server(
        tmp_path / "models", "--model-control-mode=explicit", *(f"--load-model={name}" for name in names)
    )


def write_add_sub(folder: pathlib.Path, swapped: bool):
    """OUTPUT0 is the sum and OUTPUT1 the difference; or the other way round."""
    model = (ROOT / "tests/models/add_sub.onnx").read_bytes()
    if swapped:
        model = model.replace(b"Add", b"\0\0\0").replace(b"Sub", b"Add").replace(b"\0\0\0", b"Sub")
    (folder / "1").mkdir(parents=True, exist_ok=True)
    # Put in place at once, as a deployment does it.
    (folder / "model.new").write_bytes(model)
    (folder / "model.new").rename(folder / "1/model.onnx")


def add_sub(client: Client, value: int) -> bool:
    """Sends one request; whether the answer came from the swapped model. Answers of neither fail."""
    a, b = np.full((1, 16), value, np.int32), np.full((1, 16), 2, np.int32)
    answer = client.infer("add_sub", client.input("INPUT0", a, "INT32"), client.input("INPUT1", b, "INT32"))
    outputs = [answer.as_numpy("OUTPUT0"), answer.as_numpy("OUTPUT1")]
    is_swapped = bool((outputs[0] == a - b).all())
    expected = [a - b, a + b] if is_swapped else [a + b, a - b]
    assert all((found == wanted).all() for found, wanted in zip(outputs, expected)), "two generations in one answer"
    return is_swapped


def test_swapping_an_onnx_model_under_load_fails_no_request(start, tmp_path):
    folder = tmp_path / "models/add_sub"
    write_add_sub(folder, swapped=False)
    server = start("add_sub")
    load, control = Load(server, add_sub), Client("http", server)
    for swap in range(SWAPS):
        swapped = swap % 2 == 0
        write_add_sub(folder, swapped)
        control.raw.load_model("add_sub")
        assert add_sub(control, 5) == swapped, "what is sent after the load is answered by what was loaded"
        load.wait_for_answers()
    load.end()
    control.close()


def test_swapping_a_plugin_under_load_fails_no_request(start, tmp_path):
    folder = tmp_path / "models"
    write_model(folder, "plugin", identity().replace('"identity"', '"wasm"'))
    guests = [ROOT / "target/guests" / name for name in ("identity.wasm", "touch.wasm")]
    shutil.copy(guests[0], folder / "plugin/1/model.wasm")
    server = start("plugin")

    def send(client: Client, value: int):
        assert client.identity("plugin", np.full(3, value, np.float32))[0] == value

    load, control = Load(server, send), Client("grpc", server)
    for swap in range(SWAPS):
        shutil.copy(guests[(swap + 1) % 2], folder / "plugin/model.new")
        (folder / "plugin/model.new").rename(folder / "plugin/1/model.wasm")
        control.raw.load_model("plugin")
        load.wait_for_answers()
    load.end()
    assert server.log_text().count("loading: plugin:1") == SWAPS + 1
    control.close()


@pytest.mark.parametrize("name", ["add_sub", "plugin"])
def test_changing_instances_under_load_fails_no_request_and_keeps_the_generation(start, tmp_path, name):
    folder = tmp_path / "models"
    if name == "add_sub":
        write_add_sub(folder / "add_sub", swapped=False)
        send = add_sub
    else:
        write_model(folder, "plugin", identity().replace('"identity"', '"wasm"'))
        shutil.copy(ROOT / "target/guests/identity.wasm", folder / "plugin/1/model.wasm")
        send = lambda client, value: client.identity("plugin", np.full(3, value, np.float32))
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))  # what was written just now counts as changed
    server = start(name)
    load, control = Load(server, send), Client("grpc", server)
    written = control.config(name)
    for change in range(SWAPS):
        count = 1 + change * 3 % 5
        control.raw.load_model(name, config=json.dumps(written | {"instance_group": [{"count": count}]}))
        assert int(control.config(name)["instance_group"][0]["count"]) == count
        load.wait_for_answers()
    load.end()
    assert server.log_text().count(f"loading: {name}:1") == 1
    assert int(control.statistics(name)["inference_count"]) == sum(load.answered), "one generation answered all"
    control.close()


def test_requests_under_way_and_waiting_are_finished_by_their_generation(start, tmp_path):
    folder = tmp_path / "models"
    delay = 'parameters { key: "execute_delay_ms" value: { string_value: "2000" } }\n'
    write_model(folder, "slow", identity() + delay)
    server = start("slow")
    control, answers = Client("grpc", server), []

    def ask(value: float):
        client = Client("http", server)
        answers.append(client.identity("slow", np.full(1, value, np.float32))[0])
        client.close()

    askers = [threading.Thread(target=ask, args=(value,)) for value in (1, 2)]
    for asker in askers:
        asker.start()
    # There is one instance: one of the requests waits, so the other is being executed.
    while 'nv_inference_pending_request_count{model="slow",version="1"} 1' not in server.metrics():
        assert any(asker.is_alive() for asker in askers)
    write_model(folder, "slow", identity())
    control.raw.load_model("slow")
    assert control.identity("slow", np.full(1, 3, np.float32))[0] == 3
    assert all(asker.is_alive() for asker in askers), "the new generation does not wait for the old one"
    control.raw.unload_model("slow")
    for asker in askers:
        asker.join()
    assert sorted(answers) == [1, 2]
    control.close()
