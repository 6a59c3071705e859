"""Forests on a GPU: the answers of the processor, from the same server, over HTTP.

Every committed forest is served twice, on KIND_CPU and on KIND_GPU, and so is a large one that is made here (300 trees of depth 8). Rows are
those of the fixtures, mixed column by column, with values missing. What has no link function must agree to the last bit.
"""

import importlib.util
import json
import pathlib
import shutil
import time

import numpy as np
import pytest
import tritonclient.http as triton
from conftest import Server
from tritonclient.utils import InferenceServerException

FORESTS = pathlib.Path(__file__).resolve().parents[1] / "models/forests"

FILES = {
    "xgboost_json": ("json", "xgboost.json"),
    "xgboost_ubj": ("ubj", "xgboost.ubj"),
    "lightgbm": ("txt", "model.txt"),
    "treelite_checkpoint": ("tl", "checkpoint.tl"),
    "nereid_forest": ("forest.json", "forest.json"),
}
BATCHES = (1, 7, 64, 1000)
TOLERANCE = 1e-6
LARGE_BATCHES = (1, 64, 1000, 10_000)
SECONDS_PER_FIGURE = 0.7

CONFIG = """backend: "fil"
max_batch_size: 16384
instance_group [ {{ kind: {kind} count: {count} }} ]
parameters [ {parameters} ]
{more}
"""
KINDS = {"cpu": "KIND_CPU", "gpu": "KIND_GPU"}

ENSEMBLE = """platform: "ensemble"
max_batch_size: 16384
input [ {{ name: "rows" data_type: TYPE_FP32 dims: [ 28 ] }} ]
output [ {{ name: "score" data_type: TYPE_FP32 dims: [ 1 ] }} ]
ensemble_scheduling {{ step [
  {{ model_name: "large_{kind}" model_version: -1
    input_map {{ key: "input__0" value: "rows" }} output_map {{ key: "output__0" value: "first" }} }},
  {{ model_name: "second_{kind}" model_version: -1
    input_map {{ key: "input__0" value: "first" }} output_map {{ key: "output__0" value: "score" }} }}
] }}
"""


def nvrtc_environment() -> dict[str, str]:
    """CUDA's compiler out of a wheel or an installation; without either the server looks for it."""
    spec = importlib.util.find_spec("nvidia")
    folders = [pathlib.Path(path) for path in (spec.submodule_search_locations if spec else [])]
    found = [path for folder in folders for path in sorted(folder.glob("*/lib/libnvrtc.so.1?"))]
    found += sorted(pathlib.Path("/usr/local/cuda/lib64").glob("libnvrtc.so.1?"))
    return {"NEREID_NVRTC_LIBRARY": str(found[0])} if found else {}


def fixtures() -> dict[str, dict]:
    names = sorted(path.name.removesuffix(".expected.json") for path in FORESTS.glob("*.expected.json"))
    return {name: json.loads((FORESTS / f"{name}.expected.json").read_text()) for name in names}


def place(repository, name, kind, source, file_name, parameters=(), count=1, more=""):
    folder = repository / f"{name}_{kind}"
    (folder / "1").mkdir(parents=True)
    shutil.copy(source, folder / "1" / file_name)
    parameters = [f'{{ key: "{key}" value: {{ string_value: "{value}" }} }}' for key, value in parameters]
    config = CONFIG.format(kind=KINDS[kind], count=count, parameters=", ".join(parameters), more=more)
    (folder / "config.pbtxt").write_text(config)


