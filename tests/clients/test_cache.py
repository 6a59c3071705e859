"""The response cache with the real clients: hits, what is counted, reloads, ensembles, shared memory, and a real Redis."""

import itertools
import os
import signal
import threading
import time

import numpy as np
import pytest
import tritonclient.utils.shared_memory as shm
from clients import PROTOCOLS, Client
from redis_server import Redis
from repository import identity, write_ensemble_of, write_model, write_onnx_models
from server import run_to_end
from tritonclient.utils import InferenceServerException

CACHED = "response_cache { enable: true }\n"
COUNT = itertools.count(1)
WAIT_SECONDS_MAX = 60


def plain(more: str = "") -> str:
    return identity(more="max_batch_size: 0\n" + more)


def slow(milliseconds: int, more: str = CACHED) -> str:
    delay = f'parameters {{ key: "execute_delay_ms" value: {{ string_value: "{milliseconds}" }} }}\n'
    return plain(more + delay)


def write_cached_ensemble(folder, name: str, member: str):
    write_ensemble_of(folder, name, member)
    config = folder / name / "config.pbtxt"
    config.write_text(config.read_text() + CACHED)


@pytest.fixture
def folder(tmp_path):
    """Models that cache and one that does not."""
    folder = tmp_path / "models"
    folder.mkdir()
    write_model(folder, "cached", plain(CACHED))
    write_model(folder, "uncached", plain())
    write_model(folder, "slow", slow(700))
    write_cached_ensemble(folder, "pair", "uncached")
    return folder


@pytest.fixture
def redis():
    running = Redis()
    yield running
    running.kill()


LOCAL = "--cache-config=local,size=10485760"


def counts(client: Client, model: str) -> dict:
    """What the statistics say of a model; absent numbers are zero, as gRPC's JSON leaves them out."""
    statistics = client.statistics(model)
    stages = {name: int(stage.get("count", 0)) for name, stage in statistics["inference_stats"].items()}
    return stages | {
        "inference_count": int(statistics.get("inference_count", 0)),
        "execution_count": int(statistics.get("execution_count", 0)),
    }


def check_counts(client: Client, model: str, **expected: int):
    found = counts(client, model)
    assert {name: found[name] for name in expected} == expected, found


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_second_request_is_a_hit_and_counted_as_one(start_server, folder, protocol):
    server = start_server(folder, LOCAL, "--metrics-config=summary_latencies=true")
    client = Client(protocol, server)
    for _ in range(3):
        assert client.identity("cached", numbers(1, 2)).tolist() == [1, 2]
    check_counts(
        client,
        "cached",
        success=3,
        queue=3,
        compute_infer=1,
        cache_hit=2,
        cache_miss=1,
        inference_count=1,
        execution_count=1,
    )
    assert client.identity("cached", numbers(1, 3)).tolist() == [1, 3]
    check_counts(client, "cached", cache_hit=2, cache_miss=2)
    for _ in range(2):
        client.identity("uncached", numbers(1, 2))
    check_counts(client, "uncached", success=2, inference_count=2, cache_hit=0, cache_miss=0)
    client.close()
    page = server.metrics()
    labels = '{model="cached",version="1"}'
    assert f"nv_cache_num_hits_per_model{labels} 2" in page
    assert f"nv_cache_num_misses_per_model{labels} 2" in page
    assert f"nv_inference_request_success{labels} 4" in page and f"nv_inference_count{labels} 2" in page
    assert f"nv_cache_hit_duration_per_model{labels} " in page and f"nv_cache_miss_duration_per_model{labels} " in page
    assert f"nv_cache_hit_summary_per_model_count{labels} 2" in page
    assert 'nv_inference_request_summary_us_count{model="uncached"' in page
    assert 'nv_inference_request_summary_us_count{model="cached"' not in page
    assert 'nv_cache_num_hits_per_model{model="uncached"' not in page


