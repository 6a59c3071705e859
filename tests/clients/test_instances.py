"""Instances under the server's rules: the rate limiter, host policies, passive groups, and how mistakes are refused.

That two executions never overlap is read from the traces of all of them, not from how long anything took.
"""

import json
import os
import pathlib
import shutil
import threading

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from repository import identity, write_model
from server import ROOT, run_to_end
from test_command_line import LOOPBACK, ports
from trace_file import read_traces
from tritonclient.utils import InferenceServerException

REQUESTS, THREADS = 12, 4
DELAY = 'parameters { key: "execute_delay_ms" value: { string_value: "5" } }\n'


def limited(resources: str, priority: int = 1, count: int = 1, more: str = "") -> str:
    """An identity model that takes 5 ms and these resources."""
    group = f"kind: KIND_CPU count: {count} rate_limiter {{ resources [ {resources} ] priority: {priority} }}"
    return identity(more=f"max_batch_size: 0\n{more}") + DELAY + f"instance_group [ {{ {group} }} ]\n"


ONE_COPY = '{ name: "R1" global: true count: 1 }'


def write_limited(folder: pathlib.Path, **models: str) -> pathlib.Path:
    for name, config in models.items():
        write_model(folder, name, config)
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))  # what was written just now counts as changed
    return folder


def executions(file: pathlib.Path) -> list[tuple[int, int, str]]:
    """When each began and ended, and whose it was, in order."""
    traces = read_traces(file)
    return sorted((trace.at("COMPUTE_START"), trace.at("COMPUTE_END"), trace.model) for trace in traces)


def overlaps(spans: list[tuple[int, int, str]]) -> int:
    return sum(later < end for (_, end, _), (later, _, _) in zip(spans, spans[1:]))


def ask_all(server, models: list[str], requests: int = REQUESTS, protocol: str = "http"):
    """Every thread asks every model in turn; whoever gets a wrong answer or an error is reported."""
    failures = []

    def ask(number: int):
        client = Client(protocol, server)
        try:
            for index in range(requests):
                model = models[(number + index) % len(models)]
                value = float(number * requests + index)
                assert client.identity(model, np.array([value], np.float32))[0] == value
        except Exception as failure:
            failures.append(failure)
        finally:
            client.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def refused_start(binary, folder: pathlib.Path, *flags: str) -> str:
    """What the log of a server says that ends because a model fails to load."""
    ended = run_to_end(binary, "serve", f"--model-repository={folder}", *flags, *LOOPBACK, *ports())
    assert ended.returncode == 1, ended.stderr
    return ended.stderr.replace('\\"', '"')


def traced(tmp_path: pathlib.Path) -> tuple[list[str], pathlib.Path]:
    file = tmp_path / "trace.json"
    return [f"--trace-config={setting}" for setting in ("level=TIMESTAMPS", "rate=1", f"triton,file={file}")], file


def stop(server):
    server.terminate()
    assert server.wait() == 0, server.log_text()[-4000:]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_models_that_share_one_resource_never_execute_together(start_server, tmp_path, protocol):
    folder = write_limited(tmp_path / "models", one=limited(ONE_COPY), two=limited(ONE_COPY, count=3))
    flags, file = traced(tmp_path)
    server = start_server(folder, "--rate-limit=execution_count", *flags)
    ask_all(server, ["one", "two"], protocol=protocol)
    stop(server)
    spans = executions(file)
    assert len(spans) == THREADS * REQUESTS and {model for _, _, model in spans} == {"one", "two"}
    assert overlaps(spans) == 0


def test_without_the_limiter_or_with_enough_they_do(start_server, tmp_path):
    folder = write_limited(tmp_path / "models", one=limited(ONE_COPY), two=limited(ONE_COPY, count=3))
    for index, rules in enumerate(
        (["--rate-limit=off"], ["--rate-limit=execution_count", "--rate-limit-resource=R1:4"])
    ):
        (tmp_path / str(index)).mkdir()
        flags, file = traced(tmp_path / str(index))
        server = start_server(folder, *rules, *flags)
        ask_all(server, ["one", "two"])
        stop(server)
        assert overlaps(executions(file)) > 0, rules


