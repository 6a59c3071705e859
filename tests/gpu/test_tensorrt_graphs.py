"""TensorRT plans that are executed, one by one and as CUDA graphs: by the TensorRT in software, or by NVIDIA's with a GPU.

Where neither can make an engine the tests are skipped.
"""

import re
import subprocess
import time

import numpy as np
import pytest
import tritonclient.http as http
from conftest import DEVICES, Server
from engines import ADDEND, SOFTWARE, addition
from repository import tensors
from tritonclient.utils import InferenceServerException

PROFILE = ((1, 1), (4, 10), (16, 64))
CLIENTS = 4


def add(models, name: str, plan: bytes, more: str, batch: int = 16):
    """A model of the plan; `more` is what its configuration has beside the tensors."""
    (models / name / "1").mkdir(parents=True)
    (models / name / "1" / "model.plan").write_bytes(plan)
    dims = "-1" if batch else "-1, -1"
    ends = tensors("input", ("x", "TYPE_FP32", dims)) + tensors("output", ("y", "TYPE_FP32", dims))
    (models / name / "config.pbtxt").write_text(f'backend: "tensorrt"\nmax_batch_size: {batch}\n{ends}{more}\n')


def graphs(*specs: str, more: str = "") -> str:
    return f"optimization {{ cuda {{ graphs: true {more} {' '.join(f'graph_spec {{ {spec} }}' for spec in specs)} }} }}\n"


def spec(batch: int, extent: int, bound: tuple[int, int] | None = None) -> str:
    shape = f'batch_size: {batch} input {{ key: "x" value {{ dim: [ {extent} ] }} }}'
    return shape + (f" graph_lower_bound {{ {spec(*bound)} }}" if bound else "")


