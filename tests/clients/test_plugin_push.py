"""`nereid plugin push`, `history` and `rollback`: a new build at a server that runs, and the way back."""

import json

import numpy as np
import pytest
from builds import CONFIG, build, write_builds
from clients import Client
from server import run_to_end

GUARD = 'parameters {{ key: "swap_guard_seconds" value: {{ string_value: "{}" }} }}\n'


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def start(start_server, models):
    return lambda *flags: start_server(models, "--model-control-mode=explicit", "--load-model=*", *flags)


@pytest.fixture
def command(binary):
    """Runs one of the commands against a server."""

    def run(server, *words, fails: bool = False) -> str:
        ended = run_to_end(binary, "plugin", *map(str, words), f"--url=http://{server.http_url}", seconds=120)
        assert (ended.returncode != 0) == fails, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    return run


def answering(server, model: str = "plain") -> int:
    """Which build answers."""
    client = Client("http", server)
    return client.infer(model, client.input("X", np.zeros(1, np.int32), "INT32")).as_numpy("BUILD").item()


def rows(history: str) -> list[list[str]]:
    """The table's cells."""
    lines = [line for line in history.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_a_build_is_pushed_seen_and_taken_back(start, models, command, tmp_path):
    write_builds(models, "plain", GUARD.format(3600))
    server = start()
    (tmp_path / "second.wasm").write_bytes(build(2))
    shown = command(server, "push", "plain", tmp_path / "second.wasm")
    assert "plain: generation 2 answers (version 1 " in shown and "is compared with the one before" in shown, shown
    assert answering(server) == 2
    first, second = rows(command(server, "history", "plain"))
    assert (first[0], first[2], second[0], second[2], second[4]) == ("1", "start", "2", "http", "watched")
    assert first[3] != second[3] and second[1].endswith("s ago"), (first, second)
    assert "plain: generation" in command(server, "rollback", "plain")
    assert answering(server) == 1
    assert rows(command(server, "history", "plain"))[1][4].startswith("rolled_back")
    shown = command(server, "rollback", "plain", fails=True)
    assert "error: the server answered with 4" in shown, shown


def test_what_does_not_load_changes_nothing_and_says_why(start, models, command, tmp_path):
    write_builds(models, "plain")
    server = start()
    (tmp_path / "odd.wasm").write_bytes(b"\0asm\x01\0\0\0")
    shown = command(server, "push", "plain", tmp_path / "odd.wasm", fails=True)
    assert "it is a core module" in shown, shown
    assert answering(server) == 1
    shown = command(server, "push", "plain", tmp_path / "none.wasm", fails=True)
    assert "none.wasm cannot be read: " in shown
    shown = command(server, "push", "nothing", tmp_path / "odd.wasm", fails=True)
    assert "there is nothing of model 'nothing' to lay files over" in shown, shown
    shown = command(server, "history", "nothing", fails=True)
    assert "the server answered with 404" in shown, shown


def test_whoever_watches_hears_how_it_went(start, models, command, tmp_path):
    write_builds(models, "plain", GUARD.format(1))
    server = start()
    (tmp_path / "second.wasm").write_bytes(build(2))
    shown = command(server, "push", "plain", tmp_path / "second.wasm", "--watch")
    assert shown.endswith("plain: generation 2 is serving\n"), shown


def test_a_folder_brings_its_configuration_and_its_grants(start, models, command, tmp_path):
    write_builds(models, "plain")
    server = start()
    write_builds(tmp_path, "mine", 'parameters { key: "colour" value: { string_value: "blue" } }\n')
    (tmp_path / "mine/plugin.toml").write_text("[limits]\nmemory_mib = 64\n")
    command(server, "push", "plain", tmp_path / "mine")
    config = json.loads(server.request("GET", "/v2/models/plain/config").body)
    assert config["parameters"]["colour"]["string_value"] == "blue"
    (tmp_path / "mine/plugin.toml").write_text("[limits]\nmemry_mib = 64\n")
    assert "memry_mib" in command(server, "push", "plain", tmp_path / "mine", fails=True)
    (tmp_path / "mine/config.pbtxt").write_text(CONFIG + "max_bach_size: 1\n")
    assert "max_bach_size" in command(server, "push", "plain", tmp_path / "mine", fails=True)


def test_a_version_may_be_named_and_the_highest_is_the_default(start, models, command, tmp_path):
    write_builds(models, "plain", "version_policy: { all { } }\n")
    server = start()
    (tmp_path / "second.wasm").write_bytes(build(2))
    command(server, "push", "plain", tmp_path / "second.wasm", "--version=5")
    assert answering(server) == 2
    (tmp_path / "third.wasm").write_bytes(build(3))
    command(server, "push", "plain", tmp_path / "third.wasm")
    assert answering(server) == 3
    builds = [json.loads(server.request("GET", f"/v2/models/plain/versions/{version}").body) for version in (1, 5)]
    assert [build["name"] for build in builds] == ["plain", "plain"]


def test_a_server_that_is_away_or_forbids_it_is_named(start_server, models, command, binary, tmp_path):
    write_builds(models, "plain")
    server = start_server(models)
    (tmp_path / "second.wasm").write_bytes(build(2))
    shown = command(server, "push", "plain", tmp_path / "second.wasm", fails=True)
    assert "explicit model load / unload is not allowed" in shown, shown
    ended = run_to_end(binary, "plugin", "history", "plain", "--url=http://127.0.0.1:1")
    assert ended.returncode == 1 and "no server answers at http://127.0.0.1:1" in ended.stderr
    ended = run_to_end(binary, "plugin", "history", "plain", "--url=grpc://127.0.0.1:1")
    assert "this is done over HTTP" in ended.stderr
