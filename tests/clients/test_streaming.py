"""examples/streaming: a text that comes token by token, over server-sent events and gRPC streams, as a Python program would tell it; a
client that leaves is noticed; and a conversation becomes a prompt."""

import collections
import http.client
import json
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import tritonclient.grpc
from server import ROOT, Server
from streams import Stream, wait_until
from tritonclient.utils import InferenceServerException

EXAMPLE = ROOT / "examples/streaming/model_repository/storyteller"
CORPUS = (EXAMPLE / "1/data/corpus.txt").read_text()
# So many that nobody waits for their end.
FOR_EVER = 100_000_000


@pytest.fixture(scope="module")
def streaming(binary, tmp_path_factory):
    """The example, and beside it a storyteller that is never done."""
    models = tmp_path_factory.mktemp("streaming")
    for name in ("storyteller", "endless", "hasty"):
        shutil.copytree(EXAMPLE, models / name)
    config = models / "endless/config.pbtxt"
    config.write_text(config.read_text().replace('"4096"', f'"{FOR_EVER}"').replace("count: 4", "count: 1"))
    shutil.copy(config, models / "hasty/config.pbtxt")
    with (models / "hasty/plugin.toml").open("a") as file:
        file.write("[limits]\ndeadline_ms = 1000\nhost_calls = 100000000\n")
    for name in ("chat_prompt", "chat"):
        shutil.copytree(EXAMPLE.parent / name, models / name)
    # JavaScript components take some seconds to compile; those of other tests lie there too.
    cache = f"--plugin-cache-directory={ROOT}/target/plugin-cache"
    with Server(binary, tmp_path_factory.mktemp("streaming_server") / "log", [models], cache) as running:
        yield running


def words(text: str) -> list[str]:
    """Tokens as the plugin makes them."""
    found = re.findall(r"(\s*)([\w'’-]+|[^\w\s])", text)
    return [("\n\n" if space.count("\n") > 1 else " " if space else "") + word for space, word in found]


def commonest(prompt: str, count: int) -> str:
    """The plugin's arithmetic at temperature 0, in other words."""
    text, followers = words(CORPUS), collections.defaultdict(list)
    for place, token in enumerate(text):
        for length in range(min(3, place + 1)):
            followers[tuple(text[place - length : place])].append(token)
    first_seen = {token: place for place, token in reversed(list(enumerate(text)))}
    told = words(prompt)
    told[0] = " " + told[0] if " " + told[0] in first_seen else told[0]
    unknown = [place for place, token in enumerate(told) if token not in first_seen]
    told = told[unknown[-1] + 1 :] if unknown else told
    for _ in range(count):
        context = next(tuple(told[len(told) - length :]) for length in (2, 1, 0) if tuple(told[len(told) - length :]) in followers)
        counts = collections.Counter(followers[context])
        told.append(min(counts, key=lambda token: (-counts[token], first_seen[token])))
    return "".join(told[-count:])


def events(server, prompt: str, model: str = "storyteller", **wishes) -> list[dict]:
    body = json.dumps({"text_input": prompt, **wishes}).encode()
    answer = server.request("POST", f"/v2/models/{model}/generate_stream", body)
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [json.loads(line.removeprefix("data: ")) for line in answer.body.decode().splitlines() if line]


def generate(server, prompt: str, model: str = "storyteller", **wishes):
    body = json.dumps({"text_input": prompt, "stream": False, **wishes}).encode()
    answer = server.request("POST", f"/v2/models/{model}/generate", body)
    return answer.status, json.loads(answer.body)


def told(server, prompt: str, **wishes) -> str:
    return "".join(event["text_output"] for event in events(server, prompt, **wishes))


def given(prompt: str, name: str = "text_input"):
    tensor = tritonclient.grpc.InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([prompt.encode()], np.object_))
    return [tensor]


def text_of(result) -> str:
    return result.as_numpy("text_output")[0].decode()


def figure(server, name: str, model: str) -> float:
    return float(re.search(rf'^{name}{{model="{model}"}} (\S+)$', server.metrics(), re.MULTILINE).group(1))


@pytest.mark.parametrize("prompt", ["Alice", "Down, down", "She ran across", "xyzzy"])
def test_the_commonest_words_follow(streaming, prompt):
    assert told(streaming, prompt, temperature=0, max_tokens=30) == commonest(prompt, 30)


