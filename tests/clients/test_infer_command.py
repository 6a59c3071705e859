"""`nereid infer` against real servers, over both protocols: what it sends is right, and what it refuses it explains."""

import csv
import json
import pathlib

import numpy as np
import pytest
from clients import PROTOCOLS
from PIL import Image
from server import ROOT, free_ports, run_to_end

IMAGES = ROOT / "examples/vision/images"


def url(protocol: str, server) -> str:
    return {"http": f"http://{server.http_url}", "grpc": f"grpc://{server.grpc_url}"}[protocol]


@pytest.fixture(params=PROTOCOLS)
def infer(request, binary, server):
    """Runs the command against the suite's server; a failing command fails the test unless that is expected."""
    return command(binary, url(request.param, server))


@pytest.fixture(params=PROTOCOLS)
def demo_infer(request, binary, demo_server):
    return command(binary, url(request.param, demo_server))


def command(binary: pathlib.Path, server_url: str):
    def run(*arguments: str, fails: bool = False) -> str:
        ended = run_to_end(binary, "infer", f"--url={server_url}", *arguments)
        assert (ended.returncode != 0) == fails, ended.stdout + ended.stderr
        return ended.stderr if fails else ended.stdout

    return run


def outputs(document: str) -> dict:
    return {output["name"]: output for output in json.loads(document)["outputs"]}


def digits(count: int) -> list[tuple[pathlib.Path, str]]:
    with (IMAGES / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [(IMAGES / row["file"], row["label"]) for row in rows if row["set"] == "demo" or row["file"].startswith("demo")][:count]


def test_a_picture_goes_through_the_pipeline(demo_infer):
    for path, label in digits(3):
        shown = demo_infer("vision_pipeline", "-i", f"image=@{path}")
        lines = shown.splitlines()
        assert lines[0].startswith("vision_pipeline version 1 (") and lines[0].endswith(" ms)")
        assert any(line.split()[:4] == ["label", "BYTES", "[1,3]", f'"{label}"'] for line in lines), shown


def test_pictures_given_twice_are_a_batch(demo_infer):
    (first, one), (second, two) = digits(2)
    answer = demo_infer("vision_pipeline", "-i", f"image=@{first}", "-i", f"image=@{second}", "-o", "label", "--json")
    found = outputs(answer)
    assert list(found) == ["label"] and found["label"]["shape"] == [2, 3]
    assert found["label"]["data"][0] == one and found["label"]["data"][3] == two


def test_a_picture_becomes_the_numbers_that_the_network_wants(demo_infer, tmp_path):
    """The same digit drawn light on dark in the network's own size, against the pipeline's tensor of it."""
    path, label = digits(1)[0]
    preprocessed = outputs(demo_infer("image_preprocess", "-i", f"image=@{path}", "--json"))["tensor"]
    tensor = np.array(preprocessed["data"], np.float32).reshape(preprocessed["shape"])
    np.save(tmp_path / "tensor.npy", tensor[0])
    classes = demo_infer("digits_cnn", "-i", f"image=@{tmp_path / 'tensor.npy'}", "--classes", "2").splitlines()
    assert classes[1].split() == ["logits", "BYTES", "[1,2]"]
    assert classes[2].split()[1] == label, classes
    picture = tmp_path / "light.png"
    Image.fromarray(np.full((56, 56), 128, np.uint8)).save(picture)
    logits = outputs(demo_infer("digits_cnn", "-i", f"image=@{picture}", "--scale=unit", "--json"))["logits"]
    grey = json.dumps(np.full((1, 28, 28), 128 / 255).tolist())
    expected = outputs(demo_infer("digits_cnn", "-i", f"image={grey}", "--json"))["logits"]
    assert np.allclose(logits["data"], expected["data"], atol=1e-5)


@pytest.mark.parametrize(
    "model, value, expected",
    [
        ("identity_int8", "1,-2", [1, -2]),
        ("identity_fp32", "0.5,-1e3", [0.5, -1000.0]),
        ("identity_fp16", "0.5", [0.5]),
        ("identity_bf16", "2", [2]),
        ("identity_bool", "true,0", [True, False]),
        ("identity_uint64", str(2**64 - 1), [2**64 - 1]),
        ("identity_bytes", "some text, with a comma", ["some text, with a comma"]),
        ("identity_bytes", '["a","b"]', ["a", "b"]),
    ],
)
def test_values_take_the_type_of_the_input(infer, model, value, expected):
    output = outputs(infer(model, "-i", f"INPUT0={value}", "--json"))["OUTPUT0"]
    assert output["data"] == expected and output["shape"] == [len(expected)]


def test_files_are_arrays_or_raw_elements(infer, tmp_path):
    array = np.array([1.5, -2.5], np.float32)
    np.save(tmp_path / "array.npy", array)
    (tmp_path / "raw.bin").write_bytes(array.tobytes())
    for name in ("array.npy", "raw.bin"):
        found = outputs(infer("identity_fp32", "-i", f"INPUT0=@{tmp_path / name}", "--json"))["OUTPUT0"]
        assert found["data"] == [1.5, -2.5]
    (tmp_path / "odd.bin").write_bytes(b"12345")
    refused = infer("identity_fp32", "-i", f"INPUT0=@{tmp_path / 'odd.bin'}", fails=True)
    assert "expected a multiple of 4 bytes for FP32 elements, found 5" in refused


def test_batches_and_two_inputs(infer):
    sixteen = ",".join(str(number) for number in range(16))
    found = outputs(infer("add_sub", "-i", f"INPUT0={sixteen}", "-i", f"INPUT1={sixteen}", "--json"))
    assert found["OUTPUT0"]["shape"] == [1, 16]
    assert found["OUTPUT0"]["data"] == [2 * number for number in range(16)]


def test_a_repeated_call_shows_how_long_it_took(infer):
    shown = infer("identity_fp32", "-i", "INPUT0=1", "--count=20").splitlines()
    assert shown[-1].startswith("20 requests one after the other, ") and "p99" in shown[-1]


def test_an_unknown_model_is_answered_with_those_that_are_ready(infer):
    refused = infer("identity_f32", "-i", "INPUT0=1", fails=True)
    assert refused.startswith("error: model 'identity_f32' is not served at ")
    assert "ready are " in refused and "add_sub" in refused


def test_what_does_not_fit_is_refused_before_it_is_sent(infer):
    assert "has no such input; it has 'INPUT0' FP32 [-1]" in infer("identity_fp32", "-i", "X=1", fails=True)
    assert "needs the input 'TEXTS' BYTES [-1] too" in infer("two", "-i", "FLOATS=1,2", fails=True)
    assert "expected 2 elements for shape [2], found 3" in infer("two", "-i", "FLOATS=1,2,3", "-i", "TEXTS=a", fails=True)
    assert "expected INT8 elements, found '300'" in infer("identity_int8", "-i", "INPUT0=300", fails=True)
    assert "has no such output; it has OUTPUT0" in infer("identity_int8", "-i", "INPUT0=3", "-o", "Y", fails=True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_a_server_the_way_to_start_one_is_shown(binary, protocol):
    (port,) = free_ports(1)
    ended = run_to_end(binary, "infer", f"--url={protocol}://127.0.0.1:{port}", "m", "-i", "X=1")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: no server answers at {protocol}://127.0.0.1:{port} (")
    assert "nereid serve --model-repository=DIR" in ended.stderr


def test_a_slow_model_meets_the_timeout(infer):
    assert "took longer than 1s; --timeout allows more" in infer("slow", "-i", "INPUT0=1", "--timeout=1", fails=True)
