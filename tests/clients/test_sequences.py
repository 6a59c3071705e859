"""Sequences as clients meet them: sums that the server keeps between the requests of a sequence, on two strategies."""

import queue
import shutil
import time

import numpy as np
import pytest
import tritonclient.grpc
from clients import PROTOCOLS, Client
from repository import write_model
from server import ROOT
from test_perf_analyzer import check, measure, perf_analyzer  # noqa: F401  (a fixture)
from tritonclient.utils import InferenceServerException

WAIT_SECONDS_MAX = 30
IDLE_MICROSECONDS = 300_000

CONTROLS = """
  control_input [
    { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } },
    { name: "END" control { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] } },
    { name: "READY" control { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } },
    { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: %s } }
  ]
  state { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: [ 1 ] %s }
"""
FROM_FILE = 'initial_state { name: "hundred" data_type: TYPE_INT32 dims: [ 1 ] data_file: "hundred" }'
DIRECT = "direct { }"
OLDEST = "oldest { max_candidate_sequences: 8 max_queue_delay_microseconds: 500 }"


def write_sums(models, name, strategy, id_type="TYPE_UINT64", state="", more="", idle=60_000_000):
    """Nothing but the sequences is written: the server completes the rest from the file."""
    batching = f"max_sequence_idle_microseconds: {idle} {strategy} {CONTROLS % (id_type, state)}"
    write_model(models, name, f"max_batch_size: 4\n{more}sequence_batching {{ {batching} }}\n")
    file = "sequence_sum_text" if id_type == "TYPE_STRING" else "sequence_sum"
    shutil.copy(ROOT / f"tests/models/{file}.onnx", models / name / "1" / "model.onnx")


@pytest.fixture(scope="module")
def sequence_server(binary, tmp_path_factory):
    from server import Server

    models = tmp_path_factory.mktemp("sequences")
    write_sums(models, "direct", DIRECT)
    write_sums(models, "oldest", OLDEST, more="instance_group { count: 1 }\n")
    write_sums(models, "text", DIRECT, id_type="TYPE_STRING")
    write_sums(models, "brief", DIRECT, idle=IDLE_MICROSECONDS)
    write_sums(models, "one_slot", DIRECT, more="instance_group { count: 1 }\n", idle=60_000_000)
    one_slot = models / "one_slot" / "config.pbtxt"
    one_slot.write_text(one_slot.read_text().replace("max_batch_size: 4", "max_batch_size: 1"))
    write_sums(models, "from_hundred", DIRECT, state=FROM_FILE)
    (models / "from_hundred" / "initial_state").mkdir()
    (models / "from_hundred" / "initial_state" / "hundred").write_bytes(np.int32(100).tobytes())
    with Server(binary, tmp_path_factory.mktemp("sequence_server") / "log", [models]) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=PROTOCOLS)
def sequence_client(request, sequence_server):
    connected = Client(request.param, sequence_server)
    connected.server = sequence_server
    yield connected
    connected.close()


class Sequence:
    """One sequence of one client: sends numbers, and knows what their sum must be."""

    def __init__(self, client: Client, model: str, sequence_id, first: int = 0):
        self.client, self.model, self.id, self.sum = client, model, sequence_id, first

    def send(self, number: int, start: bool = False, end: bool = False):
        given = self.client.input("INPUT", np.array([[number]], np.int32), "INT32")
        flags = {"sequence_id": self.id, "sequence_start": start, "sequence_end": end}
        result = self.client.infer(self.model, given, **flags)
        self.sum += number
        assert result.as_numpy("OUTPUT").tolist() == [[self.sum]]
        assert result.as_numpy("STARTED").tolist() == [[float(start)]]
        assert result.as_numpy("ENDED").tolist() == [[end]]
        return result


@pytest.mark.parametrize("model", ["direct", "oldest"])
def test_interleaved_sequences_do_not_meet(sequence_client, model):
    sequences = [Sequence(sequence_client, model, 1000 + index) for index in range(6)]
    for step in range(5):
        for index, sequence in enumerate(sequences):
            result = sequence.send(10 * index + step, start=step == 0, end=step == 4)
            assert result.as_numpy("SEQUENCE").tolist() == [[sequence.id]]


def test_ids_may_be_texts(sequence_client):
    for model in ("text", "direct"):
        first, second = (Sequence(sequence_client, model, f"sequence-{name}") for name in "ab")
        if model == "direct":
            with pytest.raises(InferenceServerException) as refused:
                first.send(1, start=True)
            expected = "sequence batching control 'ID' data-type is 'BYTES', but model 'direct' expects 'UINT64'"
            assert expected in str(refused.value)
            continue
        for step in range(3):
            for sequence in (first, second):
                result = sequence.send(step + 1, start=step == 0, end=step == 2)
                assert result.as_numpy("SEQUENCE").tolist() == [[sequence.id.encode()]]