def test_every_token_is_an_event_and_the_last_says_why(streaming):
    found = events(streaming, "Alice was", max_tokens=12, seed=4)
    assert len(found) == 13 and all(words(event["text_output"]) == [event["text_output"]] for event in found[:-1])
    assert (found[-1]["text_output"], found[-1]["finish_reason"]) == ("", "length")
    assert all("finish_reason" not in event for event in found[:-1])
    assert len(events(streaming, "Alice was")) == 65, "the configuration's number of tokens"


def test_the_stream_of_grpc_has_the_same_text(streaming):
    with Stream(streaming) as stream:
        results = stream.ask("storyteller", given("Alice was"), parameters={"max_tokens": 12, "seed": 4})
    assert [text_of(result) for result in results] == [event["text_output"] for event in events(streaming, "Alice was", max_tokens=12, seed=4)]
    assert results[-1].get_response().parameters["finish_reason"].string_param == "length"


def test_all_at_once_is_the_same_text(streaming):
    status, answer = generate(streaming, "Alice was", max_tokens=12, seed=4)
    assert status == 200 and answer["finish_reason"] == "length"
    assert answer["text_output"] == told(streaming, "Alice was", max_tokens=12, seed=4)


def test_seeds_tell_other_texts_out_of_the_same_words(streaming):
    one, again, other = (told(streaming, "Alice", seed=seed, temperature=1.5, max_tokens=200) for seed in (1, 1, 2))
    assert one == again != other
    corpus = words(CORPUS)
    pairs = set(zip(corpus, corpus[1:]))
    found = words(other)
    strange = [pair for pair in zip(found, found[1:]) if pair not in pairs]
    # Only behind the text's last token is there nothing to go on with.
    assert all(first == corpus[-1] for first, _ in strange), strange


@pytest.mark.parametrize("stop", [" Rabbit", "rabbit-hole under", "."])
def test_the_text_ends_before_the_word_that_stops_it(streaming, stop):
    whole = told(streaming, "White", seed=9, max_tokens=2000)
    assert stop in whole
    found = events(streaming, "White", seed=9, max_tokens=2000, stop=stop)
    assert "".join(event["text_output"] for event in found) == whole.split(stop)[0]
    assert found[-1]["finish_reason"] == "stop"
    assert generate(streaming, "White", seed=9, max_tokens=2000, stop=stop)[1]["text_output"] == whole.split(stop)[0]