def large_forest(path, features=28, trees=300, depth=8, seed=7):
    """Complete trees over rows from a normal distribution, in the format of examples/forests."""
    random = np.random.default_rng(seed)
    splits, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    left = [2 * node + 1 if node < splits else -1 for node in range(nodes)]
    right = [2 * node + 2 if node < splits else -1 for node in range(nodes)]

    def tree():
        return {
            "outputs": [0, 1, 1],
            "left": left,
            "right": right,
            "feature": random.integers(0, features, nodes).tolist(),
            "threshold": random.normal(size=nodes).astype(np.float32).astype(float).tolist(),
            "default_left": random.integers(0, 2, nodes).tolist(),
            "cover": [1.0] * nodes,
            "values": random.normal(scale=0.1, size=nodes - splits).tolist(),
            "category_nodes": [],
            "category_starts": [0],
            "categories": [],
        }

    document = {
        "format": "nereid-forest",
        "version": 1,
        "task": "regression",
        "feature_count": features,
        "targets": 1,
        "classes": 1,
        "base_scores": [0.25],
        "averaged": False,
        "link": {"name": "identity"},
        "trees": [tree() for _ in range(trees)],
    }
    path.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    repository = tmp_path_factory.mktemp("forests")
    files = tmp_path_factory.mktemp("files")
    large_forest(files / "large.json")
    large_forest(files / "second.json", features=1, trees=5, depth=3, seed=8)
    explained = 'output [ { name: "output__0" }, { name: "treeshap_output" } ]'
    for kind in KINDS:
        for name, document in fixtures().items():
            ending, file_name = FILES[document["model_type"]]
            source = FORESTS / f"{name}.{ending}"
            place(repository, name, kind, source, file_name, [("predict_proba", "true")])
            if name in ("xgb_classes", "xgb_binary"):
                place(repository, f"class_of_{name}", kind, source, file_name, [("output_class", "true")])
            if name == "lgb_binary":
                place(repository, "explained", kind, source, file_name, [("predict_proba", "true")], more=explained)
        batching = "dynamic_batching { max_queue_delay_microseconds: 20000 }"
        place(repository, "batched", kind, files / "large.json", "forest.json", more=batching)
        place(repository, "large", kind, files / "large.json", "forest.json", count=2)
        place(repository, "second", kind, files / "second.json", "forest.json")
        (repository / f"both_{kind}" / "1").mkdir(parents=True)
        (repository / f"both_{kind}" / "config.pbtxt").write_text(ENSEMBLE.format(kind=kind))
    (repository / "open" / "1").mkdir(parents=True)
    shutil.copy(files / "second.json", repository / "open" / "1" / "forest.json")
    flags = ("--model-control-mode=explicit", "--load-model=*", "--allow-client-shm=true")
    with Server(repository, *flags, environment=nvrtc_environment()) as server:
        yield Served(server, repository)


class Served:
    def __init__(self, server, repository):
        self.server = server
        self.repository = repository
        self.client = triton.InferenceServerClient(server.http, concurrency=16, network_timeout=60.0)

    def inputs(self, rows, name="input__0"):
        tensor = triton.InferInput(name, rows.shape, "FP32")
        tensor.set_data_from_numpy(rows)
        return [tensor]

    def infer(self, model, rows, name="input__0", output="output__0"):
        answer = self.client.infer(model, self.inputs(rows, name), outputs=[triton.InferRequestedOutput(output)])
        return answer.as_numpy(output)

    def statistics(self, model):
        return self.client.get_inference_statistics(model)["model_stats"][0]


def mixed_rows(document, count, seed) -> np.ndarray:
    """Rows whose columns come from different rows of the fixture, a twentieth of the values missing."""
    random = np.random.default_rng(seed)
    table = np.array([[np.nan if value is None else value for value in row] for row in document["rows"]], np.float32)
    rows = np.stack([random.choice(column, count) for column in table.T], axis=1)
    rows[random.random(rows.shape) < 0.05] = np.nan
    return np.ascontiguousarray(rows, np.float32)


def normal_rows(count, seed=1) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 28)).astype(np.float32)
    rows[random.random(rows.shape) < 0.02] = np.nan
    return rows


def relative_difference(found, expected) -> float:
    if not found.size:
        return 0.0
    return float(np.max(np.abs(found.astype(float) - expected) / np.maximum(1.0, np.abs(expected.astype(float)))))


@pytest.mark.parametrize("name", list(fixtures()))
def test_scores_are_those_of_the_processor(served, name):
    document = fixtures()[name]
    for seed, batch in enumerate(BATCHES):
        rows = mixed_rows(document, batch, seed)
        expected, found = served.infer(f"{name}_cpu", rows), served.infer(f"{name}_gpu", rows)
        assert found.shape == expected.shape
        assert relative_difference(found, expected) <= TOLERANCE, f"{batch} rows"
    rows = mixed_rows(document, 0, 0)
    assert served.infer(f"{name}_gpu", rows).shape == served.infer(f"{name}_cpu", rows).shape


@pytest.mark.parametrize("name", ["xgb_classes", "xgb_binary"])
def test_classes_are_those_of_the_processor(served, name):
    rows = mixed_rows(fixtures()[name], 1000, 5)
    expected = served.infer(f"class_of_{name}_cpu", rows)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(served.infer(f"class_of_{name}_gpu", rows), expected)


def test_sums_agree_to_the_last_bit_in_every_run(served):
    for batch in (1, 2, 33, 1000, 10_000):
        rows = normal_rows(batch)
        expected = served.infer("large_cpu", rows).tobytes()
        assert all(served.infer("large_gpu", rows).tobytes() == expected for _ in range(5)), f"{batch} rows"


