"""TorchScript models on a GPU.

Instances of KIND_GPU answer what those of KIND_CPU and PyTorch itself answer: alone, batched, from several instances, in an
ensemble whose tensors stay on the device, with every type. What goes wrong on the device is the error of its request, and the
next one is answered. Needs the shim with the whole LibTorch beside it; about 35 seconds, with figures against PyTorch eager
on the same GPU.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import tritonclient.http as http
from conftest import Server
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")

ON = {"cpu": "instance_group { kind: KIND_CPU count: 1 }", "gpu": "instance_group { kind: KIND_GPU count: 1 }"}
TYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}
ROWS = (1, 8, 64)
CLIENTS = 4


class Perceptron(torch.nn.Module):
    """Batches, one input, one output."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class AddSub(torch.nn.Module):
    """Two inputs, two outputs."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return left + right, left - right


class Identity(torch.nn.Module):
    """The output is the input's own memory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class InPlace(torch.nn.Module):
    """Writes to what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.add_(1)


class Counts(torch.nn.Module):
    """Changes itself, and gives its own memory out."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += x
        return self.count


class Strides(torch.nn.Module):
    """An output that is not dense, and one that is on the processor."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.transpose(1, 2), torch.tensor([x.size(1)])


class Moves(torch.nn.Module):
    """Goes to the GPU by itself, as models of KIND_MODEL may."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.cuda() * 2, x + 1


class Greedy(torch.nn.Module):
    """Asks for as many GiB as the input says."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros([int(x[0].item()) << 28], device=x.device)[:1]


class Residual(torch.nn.Module):
    """Convolutions of 128 channels: a millisecond and more per execution on a large GPU."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 128, 3, padding=1)
        self.layers = torch.nn.ModuleList([torch.nn.Conv2d(128, 128, 3, padding=1) for _ in range(40)])
        self.last = torch.nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = x + 0.1 * torch.relu(layer(x))
        return self.last(x.mean([2, 3]))


def add(repository: Path, name: str, module: torch.nn.Module, config: str) -> None:
    """A model of one file."""
    (repository / name / "1").mkdir(parents=True)
    torch.jit.script(module.eval()).save(repository / name / "1" / "model.pt")
    (repository / name / "config.pbtxt").write_text(f'name: "{name}" platform: "pytorch_libtorch" {config}')


def tensors(inputs: str, outputs: str, data_type: str, dims: str) -> str:
    """The tensors of a configuration, all of one type and shape."""
    def listed(names: str) -> str:
        return ", ".join(f'{{ name: "{name}" data_type: TYPE_{data_type} dims: [ {dims} ] }}' for name in names.split())
    return f"input [ {listed(inputs)} ] output [ {listed(outputs)} ]"


def inputs_of(**given: np.ndarray) -> list[http.InferInput]:
    """The tensors as a request has them."""
    inputs = []
    for name, tensor in given.items():
        item = http.InferInput(name, list(tensor.shape), np_to_triton_dtype(tensor.dtype))
        item.set_data_from_numpy(tensor)
        inputs.append(item)
    return inputs


