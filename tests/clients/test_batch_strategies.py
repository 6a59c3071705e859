"""Batching strategies: plugins that say which requests share a batch. They keep batches small, and nobody waits for one that fails."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest
from clients import Client
from repository import identity, tensors, write_model
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

GUESTS = ROOT / "target/guests"
DELAY_MS = 60
# Long enough for everybody to be there: a batch goes because somebody says so.
BATCHED = "max_batch_size: 8\ndynamic_batching { max_queue_delay_microseconds: 300000 }\n"


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}\n'


def write(models: pathlib.Path, name: str, manner: str = "", more: str = "", guest: str = "strategy", place: str = "1/batchstrategy.wasm"):
    config = BATCHED + parameter("execute_delay_ms", str(DELAY_MS)) + parameter("manner", manner) + more
    write_model(models, name, identity(dims="-1", more=config))
    shutil.copy(GUESTS / f"{guest}.wasm", models / name / place)


@pytest.fixture(scope="module")
def strategic(binary, tmp_path_factory):
    models, backends = tmp_path_factory.mktemp("strategic"), tmp_path_factory.mktemp("backends")
    for manner in ("yes", "no", "trap", "spin", "hoard"):
        write(models, manner, manner)
    write(models, "refused", "refuse")
    write(models, "wrong_world", guest="identity")
    write(models, "beside", place="batchstrategy.wasm")
    write(models, "named", more=parameter("TRITON_BATCH_STRATEGY_PATH", "mine.wasm"), place="mine.wasm")
    write(models, "escaping", more=parameter("TRITON_BATCH_STRATEGY_PATH", "../yes/1/batchstrategy.wasm"))
    write(models, "nowhere", more=parameter("TRITON_BATCH_STRATEGY_PATH", "none.wasm"))
    write(models, "greedy", "yes")
    (models / "greedy/1/batchstrategy.toml").write_text('[grants]\nhttp = ["example.com"]\n')
    volume = parameter("MAX_BATCH_VOLUME_BYTES", "64")
    write(models, "volume", more=volume, guest="volume_batching")
    ragged = tensors("input", ("INPUT0", "TYPE_FP32", "-1")).replace(" } ]", " allow_ragged_batch: true } ]")
    padded = BATCHED + parameter("execute_delay_ms", str(DELAY_MS)) + parameter("MAX_BATCH_PADDED_ELEMENTS", "24")
    write_model(models, "padded", 'backend: "identity"\n' + padded + ragged + tensors("output", ("OUTPUT0", "TYPE_FP32", "-1")))
    shutil.copy(GUESTS / "volume_batching.wasm", models / "padded/1/batchstrategy.wasm")
    write(models, "unlimited", guest="volume_batching")
    sequences = 'backend: "identity"\nmax_batch_size: 8\nsequence_batching { }\n' + parameter("TRITON_BATCH_STRATEGY_PATH", "mine.wasm")
    write_model(models, "sequences", sequences + tensors("input", ("I", "TYPE_FP32", "1")) + tensors("output", ("O", "TYPE_FP32", "1")))
    unbatched = 'backend: "identity"\nmax_batch_size: 8\n' + tensors("input", ("I", "TYPE_FP32", "1")) + tensors("output", ("O", "TYPE_FP32", "1"))
    write_model(models, "unbatched", unbatched)
    shutil.copy(GUESTS / "strategy.wasm", models / "unbatched/1/batchstrategy.wasm")
    (backends / "identity").mkdir()
    shutil.copy(GUESTS / "strategy.wasm", backends / "identity/batchstrategy.wasm")
    write_model(models, "backends_own", identity(dims="-1", more=BATCHED + parameter("execute_delay_ms", str(DELAY_MS))))
    log = tmp_path_factory.mktemp("strategic_server") / "log"
    flags = [f"--batch-strategy-directory={backends}", "--model-control-mode=explicit"]
    with Server(binary, log, [models], *flags) as running:
        running.models = models
        yield running
        running.terminate()
        assert running.wait() == 0


@pytest.fixture
def client(strategic):
    connected = Client("http", strategic)
    yield connected
    connected.close()


def send(client, model: str, rows: list[np.ndarray], parameters: list[dict] | None = None) -> list:
    """Sends requests in this order while another one is executed, so that all of them wait together."""
    first = client.raw.async_infer(model, [client.input("INPUT0", rows[0], "FP32")])
    pending = []
    for row, chosen in zip(rows, parameters or [{}] * len(rows)):
        pending.append(client.raw.async_infer(model, [client.input("INPUT0", row, "FP32")], parameters=chosen))
    return [one.get_result().as_numpy("OUTPUT0") for one in [first, *pending]][1:]


def batches(server, model: str) -> list[tuple[int, str]]:
    (found,) = json.loads(server.get(f"/v2/debug/models/{model}/decisions").body)["models"]
    return [(one["requests"], one["reason"]) for one in found["decisions"]]


def answers(server, model: str) -> dict[str, int]:
    found = re.findall(rf'^nereid_batch_strategy_answers_total{{answer="(\w+)",model="{model}",version="1"}} (\d+)$', server.metrics(), re.MULTILINE)
    return {answer: int(count) for answer, count in found}


def row(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.float32)[None]


def refusal(client, name: str) -> str:
    with pytest.raises(InferenceServerException) as refused:
        client.raw.load_model(name)
    return refused.value.message()


def test_a_strategy_sees_everything_but_the_contents_and_closes_batches(strategic, client):
    client.raw.load_model("yes")
    x = client.input("INPUT0", row(3), "FP32")
    client.raw.infer("yes", [x], request_id="first", priority=0, parameters={"colour": "red"})
    log = strategic.log_text()
    assert "strategy of yes 1, 8 rows, true" in log
    # The line is a text in quotes.
    assert """asked about 'first': 1 rows, priority 0, None, [("INPUT0", Dtype::Fp32, [1, 3], 12)]""" in log.replace('\\"', '"')
    kinds = [{}, {}, {"alone": True}, {}, {}]
    sent = [row(2)] * 5
    assert all(np.array_equal(got, row(2)) for got in send(client, "yes", sent, kinds))
    sizes = [size for size, _ in batches(strategic, "yes")]
    assert sum(sizes) == 7 and any(reason == "strategy" for _, reason in batches(strategic, "yes"))
    # The one that stays is asked about twice: it begins the next batch whatever is said of it.
    assert answers(strategic, "yes") == {"joins": 6, "stays": 2, "failed": 0, "overdue": 0}


def test_a_strategy_that_always_refuses_leaves_batches_of_one(strategic, client):
    client.raw.load_model("no")
    send(client, "no", [row(2)] * 5)
    assert [size for size, _ in batches(strategic, "no")] == [1] * 6
    statistics = client.raw.get_inference_statistics("no")["model_stats"][0]
    assert [(one["batch_size"], one["compute_infer"]["count"]) for one in statistics["batch_stats"]] == [(1, 6)]


@pytest.mark.parametrize("manner", ["trap", "spin", "hoard"])
def test_a_strategy_that_fails_is_left_out_counted_and_told(strategic, client, manner):
    client.raw.load_model(manner)
    for _ in range(3):
        assert len(send(client, manner, [row(2)] * 6)) == 6
    counted = answers(strategic, manner)
    assert counted["failed"] >= 3 and counted["joins"] == counted["stays"] == 0, counted
    assert max(size for size, _ in batches(strategic, manner)) >= 2, "batches are formed all the same"
    log = strategic.log_text()
    assert f"plugin 'batchstrategy.wasm' of model '{manner}'" in log and "formed by rows and shapes alone" in log
    assert f"model '{manner}': requests are refused" in log, "after three lost guests nobody is asked for a while"


def test_the_volume_of_a_batch_is_limited(strategic, client):
    client.raw.load_model("volume")
    sent = [row(4)] * 9
    assert all(np.array_equal(got, row(4)) for got in send(client, "volume", sent))
    statistics = client.raw.get_inference_statistics("volume")["model_stats"][0]
    sizes = {one["batch_size"]: one["compute_infer"]["count"] for one in statistics["batch_stats"]}
    # 16 bytes each: four fit into 64.
    assert max(sizes) == 4 and sum(size * count for size, count in sizes.items()) == 10, sizes
    assert (4, "strategy") in batches(strategic, "volume")


def test_rows_count_as_the_longest_of_their_batch(strategic, client):
    client.raw.load_model("padded")
    lengths = [2, 2, 2, 20, 2, 2, 2, 2]
    got = send(client, "padded", [row(length) for length in lengths])
    assert [answer.shape[1] for answer in got] == lengths
    sizes = [size for size, _ in batches(strategic, "padded")]
    assert sum(sizes) == 9 and 1 in sizes[1:], sizes


def test_a_strategy_is_found_where_triton_looks(strategic, client):
    for name in ("beside", "named", "backends_own"):
        client.raw.load_model(name)
        client.raw.infer(name, [client.input("INPUT0", row(2), "FP32")])
        assert answers(strategic, name)["joins"] == 1
        assert f"strategy of {name} 1" in strategic.log_text()
    client.raw.load_model("unbatched")
    assert "'unbatched'" in strategic.log_text() and "which nobody asks" in strategic.log_text()
    assert answers(strategic, "unbatched") == {}


def test_what_is_no_strategy_fails_the_load(strategic, client):
    for name, expected in [
        ("refused", "cannot be initialised: this model has no batches"),
        ("wrong_world", "built for the world transform-plugin, not for batching-plugin"),
        ("escaping", "Batching library path escapes model repository."),
        ("nowhere", "Batching library path not found: none.wasm"),
        ("sequences", "TRITON_BATCH_STRATEGY_PATH cannot be specified with sequence batcher"),
        ("greedy", "asks for [grants] http: a batching strategy is granted clocks and random_seed, and nothing else"),
        ("unlimited", "expected the parameter 'MAX_BATCH_VOLUME_BYTES', 'MAX_BATCH_PADDED_ELEMENTS' or both, found neither"),
    ]:
        assert expected in refusal(client, name)
