"""Sequences where models meet: as a step of an ensemble, as a plugin, over three ways at once, on instances that go."""

import queue
import shutil
import threading

import numpy as np
import pytest
import tritonclient.grpc
from clients import PROTOCOLS, Client
from repository import identity, tensors, write_model
from server import ROOT, Server
from test_load_overrides import age
from test_sequences import CONTROLS, DIRECT, Sequence, write_sums
from tritonclient.utils import InferenceServerException

WAIT_SECONDS_MAX = 60
CARRIED = (("OUTPUT", "TYPE_INT32"), ("STARTED", "TYPE_FP32"), ("ENDED", "TYPE_BOOL"), ("SEQUENCE", "TYPE_UINT64"))


def write_ensemble(models, name: str, member: str):
    """The input through an identity model, then into the sequence model."""
    outputs = " ".join(f'output_map {{ key: "{tensor}" value: "{tensor}" }}' for tensor, _ in CARRIED)
    steps = (
        '{ model_name: "before" model_version: -1 input_map { key: "INPUT0" value: "INPUT" } '
        'output_map { key: "OUTPUT0" value: "between" } }',
        f'{{ model_name: "{member}" model_version: -1 input_map {{ key: "INPUT" value: "between" }} {outputs} }}',
    )
    config = 'platform: "ensemble"\nmax_batch_size: 4\n' + tensors("input", ("INPUT", "TYPE_INT32", "1"))
    config += tensors("output", *((tensor, data_type, "1") for tensor, data_type in CARRIED))
    write_model(models, name, config + f"ensemble_scheduling {{ step [ {', '.join(steps)} ] }}\n")


def write_plugin(models, name: str, strategy: str):
    config = 'backend: "wasm"\nmax_batch_size: 8\n' + tensors("input", ("INPUT", "TYPE_INT32", "1"))
    config += tensors("output", *((tensor, data_type, "1") for tensor, data_type in CARRIED))
    batching = f"max_sequence_idle_microseconds: 60000000 {strategy} {CONTROLS % ('TYPE_UINT64', '')}"
    write_model(models, name, config + f"sequence_batching {{ {batching} }}\n")
    shutil.copy(ROOT / "target/guests/sequence_sum.wasm", models / name / "1" / "model.wasm")


def write_cache(models):
    """State that grows by a row with every request."""
    state = 'state { input_name: "CACHE_IN" output_name: "CACHE_OUT" data_type: TYPE_FP32 dims: [ -1, 2 ] %s }'
    flags = "use_growable_memory: true use_same_buffer_for_input_output: true"
    config = 'backend: "onnxruntime"\nmax_batch_size: 4\n' + tensors("input", ("INPUT", "TYPE_FP32", "2"))
    config += tensors("output", ("SEEN", "TYPE_FP32", "-1, 2"))
    write_model(models, "cache", config + f"sequence_batching {{ direct {{ }} {state % flags} }}\n")
    shutil.copy(ROOT / "tests/models/growing_state.onnx", models / "cache" / "1" / "model.onnx")


@pytest.fixture(scope="module")
def places(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("places")
    write_sums(models, "direct", DIRECT)
    write_model(models, "before", identity("TYPE_INT32", "1", more="max_batch_size: 4\n"))
    write_ensemble(models, "ensemble", "direct")
    write_plugin(models, "plugin", DIRECT)
    write_plugin(models, "plugin_oldest", "oldest { max_candidate_sequences: 8 }")
    write_ensemble(models, "ensemble_of_plugin", "plugin")
    write_cache(models)
    with Server(binary, tmp_path_factory.mktemp("places_server") / "log", [models]) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=PROTOCOLS)
def place(request, places):
    connected = Client(request.param, places)
    yield connected
    connected.close()


@pytest.mark.parametrize("model", ["ensemble", "plugin", "plugin_oldest", "ensemble_of_plugin"])
def test_sequences_do_not_meet_there_either(place, model):
    sequences = [Sequence(place, model, 500 + index) for index in range(4)]
    for step in range(6):
        for index, sequence in enumerate(sequences):
            result = sequence.send(10 * index + step, start=step == 0, end=step == 5)
            assert result.as_numpy("SEQUENCE").tolist() == [[sequence.id]]


@pytest.mark.parametrize("model", ["ensemble", "ensemble_of_plugin"])
def test_an_ensemble_says_which_step_does_not_know_the_sequence(place, model):
    given = place.input("INPUT", np.array([[1]], np.int32), "INT32")
    with pytest.raises(InferenceServerException) as refused:
        place.infer(model, given, sequence_id=77)
    assert "inference request for sequence 77 to model" in str(refused.value)
    assert f"in ensemble '{model}'" in str(refused.value)


def test_state_may_grow(place):
    for _ in range(2):
        for step in range(1, 9):
            given = place.input("INPUT", np.array([[step, -step]], np.float32), "FP32")
            result = place.infer("cache", given, sequence_id=9, sequence_start=step == 1, sequence_end=step == 8)
            rows = [[0.0, 0.0]] + [[float(row), float(-row)] for row in range(1, step + 1)]
            assert result.as_numpy("SEEN").tolist() == [rows]


