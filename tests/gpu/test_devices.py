"""What the server says about the devices of the machine, and instance groups on them."""

import json
import subprocess

import numpy as np
import pytest
from conftest import DEVICES, Server
from repository import identity, write_model
from tritonclient import http
from tritonclient.utils import InferenceServerException


def groups(server, model: str) -> list[dict]:
    return json.loads(server.get(f"/v2/models/{model}/config").body)["instance_group"]


def test_the_log_and_the_page_show_the_devices(models):
    write_model(models, "echo", identity())
    with Server(models, "--metrics-interval-ms=100") as server:
        [line] = server.log_of("GPU 0:")
        uuid = next(word.strip("),") for word in DEVICES[0].split() if word.startswith(("GPU-", "MIG-")))
        assert uuid in line and "MiB free" in line, line
        page = server.metrics()
        figures = {
            row.split("{")[0]: float(row.rsplit(" ", 1)[1]) for row in page.splitlines() if f'gpu_uuid="{uuid}"' in row
        }
        print(figures)
        listed = ["--query-gpu=memory.total,power.limit", "--format=csv,noheader,nounits", "--id=0"]
        total, limit = subprocess.run(["nvidia-smi", *listed], capture_output=True, text=True).stdout.split(",")
        assert figures["nv_gpu_memory_total_bytes"] == int(total) << 20
        assert figures["nv_gpu_power_limit"] == pytest.approx(float(limit))
        assert 0 <= figures["nv_gpu_utilization"] <= 1 and figures["nv_gpu_power_usage"] > 1
        assert 0 < figures["nv_gpu_memory_used_bytes"] < figures["nv_gpu_memory_total_bytes"]
        assert figures["nv_energy_consumption"] >= 0
        assert "nv_pinned_memory_pool_total_bytes 268435456" in page


def test_groups_are_placed_on_devices_that_exist(models):
    write_model(models, "everywhere", identity(more="max_batch_size: 0\ninstance_group [ { kind: KIND_GPU count: 2 } ]\n"))
    write_model(models, "open", identity(more="max_batch_size: 0\n"))
    write_model(models, "nowhere", identity(more="max_batch_size: 0\ninstance_group [ { kind: KIND_GPU gpus: [ 99 ] } ]\n"))
    with Server(models, "--exit-on-error=false", "--strict-readiness=false") as server:
        [group] = groups(server, "everywhere")
        assert (group["kind"], group["count"], group["gpus"]) == ("KIND_GPU", 2, list(range(len(DEVICES))))
        assert groups(server, "open")[0]["kind"] == "KIND_CPU", "identity has nothing to compute on a device"
        assert server.log_of("specifies invalid or unsupported gpu id 99"), server.log_text()[-2000:]
        client = http.InferenceServerClient(server.http_url)
        tensor = http.InferInput("INPUT0", [3], "FP32")
        tensor.set_data_from_numpy(np.arange(3, dtype=np.float32))
        assert np.array_equal(client.infer("everywhere", [tensor]).as_numpy("OUTPUT0"), np.arange(3))
        served = [row for row in server.metrics().splitlines() if row.startswith("nv_inference_request_success{")]
        on_gpus = [row for row in served if 'model="everywhere"' in row and "gpu_uuid=" in row]
        assert len(on_gpus) == len(DEVICES), served
        assert sum(float(row.rsplit(" ", 1)[1]) for row in on_gpus) == 1, served
        assert not any('model="open"' in row and "gpu_uuid=" in row for row in served), served


def test_a_device_that_is_full_takes_no_more_models(models):
    write_model(models, "echo", identity(more="max_batch_size: 0\ninstance_group [ { kind: KIND_GPU } ]\n"))
    flags = ("--model-control-mode=explicit", "--model-load-gpu-limit=0:0.0")
    with Server(models, *flags) as server:
        client = http.InferenceServerClient(server.http_url)
        with pytest.raises(InferenceServerException, match="memory limit set for KIND_GPU 0 has exceeded"):
            client.load_model("echo")
        assert client.is_server_live()


def test_devices_can_be_left_alone(models):
    write_model(models, "echo", identity(more="max_batch_size: 0\ninstance_group [ { kind: KIND_GPU } ]\n"))
    for flag in ("--allow-gpus=false", "--min-supported-compute-capability=99.0"):
        with Server(models, "--exit-on-error=false", "--strict-readiness=false", flag) as server:
            assert server.log_of("has kind KIND_GPU but server does not support GPUs"), flag
            assert "nv_gpu" not in server.metrics()