@pytest.mark.parametrize("flags", [["--url=GRPC"], ["--http", "--url=HTTP"]], ids=str)
def test_the_example_script_prints_the_text(streaming, flags):
    flags = [flag.replace("GRPC", streaming.grpc_url).replace("HTTP", streaming.http_url) for flag in flags]
    command = [sys.executable, EXAMPLE.parents[1] / "tell.py", *flags, "--tokens=9", "--seed=4", "Alice was"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "Alice was" + told(streaming, "Alice was", max_tokens=9, seed=4) + "\n"


def test_four_texts_are_told_at_one_time(streaming):
    texts = {}
    threads = [
        threading.Thread(target=lambda seed=seed: texts.update({seed: told(streaming, "Alice", seed=seed, max_tokens=300)}))
        for seed in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {seed: told(streaming, "Alice", seed=seed, max_tokens=300) for seed in range(8)}


def test_a_stream_that_is_cancelled_ends_at_once(streaming):
    before = figure(streaming, "streamer_cancelled_total", "endless")
    with Stream(streaming) as leaving:
        leaving.send("endless", given("Alice"), parameters={"max_tokens": FOR_EVER})
        assert all(text_of(leaving.next()) for _ in range(3))
        leaving.cancel()
    wait_until(lambda: figure(streaming, "streamer_cancelled_total", "endless") == before + 1)
    # There is one instance, and it is free again.
    assert len(events(streaming, "Alice", "endless", max_tokens=5)) == 6


def test_a_browser_that_leaves_is_noticed(streaming):
    before = figure(streaming, "streamer_cancelled_total", "endless")
    connection = http.client.HTTPConnection("127.0.0.1", streaming.http_port, timeout=30)
    body = json.dumps({"text_input": "Alice", "max_tokens": FOR_EVER}).encode()
    connection.request("POST", "/v2/models/endless/generate_stream", body)
    response = connection.getresponse()
    assert [response.readline()[:5] for _ in range(3)] == [b"data:", b"\n", b"data:"]
    response.close()
    connection.close()
    wait_until(lambda: figure(streaming, "streamer_cancelled_total", "endless") == before + 1)
    assert len(events(streaming, "Alice", "endless", max_tokens=5)) == 6


def test_a_text_ends_before_its_time_is_over(streaming):
    status, answer = generate(streaming, "Alice", "hasty", max_tokens=FOR_EVER)
    assert (status, answer.get("finish_reason")) == (200, "time"), answer


@pytest.mark.parametrize(
    "wishes, text",
    [
        ({"temperature": "hot"}, "parameter 'temperature' is 'hot', expected a number from 0 to 10"),
        ({"max_tokens": -1}, "parameter 'max_tokens' is -1, expected a number of tokens"),
        ({"stop": 3}, "parameter 'stop' is 3, expected a text"),
    ],
)
def test_what_makes_no_sense_is_told(streaming, wishes, text):
    status, answer = generate(streaming, "Alice", **wishes)
    assert status == 400 and text in answer["error"]
    with Stream(streaming) as stream, pytest.raises(InferenceServerException, match=re.escape(text)):
        stream.ask("storyteller", given("Alice"), parameters=wishes)


def test_a_storyteller_without_its_text_is_not_loaded(start_server, tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "models/storyteller")
    (tmp_path / "models/storyteller/1/data/corpus.txt").unlink()
    server = start_server(tmp_path / "models", "--strict-readiness=false", "--exit-on-error=false")
    answer = server.request("POST", "/v2/repository/index", b"{}")
    assert "corpus.txt" in json.loads(answer.body)[0]["reason"], answer


def message(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def prompt_of(server, messages) -> tuple[int, dict]:
    body = json.dumps({"messages": messages if isinstance(messages, str) else json.dumps(messages)}).encode()
    answer = server.request("POST", "/v2/models/chat_prompt/generate", body)
    return answer.status, json.loads(answer.body)


TALK = [message("system", "Tell."), message("user", "Who is it?"), message("assistant", "Alice, “the” one"), message("user", "Down went $& Alice")]


def test_a_conversation_is_one_prompt(streaming):
    status, answer = prompt_of(streaming, TALK)
    assert (status, answer["dropped_messages"]) == (200, 0)
    assert answer["prompt"] == "Tell.\n\nWho is it? Alice, “the” one Down went $& Alice "


def test_the_oldest_messages_go_where_there_are_too_many(streaming):
    old = [message("user", f"{number} {'.' * 500}") for number in range(5)]
    status, answer = prompt_of(streaming, [TALK[0], *old, TALK[3]])
    assert (status, answer["dropped_messages"]) == (200, 2)
    assert [part.strip(".") for part in answer["prompt"].split()] == ["Tell", "2", "", "3", "", "4", "", "Down", "went", "$&", "Alice"]


def test_a_conversation_streams_through_both_plugins(streaming):
    wishes = {"max_tokens": 20, "seed": 3}
    body = json.dumps({"messages": json.dumps(TALK), **wishes}).encode()
    answer = streaming.request("POST", "/v2/models/chat/generate_stream", body)
    lines = [json.loads(line.removeprefix("data: ")) for line in answer.body.decode().splitlines() if line]
    expected = [event["text_output"] for event in events(streaming, prompt_of(streaming, TALK)[1]["prompt"], **wishes)]
    assert [line["text_output"] for line in lines] == expected and len(expected) == 21
    with Stream(streaming) as stream:
        assert [text_of(result) for result in stream.ask("chat", given(json.dumps(TALK), "messages"), parameters=wishes)] == expected


@pytest.mark.parametrize(
    "messages, text",
    [
        ("Down", "input 'messages': expected a list of messages as JSON: "),
        ([], "expected a list of at least one message"),
        ([TALK[0], {"content": "Down"}], "message 1 has role undefined, expected one of system, user, assistant"),
        ([message("user", 7)], "message 0 has content 7, expected a text"),
        ([message("user", "x" * 3000)], "the last message and what the system says have 3001 characters, at most 2000 are read"),
    ],
)
def test_what_is_no_conversation_is_told(streaming, messages, text):
    status, answer = prompt_of(streaming, messages)
    assert status == 400 and text in answer["error"], answer
    body = json.dumps({"messages": messages if isinstance(messages, str) else json.dumps(messages)}).encode()
    refused = streaming.request("POST", "/v2/models/chat/generate_stream", body)
    assert refused.status == 400 or text in refused.body.decode(), refused