def infer(client: http.InferenceServerClient, model: str, **given: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs of one request."""
    response = client.infer(model, inputs_of(**given))
    return {output["name"]: response.as_numpy(output["name"]) for output in response.get_response()["outputs"]}


def infer_at_once(client: http.InferenceServerClient, model: str, given: list[np.ndarray]) -> list[np.ndarray]:
    """The answers to requests of which as many are under way as the client has connections."""
    under_way = [client.async_infer(model, inputs_of(x=x)) for x in given]
    return [request.get_result().as_numpy("y") for request in under_way]


def chain(name: str, place: str) -> str:
    """An ensemble: sum and difference, and both of these again."""
    def step(come: str, go: str) -> str:
        (left, right), (total, difference) = come.split(), go.split()
        return f'''step {{ model_name: "add_sub_{place}" model_version: -1
            input_map {{ key: "left" value: "{left}" }} input_map {{ key: "right" value: "{right}" }}
            output_map {{ key: "sum__0" value: "{total}" }} output_map {{ key: "difference__1" value: "{difference}" }} }}'''
    return f'''name: "{name}" platform: "ensemble" max_batch_size: 8 {tensors("A B", "C D", "FP32", "16")}
        ensemble_scheduling {{ {step("A B", "S T")} {step("S T", "C D")} }}'''


@pytest.fixture(scope="module")
def modules() -> dict[str, torch.nn.Module]:
    """What PyTorch itself is asked, with the weights that are served."""
    torch.manual_seed(7)
    return {"mlp": Perceptron(), "residual": Residual()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, modules):
    """One server with every model."""
    repository = tmp_path_factory.mktemp("pytorch")
    batching = "dynamic_batching { max_queue_delay_microseconds: 20000 }"
    for place, group in ON.items():
        one = f"max_batch_size: 64 {tensors('x', 'y', 'FP32', '16')}"
        add(repository, f"mlp_{place}", modules["mlp"], f"{one} {batching} {group}")
        two = tensors("left right", "sum__0 difference__1", "FP32", "16")
        add(repository, f"add_sub_{place}", AddSub(), f"max_batch_size: 8 {two} {group}")
        (repository / f"chain_{place}" / "1").mkdir(parents=True)
        (repository / f"chain_{place}" / "config.pbtxt").write_text(chain(f"chain_{place}", place))
    gpu = ON["gpu"]
    add(repository, "several", modules["mlp"], f"max_batch_size: 64 {tensors('x', 'y', 'FP32', '16')} {gpu.replace('1', '4')}")
    for data_type in TYPES:
        add(repository, f"identity_{data_type}", Identity(), f"{tensors('x', 'y', data_type, '-1')} {gpu}")
    own = tensors("x", "doubled__0 next__1", "FP32", "-1")
    add(repository, "moves", Moves(), f"{own} instance_group {{ kind: KIND_MODEL }}")
    add(repository, "in_place", InPlace(), f"{tensors('x', 'y', 'FP32', '4')} {gpu}")
    add(repository, "counts", Counts(), f"{tensors('x', 'y', 'FP32', '1')} {gpu}")
    add(repository, "greedy", Greedy(), f"{tensors('x', 'y', 'FP32', '1')} {gpu}")
    mixed = '''input [ { name: "x" data_type: TYPE_FP32 dims: [ 1, -1, 3 ] } ]
        output [ { name: "y__0" data_type: TYPE_FP32 dims: [ 1, 3, -1 ] }, { name: "size__1" data_type: TYPE_INT64 dims: [ 1 ] } ]'''
    add(repository, "strides", Strides(), f"{mixed} {gpu}")
    pictures = '''max_batch_size: 64 input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, 48, 48 ] } ]
        output [ { name: "y" data_type: TYPE_FP32 dims: [ 10 ] } ]'''
    add(repository, "residual", modules["residual"], f"{pictures} {gpu}")
    with Server(repository) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    """A client of the server."""
    return http.InferenceServerClient(server.http, concurrency=16, network_timeout=60.0)


def floats(seed: int, *shape: int) -> np.ndarray:
    """The same numbers every time."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def eager(module: torch.nn.Module, *given: np.ndarray) -> np.ndarray:
    """PyTorch's own answer, on the GPU, from host to host."""
    with torch.inference_mode():
        return module(*(torch.from_numpy(tensor).cuda() for tensor in given)).cpu().numpy()


def test_both_places_and_pytorch_agree(client, modules):
    module = modules["mlp"].cuda()
    for rows in (1, 3, 64):
        x = floats(rows, rows, 16)
        expected = eager(module, x)
        for place in ON:
            np.testing.assert_allclose(infer(client, f"mlp_{place}", x=x)["y"], expected, rtol=1e-4, atol=1e-5)


def test_requests_that_share_a_batch(client):
    given = [floats(index, 1 + index % 3, 16) for index in range(32)]
    before = client.get_inference_statistics("mlp_gpu")["model_stats"][0]
    found = infer_at_once(client, "mlp_gpu", given)
    after = client.get_inference_statistics("mlp_gpu")["model_stats"][0]
    assert after["execution_count"] - before["execution_count"] < len(given), "nothing was batched"
    for x, answer in zip(given, found):
        np.testing.assert_allclose(answer, infer(client, "mlp_cpu", x=x)["y"], rtol=1e-4, atol=1e-5)


def test_several_instances_share_a_device(client):
    given = [floats(index, 4, 16) for index in range(64)]
    found = infer_at_once(client, "several", given)
    for x, answer in zip(given, found):
        np.testing.assert_allclose(answer, infer(client, "mlp_cpu", x=x)["y"], rtol=1e-4, atol=1e-5)


def bytes_to_host(server: Server) -> float:
    """What the server copied from its devices so far, but for what LibTorch copied itself."""
    lines = (line for line in server.metrics().splitlines() if line.startswith("nereid_gpu_to_host_bytes_total"))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_two_steps_on_the_device(client, server):
    left, right = floats(1, 2, 16), floats(2, 2, 16)
    total, difference = left + right, left - right
    for place in ON:
        before = bytes_to_host(server)
        found = infer(client, f"chain_{place}", A=left, B=right)
        np.testing.assert_array_equal(found["C"], total + difference)
        np.testing.assert_array_equal(found["D"], total - difference)
        outputs_alone = 2 * left.nbytes if place == "gpu" else 0
        assert bytes_to_host(server) - before == outputs_alone, "what is between the steps went to the host"


@pytest.mark.parametrize("data_type", TYPES)
def test_every_type_goes_through_unchanged(client, data_type):
    x = np.array([0, 1, 1, 0, 1]).astype(TYPES[data_type])
    found = infer(client, f"identity_{data_type}", x=x)["y"]
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, x)
    assert infer(client, f"identity_{data_type}", x=x[:0])["y"].shape == (0,)