def test_state_may_begin_with_a_file(sequence_client):
    sequence = Sequence(sequence_client, "from_hundred", 5, first=100)
    sequence.send(1, start=True)
    sequence.send(2, end=True)


def test_a_start_begins_again(sequence_client):
    for _ in range(2):
        sequence = Sequence(sequence_client, "direct", 77)
        sequence.send(5, start=True)
        sequence.send(6)
    sequence.send(7, end=True)


def test_control_inputs_and_state_belong_to_the_server(sequence_client):
    metadata = sequence_client.metadata("direct")
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["INPUT"]
    assert sorted(tensor["name"] for tensor in metadata["outputs"]) == ["ENDED", "OUTPUT", "SEQUENCE", "STARTED"]
    inputs = [
        sequence_client.input("INPUT", np.array([[1]], np.int32), "INT32"),
        sequence_client.input("READY", np.array([[1]], np.int32), "INT32"),
    ]
    with pytest.raises(InferenceServerException, match="expected 1 inputs but got 2 inputs for model 'direct'"):
        sequence_client.infer("direct", *inputs, sequence_id=1, sequence_start=True)
    asked = [sequence_client.output("SUM_OUT")]
    with pytest.raises(InferenceServerException, match="unexpected inference output 'SUM_OUT' for model 'direct'"):
        sequence_client.infer("direct", inputs[0], outputs=asked, sequence_id=1, sequence_start=True)


def test_mistakes_are_told_in_tritons_words(sequence_client):
    def refusal(shape=(1, 1), **flags) -> str:
        given = sequence_client.input("INPUT", np.zeros(shape, np.int32), "INT32")
        with pytest.raises(InferenceServerException) as refused:
            sequence_client.infer("direct", given, **flags)
        return str(refused.value)

    model = "inference request to model 'direct'"
    assert f"{model} must specify a non-zero or non-empty correlation ID" in refusal()
    assert "inference request for sequence 4242 to model 'direct' must specify the START flag on the first request of the sequence" in refusal(sequence_id=4242)
    batch = refusal((2, 1), sequence_id=1, sequence_start=True)
    assert f"{model} must specify batch-size 1 due to requirements of sequence batcher" in batch


def test_a_silent_sequence_is_ended(sequence_client):
    sequence = Sequence(sequence_client, "brief", 31)
    sequence.send(1, start=True)
    sequence.send(2)
    end = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < end:
        time.sleep(2 * IDLE_MICROSECONDS / 1e6)  # the silence itself is what is tested
        try:
            sequence.send(0)
        except InferenceServerException as error:
            assert "must specify the START flag on the first request of the sequence" in str(error)
            return
    raise AssertionError("the sequence was never ended")


def test_a_stream_interleaves_sequences(sequence_server):
    client = tritonclient.grpc.InferenceServerClient(sequence_server.grpc_url)
    answers = queue.SimpleQueue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    ids, steps = [201, 202, 203], 20
    for step in range(steps):
        for sequence_id in ids:
            given = tritonclient.grpc.InferInput("INPUT", [1, 1], "INT32")
            given.set_data_from_numpy(np.array([[sequence_id]], np.int32))
            client.async_stream_infer(
                "direct",
                [given],
                request_id=f"{sequence_id}-{step}",
                sequence_id=sequence_id,
                sequence_start=step == 0,
                sequence_end=step == steps - 1,
            )
    for step in range(steps):
        for sequence_id in ids:
            result, error = answers.get(timeout=WAIT_SECONDS_MAX)
            assert error is None, error
            assert result.get_response().id == f"{sequence_id}-{step}"
            assert result.as_numpy("OUTPUT").tolist() == [[sequence_id * (step + 1)]]
    client.stop_stream()
    client.close()


def test_a_sequence_without_a_slot_waits_or_gives_up(sequence_client):
    holder = Sequence(sequence_client, "one_slot", 1)
    holder.send(1, start=True)
    given = [sequence_client.input("INPUT", np.array([[5]], np.int32), "INT32")]
    with pytest.raises(InferenceServerException, match="timeout of the corresponding sequence has been expired"):
        sequence_client.raw.infer("one_slot", given, sequence_id=2, sequence_start=True, timeout=50_000)
    holder.send(2, end=True)
    Sequence(sequence_client, "one_slot", 2).send(5, start=True, end=True)


@pytest.mark.parametrize("model", ["direct", "oldest"])
def test_perf_analyzer_drives_sequences(perf_analyzer, sequence_server, model):  # noqa: F811
    options = ["--sequence-length=8", "--concurrency-range=4"]
    check(measure(perf_analyzer, sequence_server, model, "grpc", "--streaming", *options))
    # Without --sync it ends its last sequences over other connections than they were started on, not waiting for answers.
    check(measure(perf_analyzer, sequence_server, model, "http", "--sync", *options))
