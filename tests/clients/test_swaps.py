"""New builds of a plugin while clients send: what a swap costs them, which build answers, and the way back.

A build is the component of tests/guests/builds with other bytes in it, which says its number. `NEREID_SWAPS=1000` swaps so often."""

import base64
import json
import os
import pathlib
import threading

import numpy as np
import pytest
from builds import BUILD, build, put, write_builds
from clients import PROTOCOLS, Client
from streams import DECOUPLED, Stream, tensor, wait_until
from tritonclient.utils import InferenceServerException

SWAPS = int(os.environ.get("NEREID_SWAPS", "100"))
SEQUENCES = "sequence_batching { max_sequence_idle_microseconds: 60000000 }\n"
# Longer than any test: whoever is watched is watched to the end. What is wrong with a build is not found before it serves.
LONG_GUARD = """parameters { key: "swap_guard_seconds" value: { string_value: "3600" } }
parameters { key: "swap_warmup_requests" value: { string_value: "0" } }
"""
SEQUENCE_LENGTH = 12


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def start(start_server, models):
    return lambda *flags: start_server(models, "--model-control-mode=explicit", "--load-model=*", *flags)


def x(client: Client):
    return client.input("X", np.zeros(1, np.int32), "INT32")


def ask(client: Client, model: str = "plain", **options) -> tuple[int, int]:
    """Which build answers, and at which step of a sequence."""
    answer = client.infer(model, x(client), **options)
    return answer.as_numpy("BUILD").item(), answer.as_numpy("STEP").item()


def sequence(id: int, step: int, length: int = SEQUENCE_LENGTH) -> dict:
    return {"sequence_id": id, "sequence_start": step == 0, "sequence_end": step == length - 1}


def push(server, model: str, component: bytes):
    """A load of one file over what the model is made of."""
    parameters = {"overlay": True, "file:1/model.wasm": base64.b64encode(component).decode()}
    path = f"/v2/repository/models/{model}/load"
    return server.request("POST", path, json.dumps({"parameters": parameters}).encode())


def roll_back(server, model: str):
    return server.request("POST", f"/v2/repository/models/{model}/rollback")


def history(server, model: str) -> list[dict]:
    answer = server.get(f"/v2/debug/models/{model}/generations")
    assert answer.status == 200, answer
    (found,) = json.loads(answer.body)["models"]
    return found["generations"]


def states(server, model: str) -> list[str]:
    return [generation["state"] for generation in history(server, model)]


def reason(client: Client, model: str) -> str:
    (row,) = client.index()[model]
    assert row["state"] == "READY"
    return row.get("reason", "")