def drive(client: Client, model: str, ids, steps: int, failures: list):
    """Sequences side by side over one connection."""
    try:
        sequences = [Sequence(client, model, sequence_id) for sequence_id in ids]
        for step in range(steps):
            for sequence in sequences:
                sequence.send(sequence.id + step, start=step == 0, end=step == steps - 1)
    except BaseException as error:  # noqa: BLE001 (told in the test's own thread)
        failures.append(error)


def drive_stream(server, model: str, ids, steps: int, failures: list):
    """Sequences side by side in one stream, which never waits for an answer."""
    try:
        client = tritonclient.grpc.InferenceServerClient(server.grpc_url)
        answers = queue.SimpleQueue()
        client.start_stream(lambda result, error: answers.put((result, error)))
        for step in range(steps):
            for sequence_id in ids:
                given = tritonclient.grpc.InferInput("INPUT", [1, 1], "INT32")
                given.set_data_from_numpy(np.array([[sequence_id]], np.int32))
                flags = {"sequence_start": step == 0, "sequence_end": step == steps - 1}
                client.async_stream_infer(model, [given], sequence_id=sequence_id, **flags)
        for step in range(steps):
            for sequence_id in ids:
                result, error = answers.get(timeout=WAIT_SECONDS_MAX)
                assert error is None, error
                assert result.as_numpy("OUTPUT").tolist() == [[sequence_id * (step + 1)]]
        client.stop_stream()
        client.close()
    except BaseException as error:  # noqa: BLE001 (told in the test's own thread)
        failures.append(error)


@pytest.mark.parametrize("model", ["direct", "plugin", "ensemble"])
def test_http_grpc_and_streams_interleave(places, model):
    failures, steps = [], 25
    clients = [Client(protocol, places) for protocol in PROTOCOLS]
    # One more than there are seats, which are eight: some wait in the backlog while the others go on. Two clients that wait
    # for every answer have six; the stream, which does not, always ends and makes room.
    drivers = [
        threading.Thread(target=drive, args=(client, model, range(100 * index, 100 * index + 3), steps, failures))
        for index, client in enumerate(clients, start=1)
    ]
    drivers.append(threading.Thread(target=drive_stream, args=(places, model, range(300, 303), steps, failures)))
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join(WAIT_SECONDS_MAX)
        assert not driver.is_alive()
    for client in clients:
        client.close()
    assert not failures, failures


def test_one_sequence_may_come_over_every_protocol(places):
    clients = [Client(protocol, places) for protocol in PROTOCOLS]
    total = 0
    for step in range(10):
        client = clients[step % 2]
        given = client.input("INPUT", np.array([[step]], np.int32), "INT32")
        flags = {"sequence_id": 4711, "sequence_start": step == 0, "sequence_end": step == 9}
        total += step
        assert client.infer("direct", given, **flags).as_numpy("OUTPUT").tolist() == [[total]]
    for client in clients:
        client.close()


def test_sequences_drain_from_an_instance_that_goes(start_server, tmp_path):
    models = tmp_path / "models"
    write_sums(models, "sums", "oldest { max_candidate_sequences: 4 }", more="instance_group { count: 2 }\n")
    age(models)
    server = start_server(models, "--model-control-mode=explicit", "--load-model=sums")
    client = Client("grpc", server)
    # Two instances with four seats each: every other sequence is on the same one.
    sequences = [Sequence(client, "sums", 1 + index) for index in range(6)]
    for sequence in sequences:
        sequence.send(1, start=True)
    config = models / "sums" / "config.pbtxt"
    config.write_text(config.read_text().replace("count: 2", "count: 1"))
    client.raw.load_model("sums")
    assert int(client.statistics("sums")["inference_count"]) == 6, "the model was loaded again"
    for sequence in sequences:
        sequence.send(2)
    # Three seats of the instance that stays are taken, and none of the one that goes is given again.
    late = Sequence(client, "sums", 7)
    late.send(1, start=True)
    assert not gets_seat(client, 8)
    freed = []
    for parity in range(2):
        sequences[parity].send(3, end=True)
        freed.append(gets_seat(client, 8))
    assert freed in ([False, True], [True, True])
    for sequence in sequences[2:]:
        sequence.send(3)
        sequence.send(4, end=True)
    late.send(2, end=True)
    assert int(client.statistics("sums")["inference_count"]) >= 24, "statistics began again"
    client.close()


def gets_seat(client: Client, sequence_id: int) -> bool:
    """Whether a sequence of one request is served within a moment."""
    given = client.input("INPUT", np.array([[5]], np.int32), "INT32")
    try:
        client.infer("sums", given, sequence_id=sequence_id, sequence_start=True, sequence_end=True, timeout=100_000)
    except InferenceServerException as error:
        assert "timeout of the corresponding sequence has been expired" in str(error)
        return False
    return True
