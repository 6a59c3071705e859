"""What keeps a bad build from serving, or from serving for long: requests of the traffic before it, its latencies, its breaker; and what
the ensembles that use a plugin see of a swap."""

import json
import os
import threading
import time

import numpy as np
import pytest
from builds import TENSORS, build, put, write_builds
from clients import PROTOCOLS, Client
from repository import write_model
from streams import wait_until
from test_swaps import ask, history, push, reason, states
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

FAILS_ON_TRAFFIC = "it fails on a request that the generation before has answered"
# Computed for seconds, by whichever build.
LONG_SPIN = {"spin": 800}
LATENCIES_MIN = 300


def parameters(**values) -> str:
    entries = (f'{{ key: "{name}" value: {{ string_value: "{value}" }} }}' for name, value in values.items())
    return "".join(f"parameters {entry}\n" for entry in entries)


GUARDED = {"swap_guard_seconds": 3600, "swap_warmup_requests": 0}


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def start(start_server, models):
    return lambda *flags: start_server(models, "--model-control-mode=explicit", "--load-model=*", *flags)


def refused(client: Client, model: str = "plain") -> str:
    with pytest.raises(InferenceServerException) as caught:
        client.raw.load_model(model)
    return caught.value.message()


# --- Requests of the traffic before it


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind, why", [("trap", "this build traps"), ("fail", "this build fails")])
def test_a_build_that_fails_on_what_was_answered_before_never_serves(start, models, protocol, kind, why):
    write_builds(models, "plain")
    server = start()
    client = Client(protocol, server)
    put(models / "plain", build(2, kind))
    assert ask(client) == (1, 0)
    told = refused(client)
    assert FAILS_ON_TRAFFIC in told and why in told, told
    assert "'swap_warmup_requests' set to 0" in told, told
    assert ask(client) == (1, 0) and FAILS_ON_TRAFFIC in reason(client, "plain")
    assert states(server, "plain") == ["serving", "failed"]
    put(models / "plain", build(3))
    client.raw.load_model("plain")
    assert ask(client) == (3, 0) and "plain:1 is tried with 1 of 1 kept requests" in server.log_text()
    client.close()


def test_a_model_without_traffic_or_with_the_parameter_at_zero_is_tried_with_nothing(start, models):
    write_builds(models, "quiet")
    write_builds(models, "plain", parameters(swap_warmup_requests=0))
    server = start()
    client = Client("http", server)
    ask(client, "plain")
    for name in ("quiet", "plain"):
        put(models / name, build(2, "fail"))
        client.raw.load_model(name)
        with pytest.raises(InferenceServerException, match="this build fails"):
            ask(client, name)
    client.close()


def test_a_request_that_was_refused_is_not_kept_and_neither_is_one_of_a_model_that_was_unloaded(start, models):
    write_builds(models, "plain")
    put(models / "plain", build(1, "fail"))
    server = start()
    client = Client("http", server)
    with pytest.raises(InferenceServerException, match="this build fails"):
        ask(client)
    put(models / "plain", build(2))
    client.raw.load_model("plain")
    assert "kept requests" not in server.log_text()
    assert ask(client) == (2, 0)
    client.raw.unload_model("plain")
    wait_until(lambda: client.index()["plain"][0]["state"] == "UNAVAILABLE")
    put(models / "plain", build(3, "fail"))
    client.raw.load_model("plain")
    assert "kept requests" not in server.log_text()
    client.close()


def test_another_signature_is_no_failure(start, models):
    write_builds(models, "plain")
    server = start()
    client = Client("grpc", server)
    ask(client)
    config = models / "plain/config.pbtxt"
    config.write_text(config.read_text().replace('"X" data_type: TYPE_INT32', '"Y" data_type: TYPE_INT32'))
    put(models / "plain", build(2))
    client.raw.load_model("plain")
    assert "plain:1 is tried with 0 of 1 kept requests" in server.log_text()
    assert client.infer("plain", client.input("Y", np.zeros(1, np.int32), "INT32")).as_numpy("BUILD").item() == 2
    client.close()


