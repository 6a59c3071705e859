"""The forms of tensors between client and model: reshapes, requests of different shapes in one batch and what the model is
told about them, scalars, optional inputs, tensors without elements."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import identity, tensors, write_model
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

# A batch goes when its rows are there. A request that would have to wait for this long has not found its batch.
FULL_BATCH = "dynamic_batching {{ preferred_batch_size: [ {rows} ] max_queue_delay_microseconds: 600000000 }}\n"

RAGGED = """max_batch_size: 8
input [ { name: "VALUES" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true },
        { name: "SCALE" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "SUM" data_type: TYPE_FP32 dims: [ 1 ] }, { name: "DOUBLED" data_type: TYPE_FP32 dims: [ -1 ] } ]
batch_input [ { kind: BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO target_name: "BOUNDS" data_type: TYPE_INT32
                source_input: "VALUES" } ]
batch_output [ { target_name: "DOUBLED" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "VALUES" } ]
instance_group { count: 1 }
"""

BATCH_TENSOR = '{{ kind: BATCH_{kind} target_name: "{name}" data_type: TYPE_{type} source_input: "VALUES" }}'
BATCH_TENSORS = {
    "COUNTS": ("ELEMENT_COUNT", "INT32"),
    "ENDS": ("ACCUMULATED_ELEMENT_COUNT", "FP32"),
    "BOUNDS": ("ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", "INT32"),
    "LONGEST": ("MAX_ELEMENT_COUNT_AS_SHAPE", "FP32"),
    "SHAPES": ("ITEM_SHAPE", "INT32"),
    "SHAPES_FLAT": ("ITEM_SHAPE_FLATTEN", "FP32"),
}

# Clients have rows of four, the model grids of two by two.
GRIDS = """max_batch_size: 4
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape {{ shape: [ -1, 2, 2 ] }} }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape {{ shape: [ -1, 2, 2 ] }} }} ]
{more}"""
GRIDS_WARMUP = """model_warmup [ { name: "rows" batch_size: 2
  inputs { key: "X" value: { data_type: TYPE_FP32 dims: [ 3, 4 ] zero_data: true } } } ]
"""
# Two rows of four are one row of eight outside the ensemble.
GRIDS_ENSEMBLE = """platform: "ensemble"
max_batch_size: 4
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 8 ] reshape { shape: [ 2, 4 ] } } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 8 ] reshape { shape: [ 2, 4 ] } } ]
ensemble_scheduling { step [ { model_name: "grids" model_version: -1
  input_map { key: "X" value: "IN" } output_map { key: "Y" value: "OUT" } } ] }
"""

FOUR_AS_GRID = """backend: "{backend}"
max_batch_size: 4
input [ {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ 4 ] reshape {{ shape: [ 2, 2 ] }} }} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ {dims} ] {reshape} }} ]
"""

OPTIONAL = """backend: "identity"
max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 2 ] },
        { name: "INPUT1" data_type: TYPE_FP32 dims: [ 2 ] optional: true } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "OUTPUT1" data_type: TYPE_FP32 dims: [ 2 ] } ]
instance_group { count: 1 }
"""

SEQUENCE_SUM = """max_batch_size: 4
input [ { name: "INPUT" data_type: TYPE_INT32 dims: [ 1, 1 ] reshape { shape: [ 1 ] } } ]
output [ { name: "OUTPUT" data_type: TYPE_INT32 dims: [ 1, 1 ] reshape { shape: [ 1 ] } } ]
sequence_batching { max_sequence_idle_microseconds: 60000000
  control_input [
    { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } },
    { name: "END" control { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] } },
    { name: "READY" control { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } },
    { name: "ID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } } ]
  state { input_name: "SUM_IN" output_name: "SUM_OUT" data_type: TYPE_INT32 dims: [ 1 ] } }
