"""ONNX models on a GPU.

With a CUDA build of ONNX Runtime, instances of KIND_GPU answer what those of KIND_CPU answer: alone, batched, in an
ensemble whose tensors stay on the device, with shapes that only the run tells, and with every type. Without one, a
model for a GPU is refused in ONNX Runtime's own words and its neighbour on the processor serves.
`NEREID_ONNXRUNTIME_LIBRARY` names the library.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpc
from conftest import Server
from tritonclient.utils import np_to_triton_dtype

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "models"
LIBRARY = Path(os.environ.get("NEREID_ONNXRUNTIME_LIBRARY", ROOT / ".nereid" / "onnxruntime" / "library"))
HAS_CUDA = (LIBRARY.parent / "libonnxruntime_providers_cuda.so").exists()

with_cuda = pytest.mark.skipif(not HAS_CUDA, reason=f"no CUDA provider beside {LIBRARY}")
without_cuda = pytest.mark.skipif(HAS_CUDA, reason=f"{LIBRARY} was built with CUDA")

# Full precision, so that answers are those of the processor to the last digits.
EXACT = (
    'optimization { execution_accelerators { gpu_execution_accelerator { name: "cuda" '
    'parameters { key: "use_tf32" value: "0" } parameters { key: "cudnn_conv_algo_search" value: "HEURISTIC" } } } }'
)
ON = {"cpu": "instance_group { kind: KIND_CPU count: 1 }", "gpu": "instance_group { kind: KIND_GPU count: 1 }"}


def add(repository: Path, name: str, file: Path, config: str) -> None:
    """A model of one file."""
    (repository / name / "1").mkdir(parents=True)
    shutil.copy(file, repository / name / "1" / "model.onnx")
    (repository / name / "config.pbtxt").write_text(f'name: "{name}" backend: "onnxruntime" {config}')


def add_pair(repository: Path, name: str, file: Path, config: str = "") -> None:
    """The model once on the processor and once on the GPU."""
    for place, group in ON.items():
        add(repository, f"{name}_{place}", file, f"{config} {group} {EXACT}")


def infer(client: grpc.InferenceServerClient, model: str, **tensors: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs of one request."""
    inputs = []
    for name, tensor in tensors.items():
        item = grpc.InferInput(name, list(tensor.shape), np_to_triton_dtype(tensor.dtype))
        item.set_data_from_numpy(tensor)
        inputs.append(item)
    response = client.infer(model, inputs)
    return {output.name: response.as_numpy(output.name) for output in response.get_response().outputs}


def equal(client: grpc.InferenceServerClient, model: str, **tensors: np.ndarray) -> None:
    """Both instances answer the same."""
    cpu, gpu = (infer(client, f"{model}_{place}", **tensors) for place in ON)
    assert cpu.keys() == gpu.keys()
    for name, expected in cpu.items():
        assert expected.dtype == gpu[name].dtype and expected.shape == gpu[name].shape
        if expected.dtype.kind in "fV":
            gpu[name], expected = gpu[name].astype(np.float64), expected.astype(np.float64)
            np.testing.assert_allclose(gpu[name], expected, rtol=1e-4, atol=1e-4, err_msg=f"{model} {name}")
        else:
            np.testing.assert_array_equal(gpu[name], expected, err_msg=f"{model} {name}")


def first_input(client: grpc.InferenceServerClient, model: str) -> str:
    """The name that the file has for it."""
    return client.get_model_metadata(model).inputs[0].name


def ensemble(name: str, place: str, steps: int) -> str:
    """The same model `steps` times in a row, each with the outputs of the one before."""
    text = f'''name: "{name}" platform: "ensemble" max_batch_size: 8
        input {{ name: "INPUT0" data_type: TYPE_INT32 dims: [ 16 ] }}
        input {{ name: "INPUT1" data_type: TYPE_INT32 dims: [ 16 ] }}
        output {{ name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 16 ] }}
        output {{ name: "OUTPUT1" data_type: TYPE_INT32 dims: [ 16 ] }}
        ensemble_scheduling {{'''
    for step in range(steps):
        come = ("INPUT0", "INPUT1") if step == 0 else (f"SUM{step}", f"DIFFERENCE{step}")
        go = ("OUTPUT0", "OUTPUT1") if step == steps - 1 else (f"SUM{step + 1}", f"DIFFERENCE{step + 1}")
        text += f''' step {{ model_name: "add_sub_{place}" model_version: -1
            input_map {{ key: "INPUT0" value: "{come[0]}" }} input_map {{ key: "INPUT1" value: "{come[1]}" }}
            output_map {{ key: "OUTPUT0" value: "{go[0]}" }} output_map {{ key: "OUTPUT1" value: "{go[1]}" }} }}'''
    return text + " }"