def test_a_way_back_is_open_although_the_build_before_fails_on_todays_requests(start, models):
    write_builds(models, "plain", parameters(swap_guard_seconds=0))
    put(models / "plain", build(1, "fail"))
    # Of files that were written just before they are read nobody can tell whether they are what was read.
    for file in (models / "plain").rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    server = start()
    client = Client("http", server)
    assert push(server, "plain", build(2)).status == 200
    assert ask(client) == (2, 0)
    # What lies in the repository is still the first build.
    assert server.request("POST", "/v2/repository/models/plain/rollback").status == 200
    with pytest.raises(InferenceServerException, match="this build fails"):
        ask(client)
    client.close()


def test_a_wrong_number_of_requests_is_refused_by_name(start, models):
    write_builds(models, "plain")
    server = start()
    client = Client("http", server)
    config = models / "plain/config.pbtxt"
    config.write_text(config.read_text() + parameters(swap_warmup_requests="many"))
    assert "parameter 'swap_warmup_requests' is 'many', expected a whole number from 0 to 16" in refused(client)
    client.close()


# --- Latencies and the breaker


class Askers:
    """Clients that ask until the block ends, and what they were told."""

    def __init__(self, server, model: str, count: int = 2):
        self.answers, self.errors, self.ended = [], [], threading.Event()
        self.workers = [threading.Thread(target=self._work, args=(server, model)) for _ in range(count)]

    def __enter__(self):
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for worker in self.workers:
            worker.join(timeout=60)

    def _work(self, server, model: str):
        client = Client("grpc", server)
        while not self.ended.is_set():
            try:
                self.answers.append(ask(client, model)[0])
            except InferenceServerException as error:
                self.errors.append(error.message())
        client.close()


def test_a_build_that_is_slow_is_rolled_back_for_its_latencies_without_a_failed_request(start, models):
    write_builds(models, "plain", parameters(**GUARDED, swap_guard_p99_ratio=1.5))
    server = start()
    client = Client("grpc", server)
    with Askers(server, "plain") as askers:
        # So many that the moments in which a busy machine does something else are not their 99th percentile.
        wait_until(lambda: len(askers.answers) > 5 * LATENCIES_MIN)
        assert push(server, "plain", build(2, "slow")).status == 200
        # Long calls wait for everything else that the machine has to do: on a busy one these take a minute and more.
        end = time.monotonic() + 500
        while states(server, "plain") != ["serving", "rolled_back"]:
            assert time.monotonic() < end, (askers.answers.count(2), history(server, "plain"))
            time.sleep(0.05)
        wait_until(lambda: askers.answers[-1] == 1)
    assert askers.errors == [] and askers.answers.count(2) >= LATENCIES_MIN
    why = history(server, "plain")[1]["reason"]
    assert why.startswith("the 99th percentile of ") and "more than 1.5 times as long (swap_guard_p99_ratio)" in why, why
    assert ask(client) == (1, 0)
    client.close()


def test_a_build_whose_breaker_opens_is_rolled_back(start, models):
    write_builds(models, "plain", parameters(**GUARDED, breaker_failures=4, breaker_backoff_ms=3_600_000, breaker_backoff_max_ms=3_600_000))
    server = start()
    client = Client("http", server)
    for _ in range(50):
        ask(client)
    assert push(server, "plain", build(2, "trap")).status == 200
    told = []

    def is_back():
        try:
            return ask(client) == (1, 0)
        except InferenceServerException as error:
            told.append(error.message())
            return False

    wait_until(is_back)
    trapped = [text for text in told if "trapped" in text]
    let_rest = [text for text in told if "refuses requests for a while, because 4 guests failed in a row" in text]
    assert len(trapped) == 4 and len(trapped) + len(let_rest) == len(told) >= 20, told
    assert states(server, "plain") == ["serving", "rolled_back"]
    # The breaker was that generation's, and the model is ready again with the one before.
    assert server.get("/v2/models/plain/ready").status == 200
    client.close()


# --- Ensembles