def test_models_that_write(client):
    x = floats(5, 4)
    np.testing.assert_array_equal(infer(client, "in_place", x=x)["y"], x + 1)
    one = np.ones(1, dtype=np.float32)
    first = infer(client, "counts", x=one)["y"]
    assert infer(client, "counts", x=one)["y"][0] == first[0] + 1


def test_a_model_that_chooses_its_places_itself(client):
    x = floats(8, 1000)
    found = infer(client, "moves", x=x)
    np.testing.assert_array_equal(found["doubled__0"], x * 2)
    np.testing.assert_array_equal(found["next__1"], x + 1)


def test_large_outputs(client):
    x = floats(9, 1 << 20)
    np.testing.assert_array_equal(infer(client, "identity_FP32", x=x)["y"], x)


def test_outputs_are_dense_wherever_they_are(client):
    x = floats(6, 1, 5, 3)
    found = infer(client, "strides", x=x)
    np.testing.assert_array_equal(found["y__0"], x.transpose(0, 2, 1))
    assert found["size__1"].tolist() == [5]


def test_a_failure_is_the_error_of_its_request_alone(client, server):
    with pytest.raises(InferenceServerException, match="CUDA out of memory"):
        infer(client, "greedy", x=np.array([100_000], dtype=np.float32))
    assert infer(client, "greedy", x=np.ones(1, dtype=np.float32))["y"].tolist() == [0.0]
    with pytest.raises(InferenceServerException, match="unexpected shape|shape"):
        infer(client, "mlp_gpu", x=floats(1, 1, 5))
    assert client.is_model_ready("greedy") and client.is_server_live()


def test_a_device_that_does_not_exist(tmp_path):
    group = f"instance_group {{ kind: KIND_GPU gpus: [ {torch.cuda.device_count()} ] }}"
    add(tmp_path, "elsewhere", Identity(), f"{tensors('x', 'y', 'FP32', '-1')} {group}")
    add(tmp_path, "here", Identity(), f"{tensors('x', 'y', 'FP32', '-1')} {ON['cpu']}")
    with Server(tmp_path, "--exit-on-error=false", "--strict-readiness=false") as running:
        client = http.InferenceServerClient(running.http)
        assert client.is_model_ready("here") and not client.is_model_ready("elsewhere")


def seconds_of(work, rounds: int = 30) -> float:
    """The median of a few rounds, after a warm-up."""
    for _ in range(5):
        work()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[rounds // 2]


def test_figures_against_eager(client, modules):
    module = modules["residual"].cuda()
    for rows in ROWS:
        x = floats(rows, rows, 3, 48, 48)
        expected = eager(module, x)
        # Convolutions compute with TF32, of ten bits.
        difference = np.abs(infer(client, "residual", x=x)["y"] - expected).max()
        assert difference <= 1e-2 * np.abs(expected).max()
        raw, served = seconds_of(lambda: eager(module, x)), seconds_of(lambda: infer(client, "residual", x=x))
        print(f"FIGURE pytorch_eager_batch_{rows} {raw * 1e3:.3f} ms")
        print(f"FIGURE pytorch_served_batch_{rows} {served * 1e3:.3f} ms")
        print(f"FIGURE pytorch_served_over_eager_batch_{rows} {raw / served:.3f} of-throughput")


def test_throughput_against_eager(server, client, modules):
    """Clients at one time, beside one loop without a server."""
    module, x = modules["residual"].cuda(), floats(1, 8, 3, 48, 48)
    raw = seconds_of(lambda: eager(module, x))

    def ask(times: int):
        # A client of its own: `async_infer` sleeps ten milliseconds for each request that it starts.
        own = http.InferenceServerClient(server.http, network_timeout=60.0)
        for _ in range(times):
            assert infer(own, "residual", x=x)["y"].shape == (8, 10)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, [2] * CLIENTS))
        start = time.perf_counter()
        list(pool.map(ask, [25] * CLIENTS))
        served = (time.perf_counter() - start) / (25 * CLIENTS)
    print(f"FIGURE pytorch_throughput_over_eager_batch_8 {raw / served:.3f} ratio")