def test_requests_that_arrive_together_are_one_execution(served):
    batches = [normal_rows(1 + number % 5, seed=number) for number in range(16)]
    waiting = [served.client.async_infer("batched_gpu", served.inputs(rows)) for rows in batches]
    found = [request.get_result().as_numpy("output__0") for request in waiting]
    for rows, answer in zip(batches, found, strict=True):
        np.testing.assert_array_equal(answer, served.infer("batched_cpu", rows))
    statistics = served.statistics("batched_gpu")
    assert statistics["execution_count"] < len(batches), statistics


def test_two_steps_of_an_ensemble_meet_on_the_device(served):
    rows = normal_rows(500)
    expected = served.infer("both_cpu", rows, name="rows", output="score")
    assert len(np.unique(expected)) > 3
    np.testing.assert_array_equal(served.infer("both_gpu", rows, name="rows", output="score"), expected)


def test_rows_and_scores_stay_in_the_memory_that_a_client_shares(served):
    shared = pytest.importorskip("tritonclient.utils.cuda_shared_memory")
    rows = normal_rows(300)
    sizes = {"rows": rows.nbytes, "scores": len(rows) * 4}
    regions = {name: shared.create_shared_memory_region(name, size, 0) for name, size in sizes.items()}
    try:
        for name, region in regions.items():
            served.client.register_cuda_shared_memory(name, shared.get_raw_handle(region), 0, sizes[name])
        shared.set_shared_memory_region(regions["rows"], [rows])
        tensor = triton.InferInput("input__0", rows.shape, "FP32")
        tensor.set_shared_memory("rows", sizes["rows"])
        output = triton.InferRequestedOutput("output__0")
        output.set_shared_memory("scores", sizes["scores"])
        served.client.infer("large_gpu", [tensor], outputs=[output])
        found = shared.get_contents_as_numpy(regions["scores"], np.float32, [len(rows), 1])
        np.testing.assert_array_equal(found, served.infer("large_cpu", rows))
    finally:
        served.client.unregister_cuda_shared_memory()
        for region in regions.values():
            shared.destroy_shared_memory_region(region)


def test_a_forest_without_a_written_kind_goes_to_the_device(served):
    [group] = served.client.get_model_config("open")["instance_group"]
    assert group["kind"] == "KIND_GPU" and 0 in group["gpus"], group
    rows = normal_rows(9)[:, :1]
    np.testing.assert_array_equal(served.infer("open", rows), served.infer("second_cpu", rows))


def test_shap_values_come_from_the_processor_unchanged(served):
    rows = mixed_rows(fixtures()["lgb_binary"], 64, 3)
    expected = served.infer("explained_cpu", rows, output="treeshap_output")
    np.testing.assert_array_equal(served.infer("explained_gpu", rows, output="treeshap_output"), expected)


def test_a_device_that_is_not_there_is_named(served):
    folder = served.repository / "elsewhere"
    shutil.copytree(served.repository / "second_gpu", folder)
    config = (folder / "config.pbtxt").read_text()
    (folder / "config.pbtxt").write_text(config.replace("KIND_GPU", "KIND_GPU gpus: [ 63 ]"))
    with pytest.raises(InferenceServerException, match="63"):
        served.client.load_model("elsewhere")


def test_memory_of_the_device_is_told(served):
    rows = served.statistics("large_gpu").get("memory_usage", [])
    assert any(row["type"] == "GPU" and int(row["byte_size"]) > 2_000_000 for row in rows), rows


def figure(served, model, rows) -> tuple[float, float]:
    """Rows per second as a client sees them, and microseconds that the server says a batch was computed for."""
    served.infer(model, rows)
    before = served.statistics(model)["inference_stats"]["compute_infer"]
    start, calls = time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - start < SECONDS_PER_FIGURE:
        served.infer(model, rows)
        calls += 1
    seconds = time.perf_counter() - start
    after = served.statistics(model)["inference_stats"]["compute_infer"]
    computed = (int(after["ns"]) - int(before["ns"])) / (int(after["count"]) - int(before["count"]))
    return calls * len(rows) / seconds, computed / 1000


def test_figures_of_a_forest_of_300_trees(served):
    for batch in LARGE_BATCHES:
        rows = normal_rows(batch)
        seen = {kind: figure(served, f"large_{kind}", rows) for kind in KINDS}
        for kind, (rows_per_second, computed) in seen.items():
            print(f"FIGURE forest_{kind}_batch_{batch} {rows_per_second:.0f} rows/s")
            print(f"FIGURE forest_{kind}_batch_{batch}_compute {computed:.1f} us")
        print(f"FIGURE forest_gpu_to_cpu_batch_{batch} {seen['gpu'][0] / seen['cpu'][0]:.2f} ratio")
        print(f"FIGURE forest_gpu_to_cpu_batch_{batch}_compute {seen['cpu'][1] / seen['gpu'][1]:.2f} ratio")
