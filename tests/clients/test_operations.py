"""Operations of the host, called by a plugin in its sandbox: what comes out, what is refused, and who is told."""

import base64
import io
import shutil

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from PIL import Image
from repository import tensors, write_model
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

NUMBERS = np.array([[1, 300, -7, 2.5], [4, 3.5, 9, 0]], np.float32)
PIXELS = (np.arange(40 * 30 * 3).reshape(40, 30, 3) * 7 % 256).astype(np.uint8)
LIMITS = "[limits]\nhost_tensor_mib = 1\n"


@pytest.fixture(scope="module")
def models(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("operations")
    config = 'backend: "wasm"\n' + tensors("input", ("FILES", "TYPE_STRING", "-1"), ("NUMBERS", "TYPE_FP32", "-1, -1"))
    config += tensors("output", ("RESULT", "TYPE_FP32", "-1"), ("SHAPE", "TYPE_INT64", "-1"), ("TEXTS", "TYPE_STRING", "-1"))
    for name in ("operations", "narrow"):
        write_model(folder, name, config)
        shutil.copy(ROOT / "target/guests/operations.wasm", folder / name / "1/model.wasm")
    (folder / "narrow/plugin.toml").write_text(LIMITS)
    with Server(binary, tmp_path_factory.mktemp("operations_server") / "log", [folder]) as running:
        yield running
        running.terminate()
        assert running.wait() == 0, running.log_text()[-4000:]


@pytest.fixture(params=PROTOCOLS)
def client(request, models):
    connected = Client(request.param, models)
    yield connected
    connected.close()


def run(client, operation: str, files=(b"",), numbers=NUMBERS, model="operations", **parameters):
    files = np.array(list(files), np.object_)
    inputs = [client.input("FILES", files, "BYTES"), client.input("NUMBERS", numbers, "FP32")]
    result = client.infer(model, *inputs, parameters={"operation": operation} | parameters)
    texts = result.as_numpy("TEXTS")
    return texts.tolist() if texts.size else result.as_numpy("RESULT").reshape(result.as_numpy("SHAPE"))


def png(pixels=PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def softmax(x, axis):
    exponentials = np.exp(x - x.max(axis, keepdims=True))
    return exponentials / exponentials.sum(axis, keepdims=True)


def framed(extent: int):
    return np.pad(NUMBERS, ((extent, 0), (0, extent)), constant_values=-1)


EXPECTED = {
    "cast": ({}, np.array([[1, 255, 0, 2], [4, 4, 9, 0]])),
    "normalise": ({"axis": 1}, (NUMBERS * 0.5 - 1) / 4),
    "affine": ({"axis": 0}, NUMBERS * 2 + 1),
    "to-channels-first": ({}, NUMBERS[None].transpose(2, 0, 1)),
    "to-channels-last": ({}, NUMBERS[None].transpose(1, 2, 0)),
    "transpose": ({}, NUMBERS.T),
    "concat": ({"axis": 1}, np.concatenate([NUMBERS, NUMBERS], 1)),
    "stack": ({"axis": -1}, np.stack([NUMBERS, NUMBERS], -1)),
    "split": ({"axis": 1, "extent": 3}, NUMBERS[:, 1:]),
    "pad": ({"extent": 2}, framed(2)),
    "softmax": ({"axis": 0}, softmax(NUMBERS, 0)),
    "argmax": ({"axis": 1}, np.array([1, 2])),
    "top-k": ({"axis": 1, "extent": 2}, np.array([[300, 2.5], [9, 4]])),
    "top-k-places": ({"axis": 1, "extent": 2}, np.array([[1, 3], [2, 0]])),
}


@pytest.mark.parametrize("operation", EXPECTED)
def test_numbers_are_those_of_numpy(client, operation):
    parameters, expected = EXPECTED[operation]
    found = run(client, operation, **parameters)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_images_are_those_of_pillow(client):
    np.testing.assert_array_equal(run(client, "decode", [png()], channels=3), PIXELS)
    grey = np.asarray(Image.fromarray(PIXELS).convert("L"))
    np.testing.assert_array_equal(run(client, "decode", [png()], channels=1)[:, :, 0], grey)
    np.testing.assert_array_equal(run(client, "crop", [png()], channels=3, extent=9), PIXELS[1:10, 1:10])
    small = np.asarray(Image.fromarray(PIXELS).resize((8, 8), Image.Resampling.BILINEAR), np.int64)
    assert np.abs(run(client, "resize", [png()], channels=3, extent=8) - small).max() <= 1


def test_boxes_that_overlap_leave_the_best(client):
    rows = np.array([[0, 0, 10, 10, 0.5], [1, 0, 11, 10, 0.9], [20, 0, 30, 10, 0.3]], np.float32)
    np.testing.assert_array_equal(run(client, "suppress", numbers=rows), [1, 2])


def test_texts_go_through_the_host(client):
    words = ["wörter", "and more"]
    encoded = [word.encode() for word in words]
    assert run(client, "texts", encoded) == encoded
    assert run(client, "base64", map(base64.b64encode, encoded)) == [
        base64.urlsafe_b64encode(word).rstrip(b"=") for word in encoded
    ]
    np.testing.assert_array_equal(run(client, "blob", encoded), list(encoded[1]))


REFUSED = [
    ("decode", [b"GIF89a"], {}, "decode-image: expected a whole JPEG, PNG or WebP file, found what looks like Gif"),
    ("decode", [png()[:60]], {}, "found a broken one"),
    ("decode", [png()], {"channels": 2}, "decode-image: channels is 2, expected 0, 1, 3 or 4"),
    ("cast-strictly", [b""], {}, "cast: element 1 is 300, which UINT8 does not hold"),
    ("softmax", [b""], {"axis": 5}, "softmax: there is no axis 5 in a tensor of shape [2,4]"),
    ("texts", [b"\xff"], {}, "texts: element 0 is not UTF-8"),
]


@pytest.mark.parametrize("operation,files,parameters,text", REFUSED)
def test_what_does_not_fit_is_said_to_the_client_and_the_next_request_is_served(client, operation, files, parameters, text):
    with pytest.raises(InferenceServerException) as caught:
        run(client, operation, files, **parameters)
    assert text in caught.value.message()
    assert run(client, "argmax", axis=0).tolist() == [1, 0, 1, 0]


def test_nothing_is_allocated_beyond_the_memory_of_the_call(client):
    for operation, files, parameters in (("pad", [b""], {"extent": 5000}), ("decode", [png(np.zeros((999, 999), np.uint8))], {})):
        with pytest.raises(InferenceServerException) as caught:
            run(client, operation, files, model="narrow", **parameters)
        assert "host_tensor_mib" in caught.value.message()
    assert run(client, "pad", model="narrow", extent=2).shape == (4, 6)