def test_a_resource_of_a_device_is_not_one_of_the_server(start_server, tmp_path):
    """Only what wants the same pool keeps others waiting."""
    of_device = '{ name: "R2" count: 1 }'
    folder = write_limited(tmp_path / "models", one=limited(ONE_COPY), other=limited(of_device))
    flags, file = traced(tmp_path)
    server = start_server(folder, "--rate-limit=execution_count", *flags)
    ask_all(server, ["one", "other"])
    stop(server)
    spans = executions(file)
    assert overlaps(spans) > 0
    for model in ("one", "other"):
        assert overlaps([span for span in spans if span[2] == model]) == 0


def test_instances_change_in_place_under_the_limiter(start_server, tmp_path):
    folder = write_limited(tmp_path / "models", one=limited(ONE_COPY), two=limited(ONE_COPY))
    flags, file = traced(tmp_path)
    server = start_server(
        folder, "--rate-limit=execution_count", "--model-control-mode=explicit", "--load-model=*", *flags
    )
    asking = threading.Thread(target=ask_all, args=(server, ["one", "two"], 40))
    asking.start()
    control = Client("grpc", server)
    written = control.config("one")
    for count in (3, 1, 4, 2):
        groups = [written["instance_group"][0] | {"count": count}]
        control.raw.load_model("one", config=json.dumps(written | {"instance_group": groups}))
        assert int(control.config("one")["instance_group"][0]["count"]) == count
    asking.join()
    statistics = control.statistics("one")
    control.close()
    stop(server)
    assert server.log_text().count("loading: one:1") == 1
    assert server.log_text().count("one:1 now has") == 4
    spans = executions(file)
    assert len(spans) == THREADS * 40 and overlaps(spans) == 0
    assert int(statistics["inference_count"]) == sum(model == "one" for _, _, model in spans)


def test_a_model_is_unloaded_while_it_waits_for_its_turn(start_server, tmp_path):
    folder = write_limited(tmp_path / "models", stays=limited(ONE_COPY), goes=limited(ONE_COPY, count=2))
    server = start_server(folder, "--rate-limit=execution_count", "--model-control-mode=explicit", "--load-model=*")
    client, waiting = Client("grpc", server), []
    answered = threading.Semaphore(0)
    data = [client.input("INPUT0", np.ones(1, np.float32), "FP32")]
    for model in ["stays", "goes"] * 8:
        client.raw.async_infer(model, data, lambda result, error: (waiting.append(error), answered.release()))
    client.raw.unload_model("goes")
    for _ in range(16):
        assert answered.acquire(timeout=30)
    # What came before the unload was answered, what came after it was refused; the limiter serves the one that stays.
    assert all(error is None or "goes" in str(error) for error in waiting), waiting
    assert client.identity("stays", np.ones(1, np.float32))[0] == 1
    client.raw.load_model("goes")
    assert client.identity("goes", np.ones(1, np.float32))[0] == 1
    client.close()


def test_a_request_expires_while_its_model_waits_for_a_grant(start_server, tmp_path):
    long = 'parameters { key: "execute_delay_ms" value: { string_value: "1500" } }\n'
    policy = "dynamic_batching { default_queue_policy { default_timeout_microseconds: 50000 } }\n"
    holds = limited(ONE_COPY).replace(DELAY, long)
    waits = limited(ONE_COPY).replace("max_batch_size: 0\n", f"max_batch_size: 4\n{policy}")
    folder = write_limited(tmp_path / "models", holds=holds, waits=waits)
    server = start_server(folder, "--rate-limit=execution_count")
    client, answered = Client("grpc", server), threading.Semaphore(0)
    data = [client.input("INPUT0", np.ones(1, np.float32), "FP32")]
    for _ in range(2):
        client.raw.async_infer("holds", data, lambda result, error: answered.release())
    while pending(server, "holds") < 1:
        pass  # One of two waits, so the other is being executed.
    row = [client.input("INPUT0", np.ones((1, 1), np.float32), "FP32")]
    with pytest.raises(InferenceServerException, match="Request timeout expired"):
        client.infer("waits", *row)
    assert not answered.acquire(blocking=False), "the refusal came while the other model executed"
    for _ in range(2):
        assert answered.acquire(timeout=30)
    assert client.infer("waits", *row).as_numpy("OUTPUT0")[0] == 1
    client.close()


