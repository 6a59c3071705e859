"""Why batches went when they did: the document, the lines of the log, and the histogram of their sizes say the same."""

import json
import re

import numpy as np
import pytest
from clients import Client
from repository import identity, write_ensemble_of, write_model

ROW = np.ones((1, 4), np.float32)
# Longer than any hiccup: a batch goes because it is full, or because the test has stopped sending.
BATCHED = "max_batch_size: 4\ndynamic_batching { max_queue_delay_microseconds: 1000000 }\n"


@pytest.fixture
def server(start_server, tmp_path):
    models = tmp_path / "models"
    write_model(models, "batched", identity(dims="4", more=BATCHED))
    write_model(models, "alone", identity())
    write_ensemble_of(models, "ensemble", "alone")
    return start_server(models, "--log-verbose=2", "--limit=decision-log=3")


def decisions(server, model: str) -> dict:
    answer = server.get(f"/v2/debug/models/{model}/decisions")
    assert answer.status == 200, answer
    (found,) = json.loads(answer.body)["models"]
    return found


def send(client: Client, model: str, count: int):
    tensor = client.input("INPUT0", ROW if model == "batched" else ROW[0], "FP32")
    pending = [client.raw.async_infer(model, [tensor]) for _ in range(count)]
    for one in pending:
        one.get_result()


def test_a_full_batch_and_one_that_waited_long_enough_say_so(server):
    client = Client("http", server)
    send(client, "batched", 5)
    client.close()
    found = decisions(server, "batched")
    assert (found["name"], found["version"], found["batches"]) == ("batched", "1", 2)
    full, late = found["decisions"]
    assert (full["reason"], full["requests"], full["rows"], full["instance"]) == ("full", 4, 4, "batched_0")
    assert (late["reason"], late["waited_for"], late["requests"]) == ("delay_over", "company", 1)
    assert late["oldest_wait_us"] >= 1_000_000 > full["oldest_wait_us"]
    assert full["time_us"] < late["time_us"]
    lines = re.findall(r"model 'batched', version 1, instance 'batched_0': sent a batch of .*", server.log_text())
    assert len(lines) == 2
    assert re.search(r"sent a batch of 4 requests and 4 rows: full, waited for company, the oldest \d+ us; \d requests left", lines[0])
    assert re.search(r"sent a batch of 1 requests and 1 rows: delay_over, waited for company", lines[1])


def test_the_last_decisions_are_kept_and_all_are_counted(server):
    client = Client("http", server)
    for count in range(5):
        send(client, "alone", 1)
    client.close()
    found = decisions(server, "alone")
    assert (found["batches"], len(found["decisions"])) == (5, 3)
    assert {(one["reason"], one["waited_for"]) for one in found["decisions"]} == {("unbatched", "nothing")}
    assert decisions(server, "ensemble") == {"name": "ensemble", "version": "1", "batches": 0, "decisions": []}


def test_batch_sizes_are_a_histogram(server):
    client = Client("http", server)
    send(client, "batched", 4)
    client.close()
    page = server.metrics()
    figure = lambda series: float(re.search(rf"^nereid_batch_size_{re.escape(series)} (\S+)$", page, re.MULTILINE).group(1))  # noqa: E731
    labels = '{model="batched",version="1"'
    assert [figure(f'bucket{labels},le="{bound}"}}') for bound in ("2", "4", "1024", "+Inf")] == [0, 1, 1, 1]
    assert (figure(f"count{labels}}}"), figure(f"sum{labels}}}")) == (1, 4)