def test_both_flag_and_field_are_needed(start_server, folder):
    server = start_server(folder)
    client = Client("http", server)
    for _ in range(2):
        client.identity("cached", numbers(1))
    check_counts(client, "cached", success=2, inference_count=2, cache_hit=0, cache_miss=0)
    assert "model 'cached:1' asks for the response cache, and --cache-config names none" in server.log_text()


def test_ids_differ_and_parameters_count(start_server, folder):
    client = Client("http", start_server(folder, LOCAL))
    inputs = [client.input("INPUT0", numbers(5), "FP32")]
    for request_id in ("one", "two"):
        assert client.raw.infer("cached", inputs, request_id=request_id).get_response()["id"] == request_id
    check_counts(client, "cached", cache_hit=1, cache_miss=1)
    client.raw.infer("cached", inputs, parameters={"k": 1})
    check_counts(client, "cached", cache_hit=1, cache_miss=2)


def test_json_and_binary_requests_share_answers(start_server, folder):
    server = start_server(folder, LOCAL)
    over_http, over_grpc = Client("http", server), Client("grpc", server)
    options = {"outputs": None}
    over_http.raw.infer("cached", [over_http.input("INPUT0", numbers(7), "FP32", binary=False)], **options)
    over_http.raw.infer("cached", [over_http.input("INPUT0", numbers(7), "FP32")], **options)
    over_grpc.raw.infer("cached", [over_grpc.input("INPUT0", numbers(7), "FP32")], **options)
    check_counts(over_http, "cached", cache_hit=2, cache_miss=1)


def test_a_reload_forgets(start_server, folder):
    server = start_server(folder, LOCAL, "--model-control-mode=explicit", "--load-model=cached")
    client = Client("http", server)
    client.identity("cached", numbers(1))
    (folder / "cached/1/note").write_text("another file, another generation")
    client.raw.load_model("cached")
    client.identity("cached", numbers(1))
    check_counts(client, "cached", success=1, cache_hit=0, cache_miss=1)


def test_an_ensemble_answers_without_its_members(start_server, folder):
    client = Client("grpc", start_server(folder, LOCAL))
    for _ in range(3):
        assert client.identity("pair", numbers(1, 2)).tolist() == [1, 2]
    check_counts(client, "pair", success=3, cache_hit=2, cache_miss=1, inference_count=1)
    check_counts(client, "uncached", success=2)


def test_identical_requests_at_one_time_are_executed_once(start_server, folder):
    client = Client("http", start_server(folder, LOCAL))
    inputs = [client.input("INPUT0", numbers(1), "FP32")]
    pending = [client.raw.async_infer("slow", inputs, request_id=str(number)) for number in range(12)]
    answers = [request.get_result() for request in pending]
    assert [answer.get_response()["id"] for answer in answers] == [str(number) for number in range(12)]
    check_counts(client, "slow", success=12, execution_count=1, cache_hit=11, cache_miss=1)


def test_a_client_that_goes_takes_nobody_with_it(start_server, folder):
    server = start_server(folder, LOCAL)
    leader, follower = Client("grpc", server), Client("grpc", server)
    outcomes = []
    done = threading.Event()

    def finished(result, error):
        outcomes.append(error)
        done.set()

    leading = leader.raw.async_infer("slow", [leader.input("INPUT0", numbers(2), "FP32")], lambda result, error: None)
    assert leader.raw.is_server_live()
    follower.raw.async_infer("slow", [follower.input("INPUT0", numbers(2), "FP32")], finished)
    assert follower.raw.is_server_live()
    # Each connection is read in order: both requests are under way, and the execution takes much longer.
    leading.cancel()
    assert done.wait(WAIT_SECONDS_MAX) and outcomes == [None]
    wait_for(lambda: counts(follower, "slow")["fail"] or None)
    check_counts(follower, "slow", success=1, fail=1, execution_count=1)


def wait_for(look):
    end = time.monotonic() + WAIT_SECONDS_MAX
    while (found := look()) is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


