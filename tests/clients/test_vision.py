"""The demo's claim: encoded images in, labels out, as accurate as the training script measured."""

import csv
import importlib.util
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from PIL import Image
from server import ROOT
from tritonclient.utils import InferenceServerException

FOLDER = ROOT / "examples/vision"
MODELS = ("vision_pipeline", "vision_bls")
# What accuracy.json calls the networks behind each of the two models.
MEASURED_AS = {"vision_pipeline": "digits_cnn_correct", "vision_bls": "cascade_correct"}
BATCH = 16


def images(chosen: str) -> list[tuple[bytes, str]]:
    """Encoded images of one set with their labels."""
    with (FOLDER / "images/labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["set"] == chosen]
    return [((FOLDER / "images" / row["file"]).read_bytes(), row["label"]) for row in rows]


@pytest.fixture(params=PROTOCOLS)
def vision(request, demo_server):
    client = Client(request.param, demo_server)
    yield client
    client.close()


def classify(client: Client, model: str, encoded: list[bytes]):
    """Labels and probabilities, the likeliest first, one row per image."""
    array = np.array(encoded, np.object_).reshape(-1, 1)
    result = client.infer(model, client.input("image", array, "BYTES"))
    return result.as_numpy("label"), result.as_numpy("probability")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("chosen", ["heldout", "demo"])
def test_as_many_images_are_right_as_were_in_training(vision, model, chosen):
    measured = json.loads((FOLDER / "accuracy.json").read_text())[chosen]
    pairs = images(chosen)
    assert len(pairs) == measured["images"]
    correct = 0
    for start in range(0, len(pairs), BATCH):
        batch = pairs[start : start + BATCH]
        labels, probabilities = classify(vision, model, [encoded for encoded, _ in batch])
        correct += sum(row[0].decode() == label for row, (_, label) in zip(labels, batch))
        assert np.all(np.diff(probabilities, axis=1) <= 0), "the likeliest first"
        assert np.all((probabilities >= 0) & (probabilities <= 1))
    assert correct >= measured[MEASURED_AS[model]], f"{correct} of {len(pairs)}"
    assert correct / len(pairs) >= 0.98


def test_a_batch_gives_what_its_images_give_alone(vision):
    encoded = [image for image, _ in images("demo")]
    together_labels, together = classify(vision, "vision_pipeline", encoded)
    for index, image in enumerate(encoded):
        labels, probabilities = classify(vision, "vision_pipeline", [image])
        assert list(labels[0]) == list(together_labels[index])
        np.testing.assert_allclose(probabilities[0], together[index], atol=1e-5)


def encode(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def preprocess():
    """The training's own way from a file to a tensor."""
    spec = importlib.util.spec_from_file_location("preprocess", FOLDER / "preprocess.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_levels(client: Client, preprocess, encoded: list[bytes], levels: int):
    """No value is further from the training's than so many of 255 levels."""
    for start in range(0, len(encoded), BATCH):
        batch = encoded[start : start + BATCH]
        array = np.array(batch, np.object_).reshape(-1, 1)
        found = client.infer("image_preprocess", client.input("image", array, "BYTES")).as_numpy("tensor")
        expected = np.stack([preprocess.image_to_tensor(image) for image in batch])
        assert found.shape == expected.shape and found.dtype == np.float32
        apart = np.abs(found - expected).max() * 255 * preprocess.STD
        assert apart <= levels + 0.01, f"{apart} levels, images from {start}"


# A row is rounded before its columns are, by the host alone; and decoders of JPEG round in their own ways.
@pytest.mark.parametrize(("chosen", "levels"), [("heldout", 1), ("demo", 2)])
def test_tensors_are_those_of_the_training_script(vision, preprocess, chosen, levels):
    check_levels(vision, preprocess, [encoded for encoded, _ in images(chosen)], levels)


def test_colours_sizes_and_orientation_are_those_of_the_training_script(vision, preprocess):
    rows, columns = np.mgrid[:33, :40]
    pattern = np.stack([columns * 5 + rows * 3, columns * 2 + rows * 7, columns * 11 + rows], axis=-1).astype(np.uint8)
    colours = Image.fromarray(pattern)
    faint = colours.copy()
    faint.putalpha(7)
    lying = Image.Exif()
    lying[0x0112] = 6  # the camera was held upright
    # One that grows, one that shrinks on one side alone, a line.
    sizes = [colours.resize(size) for size in ((9, 9), (28, 300), (1, 50))]
    check_levels(vision, preprocess, [encode(image, "PNG") for image in (colours, faint, *sizes)], 1)
    turned = encode(colours, "PNG", exif=lying)
    check_levels(vision, preprocess, [turned, encode(colours, "WEBP", lossless=True)], 1)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_images_of_any_colour_form_are_read(vision, mode):
    source = Image.open(FOLDER / "images/demo_3.jpg").convert("L")
    labels, _ = classify(vision, "vision_pipeline", [encode(source.convert(mode), "PNG")])
    assert labels[0][0] == b"3"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("junk", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + b"\0" * 100])
def test_what_is_no_image_is_refused_and_the_next_one_is_served(vision, model, junk):
    with pytest.raises(InferenceServerException) as caught:
        classify(vision, model, [junk])
    assert "image" in caught.value.message(), caught.value.message()
    encoded, label = images("demo")[0]
    assert classify(vision, model, [encoded])[0][0][0].decode() == label


def test_an_image_larger_than_allowed_is_refused_before_it_is_decoded(vision):
    bomb = encode(Image.new("L", (8192, 8192)), "PNG")
    with pytest.raises(InferenceServerException, match="8192"):
        classify(vision, "vision_pipeline", [bomb])


def test_the_example_script_prints_a_row_per_answer(demo_server):
    command = [sys.executable, FOLDER / "classify.py", f"--http-url={demo_server.http_url}"]
    command += [f"--grpc-url={demo_server.grpc_url}", "--model=vision_bls", FOLDER / "images/demo_7.jpg"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [line.split() for line in ended.stdout.splitlines() if "demo_7.jpg" in line]
    assert [(row[1], row[2], row[3]) for row in rows] == [("http", "vision_bls", "7"), ("grpc", "vision_bls", "7")]
