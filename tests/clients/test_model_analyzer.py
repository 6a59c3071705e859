"""NVIDIA's Model Analyzer in remote mode: it loads a model with configurations of its own, drives it, reads the metrics."""

import csv
import os
import pathlib
import subprocess

import pytest
from repository import identity, write_model

SECONDS_MAX = 300
# Few requests and no wish for stable figures: what is shown is that it works.
CONFIGURATION = """perf_analyzer_flags:
  measurement-mode: count_windows
  measurement-request-count: 100
  max-trials: 3
  stability-percentage: 999
profile_models:
  batched:
    parameters:
      concurrency: [1]
    model_config_parameters:
      max_batch_size: [4]
      instance_group:
      - kind: KIND_CPU
        count: [1, 2]
"""


@pytest.fixture(scope="session")
def model_analyzer():
    program = os.environ.get("NEREID_MODEL_ANALYZER")
    assert program, "run this suite with `cargo xtask clients`, which names model-analyzer"
    return pathlib.Path(program)


def test_it_profiles_configurations_that_it_loads_itself(model_analyzer, start_server, tmp_path):
    models = tmp_path / "models"
    write_model(models, "batched", 'name: "batched"\n' + identity(dims="4", more="max_batch_size: 8\n"))
    server = start_server(models, "--model-control-mode=explicit")
    (tmp_path / "configuration.yaml").write_text(CONFIGURATION)
    for folder in ("checkpoints", "report"):
        (tmp_path / folder).mkdir()
    command = [
        model_analyzer,
        "profile",
        f"--config-file={tmp_path / 'configuration.yaml'}",
        f"--model-repository={models}",
        f"--output-model-repository-path={tmp_path / 'variants'}",
        f"--checkpoint-directory={tmp_path / 'checkpoints'}",
        f"--export-path={tmp_path / 'report'}",
        f"--perf-analyzer-path={os.environ['NEREID_PERF_ANALYZER']}",
        "--triton-launch-mode=remote",
        f"--triton-http-endpoint={server.http_url}",
        f"--triton-grpc-endpoint={server.grpc_url}",
        f"--triton-metrics-url=http://127.0.0.1:{server.metrics_port}/metrics",
        "--skip-detailed-reports",
    ]
    environment = os.environ | {"MPLCONFIGDIR": str(tmp_path)}
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS_MAX
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, f"{said}\n{server.log_text()}"
    assert "load failed" not in said and "Profile complete" in said, said
    with (tmp_path / "report/results/metrics-model-inference.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["Model"] for row in rows} == {"batched"} and len(rows) >= 2, rows
    assert all(float(row["Throughput (infer/sec)"]) > 0 for row in rows), rows
    assert {row["Instance Group"] for row in rows} >= {"1:CPU", "2:CPU"}, rows
