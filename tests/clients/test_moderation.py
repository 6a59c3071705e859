"""examples/moderation: a step that asks a service elsewhere, within an allowance, and remembers what it said. The service is the
example's own stand-in, with a hand on what it answers."""

import importlib.util
import json
import os
import shutil
import threading

import numpy as np
import pytest
from clients import Client
from server import ROOT, Server, free_ports
from tritonclient.utils import InferenceServerException

FOLDER = ROOT / "examples/moderation"
KEY = "s3cret-of-the-example"


def stand_in():
    spec = importlib.util.spec_from_file_location("stand_in", FOLDER / "stand_in.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Service:
    """The stand-in on a port of its own. `next_answer` is given instead of the next true one."""

    def __init__(self, port: int):
        self.asked, self.next_answer, module, outer = [], None, stand_in(), self

        class Listening(module.Service):
            def answer(self, status, content, **headers):
                outer.asked.append(self.headers.get("authorization"))
                if outer.next_answer:
                    (status, content, headers), outer.next_answer = outer.next_answer, None
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name.replace("_", "-"), value)
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                else:
                    super().answer(status, content)

            def log_message(self, *_):
                pass

        self.server = module.http.server.ThreadingHTTPServer(("127.0.0.1", port), Listening)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def moderated(binary, tmp_path, monkeypatch):
    """The example as it stands, at a port that is free."""
    monkeypatch.setenv("MODERATION_KEY", KEY)
    port = free_ports(1)[0]
    shutil.copytree(FOLDER, tmp_path / "example")
    for path in (tmp_path / "example").rglob("*"):
        if path.name in ("config.pbtxt", "plugin.toml", "nereid.toml"):
            path.write_text(path.read_text().replace("127.0.0.1:9100", f"127.0.0.1:{port}"))
    flags = [f"--server-config={tmp_path}/example/nereid.toml", f"--plugin-cache-directory={ROOT}/target/plugin-cache"]
    service = Service(port)
    try:
        repository = tmp_path / "example/model_repository"
        with Server(binary, tmp_path / "log", [repository], *flags, environment={"MODERATION_KEY": KEY}) as running:
            client = Client("http", running)
            yield service, client, running
            client.close()
            assert KEY not in running.log_text()
    finally:
        service.close()


def ask(client, *texts):
    array = np.array([[text.encode()] for text in texts], object)
    result = client.infer("moderation", client.input("text", array, "BYTES"))
    flagged = result.as_numpy("flagged").ravel().tolist()
    return flagged, result.as_numpy("score").ravel().tolist(), result.get_response()["parameters"]["asked"]


def refusal(client, *texts) -> str:
    with pytest.raises(InferenceServerException) as refused:
        ask(client, *texts)
    return f"{refused.value.status()} {refused.value.message()}"


def test_texts_are_judged_once_and_then_remembered(moderated):
    service, client, _ = moderated
    flagged, scores, asked = ask(client, "a fine day", "I hate rain", "a fine day")
    assert flagged == [False, True, False] and asked == 2
    np.testing.assert_allclose(scores, [0.01, 0.91, 0.01], rtol=1e-6)
    assert service.asked == [f"Bearer {KEY}"]
    assert ask(client, "I hate rain", "something new")[0::2] == ([True, False], 1)
    assert ask(client, "a fine day")[2] == 0 and len(service.asked) == 2
    long = "word " * 100
    assert [ask(client, long)[2] for _ in range(2)] == [1, 1]


def test_the_allowance_is_shared_by_all_instances_and_says_how_long_to_wait(moderated):
    service, client, running = moderated
    outcomes = []

    def one(index):
        mine = Client("grpc", running)
        try:
            ask_grpc = mine.infer("moderation", mine.input("text", np.array([[b"text %d" % index]], object), "BYTES"))
            outcomes.append(ask_grpc is not None)
        except InferenceServerException as refused:
            outcomes.append(refused.message())
        finally:
            mine.close()

    threads = [threading.Thread(target=one, args=(index,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    served = [outcome for outcome in outcomes if outcome is True]
    refused = [outcome for outcome in outcomes if outcome is not True]
    # Five at once; another every two seconds, should this machine be so slow.
    assert 5 <= len(served) <= 7 and len(served) == len(service.asked), outcomes
    assert refused and all("30 requests a minute are allowed; ask again in" in text for text in refused), refused
    assert f'moderation_refusals_total{{model="moderation"}} {len(refused)}' in running.metrics()


def test_a_pause_that_the_service_asks_for_is_kept(moderated):
    service, client, running = moderated
    service.next_answer = (429, b"{}", {"retry_after": "30"})
    assert "the service answered 429; ask again in 30.0 s" in refusal(client, "one")
    text = refusal(client, "two")
    assert text.startswith("429") and "the service asked for a pause; ask again in " in text
    assert len(service.asked) == 1 and "the service wants a pause of 30000 ms (429)" in running.log_text()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((500, b"oh", {}), "503 plugin 'model.wasm'"),
        ((200, b"not json", {}), "something else than verdicts"),
        ((200, json.dumps({"results": []}).encode(), {}), "expected 1 results, found 0"),
        ((200, b'{"results": [{"flagged": 1}]}', {}), "result 0 has no flagged and category_scores"),
    ],
)
def test_a_service_that_fails_is_told_and_does_not_harm(moderated, answer, expected):
    service, client, _ = moderated
    service.next_answer = answer
    assert expected in refusal(client, "a text")
    assert ask(client, "a text")[0] == [False]


def test_a_service_that_is_away_is_told(moderated):
    service, client, _ = moderated
    service.close()
    text = refusal(client, "a text")
    assert text.startswith("503") and "connection error" in text