def test_shared_memory_is_answered_right_and_never_kept(start_server, folder):
    server = start_server(folder, LOCAL, "--allow-client-shm=true")
    client = Client("grpc", server)
    key = f"/nereid_cache_{os.getpid()}_{next(COUNT)}"
    handle = shm.create_shared_memory_region(key, key, 16)
    try:
        client.raw.register_system_shared_memory("region", key, 16)
        tensor = client.triton.InferInput("INPUT0", [2], "FP32")
        tensor.set_shared_memory("region", 8)
        output = client.triton.InferRequestedOutput("OUTPUT0")
        output.set_shared_memory("region", 8, 8)
        for values in ([1, 2], [3, 4], [1, 2]):
            shm.set_shared_memory_region(handle, [np.array(values, np.float32)])
            client.raw.infer("cached", [tensor], outputs=[output])
            written = shm.get_contents_as_numpy(handle, np.float32, [2], offset=8)
            assert written.tolist() == values
        check_counts(client, "cached", cache_hit=1, cache_miss=2)
        # What was asked through shared memory is there for others, whatever the client did with its memory since.
        shm.set_shared_memory_region(handle, [np.zeros(4, np.float32)])
        assert client.identity("cached", numbers(3, 4)).tolist() == [3, 4]
        check_counts(client, "cached", cache_hit=2, cache_miss=2)
    finally:
        client.raw.unregister_system_shared_memory()
        shm.destroy_shared_memory_region(handle)


def test_an_onnx_model_that_batches_answers_hits_and_misses_alike(start_server, tmp_path):
    folder = tmp_path / "onnx"
    folder.mkdir()
    write_onnx_models(folder)
    (folder / "add_sub/config.pbtxt").write_text(CACHED)
    client = Client("http", start_server(folder, LOCAL))
    spec = client.metadata("add_sub")["inputs"]
    data_type = {"FP32": np.float32, "INT32": np.int32}[spec[0]["datatype"]]
    shape = [1 if extent < 0 else extent for extent in spec[0]["shape"]]

    def ask(value: int):
        array = np.full(shape, value, data_type)
        return client.infer("add_sub", *(client.input(tensor["name"], array, tensor["datatype"]) for tensor in spec))

    first = {}
    for value in (1, 2, 1, 2, 1):
        answer = ask(value)
        outputs = {output["name"]: answer.as_numpy(output["name"]).tolist() for output in answer.get_response()["outputs"]}
        assert first.setdefault(value, outputs) == outputs
    assert first[1] != first[2]
    check_counts(client, "add_sub", success=5, cache_hit=3, cache_miss=2, execution_count=2)


def test_errors_are_not_kept(start_server, folder):
    client = Client("http", start_server(folder, LOCAL))
    for _ in range(2):
        with pytest.raises(InferenceServerException, match="unexpected inference output"):
            inputs = [client.input("INPUT0", numbers(1), "FP32")]
            client.raw.infer("cached", inputs, outputs=[client.output("NOBODY")])
    check_counts(client, "cached", success=0, cache_hit=0, cache_miss=0)


# === Redis ===


def test_two_servers_share_one_redis_and_a_third_with_other_files_does_not(start_server, folder, redis):
    first = Client("http", start_server(folder, *redis.flags))
    first.identity("cached", numbers(1, 2))
    first.identity("pair", numbers(1, 2))
    check_counts(first, "cached", cache_hit=0, cache_miss=1)
    redis.wait_for_entries(2)
    second = Client("grpc", start_server(folder, *redis.flags))
    assert second.identity("cached", numbers(1, 2)).tolist() == [1, 2]
    assert second.identity("pair", numbers(1, 2)).tolist() == [1, 2]
    check_counts(second, "cached", cache_hit=1, cache_miss=0, execution_count=0)
    check_counts(second, "pair", cache_hit=1, cache_miss=0, execution_count=0)
    check_counts(second, "uncached", success=0)
    (folder / "cached/1/weights").write_text("other files")
    third = Client("http", start_server(folder, *redis.flags))
    third.identity("cached", numbers(1, 2))
    check_counts(third, "cached", cache_hit=0, cache_miss=1)
    assert redis.command("TTL", "nobody").startswith(b":-2")


