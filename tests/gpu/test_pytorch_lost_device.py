"""A TorchScript model that breaks its GPU.

An index beyond a table stops the device for the whole process: CUDA refuses everything from then on. The request gets an
error, and so does every later one; the model says that it is not ready, the server lives, models on the processor answer,
and the server stops when it is told to. About 10 seconds.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
import tritonclient.http as http
from conftest import Server
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")


class Lookup(torch.nn.Module):
    """Rows of a table."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(8.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.table[x]


def add(repository: Path, name: str, kind: str) -> None:
    """The model in one place."""
    (repository / name / "1").mkdir(parents=True)
    torch.jit.script(Lookup().eval()).save(repository / name / "1" / "model.pt")
    (repository / name / "config.pbtxt").write_text(f'''name: "{name}" platform: "pytorch_libtorch"
        input [ {{ name: "x" data_type: TYPE_INT64 dims: [ 1 ] }} ] output [ {{ name: "y" data_type: TYPE_FP32 dims: [ 1 ] }} ]
        instance_group {{ kind: {kind} }}''')


def look_up(client: http.InferenceServerClient, model: str, index: int) -> float:
    """One row."""
    given = http.InferInput("x", [1], "INT64")
    given.set_data_from_numpy(np.array([index]))
    return float(client.infer(model, [given]).as_numpy("y")[0])


def test_a_lost_device_is_no_lost_server(tmp_path):
    repository = tmp_path / "repository"
    add(repository, "gpu", "KIND_GPU")
    add(repository, "cpu", "KIND_CPU")
    with Server(repository, "--strict-readiness=false") as server:
        client = http.InferenceServerClient(server.http, network_timeout=60.0)
        assert look_up(client, "gpu", 5) == 5.0 and client.is_model_ready("gpu")
        for index in (1_000_000, 3):
            with pytest.raises(InferenceServerException, match="CUDA error"):
                look_up(client, "gpu", index)
        assert not client.is_model_ready("gpu")
        assert "cannot be used until the server starts again" in server.log_text()
        assert look_up(client, "cpu", 3) == 3.0 and client.is_server_live()
        server.terminate()
        assert server.wait() == 0