def pending(server, model: str) -> float:
    """Requests that wait for the model."""
    rows = [line for line in server.metrics().splitlines() if line.startswith("nv_inference_pending_request_count{")]
    return next(float(row.rsplit(" ", 1)[1]) for row in rows if f'model="{model}"' in row)


@pytest.mark.parametrize(
    "supplies, expected",
    [
        (["R1:1"], 'Resource count for "R1" is limited to 1 which will prevent scheduling of one or more model instances, '
                   "the minimum required count is 4"),
        (["R1:10:10"], 'Resource count for "R1" is limited to 0'),
        (["R9:1"], 'Resource count for "R1" is limited to 0'),
    ],
)
def test_resources_that_cannot_suffice_fail_the_load(binary, tmp_path, supplies, expected):
    folder = write_limited(tmp_path / "models", one=limited('{ name: "R1" count: 4 }'))
    flags = [f"--rate-limit-resource={supply}" for supply in supplies]
    assert expected in refused_start(binary, folder, "--rate-limit=execution_count", *flags)


def test_one_name_is_either_global_or_of_devices(binary, tmp_path):
    folder = write_limited(tmp_path / "models", one=limited(ONE_COPY), two=limited('{ name: "R1" count: 1 }'))
    expected = 'Resource "R1" is present as both global and device-specific resource in the model configuration.'
    assert expected in refused_start(binary, folder, "--rate-limit=execution_count")


@pytest.mark.parametrize(
    "flag, expected",
    [
        ("--rate-limit=maybe", "invalid argument for --rate-limit"),
        ("--rate-limit-resource=R1", "'<resource_name>:<count>:<device>' or '<resource_name>:<count>'. Got R1"),
        ("--host-policy=cpu,gears=4", "supported settings are 'numa-node', 'cpu-cores'"),
        ("--host-policy=cpu,cpu-cores=4", "'<lower_cpu_core_id>-<upper_cpu_core_id>'. Got 4"),
        ("--host-policy=cpu", "--host-policy option format is '<policy name>,<setting>=<value>'. Got cpu"),
    ],
)
def test_flags_that_mean_nothing_are_refused(binary, flag, expected):
    ended = run_to_end(binary, "serve", "--model-repository=x", flag)
    assert ended.returncode == 1 and expected in ended.stderr, ended.stderr


def write_mlp(folder: pathlib.Path, groups: str, more: str = ""):
    """An ONNX model whose instances have threads of their own."""
    write_model(folder, "mlp", 'backend: "onnxruntime"\n' + more + f"instance_group [ {groups} ]\n")
    shutil.copy(ROOT / "tests/models/mlp.onnx", folder / "mlp/1/model.onnx")


def cores_by_thread(server) -> list[tuple[str, str]]:
    """Name and allowed cores of every thread of the server."""
    threads = []
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines() if ":" in line)
        threads.append((status["Name"].strip(), status["Cpus_allowed_list"].strip()))
    return threads


def infer_mlp(client):
    metadata = client.metadata("mlp")
    first = metadata["inputs"][0]
    shape = [1 if int(extent) < 0 else int(extent) for extent in first["shape"]]
    client.infer("mlp", client.input(first["name"], np.zeros(shape, np.float32), "FP32"))


