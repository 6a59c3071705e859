"""`nereid plugin push`, `history` and `rollback`: a new build at a server that runs, and the way back."""

import json

import numpy as np
import pytest
from builds import CONFIG, build, write_builds
from certificates import Authority
from clients import PROTOCOLS, Client
from server import run_to_end

GUARD = 'parameters {{ key: "swap_guard_seconds" value: {{ string_value: "{}" }} }}\n'


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def start(start_server, models):
    return lambda *flags: start_server(models, "--model-control-mode=explicit", "--load-model=*", *flags)


class Command:
    """Runs one of the commands against a server, over one of the protocols."""

    def __init__(self, binary, protocol: str, *flags: str):
        self.binary, self.protocol, self.flags = binary, protocol, flags

    def __call__(self, server, *words, fails: bool = False) -> str:
        address = {"http": server.http_url, "https": server.http_url, "grpc": server.grpc_url, "grpcs": server.grpc_url}
        url = f"--url={self.protocol}://{address[self.protocol]}"
        ended = run_to_end(self.binary, "plugin", *map(str, words), url, *self.flags, seconds=120)
        assert (ended.returncode != 0) == fails, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr


@pytest.fixture(params=PROTOCOLS)
def command(request, binary):
    return Command(binary, request.param)


def answering(server, model: str = "plain") -> int:
    """Which build answers."""
    client = Client("http", server)
    return client.infer(model, client.input("X", np.zeros(1, np.int32), "INT32")).as_numpy("BUILD").item()


def milliseconds(shown: str) -> float:
    """Of `15 µs`, `1.5 ms` or `1.50 s`."""
    number, unit = shown.split()
    return float(number) * {"µs": 0.001, "ms": 1, "s": 1000}[unit]


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
    steps, whole = shown.splitlines()[-1].removeprefix("plain: ").split("; ")
    taken = [step.split(" in ") for step in steps.split(", ")]
    assert [step for step, _ in taken] == ["checked", "compiled", "loaded", "started", "warmed up", "swapped"], shown
    # Each is rounded to two digits or three.
    assert sum(map(milliseconds, (took for _, took in taken))) <= 1.1 * milliseconds(whole.removesuffix(" with the way there")), shown
    assert answering(server) == 2
    first, second = rows(command(server, "history", "plain"))
    assert (first[0], first[2], second[0], second[2], second[4]) == ("1", "start", "2", command.protocol, "watched")
    assert first[3] != second[3] and second[1].endswith("s ago"), (first, second)
    assert "plain: generation" in command(server, "rollback", "plain")
    assert answering(server) == 1
    assert rows(command(server, "history", "plain"))[1][4].startswith("rolled_back")
    shown = command(server, "rollback", "plain", fails=True)
    assert "has no generation before the one it serves" in shown, shown


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
    assert "Request for unknown model: 'nothing' is not found" in shown, shown


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
    away = f"{command.protocol}://127.0.0.1:1"
    ended = run_to_end(binary, "plugin", "history", "plain", f"--url={away}")
    assert ended.returncode == 1 and f"no server answers at {away}" in ended.stderr


# --- Keys and certificates


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path, "authority")


def encrypted(authority: Authority, protocol: str, *more: str) -> list[str]:
    """The flags of a server that encrypts one of its protocols."""
    pair = authority.sign("server")
    flags = {"http": ["--http-use-ssl"], "grpc": ["--grpc-use-ssl=true"]}[protocol]
    return flags + [f"--{protocol}-server-cert={pair.certificate}", f"--{protocol}-server-key={pair.key}", *more]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_encrypted_server_is_recognised_by_its_authority(start_server, models, binary, authority, tmp_path, protocol):
    write_builds(models, "plain", GUARD.format(3600))
    root = authority.root if protocol == "http" else None
    flags = encrypted(authority, protocol)
    server = start_server(models, "--model-control-mode=explicit", "--load-model=*", *flags, root=root)
    (tmp_path / "second.wasm").write_bytes(build(2))
    command = Command(binary, protocol + "s", f"--ca-file={authority.root}")
    assert "plain: generation 2 answers" in command(server, "push", "plain", tmp_path / "second.wasm")
    assert "plain: generation 1 answers" in command(server, "rollback", "plain")
    assert [row[4].split(":")[0] for row in rows(command(server, "history", "plain"))] == ["serving", "rolled_back"]
    ended = run_to_end(binary, "infer", "plain", "-i", "X=0", "-o", "BUILD", f"--ca-file={authority.root}", f"--url={protocol}s://{getattr(server, protocol + '_url')}")
    assert ended.returncode == 0 and "BUILD" in ended.stdout, ended.stderr
    stranger = Command(binary, protocol + "s", f"--ca-file={Authority(tmp_path, 'stranger').root}")
    shown = stranger(server, "history", "plain", fails=True)
    assert f"no server answers at {protocol}s://" in shown and "certificate" in shown, shown
    shown = Command(binary, protocol, f"--ca-file={authority.root}")(server, "history", "plain", fails=True)
    assert "is not encrypted, and certificates are given for it: write https:// or grpcs://" in shown, shown


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_wants_to_know_who_asks_is_shown_a_certificate(start_server, models, binary, authority, protocol):
    write_builds(models, "plain")
    mutual = f"--{protocol}-use-ssl-mutual=true"
    flags = [mutual, *encrypted(authority, protocol, f"--{protocol}-root-cert={authority.root}")]
    mine = authority.sign("operator")
    root, pair = (authority.root, mine) if protocol == "http" else (None, None)
    server = start_server(models, "--model-control-mode=explicit", "--load-model=*", *flags, root=root, pair=pair)
    shows = [f"--client-certificate={mine.certificate}", f"--client-key={mine.key}"]
    command = Command(binary, protocol + "s", f"--ca-file={authority.root}", *shows)
    assert rows(command(server, "history", "plain"))[0][4] == "serving"
    nobody = Command(binary, protocol + "s", f"--ca-file={authority.root}")
    refusal = nobody(server, "history", "plain", fails=True).lower()
    assert "certificate" in refusal, refusal


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_key_opens_what_it_is_for(start_server, models, binary, tmp_path, protocol):
    write_builds(models, "plain")
    keys = {}
    entries = []
    for name, categories in (("reader", "statistics,health"), ("operator", "statistics,model-repository,model-config,health")):
        made = run_to_end(binary, "api-key", "new", f"--name={name}", f"--categories={categories}")
        keys[name] = tmp_path / name
        keys[name].write_text(made.stderr.split()[-1] + "\n")
        entries.append(made.stdout)
    (tmp_path / "keys.toml").write_text("\n".join(['open = ["health"]', *entries]))
    # The suite's own look at readiness has no key: health is for everybody.
    server = start_server(models, "--model-control-mode=explicit", "--load-model=*", f"--api-key-file={tmp_path / 'keys.toml'}")
    (tmp_path / "second.wasm").write_bytes(build(2))
    operator = Command(binary, protocol, f"--api-key-file={keys['operator']}")
    assert "plain: generation 2 answers" in operator(server, "push", "plain", tmp_path / "second.wasm")
    reader = Command(binary, protocol, f"--api-key-file={keys['reader']}")
    assert len(rows(reader(server, "history", "plain"))) == 2
    assert "reader" in reader(server, "rollback", "plain", fails=True)
    assert "key" in Command(binary, protocol)(server, "history", "plain", fails=True)
    assert "plain: generation 1 answers" in operator(server, "rollback", "plain")