class Load:
    """Clients of every way of asking, which send until told to stop. Each remembers what it was told last: an answer must not be
    of an older build than one that was served before the question was asked."""

    def __init__(self, server):
        self.server, self.failures, self.ended = server, [], threading.Event()
        self.served = {"plain": 1, "stream": 1, "sequence": 1}
        self.answered = {}
        jobs = [(self.unary, protocol) for protocol in PROTOCOLS] + [(self.stream, "stream"), (self.stream, "plain")]
        jobs += [(self.sequences, protocol) for protocol in PROTOCOLS] + [(self.stream_sequences, "sequence")]
        self.workers = [threading.Thread(target=self._work, args=(index, *job)) for index, job in enumerate(jobs)]
        for worker in self.workers:
            worker.start()

    def _work(self, index: int, send, argument):
        try:
            while not self.ended.is_set():
                send(index, argument)
        except Exception as error:  # anything at all is a failed request
            self.failures.append((send.__name__, argument, repr(error)))

    def note(self, index: int, count: int = 1):
        self.answered[index] = self.answered.get(index, 0) + count

    def unary(self, index: int, protocol: str):
        client = Client(protocol, self.server)
        while not self.ended.is_set():
            oldest = self.served["plain"]
            found, _ = ask(client, "plain")
            assert found >= oldest, f"build {found} answered when {oldest} was served"
            self.note(index)
        client.close()

    def stream(self, index: int, model: str):
        with Stream(self.server) as stream:
            while not self.ended.is_set():
                oldest, count = self.served[model], 5 if model == "stream" else 1
                wish = {"parameters": {"count": count}} if model == "stream" else {}
                answers = stream.ask(model, [tensor("X", [0], "INT32")], **wish)
                builds = {answer.as_numpy("BUILD").item() for answer in answers}
                assert len(answers) == count and len(builds) == 1 and builds.pop() >= oldest, (oldest, answers)
                self.note(index, count)

    def sequences(self, index: int, protocol: str):
        client, id = Client(protocol, self.server), 1_000_000 * (index + 1)
        while not self.ended.is_set():
            id += 1
            self.one_sequence(index, lambda step: ask(client, "sequence", **sequence(id, step)))
        client.close()

    def stream_sequences(self, index: int, model: str):
        id = 1_000_000 * (index + 1)
        with Stream(self.server) as stream:

            def asked(step):
                (answer,) = stream.ask(model, [tensor("X", [0], "INT32")], **sequence(id, step))
                return answer.as_numpy("BUILD").item(), answer.as_numpy("STEP").item()

            while not self.ended.is_set():
                id += 1
                self.one_sequence(index, asked)

    def one_sequence(self, index: int, asked):
        """All of it is answered by the build in which it began, which has seen every request of it."""
        oldest = self.served["sequence"]
        builds = []
        for step in range(SEQUENCE_LENGTH):
            found, seen = asked(step)
            builds.append(found)
            assert seen == step + 1, f"a guest that has seen {seen} requests answered number {step + 1} of {builds}"
            self.note(index)
        assert len(set(builds)) == 1 and builds[0] >= oldest, f"{builds}, when {oldest} was served"

    def wait_for_answers(self, each: int = 1):
        before = dict(self.answered)
        enough = lambda: len(self.answered) == len(self.workers) and all(  # noqa: E731
            count >= before.get(index, 0) + each for index, count in self.answered.items()
        )
        wait_until(lambda: enough() or self.failures)

    def end(self):
        self.ended.set()
        for worker in self.workers:
            worker.join(timeout=60)
        assert not self.failures, f"{len(self.failures)} failed of {sum(self.answered.values())}: {self.failures[:3]}"


