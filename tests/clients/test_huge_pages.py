"""Weights of a model are put into huge pages after the load, unless the operator says otherwise; answers are the same."""

import pathlib
import time

import numpy as np
import pytest
from clients import Client
from repository import write_model
from server import ROOT, Server

SETTING = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
# What the model computes its weights to: 32 layers of 1024 x 1024 floats.
WEIGHTS_MIB = 128
SECONDS_MAX = 60

CONFIG = """backend: "onnxruntime"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 1024 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1024 ] } ]
"""

pytestmark = pytest.mark.skipif(
    not SETTING.is_file() or "[never]" in SETTING.read_text(), reason="this kernel gives no huge pages"
)


@pytest.fixture
def models(tmp_path) -> pathlib.Path:
    write_model(tmp_path / "models", "layers", CONFIG)
    weights = (ROOT / "tests/models/batch_gain_long.onnx").read_bytes()
    (tmp_path / "models/layers/1/model.onnx").write_bytes(weights)
    return tmp_path / "models"


def huge_mib(server) -> float:
    """What the server has in huge pages."""
    lines = pathlib.Path(f"/proc/{server.process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages:")) / 1024


def answer(server) -> np.ndarray:
    client = Client("http", server)
    values = np.linspace(-1, 1, 8 * 1024, dtype=np.float32).reshape(8, 1024)
    found = client.infer("layers", client.input("X", values, "FP32")).as_numpy("Y")
    client.close()
    return found


def test_weights_are_in_huge_pages_unless_they_are_not_to_be(binary, models, tmp_path):
    with Server(binary, tmp_path / "log", [models], "--huge-pages=false") as server:
        assert "are in huge pages" not in server.log_text()
        few, expected = huge_mib(server), answer(server)
    assert few < WEIGHTS_MIB, "the kernel gave huge pages without being asked"
    with Server(binary, tmp_path / "log2", [models]) as server:
        end = time.monotonic() + SECONDS_MAX
        while "are in huge pages now" not in server.log_text() and time.monotonic() < end:
            time.sleep(0.05)
        assert "model 'layers:1': " in server.log_text() and "are in huge pages now" in server.log_text(), server.log_text()
        assert huge_mib(server) >= few + WEIGHTS_MIB
        assert np.array_equal(answer(server), expected)
