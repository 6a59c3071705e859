"""TensorRT plans on a machine with a GPU: refused in plain words, while the rest of the server serves.

Without the shim (`cargo xtask backend tensorrt`) a model is told what is missing; with it, TensorRT itself refuses a plan that
has a header and nothing behind it. Plans that are executed are in `test_tensorrt_graphs.py`.
"""

import os
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpc
from conftest import ROOT, Server
from engines import HEADER

SHIM = Path(os.environ.get("NEREID_TENSORRT_LIBRARY", ROOT / ".nereid" / "tensorrt" / "libnereid_tensorrt.so"))


def add(repository: Path, name: str, plan: bytes) -> None:
    """A model of one plan, without a configuration: its file says which backend it is for."""
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.plan").write_bytes(plan)


def test_plans_are_refused_and_the_server_goes_on(models):
    add(models, "foreign", b"not a plan, and long enough for a header")
    add(models, "hollow", HEADER + bytes([11, 4, 0, 106]) + bytes(4096))
    add(models, "ancient", HEADER + bytes([8, 6, 1, 6]) + bytes(4096))
    (models / "echo" / "1").mkdir(parents=True)
    (models / "echo" / "config.pbtxt").write_text(
        'name: "echo" backend: "identity" input { name: "INPUT0" data_type: TYPE_FP32 dims: [ 2 ] }'
        ' output { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 2 ] } instance_group { kind: KIND_CPU }'
    )
    with Server(models, "--exit-on-error=false", "--strict-readiness=false") as server:
        client = grpc.InferenceServerClient(server.grpc)
        reasons = {model.name: model.reason for model in client.get_model_repository_index().models}
        assert "is no TensorRT plan: it does not start with the tag of plans" in reasons["foreign"], reasons
        if SHIM.exists():
            assert "could not be loaded on GPU" in reasons["hollow"], reasons
            assert "was made by TensorRT 8.6.1 and the library here is" in reasons["ancient"], reasons
        else:
            for name in ("hollow", "ancient"):
                assert "needs TensorRT and the shim libnereid_tensorrt.so" in reasons[name], reasons
                assert "cargo xtask backend tensorrt" in reasons[name], reasons
        tensor = grpc.InferInput("INPUT0", [2], "FP32")
        tensor.set_data_from_numpy(np.array([1.0, 2.0], dtype=np.float32))
        np.testing.assert_array_equal(client.infer("echo", [tensor]).as_numpy("OUTPUT0"), [1.0, 2.0])