class Usage:
    """What the server's process holds."""

    def __init__(self, server):
        process = pathlib.Path(f"/proc/{server.process.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        self.resident_mb = int(status["VmRSS"].split()[0]) / 1024
        self.files = len(list((process / "fd").iterdir()))
        self.threads = int(status["Threads"])

    def __repr__(self):
        return f"{self.resident_mb:.0f} MB, {self.files} files, {self.threads} threads"


def test_swaps_under_load_fail_no_request_and_no_answer_is_older_than_the_swap(start, models):
    for name, more in (("plain", ""), ("stream", DECOUPLED), ("sequence", SEQUENCES)):
        write_builds(models, name, more)
    # With a cache that knows the builds of an earlier run the compiler's memory would come late, and look like a leak.
    server = start(f"--plugin-cache-directory={models.parent / 'cache'}")
    control = Client("grpc", server)
    load = Load(server)
    usage = {}
    for number in range(2, SWAPS + 2):
        for name in load.served:
            put(models / name, build(number))
            control.raw.load_model(name)
            load.served[name] = number
        if number % 10 == 0:
            load.wait_for_answers()
        usage[number] = Usage(server)
    load.wait_for_answers(SEQUENCE_LENGTH)
    load.end()
    settled, last = usage[2 + SWAPS // 4], usage[SWAPS + 1]
    print(f"{SWAPS} swaps of 3 models: {sum(load.answered.values())} answers, 0 failures; {settled} after a quarter, {last} at the end")
    assert last.files <= settled.files + 5 and last.threads <= settled.threads + 5, (settled, last)
    assert last.resident_mb <= settled.resident_mb * 1.5 + 20, (settled, last)
    assert states(server, "plain")[-2:] == ["retired", "watched"]
    assert all(state == "retired" for name in load.served for state in states(server, name)[:-1])
    control.close()


def test_a_build_that_traps_is_rolled_back_and_what_was_served_before_answers(start, models):
    write_builds(models, "plain", LONG_GUARD)
    server = start()
    client = Client("http", server)
    for _ in range(50):
        assert ask(client) == (1, 0)
    put(models / "plain", build(2, "trap"))
    client.raw.load_model("plain")
    failed = 0

    def is_back():
        nonlocal failed
        try:
            return ask(client) == (1, 0)
        except InferenceServerException:
            failed += 1
            return False

    wait_until(is_back)
    assert failed >= 20, "few requests prove nothing"
    assert reason(client, "plain").startswith("generation 2 was rolled back: 100.0 % of ")
    assert states(server, "plain") == ["serving", "rolled_back"]
    client.close()


@pytest.mark.parametrize("component, why", [(build(2, "lame") if BUILD.exists() else b"", "this build does not start"), (b"no component", "it begins with the bytes")])
def test_a_build_that_cannot_start_changes_nothing_and_says_why(start, models, component, why):
    write_builds(models, "plain")
    server = start()
    client = Client("http", server)
    put(models / "plain", component)
    with pytest.raises(InferenceServerException, match=why):
        client.raw.load_model("plain")
    assert ask(client) == (1, 0)
    assert why in reason(client, "plain") and why in history(server, "plain")[-1]["reason"]
    put(models / "plain", build(3))
    client.raw.load_model("plain")
    assert (ask(client), reason(client, "plain")) == ((3, 0), "")
    client.close()


def test_a_poll_does_not_try_what_was_rolled_back_again(start_server, models):
    write_builds(models, "plain", LONG_GUARD)
    server = start_server(models, "--model-control-mode=poll", "--repository-poll-secs=1")
    client = Client("http", server)
    put(models / "plain", build(2, "fail"))

    def fails():
        try:
            return ask(client) is None
        except InferenceServerException:
            return True

    wait_until(fails)
    wait_until(lambda: not fails())
    os.utime(models / "plain/1/model.wasm")
    wait_until(lambda: states(server, "plain") == ["serving", "rolled_back", "failed"])
    assert ask(client) == (1, 0)
    assert "was rolled back; change it" in reason(client, "plain")
    put(models / "plain", build(4))
    wait_until(lambda: ask(client) == (4, 0))
    client.close()


def test_one_file_is_pushed_and_the_one_before_comes_back(start, models):
    write_builds(models, "plain")
    server = start()
    client = Client("grpc", server)
    for number in (2, 3):
        assert push(server, "plain", build(number)).status == 200
        assert ask(client) == (number, 0)
    assert roll_back(server, "plain").status == 200
    assert ask(client) == (2, 0)
    found = history(server, "plain")
    assert [(one["requested_by"], one["override"], one["state"]) for one in found] == [
        ("start", False, "retired"),
        ("http", True, "serving"),
        ("http", True, "rolled_back"),
    ]
    assert len({one["versions"][0]["blake3"] for one in found}) == 3
    answer = push(server, "nothing", build(2))
    assert answer.status >= 400 and b"there is nothing of model 'nothing' to lay files over" in answer.body
    assert roll_back(server, "nothing").status == 404
    client.close()


def test_a_sequence_goes_on_in_the_build_that_it_began_in_when_that_one_left(start, models):
    write_builds(models, "sequence", SEQUENCES + LONG_GUARD)
    server = start()
    client = Client("grpc", server)
    step = lambda id, number: ask(client, "sequence", **sequence(id, number))  # noqa: E731
    assert step(1, 0) == (1, 1)
    put(models / "sequence", build(2))
    client.raw.load_model("sequence")
    assert (step(2, 0), step(1, 1)) == ((2, 1), (1, 2))
    assert roll_back(server, "sequence").status == 200
    assert (step(3, 0), step(2, 1), step(1, 2)) == ((1, 1), (2, 2), (1, 3))
    client.close()
