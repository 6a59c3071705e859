"""--memory-budget: what is charged, what is refused by name, and who makes room."""

import re
import threading
import time

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import SLOW_MODEL_MILLISECONDS, identity, write_model
from server import Server, run_to_end
from tritonclient.utils import InferenceServerException
from weights import MIB, write_heavy_model

WEIGHTS_MIB = 48
SECONDS_MAX = 60
POLL_SECONDS = 0.02
BUSY = ("503", "StatusCode.UNAVAILABLE")
NO_ROOM = ("429", "StatusCode.RESOURCE_EXHAUSTED")


def value(server, series: str) -> float | None:
    """A number on the metrics page."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", server.metrics(), re.MULTILINE)
    return float(found.group(1)) if found else None


def charged(server, model: str) -> float | None:
    return value(server, f'nereid_memory_model_bytes{{model="{model}",version="1"}}')


def refusals(server, reason: str) -> float | None:
    return value(server, f'nereid_memory_refusals_total{{reason="{reason}"}}')


def until(condition, what: str):
    end = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < end, f"not within {SECONDS_MAX} s: {what}"
        time.sleep(POLL_SECONDS)


def look_up(client, model: str, index: int) -> float:
    return client.infer(model, client.input("I", np.array([index], np.int64), "INT64")).as_numpy("Y")[0]


def ready(client) -> set[str]:
    return {name for name, rows in client.index().items() if rows[0].get("state") == "READY"}


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """Three models of the same weights."""
    folder = tmp_path_factory.mktemp("heavy")
    for name in ("a", "b", "c"):
        write_heavy_model(folder, name, WEIGHTS_MIB)
    return folder


@pytest.fixture(scope="module")
def needs(heavy, binary, tmp_path_factory):
    """Bytes that the first of them is charged, which brings the library along, and the second."""
    log = tmp_path_factory.mktemp("needs") / "log"
    with Server(binary, log, [heavy], "--model-control-mode=explicit", "--memory-budget=8G") as server:
        client = Client("grpc", server)
        client.raw.load_model("a")
        client.raw.load_model("b")
        client.close()
        yield charged(server, "a"), charged(server, "b")


def test_a_model_is_charged_what_it_takes_and_nothing_once_it_is_gone(start_server, heavy, needs):
    server = start_server(heavy, "--model-control-mode=explicit", "--memory-budget=2GiB")
    client = Client("grpc", server)
    assert value(server, "nereid_memory_budget_bytes") == 2048 * MIB
    client.raw.load_model("a")
    assert look_up(client, "a", 12345) == 12345
    # The weights at least once, and no more than a few copies with the library.
    assert WEIGHTS_MIB * MIB * 0.9 < charged(server, "a") < 6 * WEIGHTS_MIB * MIB
    client.raw.load_model("b")
    assert WEIGHTS_MIB * MIB * 0.9 < charged(server, "b") < 5 * WEIGHTS_MIB * MIB
    assert value(server, "nereid_memory_loading_bytes") == 0
    for name in ("a", "b"):
        client.raw.unload_model(name)
        until(lambda: charged(server, name) is None, f"{name} is gone")
    assert {refusals(server, reason) for reason in ("load", "measured", "instances", "request")} == {0}
    client.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_load_beyond_the_budget_is_refused_by_name_and_an_unload_makes_room(start_server, heavy, needs, protocol):
    first, second = needs
    server = start_server(heavy, "--model-control-mode=explicit", f"--memory-budget={int(first + 1.5 * second)}")
    client = Client(protocol, server)
    client.raw.load_model("a")
    client.raw.load_model("b")
    with pytest.raises(InferenceServerException) as refused:
        client.raw.load_model("c")
    assert refused.value.status() in NO_ROOM
    text = refused.value.message()
    assert "load failed for model 'c': version 1" in text and "model 'c' version 1 " in text
    for part in (r"of the memory budget of [\d.]+ MiB \(--memory-budget\)", r"largest: [ab]:1 [\d.]+ MiB, [ab]:1 [\d.]+ MiB", "unload a model"):
        assert re.search(part, text), text
    assert ready(client) == {"a", "b"} and "--memory-budget" in client.index()["c"][0]["reason"]
    assert refusals(server, "load") + refusals(server, "measured") == 1
    assert charged(server, "c") is None and value(server, "nereid_memory_loading_bytes") == 0
    client.raw.unload_model("a")
    until(lambda: charged(server, "a") is None, "a is gone")
    client.raw.load_model("c")
    assert look_up(client, "c", 7) == 7 and look_up(client, "b", 8) == 8
    assert charged(server, "b") + charged(server, "c") <= value(server, "nereid_memory_budget_bytes")
    client.close()


def test_a_model_larger_than_the_budget_is_refused_before_it_is_loaded(start_server, heavy):
    server = start_server(heavy, "--model-control-mode=explicit", "--memory-budget=10M")
    client = Client("http", server)
    with pytest.raises(InferenceServerException, match="needs 48.0 MiB, the size of its files, which is more than") as refused:
        client.raw.load_model("a")
    assert refused.value.status() == "400"
    assert "ONNX Runtime" not in server.log_text(), "nothing was tried"
    client.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_models_on_demand_make_room_for_each_other(start_server, heavy, needs, protocol):
    first, second = needs
    flags = ("--model-control-mode=ondemand", f"--memory-budget={int(first + 1.5 * second)}")
    server = start_server(heavy, *flags)
    client = Client(protocol, server)
    for name in ("a", "b", "a"):
        assert look_up(client, name, 5) == 5
    assert ready(client) == {"a", "b"}
    assert look_up(client, "c", 6) == 6
    assert ready(client) == {"a", "c"}, "b was used least recently"
    assert "making room: 'b' was used least recently" in server.log_text()
    assert charged(server, "b") is None
    assert look_up(client, "b", 9) == 9 and "b" in ready(client)
    client.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_reload_on_demand_makes_room_for_both_generations(start_server, tmp_path, needs, protocol):
    first, second = needs
    folder = tmp_path / "models"
    for name in ("a", "b"):
        write_heavy_model(folder, name, WEIGHTS_MIB)
    flags = ("--model-control-mode=ondemand", f"--memory-budget={int(first + 1.5 * second)}")
    server = start_server(folder, *flags)
    client = Client(protocol, server)
    # The one that will go brings the library along.
    assert look_up(client, "b", 3) == 3
    client.raw.load_model("a")
    assert ready(client) == {"a", "b"}
    (folder / "a/1/note").write_text("another file, another generation")
    client.raw.load_model("a")
    assert ready(client) == {"a"} and server.log_text().count("successfully loaded 'a'") == 2
    assert "making room: 'b' was used least recently" in server.log_text()
    assert look_up(client, "a", 4) == 4
    until(lambda: charged(server, "a") < 1.5 * second, "the generation before is gone")
    # The library that came with b the first time is there: it needs no more than another model.
    assert look_up(client, "b", 5) == 5 and ready(client) == {"a", "b"}
    assert charged(server, "b") < 1.5 * second
    client.close()


def test_more_instances_need_room_and_fewer_leave_it(start_server, tmp_path):
    folder = tmp_path / "models"
    warm_up = 'model_warmup [ { name: "w" batch_size: 1 inputs { key: "INPUT0" value: '
    warm_up += f"{{ data_type: TYPE_FP32 dims: [ {MIB} ] zero_data: true }} }} }} ]\n"

    def write(count: int):
        write_model(folder, "m", identity(more=f"max_batch_size: 0\ninstance_group [ {{ count: {count} kind: KIND_CPU }} ]\n" + warm_up))

    write(2)
    server = start_server(folder, "--model-control-mode=explicit", "--load-model=m", "--memory-budget=64M")
    client = Client("http", server)
    # Eight for each: four that the sample brings, and the same that it gets.
    before = charged(server, "m")
    assert before >= 16 * MIB
    write(3)
    client.raw.load_model("m")
    assert charged(server, "m") >= before + 8 * MIB
    write(9)
    with pytest.raises(InferenceServerException, match="for more instances, and of the memory budget of 64.0 MiB"):
        client.raw.load_model("m")
    assert refusals(server, "instances") == 1
    assert client.identity("m", np.ones(3, np.float32))[2] == 1
    write(1)
    client.raw.load_model("m")
    until(lambda: charged(server, "m") < before, "two instances are gone")
    client.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_requests_share_what_is_left_and_the_next_one_is_told_so(start_server, tmp_path, protocol):
    folder = tmp_path / "models"
    delay = f'parameters {{ key: "execute_delay_ms" value: {{ string_value: "{SLOW_MODEL_MILLISECONDS}" }} }}\n'
    write_model(folder, "slow", identity(more="max_batch_size: 0\n" + delay))
    server = start_server(folder, "--memory-budget=40M")
    large, larger = np.ones(16 * MIB // 4, np.float32), np.ones(30 * MIB // 4, np.float32)
    answers = []

    def ask():
        under_way = Client(protocol, server)
        answers.append(under_way.identity("slow", large))
        under_way.close()

    thread = threading.Thread(target=ask)
    thread.start()
    client = Client(protocol, server)
    until(lambda: value(server, "nereid_memory_in_flight_bytes") == 16 * MIB, "a request is under way")
    with pytest.raises(InferenceServerException) as refused:
        client.identity("slow", larger, request_id="seven")
    assert refused.value.status() in BUSY
    text = refused.value.message()
    assert "[request id: seven] Exceeds the memory budget" in text and "of the budget of 40.0 MiB (--memory-budget)" in text
    assert "takes 30.0 MiB" in text and "requests 16.0 MiB" in text
    thread.join(SECONDS_MAX)
    assert answers and len(answers[0]) == len(large)
    until(lambda: value(server, "nereid_memory_in_flight_bytes") == 0, "the answer is read")
    assert len(client.identity("slow", larger)) == len(larger)
    assert refusals(server, "request") == 1
    assert value(server, 'nv_inference_request_failure{model="slow",reason="REJECTED",version="1"}') == 1
    assert client.statistics("slow")["inference_stats"]["fail"]["count"] in (1, "1")
    client.close()


def test_without_the_flag_there_is_nothing_of_it_on_the_page(server):
    assert "nereid_memory_" not in server.metrics()


def test_a_budget_that_is_no_size_is_refused(binary):
    for text in ("0", "lots", "1.5G"):
        ended = run_to_end(binary, "serve", "--model-repository=models", f"--memory-budget={text}")
        assert ended.returncode != 0 and "expected bytes: a number from 1" in ended.stderr, ended.stderr