def test_threads_of_instances_and_of_their_sessions_stay_on_the_cores_of_their_policy(start_server, tmp_path):
    last = max(os.sched_getaffinity(0))
    pools = 'parameters { key: "intra_op_thread_count" value: { string_value: "3" } }\n'
    write_mlp(tmp_path / "models", '{ count: 2 kind: KIND_CPU host_policy: "corner" }', more=pools)
    server = start_server(tmp_path / "models", f"--host-policy=corner,cpu-cores={last}-{last}")
    client = Client("http", server)
    for _ in range(40):  # as many as make an instance known to be brief, and more
        infer_mlp(client)
    client.close()
    threads = cores_by_thread(server)
    instances = [cores for name, cores in threads if name in ("mlp_0_0", "mlp_0_1")]
    assert instances == [str(last)] * 2, threads
    everywhere = (pathlib.Path("/proc/self/status").read_text()).split("Cpus_allowed_list:")[1].split()[0]
    if everywhere != str(last):
        bound = [name for name, cores in threads if cores == str(last)]
        # Two instances, and two threads that the session of three has besides its callers.
        assert len(bound) >= 4, threads
        assert any(cores == everywhere for name, cores in threads if name.startswith("nereid-worker")), threads
    assert "2 KIND_CPU under host policy 'corner'" in server.log_text()


def test_a_policy_has_the_name_of_the_kind_unless_a_group_names_one(start_server, tmp_path):
    first, last = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
    write_mlp(tmp_path / "models", "{ count: 1 kind: KIND_CPU }, { count: 1 kind: KIND_MODEL }")
    server = start_server(
        tmp_path / "models", f"--host-policy=cpu,cpu-cores={first}-{first}", f"--host-policy=model,cpu-cores={last}-{last}"
    )
    cores = dict(cores_by_thread(server))
    assert (cores["mlp_0_0"], cores["mlp_1_0"]) == (str(first), str(last))


@pytest.mark.parametrize(
    "setting, expected",
    [("cpu-cores=1000-1001", "Unable to set NUMA thread affinity"), ("numa-node=900", "names node 900")],
)
def test_cores_and_nodes_that_are_not_there_fail_the_load(binary, tmp_path, setting, expected):
    write_mlp(tmp_path / "models", "{ count: 1 kind: KIND_CPU }")
    assert expected in refused_start(binary, tmp_path / "models", f"--host-policy=cpu,{setting}")


def test_a_passive_group_is_made_and_has_no_thread(start_server, tmp_path):
    write_mlp(tmp_path / "models", "{ count: 1 kind: KIND_CPU }, { count: 2 kind: KIND_CPU passive: true }")
    server = start_server(tmp_path / "models")
    client = Client("http", server)
    infer_mlp(client)
    assert [group.get("passive", False) for group in client.config("mlp")["instance_group"]] == [False, True]
    client.close()
    names = [name for name, _ in cores_by_thread(server)]
    assert "mlp_0_0" in names and not any(name.startswith("mlp_1") for name in names), names
    assert "3 instances: 1 KIND_CPU under host policy 'cpu'; 2 KIND_CPU under host policy 'cpu', passive" in (
        server.log_text()
    )


@pytest.mark.parametrize(
    "group, expected",
    [
        ("passive: true", "every instance group of model one is passive"),
        ("kind: KIND_GPU", "instance group one_0 of model one has kind KIND_GPU but server does not support GPUs"),
        ("kind: KIND_CPU gpus: 0", "instance group one_0 of model one has kind KIND_CPU but specifies one or more GPUs"),
        ("kind: KIND_MODEL gpus: 0", "has kind KIND_MODEL but specifies one or more GPUs"),
        ('profile: "1"', "specifies profile field which is only supported for TensorRT models"),
        ("secondary_devices { kind: KIND_NVDLA device_id: 1 }", "specifies secondary devices"),
    ],
)
def test_groups_that_this_server_cannot_have_are_refused(binary, tmp_path, group, expected):
    write_model(tmp_path / "models", "one", identity(more=f"max_batch_size: 0\ninstance_group [ {{ {group} }} ]\n"))
    assert expected in refused_start(binary, tmp_path / "models")


def test_onnx_models_have_two_instances_unless_they_say_otherwise(server):
    client = Client("http", server)
    groups = client.config("mlp")["instance_group"]
    client.close()
    assert [(group["kind"], int(group["count"])) for group in groups] == [("KIND_CPU", 2)]