def test_redis_may_die_and_come_back_under_load(start_server, folder, redis):
    server = start_server(folder, *redis.flags)
    client = Client("http", server)
    failures, answered, stop = [], [0], threading.Event()

    def load():
        own = Client("http", server)
        while not stop.is_set():
            value = float(answered[0] % 50)
            try:
                assert own.identity("cached", numbers(value)).tolist() == [value]
                answered[0] += 1
            except Exception as error:
                failures.append(error)
                return
        own.close()

    def more(requests: int):
        """Waits for so many further answers."""
        target = answered[0] + requests
        wait_for(lambda: True if failures or answered[0] >= target else None)

    def hits() -> int:
        return counts(client, "cached")["cache_hit"]

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        more(200)
        for _ in range(2):
            assert hits() > 0
            redis.kill()
            more(300)
            redis.start()
            before = hits()
            wait_for(lambda: True if failures or hits() > before + 50 else None)
        # Stopped, it holds its connections and says nothing.
        redis.process.send_signal(signal.SIGSTOP)
        more(300)
        redis.process.send_signal(signal.SIGCONT)
        before = hits()
        wait_for(lambda: True if failures or hits() > before + 50 else None)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    found = counts(client, "cached")
    assert found["fail"] == 0 and found["success"] == found["cache_hit"] + found["cache_miss"]
    log = server.log_text()
    assert "requests are executed until it does" in log and "answers again" in log


def test_a_server_starts_without_its_redis_and_finds_it_later(start_server, folder, redis):
    redis.kill()
    client = Client("http", start_server(folder, *redis.flags))
    for _ in range(3):
        assert client.identity("cached", numbers(1)).tolist() == [1]
    check_counts(client, "cached", success=3, cache_hit=0, cache_miss=3)
    redis.start()

    def is_hit():
        client.identity("cached", numbers(1))
        return True if counts(client, "cached")["cache_hit"] else None

    wait_for(is_hit)


def test_what_lies_in_redis_is_not_trusted(start_server, folder, redis):
    client = Client("http", start_server(folder, *redis.flags))
    client.identity("cached", numbers(1))
    redis.wait_for_entries(1)
    key = redis.command("KEYS", "nereid:answer:*").split(b"\r\n")[2].decode()
    for spoil in (("SETRANGE", key, "60", "spoilt"), ("SET", key, "x"), ("LPUSH", "list", "x")):
        assert not redis.command(*spoil).startswith(b"-")
        if spoil[0] == "LPUSH":
            assert redis.command("RENAME", "list", key).startswith(b"+OK")
        assert client.identity("cached", numbers(1)).tolist() == [1]
    check_counts(client, "cached", success=4, fail=0, cache_hit=0)


def test_a_password_is_taken_from_the_environment_and_a_wrong_one_ends_the_start(binary, start_server, folder):
    redis = Redis("--requirepass", "secret")
    try:
        environment = {"TRITONCACHE_REDIS_PASSWORD": "secret"}
        client = Client("http", start_server(folder, *redis.flags, environment=environment))
        for _ in range(2):
            client.identity("cached", numbers(1))
        check_counts(client, "cached", cache_hit=1, cache_miss=1)
        for flags in ([], ["--cache-config=redis,password=wrong"]):
            ended = run_to_end(binary, "serve", f"--model-repository={folder}", *redis.flags, *flags)
            assert ended.returncode == 1
            assert "Failed to initialize RedisCache" in ended.stdout + ended.stderr
            assert "wrong" not in (ended.stdout + ended.stderr).replace("WRONGPASS", "")
    finally:
        redis.kill()
