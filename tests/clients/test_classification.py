"""The classification extension: an output answered as its largest values with index and label."""

import queue

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import identity, write_model
from server import Server
from tritonclient.utils import InferenceServerException

LABELS = "cat\ndog\n\nemu\n"
ROWS = np.array([[0.5, 2, 1.25, -1], [3, 3, 9, 3]], np.float32)
CLASSES = [["2.000000:1:dog", "1.250000:2", "0.500000:0:cat"], ["9.000000:2", "3.000000:0:cat", "3.000000:1:dog"]]


def labelled(data_type: str = "TYPE_FP32", file: str = "labels.txt", **options) -> str:
    return identity(data_type, **options).replace('"OUTPUT0"', f'"OUTPUT0" label_filename: "{file}"')


@pytest.fixture(scope="module")
def labelling(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    write_model(folder, "rows", labelled(dims="4", more="max_batch_size: 8\n"))
    write_model(folder, "numbers", labelled("TYPE_INT64"))
    for model in ("rows", "numbers"):
        (folder / model / "labels.txt").write_text(LABELS)
    for data_type in ("BOOL", "FP16", "STRING"):
        write_model(folder, data_type.lower(), identity(f"TYPE_{data_type}"))
    write_model(folder, "wide", identity("TYPE_UINT8"))
    with Server(binary, tmp_path_factory.mktemp("labelling") / "log", [folder]) as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def labeller(request, labelling):
    connected = Client(request.param, labelling)
    yield connected
    connected.close()


def texts(array: np.ndarray) -> list:
    """JSON gives text and binary gives bytes."""
    if array.ndim > 1:
        return [texts(row) for row in array]
    return [element if isinstance(element, str) else element.decode() for element in array]


def classify(client: Client, model: str, array: np.ndarray, data_type: str, count: int, binary: bool = True):
    outputs = [client.output("OUTPUT0", binary, class_count=count)]
    result = client.infer(model, client.input("INPUT0", array, data_type), outputs=outputs)
    # Of gRPC, a message: its `as_json` gives nothing in the client's version 2.73.
    described = result.get_output("OUTPUT0")
    datatype, shape = (described[key] if isinstance(described, dict) else getattr(described, key) for key in ("datatype", "shape"))
    assert datatype == "BYTES"
    found = result.as_numpy("OUTPUT0")
    assert list(shape) == list(found.shape)
    return texts(found)


@pytest.mark.parametrize("as_binary", [True, False])
def test_the_largest_values_come_with_index_and_label(labeller, as_binary):
    assert classify(labeller, "rows", ROWS, "FP32", 3, as_binary) == CLASSES
    everything = classify(labeller, "rows", ROWS[:1], "FP32", 99, as_binary)
    assert everything == [CLASSES[0] + ["-1.000000:3:emu"]], "no more classes than elements"


def test_integers_are_printed_plain(labeller):
    numbers = np.array([7, -(2**63), 2**63 - 1, 0, 5], np.int64)
    assert classify(labeller, "numbers", numbers, "INT64", 3) == ["9223372036854775807:2", "7:0:cat", "5:4"]


def test_a_stream_classifies_too(labelling):
    client, answers = Client("grpc", labelling), queue.Queue()
    client.raw.start_stream(callback=lambda result, error: answers.put((result, error)))
    outputs = [client.output("OUTPUT0", class_count=3)]
    client.raw.async_stream_infer("rows", [client.input("INPUT0", ROWS, "FP32")], outputs=outputs)
    client.raw.async_stream_infer("bool", [client.input("INPUT0", np.zeros(1, bool), "BOOL")], outputs=outputs)
    result, error = answers.get(timeout=30)
    assert error is None and texts(result.as_numpy("OUTPUT0")) == CLASSES
    _, error = answers.get(timeout=30)
    assert "unsupported type 'BOOL'" in error.message()
    client.raw.stop_stream()
    client.close()


@pytest.mark.parametrize(
    ("model", "data_type", "array"),
    [
        ("bool", "BOOL", np.zeros(2, bool)),
        ("fp16", "FP16", np.zeros(2, np.float16)),
        ("string", "BYTES", np.array([b"a"], np.object_)),
    ],
)
def test_types_without_an_order_are_refused_by_name(labeller, model, data_type, array):
    expected = f"class result not available for output due to unsupported type '{data_type}'"
    with pytest.raises(InferenceServerException, match=expected):
        classify(labeller, model, array, data_type, 1)


def test_an_output_that_is_too_large_is_refused(labeller):
    assert classify(labeller, "wide", np.zeros(1_000_000, np.uint8), "UINT8", 1) == ["0:0"]
    with pytest.raises(InferenceServerException, match="classification output tensor too large"):
        classify(labeller, "wide", np.zeros(1_000_001, np.uint8), "UINT8", 1)


def test_a_number_of_classes_below_one_is_refused(labeller):
    texts_by_protocol = {
        "http": "Unable to set 'classification'",
        "grpc": "invalid value for 'classification' parameter, expected >= 0",
    }
    with pytest.raises(InferenceServerException, match=texts_by_protocol[labeller.protocol]):
        classify(labeller, "rows", ROWS, "FP32", -1)


def test_the_server_announces_the_extension_first(labeller):
    assert labeller.metadata()["extensions"][0] == "classification"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_network_gives_the_classes_of_its_own_output(demo_server, protocol):
    client = Client(protocol, demo_server)
    image = client.input("image", np.random.default_rng(7).random((3, 1, 28, 28), np.float32), "FP32")
    logits = client.infer("digits_cnn", image).as_numpy("logits")
    outputs = [client.output("logits", class_count=4)]
    found = texts(client.infer("digits_cnn", image, outputs=outputs).as_numpy("logits"))
    for row, classes in zip(logits, found, strict=True):
        assert [int(text.split(":")[1]) for text in classes] == list(np.argsort(-row, kind="stable")[:4])
        assert np.allclose([float(text.split(":")[0]) for text in classes], -np.sort(-row)[:4], atol=1e-4)
    client.close()


def test_a_label_file_that_cannot_be_had_fails_the_load_by_name(start_server, tmp_path):
    folder = tmp_path / "models"
    (tmp_path / "outside.txt").write_text("secret")
    for model, file in (("gone", "gone.txt"), ("above", "../outside.txt"), ("linked", "link.txt")):
        write_model(folder, model, labelled(file=file))
    (folder / "linked/link.txt").symlink_to(tmp_path / "outside.txt")
    server = start_server(folder, "--exit-on-error=false", "--strict-readiness=false")
    index = Client("http", server).index()
    for model, reason in (
        ("gone", "does not exist"),
        ("above", "must stay inside the model's directory"),
        ("linked", "expected a file inside the model's directory"),
    ):
        [row] = index[model]
        assert row["state"] == "UNAVAILABLE" and reason in row["reason"] and "OUTPUT0" in row["reason"], row