def given(values: np.ndarray) -> http.InferInput:
    tensor = http.InferInput("x", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    return tensor


def infer(client, name: str, values: np.ndarray) -> np.ndarray:
    return client.infer(name, [given(values)]).as_numpy("y")


def launched(server) -> list[str]:
    """The shapes of the graphs that were launched, in their order."""
    return [re.search(r"launches the CUDA graph ([\[\],\d]+)", line)[1] for line in server.log_of("launches the CUDA graph")]


def test_plans_are_executed_in_every_shape_that_a_profile_allows(models):
    plan = addition(((1, 1), (1, 8), (2, 8)), ((1, 1), (16, 64), (16, 64)))
    add(models, "both", plan, 'instance_group { kind: KIND_GPU profile: [ "0", "1" ] }')
    add(models, "second", plan, 'instance_group { kind: KIND_GPU profile: "1" } optimization { cuda { busy_wait_events: true } }')
    add(models, "first", plan, "instance_group { kind: KIND_GPU }")
    with Server(models, "--log-verbose=1") as server:
        client = http.InferenceServerClient(server.http)
        for name in ("both", "second"):
            for shape in ((1, 8), (2, 8), (3, 8), (16, 64), (1, 1)):
                values = np.random.default_rng(0).random(shape, dtype=np.float32)
                np.testing.assert_array_equal(infer(client, name, values), values + np.float32(ADDEND))
        with pytest.raises(InferenceServerException, match=r"input 'x' has shape \[3,8\], profile 0 takes \[1,1\] to \[2,8\]"):
            infer(client, "first", np.zeros((3, 8), dtype=np.float32))
        assert not launched(server)


def test_an_execution_takes_its_graph_or_a_larger_one_or_none(models):
    more = "busy_wait_events: true output_copy_stream: true"
    own = graphs(spec(1, 8), spec(8, 10, (2, 4)), spec(4, 10), more=more)
    add(models, "adds", addition(PROFILE), "instance_group { kind: KIND_GPU }\n" + own)
    expected = {
        (1, 8): "[1,8]",
        (8, 10): "[8,10]",
        (4, 10): "[4,10]",
        (3, 10): "[8,10]",
        (2, 7): "[8,10]",
        (1, 10): None,
        (9, 10): None,
        (2, 3): None,
        (16, 64): None,
    }
    with Server(models, "--log-verbose=1") as server:
        ready = server.log_of("captured CUDA graphs for [1,8], [4,10], [8,10]")
        assert len(ready) == len(DEVICES), server.log_text()
        client = http.InferenceServerClient(server.http)
        random, answers, taken = np.random.default_rng(1), [], []
        for shape, graph in [*expected.items(), *reversed(expected.items())] * 2:
            values = random.random(shape, dtype=np.float32) + 2
            answers.append((values, infer(client, "adds", values), graph))
            taken += [graph] if graph else []
        for values, found, graph in answers:
            rows, extent = values.shape
            assert found.shape == (rows, 10 if graph == "[8,10]" else extent), (values.shape, found.shape)
            np.testing.assert_array_equal(found[:, :extent], values + np.float32(ADDEND))
            np.testing.assert_array_equal(found[:, extent:], np.float32(ADDEND), "what was padded is zeros")
        assert launched(server) == taken


def test_a_batch_of_several_requests_is_gathered_into_a_graph(models):
    batching = "dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 2000000 }\n"
    add(models, "adds", addition(PROFILE), "instance_group { kind: KIND_GPU gpus: 0 }\n" + batching + graphs())
    with Server(models, "--log-verbose=1") as server:
        assert server.log_of("captured CUDA graphs for [1,10], [4,10], [16,10]"), server.log_text()
        client = http.InferenceServerClient(server.http, concurrency=CLIENTS)
        for round in range(3):
            rows = [np.full((1, 10), 10 * round + row, dtype=np.float32) for row in range(CLIENTS)]
            under_way = [client.async_infer("adds", [given(values)]) for values in rows]
            for values, answer in zip(rows, under_way):
                np.testing.assert_array_equal(answer.get_result().as_numpy("y"), values + np.float32(ADDEND))
        assert launched(server) == ["[4,10]"] * 3


def test_a_model_without_batches_has_graphs_too(models):
    own = graphs('input { key: "x" value { dim: [ 4, 6 ] } } graph_lower_bound { input { key: "x" value { dim: [ 1, 5 ] } } }')
    add(models, "adds", addition(PROFILE), "instance_group { kind: KIND_GPU }\n" + own, batch=0)
    with Server(models, "--log-verbose=1") as server:
        client = http.InferenceServerClient(server.http)
        for shape in ((4, 6), (2, 5), (4, 7)):
            values = np.random.default_rng(3).random(shape, dtype=np.float32)
            whole = np.zeros((4, 6) if shape != (4, 7) else shape, dtype=np.float32)
            whole[: shape[0], : shape[1]] = values
            np.testing.assert_array_equal(infer(client, "adds", values), whole + np.float32(ADDEND))
        assert launched(server) == ["[4,6]", "[4,6]"]


def test_a_specification_that_contradicts_the_configuration_fails_the_load_and_one_that_does_not_fit_is_said(models):
    group = "instance_group { kind: KIND_GPU }\n"
    add(models, "wrong", addition(PROFILE), group + graphs(spec(4, 8), spec(17, 8)))
    add(models, "foreign", addition(PROFILE), group + graphs(spec(4, 65), spec(2, 8)))
    with Server(models, "--exit-on-error=false", "--strict-readiness=false", "--log-verbose=1") as server:
        client = http.InferenceServerClient(server.http)
        reasons = {model["name"]: model.get("reason", "") for model in client.get_model_repository_index()}
        expected = "model 'wrong': optimization.cuda, graph_spec 1: batch_size is 17, and max_batch_size allows 1 to 16"
        assert expected in reasons["wrong"], reasons
        expected = "graph_spec 0 cannot be captured: no optimization profile of the engine allows these shapes: input 'x' has shape [4,65]"
        assert server.log_of(f"model 'foreign': {expected}"), server.log_text()
        assert len(server.log_of("captured CUDA graphs for [2,8]")) == len(DEVICES), server.log_text()
        values = np.ones((2, 8), dtype=np.float32)
        np.testing.assert_array_equal(infer(client, "foreign", values), values + np.float32(ADDEND))


@pytest.mark.skipif(not SOFTWARE, reason="an engine that cannot be recorded is made for the TensorRT in software alone")
def test_an_engine_that_cannot_be_recorded_is_served_without_graphs(models):
    add(models, "adds", addition(PROFILE, recordable=False), "instance_group { kind: KIND_GPU gpus: 0 }\n" + graphs(spec(2, 8)))
    with Server(models, "--log-verbose=1") as server:
        text = "instance 'adds_0_0' of model 'adds' has no CUDA graph for [2,8] (graph_spec 0), whose executions are started one by one"
        [line] = server.log_of(text)
        assert "one by one: GPU 0: a layer waits for the host" in line
        client = http.InferenceServerClient(server.http)
        for _ in range(3):
            values = np.random.default_rng(2).random((2, 8), dtype=np.float32)
            np.testing.assert_array_equal(infer(client, "adds", values), values + np.float32(ADDEND))
        assert not launched(server) and not server.log_of("captured CUDA graphs")


@pytest.mark.skipif(not SOFTWARE, reason="the engine wants more memory than the devices in software have")
def test_what_does_not_fit_the_device_is_refused_and_graphs_are_gone_without(models):
    group, rows = "instance_group { kind: KIND_GPU gpus: 0 }\n", 16
    add(models, "larger", addition(((1, 1), (4, 10), (rows, 40 << 20))), group)
    # A context takes 1 GiB of 2, the memory of its graph would take another twice.
    add(models, "large", addition(((1, 1), (4, 10), (rows, 16 << 20))), group + graphs(spec(rows, 16 << 20)))
    with Server(models, "--exit-on-error=false", "--strict-readiness=false") as server:
        client = http.InferenceServerClient(server.http)
        reasons = {model["name"]: model.get("reason", "") for model in client.get_model_repository_index()}
        size = 4 * rows * (40 << 20)
        expected = f"instance 'larger_0_0' of model 'larger': memory to compute in on GPU 0: {size} bytes could not be allocated: out of memory"
        assert expected in reasons["larger"], reasons
        [line] = server.log_of("instance 'large_0_0' of model 'large' has no CUDA graphs, its executions are started one by one")
        assert "memory for 'y' on GPU 0" in line or "memory for 'x' on GPU 0" in line, line
        values = np.ones((2, 8), dtype=np.float32)
        np.testing.assert_array_equal(infer(client, "large", values), values + np.float32(ADDEND))


def used_bytes() -> int:
    """Of device 0, by all processes."""
    listed = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    return int(subprocess.run(listed, capture_output=True, text=True, check=True).stdout) << 20


def test_the_memory_of_graphs_is_counted_and_comes_back(models):
    large = (8, 1 << 20)
    own = "instance_group { kind: KIND_GPU gpus: 0 }\n" + graphs(spec(*large))
    add(models, "adds", addition(((1, 1), (4, 10), large)), own)
    with Server(models, "--model-control-mode=explicit") as server:
        client, used = http.InferenceServerClient(server.http), []
        for _ in range(4):
            client.load_model("adds")
            [usage] = client.get_inference_statistics("adds")["model_stats"][0]["memory_usage"]
            assert usage["type"] == "GPU" and int(usage["byte_size"]) >= 2 * 4 * large[0] * large[1], usage
            infer(client, "adds", np.ones(large, dtype=np.float32))
            client.unload_model("adds")
            end = time.monotonic() + 30
            while client.get_model_repository_index()[0].get("state") != "UNAVAILABLE" and time.monotonic() < end:
                time.sleep(0.02)
            used.append(used_bytes())
        # Three loads more would have taken more than what may stay in pools.
        assert used[-1] < used[0] + (96 << 20), used
