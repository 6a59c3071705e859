"""AOTInductor packages on a GPU.

A package that the machine's own PyTorch compiles for CUDA, and one for the processor, answer what PyTorch answers; without
trust in their folder they are refused, and an instance in the wrong place is too. Compiling needs g++, and CUDA's headers for
the first: what the machine cannot compile is skipped with the compiler's words. About 40 seconds, nearly all of them
the compiler's.
"""

import os
import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
import tritonclient.http as http
from conftest import Server
from tritonclient.utils import InferenceServerException

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++, which compiles packages"),
]

KINDS = {"cpu": "KIND_CPU", "cuda": "KIND_GPU"}


class Perceptron(torch.nn.Module):
    """Batches, one input, one output."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def add(repository: Path, name: str, package: Path, kind: str) -> None:
    """A model of one package."""
    (repository / name / "1").mkdir(parents=True)
    shutil.copy(package, repository / name / "1" / "model.pt2")
    (repository / name / "config.pbtxt").write_text(f'''name: "{name}" platform: "torch_aoti" max_batch_size: 64
        input [ {{ name: "INPUT__0" data_type: TYPE_FP32 dims: [ 16 ] }} ]
        output [ {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 4 ] }} ]
        dynamic_batching {{ max_queue_delay_microseconds: 1000 }} instance_group {{ kind: {kind} count: 2 }}''')


def compiled(folder: Path, module: torch.nn.Module, device: str) -> Path:
    """The package; whoever asks is skipped where this machine cannot make it."""
    headers = Path(sysconfig.get_paths()["purelib"]) / "nvidia" / "cu13" / "include"
    os.environ["CPATH"] = os.pathsep.join(filter(None, [os.environ.get("CPATH"), str(headers)]))
    rows = torch.export.Dim("rows", min=2, max=64)
    try:
        exported = torch.export.export(module.to(device), (torch.randn(2, 16, device=device),), dynamic_shapes={"x": {0: rows}})
        return Path(torch._inductor.aoti_compile_and_package(exported, package_path=str(folder / f"{device}.pt2")))
    except Exception as error:
        pytest.skip(f"this machine cannot compile a package for {device}: {str(error).splitlines()[-1][:200]}")


@pytest.mark.parametrize("device", KINDS)
def test_a_package_answers_as_pytorch(tmp_path: Path, device: str):
    torch.manual_seed(7)
    module, repository = Perceptron().eval(), tmp_path / "repository"
    package = compiled(tmp_path, module, device)
    add(repository, "mlp", package, KINDS[device])
    wrong = KINDS["cpu" if device == "cuda" else "cuda"]
    add(repository, "elsewhere", package, wrong)
    flags = ["--exit-on-error=false", "--strict-readiness=false"]
    with Server(repository, f"--backend-config=pytorch,trusted-folder={repository}", *flags) as server:
        client = http.InferenceServerClient(server.http, network_timeout=60.0)
        assert not client.is_model_ready("elsewhere") and "was compiled for" in server.log_text()
        # An export with a dimension that is open takes no batch of one.
        for rows in (2, 3, 64):
            x = np.random.default_rng(rows).standard_normal((rows, 16), dtype=np.float32)
            with torch.inference_mode():
                expected = module(torch.from_numpy(x).to(device)).cpu().numpy()
            given = http.InferInput("INPUT__0", list(x.shape), "FP32")
            given.set_data_from_numpy(x)
            found = client.infer("mlp", [given]).as_numpy("OUTPUT__0")
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
        alone = http.InferInput("INPUT__0", [1, 16], "FP32")
        alone.set_data_from_numpy(np.zeros((1, 16), dtype=np.float32))
        with pytest.raises(InferenceServerException, match="shapes and types that the package was exported for"):
            client.infer("mlp", [alone])
    with Server(repository, *flags) as server:
        assert not http.InferenceServerClient(server.http).is_model_ready("mlp")
        assert "trusted-folder" in server.log_text()