def write_ensemble_over(models, member: str):
    maps = " ".join(f'output_map {{ key: "{name}" value: "{name}" }}' for name in ("BUILD", "STEP"))
    step = f'step [ {{ model_name: "{member}" model_version: -1 input_map {{ key: "X" value: "X" }} {maps} }} ]'
    write_model(models, "outer", f'platform: "ensemble"\nmax_batch_size: 0\n{TENSORS}ensemble_scheduling {{ {step} }}\n')


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_ensemble_answers_with_the_new_build_and_what_is_under_way_ends_on_the_old_one(start, models, protocol):
    write_builds(models, "plain")
    write_ensemble_over(models, "plain")
    server = start()
    client = Client(protocol, server)
    assert ask(client, "outer") == (1, 0)
    under_way = []
    # A client of its own: its request is computed while others are answered.
    other = threading.Thread(target=lambda: under_way.append(ask(Client(protocol, server), "outer", parameters=LONG_SPIN)))
    other.start()
    executed = lambda: json.loads(server.get("/v2/debug/models/plain/decisions").body)  # noqa: E731
    wait_until(lambda: len(executed()["models"][0]["decisions"]) >= 2)
    assert push(server, "plain", build(2)).status == 200
    assert ask(client, "outer") == (2, 0)
    assert under_way == [], "it was answered before the swap, which then proves nothing"
    other.join(timeout=60)
    assert under_way == [(1, 0)]
    assert server.request("POST", "/v2/repository/models/plain/rollback").status == 200
    assert ask(client, "outer") == (1, 0)
    client.close()


def test_swaps_under_an_ensemble_fail_no_request_and_no_answer_is_older_than_the_swap(start, models):
    write_builds(models, "plain")
    write_ensemble_over(models, "plain")
    server = start()
    served, failures, asked, ended = [1], [], [0], threading.Event()

    def work(protocol: str):
        client = Client(protocol, server)
        while not ended.is_set():
            oldest = served[0]
            try:
                found, _ = ask(client, "outer")
                if found < oldest:
                    failures.append(f"build {found} answered when {oldest} was served")
            except Exception as error:  # anything at all is a failed request
                failures.append(repr(error))
            asked[0] += 1
        client.close()

    workers = [threading.Thread(target=work, args=(protocol,)) for protocol in PROTOCOLS * 2]
    for worker in workers:
        worker.start()
    for number in range(2, 12):
        before = asked[0]
        assert push(server, "plain", build(number)).status == 200
        served[0] = number
        wait_until(lambda: asked[0] >= before + 20 or failures)
    ended.set()
    for worker in workers:
        worker.join(timeout=60)
    assert failures == [] and asked[0] > 200


# --- Files over gRPC


def test_one_file_and_a_configuration_are_laid_over_a_model_by_a_grpc_load(start, models):
    write_builds(models, "plain")
    server = start()
    client = Client("grpc", server)

    def load(**given):
        request = service_pb2.RepositoryModelLoadRequest(model_name="plain")
        request.parameters["overlay"].bool_param = True
        for name, value in given.items():
            if isinstance(value, bytes):
                request.parameters["file:1/model.wasm"].bytes_param = value
            else:
                request.parameters[name].string_param = value
        return client.raw._client_stub.RepositoryModelLoad(request)

    load(file=build(2))
    assert ask(client) == (2, 0)
    config = client.config("plain")
    config["parameters"] = {"colour": {"string_value": "blue"}}
    load(config=json.dumps(config))
    assert client.config("plain")["parameters"]["colour"]["string_value"] == "blue"
    assert ask(client) == (2, 0), "the file that was sent before is still there"
    with pytest.raises(Exception, match="it begins with the bytes"):
        load(file=b"no component")
    assert ask(client) == (2, 0)
    rows = history(server, "plain")
    assert [(row["requested_by"], row["override"]) for row in rows] == [("start", False)] + [("grpc", True)] * 3
    # What was sent goes when the model is unloaded: the repository's own build comes back.
    client.raw.unload_model("plain")
    wait_until(lambda: client.index()["plain"][0]["state"] == "UNAVAILABLE")
    client.raw.load_model("plain")
    assert ask(client) == (1, 0)
    client.close()