def twice(name: str, place: str) -> str:
    """A matrix transposed and transposed again, by a model whose outputs have shapes that only the run tells."""
    step = ''' step {{ model_name: "dynamic_shapes_{place}" model_version: -1
        input_map {{ key: "X" value: "{come}" }} output_map {{ key: "TRANSPOSED" value: "{go}" }} }}'''
    steps = step.format(place=place, come="X", go="T") + step.format(place=place, come="T", go="Y")
    return f'''name: "{name}" platform: "ensemble"
        input {{ name: "X" data_type: TYPE_FP32 dims: [ -1, -1 ] }}
        output {{ name: "Y" data_type: TYPE_FP32 dims: [ -1, -1 ] }}
        ensemble_scheduling {{{steps} }}'''


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    """A client of one server with every pair, for the tests with CUDA."""
    repository = tmp_path_factory.mktemp("onnx")
    batches = "dynamic_batching { max_queue_delay_microseconds: 10000 }"
    add_pair(repository, "mlp", FIXTURES / "mlp.onnx", f"max_batch_size: 64 {batches}")
    add_pair(repository, "add_sub", FIXTURES / "add_sub.onnx", f"max_batch_size: 8 {batches}")
    add_pair(repository, "dynamic_shapes", FIXTURES / "dynamic_shapes.onnx")
    add_pair(repository, "identity_all_types", FIXTURES / "identity_all_types.onnx")
    add_pair(repository, "digits", ROOT / "model_repository" / "digits_cnn" / "1" / "model.onnx")
    for place in ON:
        for name, config in (
            (f"chain_{place}", ensemble(f"chain_{place}", place, 3)),
            (f"twice_{place}", twice(f"twice_{place}", place)),
        ):
            (repository / name / "1").mkdir(parents=True)
            (repository / name / "config.pbtxt").write_text(config)
    with Server(repository) as server:
        yield grpc.InferenceServerClient(server.grpc)


@with_cuda
def test_one_request_at_a_time(client):
    random = np.random.default_rng(1)
    for rows in (1, 3, 64):
        equal(client, "mlp", X=random.standard_normal((rows, 4), dtype=np.float32))
    images = random.random((4, 1, 28, 28), dtype=np.float32)
    equal(client, "digits", **{first_input(client, "digits_gpu"): images})


@with_cuda
def test_requests_that_share_a_batch(client):
    random = np.random.default_rng(2)
    tensors = [random.standard_normal((1 + index % 3, 4), dtype=np.float32) for index in range(32)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda tensor: infer(client, "mlp_gpu", X=tensor)["Y"], tensors))
    for tensor, answer in zip(tensors, found):
        np.testing.assert_allclose(answer, infer(client, "mlp_cpu", X=tensor)["Y"], rtol=1e-4, atol=1e-4)
    statistics = client.get_inference_statistics("mlp_gpu").model_stats[0]
    assert statistics.execution_count < statistics.inference_count


@with_cuda
def test_an_ensemble_whose_tensors_stay_on_the_device(client):
    random = np.random.default_rng(3)
    pairs = [random.integers(-1000, 1000, (2, rows, 16), dtype=np.int32) for rows in (1, 2, 3, 5) * 6]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda pair: infer(client, "chain_gpu", INPUT0=pair[0], INPUT1=pair[1]), pairs))
    for pair, answer in zip(pairs, found):
        expected = infer(client, "chain_cpu", INPUT0=pair[0], INPUT1=pair[1])
        for name, tensor in expected.items():
            np.testing.assert_array_equal(answer[name], tensor)


@with_cuda
def test_shapes_that_only_the_run_tells(client):
    matrix = np.array([[0, 1, 2], [0, 0, 5]], dtype=np.float32)
    equal(client, "dynamic_shapes", X=matrix)
    for place in ON:
        np.testing.assert_array_equal(infer(client, f"twice_{place}", X=matrix)["Y"], matrix)
    assert infer(client, "twice_gpu", X=np.zeros((0, 3), np.float32))["Y"].shape == (0, 3)


@with_cuda
def test_every_type(client):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="the client has BF16 from it")
    tensors = {
        "IN_BOOL": np.array([[True, False]]),
        "IN_FP16": np.array([[1.5, -2.0]], dtype=np.float16),
        "IN_BF16": np.array([[1.5, -2.0]], dtype=ml_dtypes.bfloat16),
        "IN_FP32": np.array([[1.25, -0.0]], dtype=np.float32),
        "IN_FP64": np.array([[1e300, -1.0]], dtype=np.float64),
        "IN_BYTES": np.array([[b"a\0b", b""]], dtype=np.object_),
    }
    for bits in (8, 16, 32, 64):
        for kind in ("int", "uint"):
            limits = np.iinfo(f"{kind}{bits}")
            tensors[f"IN_{kind.upper()}{bits}"] = np.array([[limits.min, limits.max]], dtype=limits.dtype)
    equal(client, "identity_all_types", **tensors)


@with_cuda
def test_the_memory_of_the_device_is_counted(client):
    infer(client, "digits_gpu", **{first_input(client, "digits_gpu"): np.zeros((1, 1, 28, 28), np.float32)})
    usage = client.get_inference_statistics("digits_gpu").model_stats[0].memory_usage
    assert any(row.type == "GPU" and row.byte_size > 0 for row in usage), usage


@without_cuda
def test_a_model_for_a_gpu_is_refused_and_its_neighbour_serves(tmp_path):
    add_pair(tmp_path, "mlp", FIXTURES / "mlp.onnx")
    add(tmp_path, "mlp_anywhere", FIXTURES / "mlp.onnx", "")
    with Server(tmp_path, "--exit-on-error=false", "--strict-readiness=false") as server:
        client = grpc.InferenceServerClient(server.grpc)
        states = {row.name: row for row in client.get_model_repository_index().models}
        assert states["mlp_gpu"].state == "UNAVAILABLE", states
        assert "CUDA execution provider is not enabled in this build" in states["mlp_gpu"].reason, states
        assert "cargo xtask backend onnxruntime-gpu" in states["mlp_gpu"].reason, states
        rows = np.zeros((1, 4), dtype=np.float32)
        np.testing.assert_array_equal(infer(client, "mlp_cpu", X=rows)["Y"], infer(client, "mlp_anywhere", X=rows)["Y"])