"""


def write_onnx(models, name, config, file=None):
    write_model(models, name, config)
    shutil.copy(ROOT / f"tests/models/{file or name}.onnx", models / name / "1" / "model.onnx")


def write_models(models):
    write_onnx(models, "ragged", RAGGED + FULL_BATCH.format(rows=4))
    write_onnx(models, "ragged_alone", RAGGED, "ragged")
    batch_tensors = ", ".join(
        BATCH_TENSOR.format(name=name, kind=kind, type=data_type) for name, (kind, data_type) in BATCH_TENSORS.items()
    )
    values = 'input [ { name: "VALUES" data_type: TYPE_FP32 dims: [ -1, -1 ] allow_ragged_batch: true } ]\n'
    config = f"max_batch_size: 8\n{values}batch_input [ {batch_tensors} ]\n" + FULL_BATCH.format(rows=3)
    write_onnx(models, "batch_tensors", config)
    write_onnx(models, "grids", GRIDS.format(more=GRIDS_WARMUP), "transpose_grids")
    write_onnx(models, "grids_together", GRIDS.format(more=FULL_BATCH.format(rows=3)), "transpose_grids")
    write_model(models, "grids_ensemble", GRIDS_ENSEMBLE)
    write_onnx(models, "summed", SEQUENCE_SUM, "sequence_sum")
    write_model(models, "row_of_grid", FOUR_AS_GRID.format(backend="identity", dims="4", reshape="reshape { shape: [ 2, 2 ] }"))
    for backend in ("identity", "wasm"):
        write_model(models, f"seen_by_{backend}", FOUR_AS_GRID.format(backend=backend, dims="2, 2", reshape=""))
    shutil.copy(ROOT / "target/guests/identity.wasm", models / "seen_by_wasm/1/model.wasm")
    write_model(models, "optional", OPTIONAL + FULL_BATCH.format(rows=2))
    for name in ("scalar", "scalar_per_row"):
        write_onnx(models, name, "")
    with_default = tensors("input", ("X", "TYPE_FP32", "-1"))
    with_default += 'input { name: "FACTOR" data_type: TYPE_FP32 dims: [ 1 ] optional: true }\n'
    write_onnx(models, "with_default", with_default + tensors("output", ("Y", "TYPE_FP32", "-1")))


@pytest.fixture(scope="module")
def forms_server(binary, tmp_path_factory):
    models = tmp_path_factory.mktemp("forms")
    write_models(models)
    with Server(binary, tmp_path_factory.mktemp("forms_server") / "log", [models]) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=PROTOCOLS)
def client(request, forms_server):
    connected = Client(request.param, forms_server)
    connected.server = forms_server
    yield connected
    connected.close()


def all_at_once(client, model, requests, **options):
    """Each request over a connection of its own, all at the same time; the results in the order of the requests."""

    def ask(request):
        asking = Client(client.protocol, client.server)
        try:
            return asking.infer(model, *request, **options)
        finally:
            asking.close()

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(ask, requests))


def counts(client, model):
    statistics = client.statistics(model)
    return np.array([int(statistics.get(name, 0)) for name in ("inference_count", "execution_count")])


def floats(*values):
    return np.array([values], np.float32)


def ragged_request(client, values, scale):
    return [client.input("VALUES", values, "FP32"), client.input("SCALE", floats(scale), "FP32")]


def test_requests_of_different_shapes_are_one_execution_with_the_numbers_of_four(client):
    sent = [(floats(1, 2), 1), (floats(), 7), (floats(3, 4, 5, 6), 10), (floats(0.5), 2)]
    requests = [ragged_request(client, values, scale) for values, scale in sent]
    before = counts(client, "ragged")
    together = all_at_once(client, "ragged", requests)
    assert list(counts(client, "ragged") - before) == [4, 1]
    before = counts(client, "ragged_alone")
    alone = [client.infer("ragged_alone", *request) for request in requests]
    assert list(counts(client, "ragged_alone") - before) == [4, 4]
    for (values, scale), *results in zip(sent, together, alone):
        for result in results:
            np.testing.assert_array_equal(result.as_numpy("SUM"), [[values.sum() * scale]])
            np.testing.assert_array_equal(result.as_numpy("DOUBLED"), values * 2)


def test_every_row_of_a_request_is_a_row_of_the_batch(client):
    shapes = [(2, 1, 2), (1, 3, 2)]
    requests = [[client.input("VALUES", np.zeros(shape, np.float32), "FP32")] for shape in shapes]
    before = counts(client, "batch_tensors")
    results = all_at_once(client, "batch_tensors", requests, outputs=[client.output("OUT_SHAPES")])
    assert list(counts(client, "batch_tensors") - before) == [3, 1]
    for shape, result in zip(shapes, results):
        np.testing.assert_array_equal(result.as_numpy("OUT_SHAPES"), [shape[1:]] * shape[0])


def test_the_model_is_told_about_its_batch(client):
    shapes = [(1, 4, 1), (1, 1, 2), (1, 2, 3)]
    requests = [[client.input("VALUES", np.zeros(shape, np.float32), "FP32")] for shape in shapes]
    before = counts(client, "batch_tensors")
    results = all_at_once(client, "batch_tensors", requests)
    assert list(counts(client, "batch_tensors") - before) == [3, 1]
    for shape, result in zip(shapes, results):
        output = {name: result.as_numpy(f"OUT_{name}")[0].tolist() for name in [*BATCH_TENSORS, "LENGTH", "ELEMENTS"]
                  if name != "LONGEST"}
        # Which of the three came first is not known; what is said of them must fit together.
        assert sorted(output["COUNTS"]) == [2, 4, 6]
        ends = np.cumsum(output["COUNTS"]).tolist()
        assert (output["ENDS"], output["BOUNDS"]) == (ends, [0, *ends])
        assert (output["LENGTH"], output["ELEMENTS"]) == ([6], [12])
        assert output["SHAPES"] == list(shape[1:])
        told = np.array(output["SHAPES_FLAT"], int).reshape(3, 2)
        assert told.prod(axis=1).tolist() == output["COUNTS"]
        assert list(shape[1:]) in told.tolist()


GRID_ROWS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
TRANSPOSED = GRID_ROWS[:, :, [0, 2, 1, 3]]


@pytest.mark.parametrize("binary_data", [True, False])
def test_clients_have_rows_where_the_model_has_grids(client, binary_data):
    given = client.input("X", GRID_ROWS, "FP32", binary_data)
    result = client.infer("grids", given, outputs=[client.output("Y", binary_data)])
    np.testing.assert_array_equal(result.as_numpy("Y"), TRANSPOSED)


def test_metadata_and_errors_speak_of_the_clients_form(client):
    metadata = client.metadata("grids")
    for tensor in metadata["inputs"] + metadata["outputs"]:
        assert [int(dim) for dim in tensor["shape"]] == [-1, -1, 4]
    config = client.config("grids")
    assert [int(dim) for dim in config["input"][0]["reshape"]["shape"]] == [-1, 2, 2]
    with pytest.raises(InferenceServerException, match=r"Expected \[-1,-1,4\], got \[1,3,2,2\]"):
        client.infer("grids", client.input("X", np.zeros((1, 3, 2, 2), np.float32), "FP32"))


def test_reshaped_requests_are_batched(client):
    before = counts(client, "grids_together")
    requests = [[client.input("X", GRID_ROWS[:1] + index, "FP32")] for index in range(3)]
    for index, result in enumerate(all_at_once(client, "grids_together", requests)):
        np.testing.assert_array_equal(result.as_numpy("Y"), TRANSPOSED[:1] + index)
    assert list(counts(client, "grids_together") - before) == [3, 1]


def test_an_ensemble_reshapes_its_own_tensors(client):
    given = GRID_ROWS.reshape(3, 8)
    result = client.infer("grids_ensemble", client.input("IN", given, "FP32"))
    np.testing.assert_array_equal(result.as_numpy("OUT"), TRANSPOSED.reshape(3, 8))


def test_sequences_and_their_state_go_with_a_reshape(client):
    for number, (start, end), total in [(5, (True, False), 5), (7, (False, False), 12), (1, (False, True), 13)]:
        given = client.input("INPUT", np.full((1, 1, 1), number, np.int32), "INT32")
        result = client.infer("summed", given, sequence_id=11, sequence_start=start, sequence_end=end)
        np.testing.assert_array_equal(result.as_numpy("OUTPUT"), [[[total]]])


@pytest.mark.parametrize("backend", ["identity", "wasm"])
def test_every_backend_sees_the_reshaped_input(client, backend):
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(client.identity(f"seen_by_{backend}", rows), rows.reshape(2, 2, 2))
    np.testing.assert_array_equal(client.identity("row_of_grid", rows), rows)


def test_a_number_per_row_and_a_number_alone(client):
    rows = np.array([[1], [2], [3]], np.int64)
    result = client.infer("scalar_per_row", client.input("X", rows, "INT64"))
    np.testing.assert_array_equal(result.as_numpy("Y"), 2 * rows)
    result = client.infer("scalar", client.input("X", np.array([20.5], np.float32), "FP32"))
    np.testing.assert_array_equal(result.as_numpy("Y"), [41])


def test_requests_share_a_batch_with_those_that_bring_the_same_inputs(client):
    before = counts(client, "optional")
    one, two = floats(1, 2), floats(3, 4)
    both = [client.input("INPUT0", one, "FP32"), client.input("INPUT1", two, "FP32")]
    for requests, outputs in (([both[:1]] * 2, [one, None]), ([both] * 2, [one, two])):
        for result in all_at_once(client, "optional", requests):
            for name, expected in zip(("OUTPUT0", "OUTPUT1"), outputs):
                found = result.as_numpy(name)
                assert (found is None) if expected is None else (found == expected).all()
    assert list(counts(client, "optional") - before) == [4, 2]


def test_an_input_with_a_value_in_the_file_may_be_left_out(client):
    x, factor = np.array([1, 2], np.float32), np.array([10], np.float32)
    inputs = [client.input("X", x, "FP32"), client.input("FACTOR", factor, "FP32")]
    np.testing.assert_array_equal(client.infer("with_default", inputs[0]).as_numpy("Y"), 3 * x)
    np.testing.assert_array_equal(client.infer("with_default", *inputs).as_numpy("Y"), 10 * x)


def test_tensors_without_elements(client):
    empty = np.zeros((2, 0, 4), np.float32)
    assert client.infer("grids", client.input("X", empty, "FP32")).as_numpy("Y").shape == (2, 0, 4)
    assert client.infer("with_default", client.input("X", np.zeros(0, np.float32), "FP32")).as_numpy("Y").shape == (0,)


INPUT = 'name: "INPUT0" data_type: TYPE_FP32 dims: [ 2, 2 ]'


@pytest.mark.parametrize(
    "change, expected",
    [
        ((INPUT, INPUT + " reshape { shape: [ 3 ] }"), "model input 'INPUT0' has different size for dims and reshape for bad"),
        ((INPUT, INPUT + " is_shape_tensor: true"), "shape tensors are only supported for TensorRT platform for bad"),
        (
            (INPUT, INPUT + " is_non_linear_format_io: true"),
            "Non-linear IO format is only supported for the TensorRT platform for bad",
        ),
        (
            ("max_batch_size", 'batch_input { target_name: "T" data_type: TYPE_INT32 }\nmax_batch_size'),
            "batch input kind 'BATCH_ELEMENT_COUNT' expects 1 source input, got 0 for bad",
        ),
        (
            ("max_batch_size", 'batch_output { target_name: "OUTPUT0" source_input: "INPUT0" }\nmax_batch_size'),
            "model 'bad': the identity backend gives the model every request by itself, so there is no batch for "
            "'batch_output'",
        ),
    ],
)
def test_a_mistake_fails_the_load_in_tritons_words(start_server, tmp_path, change, expected):
    folder = tmp_path / "models"
    folder.mkdir()
    server = start_server(folder, "--model-control-mode=explicit")
    write_model(folder, "bad", identity(dims="2, 2", more="max_batch_size: 2\n").replace(*change))
    client = Client("http", server)
    with pytest.raises(InferenceServerException) as refused:
        client.raw.load_model("bad")
    client.close()
    assert expected in str(refused.value)
