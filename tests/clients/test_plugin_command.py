"""`nereid plugin`: from nothing to a plugin that answers, with the commands that its author types."""

import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tritonclient.http as http
from server import ROOT, Server

GUESTS = ROOT / "target/guests"
LANGUAGES = ["rust", "python", "javascript", "c", "go"]

# Compiling a plugin in Python takes the compiler and the server some ten seconds each.
BUILD_SECONDS_MAX = 300


@pytest.fixture(scope="module")
def nereid(binary, tmp_path_factory):
    """Runs `nereid plugin …` in the repository's root, where the compilers are found, with a cache and a home of its own."""
    home = tmp_path_factory.mktemp("home")

    def run(*words, fails: bool = False, folder: pathlib.Path = ROOT, seconds: float = 60) -> str:
        command = [binary, "plugin", *map(str, words)]
        environment = os.environ | {"XDG_CACHE_HOME": str(home), "XDG_DATA_HOME": str(home)}
        ended = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
        assert (ended.returncode != 0) == fails, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr if fails else ended.stdout

    run.cache = home / "nereid"
    return run


def tensor(name: str, values: list[float], shape: list[int] | None = None) -> dict:
    return {"name": name, "datatype": "FP32", "shape": shape or [len(values)], "data": values}


def begun(nereid, folder: pathlib.Path, language: str = "rust", world: str = "transform") -> pathlib.Path:
    """A plugin that was begun; in Rust with the component of the same template, which `cargo xtask guests` built."""
    nereid("new", "--lang", language, "--world", world, folder)
    if language == "rust":
        (folder / "1").mkdir()
        guest = {"transform": "template", "model": "template_model", "async": "template_async"}[world]
        shutil.copy(GUESTS / f"{guest}.wasm", folder / "1/model.wasm")
    else:
        nereid("build", folder, seconds=BUILD_SECONDS_MAX)
    return folder


def write_case(folder: pathlib.Path, name: str, **case):
    (folder / "tests" / f"{name}.json").write_text(json.dumps(case))


@pytest.fixture(scope="module")
def double(nereid, tmp_path_factory):
    return begun(nereid, tmp_path_factory.mktemp("models") / "double")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_begun_passes_its_test_and_serves(nereid, binary, tmp_path, language):
    folder = begun(nereid, tmp_path / "models" / "twice", language)
    shown = nereid("test", folder, seconds=BUILD_SECONDS_MAX)
    assert shown.startswith("PASS  doubles  (") and "    Y  FP32 [3]  2 4 -1\n" in shown, shown
    assert "tensors." in shown and shown.endswith("\n1 passed, 0 failed\n"), shown
    with Server(binary, tmp_path / "log", [tmp_path / "models"], f"--plugin-cache-directory={nereid.cache}") as server:
        values = http.InferInput("X", [2], "FP32")
        values.set_data_from_numpy(np.array([1.5, 3], np.float32))
        answer = http.InferenceServerClient(server.http_url).infer("twice", [values])
        assert answer.as_numpy("Y").tolist() == [3, 6]


@pytest.mark.parametrize("world", ("model", "async"))
def test_a_plugin_for_batches_passes_its_test(nereid, tmp_path, world):
    folder = begun(nereid, tmp_path / "batches", world=world)
    assert "    Y  FP32 [2,2]  2 4 6 -1\n" in nereid("test", folder)


def test_what_differs_is_said_by_place_and_the_exit_code_says_that_something_does(nereid, double, tmp_path):
    case = tmp_path / "wrong.json"
    case.write_text(json.dumps({"request": {"inputs": [tensor("X", [1, 2])]}, "response": {"outputs": [tensor("Y", [2, 5])]}}))
    shown = nereid("test", double, "--case", case, fails=True)
    assert "FAIL  wrong" in shown and "    Y[1]: expected 5, found 4\n" in shown and "0 passed, 1 failed" in shown, shown
    case.write_text(case.read_text().replace('"data": [2, 5]', '"data": [2, 4.00001]'))
    assert "1 passed, 0 failed" in nereid("test", double, "--case", case)
    case.write_text(json.dumps({"request": {"inputs": [tensor("X", [1])]}, "error": "no such thing"}))
    assert "expected an error with 'no such thing', found 1 response" in nereid("test", double, "--case", case, fails=True)


def test_inputs_may_stand_on_the_command_line_and_in_files(nereid, double, tmp_path):
    assert "    Y  FP32 [3]  2 5 8\n" in nereid("test", double, "-i", "X=1,2.5,4")
    np.save(tmp_path / "x.npy", np.array([7, 8], np.float32))
    assert "    Y  FP32 [2]  14 16\n" in nereid("test", double, "-i", f"X=@{tmp_path / 'x.npy'}")
    case = tmp_path / "file.json"
    case.write_text(json.dumps({"files": {"X": "x.npy"}, "response": {"outputs": [tensor("Y", [14, 16])]}}))
    assert "PASS  file" in nereid("test", double, "--case", case)
    refused = nereid("test", double, "-i", "Z=1", fails=True)
    assert "input 'Z': model 'double' has no such input; it has 'X' FP32 [-1]" in refused


@pytest.fixture(scope="module")
def caller(nereid, tmp_path_factory):
    """A plugin that calls the model `other` once per request, whose answer is its own."""
    folder = tmp_path_factory.mktemp("models") / "caller"
    nereid("new", "--lang", "javascript", folder)
    (folder / "plugin.js").write_text(
        """
import { infer, plugin } from "nereid";

class Caller {
  run(request, inputs) {
    const x = inputs.get("X");
    if (x.elements()[0] < 0) throw new TypeError("negative numbers are not for me");
    return { Y: infer("other", { X: x }).output("Y") };
  }
}

export const transform = plugin(Caller);
"""
    )
    (folder / "plugin.toml").write_text('[grants]\nmodels = ["other"]\n')
    shutil.rmtree(folder / "tests")
    (folder / "tests").mkdir()
    nereid("build", folder, seconds=BUILD_SECONDS_MAX)
    return folder


def test_a_case_answers_for_the_models_that_a_plugin_calls(nereid, caller):
    write_case(
        caller,
        "in_turn",
        steps=[
            {"request": {"inputs": [tensor("X", [1])]}, "response": {"outputs": [tensor("Y", [7])]}},
            {"request": {"inputs": [tensor("X", [1])]}, "error": "it is away"},
            {"request": {"inputs": [tensor("X", [1])]}, "error": "more often than the 2 times"},
            {"request": {"inputs": [tensor("X", [-1])]}, "error": "negative numbers are not for me (plugin.js:"},
        ],
        models={"other": [{"outputs": [tensor("Y", [7])]}, {"error": "it is away"}]},
    )
    shown = nereid("test", caller, seconds=BUILD_SECONDS_MAX)
    assert "  step 4 of 4\n    error  " in shown and "inference.infer 1" in shown, shown


def test_a_model_that_nobody_answers_for_is_named_with_what_to_do(nereid, caller, binary, tmp_path, double):
    shown = nereid("test", caller, "-i", "X=1", fails=True)
    assert "model 'other' is neither among the 'models' of the case nor is there a server" in shown, shown
    # A server that has it answers instead.
    shutil.copytree(double, tmp_path / "models/other")
    with Server(binary, tmp_path / "log", [tmp_path / "models"], f"--plugin-cache-directory={nereid.cache}") as server:
        for url in (f"http://{server.http_url}", f"grpc://{server.grpc_url}"):
            shown = nereid("test", caller, "-i", "X=21", "--server", url)
            assert "    Y  FP32 [1]  42\n" in shown, shown


def test_a_model_that_is_not_granted_stays_out_of_reach(nereid, caller, tmp_path):
    folder = tmp_path / "caller"
    shutil.copytree(caller, folder)
    (folder / "plugin.toml").write_text("")
    shown = nereid("test", folder, "-i", "X=1", fails=True)
    assert "it may not call model 'other': list it under [grants] models in its plugin.toml" in shown, shown


def test_bench_shows_a_table_of_figures(nereid, double):
    lines = nereid("bench", double, "--calls", "50").splitlines()
    labels = [line[: line.rindex("  ")].strip() for line in lines]
    assert labels[:3] == ["start, compiling", "start, compiled before", "first call"], lines
    assert {"warm call, median", "warm call, p99", "guest's CPU per call", "memory of a guest"} <= set(labels), lines
    assert all(line.split()[-1] in ("µs", "ms", "s", "MiB") or "imports" in line for line in lines), lines


def test_what_cannot_be_tried_is_refused_in_one_line(nereid, tmp_path):
    def check(*words, text: str):
        shown = nereid(*words, fails=True)
        assert text in shown and shown.strip().splitlines()[-1].startswith("error: "), shown

    folder = tmp_path / "thing"
    nereid("new", "--lang", "python", folder)
    check("test", folder, text="thing has no 1/model.wasm: 'nereid plugin build ")
    (folder / "1").mkdir()
    (folder / "1/model.wasm").write_bytes(b"\0asm\x01\0\0\0")
    check("test", folder, text="it is a core module")
    (folder / "1/model.wasm").write_bytes(b"garbage")
    check("test", folder, text="is not a WebAssembly component: it begins with the bytes 67 61 72 62")
    check("bench", folder, text="is not a WebAssembly component")
    check("test", tmp_path, text="is no plugin's folder: expected config.pbtxt in it")
    check("test", tmp_path / "nowhere", text="nowhere cannot be read: ")
    check("new", "--lang", "python", folder, text="is there already")
    check("new", "--lang", "python", tmp_path / "9lives", text="expected a letter, then letters, digits")
    check("build", tmp_path, text="holds no plugin")


def test_a_case_that_is_wrong_is_named_with_its_place(nereid, double, tmp_path):
    case = tmp_path / "odd.json"
    for text, problem in [
        ("{", "odd.json: EOF while parsing an object at line 1"),
        ("{}", "odd.json: has no request"),
        ('{"request": {"inputs": []}, "respone": {}}', "unknown field `respone`"),
    ]:
        case.write_text(text)
        assert problem in nereid("test", double, "--case", case, fails=True)


def test_a_compiler_that_is_missing_is_named_with_the_command_that_fetches_it(nereid, tmp_path):
    folder = tmp_path / "thing"
    nereid("new", "--lang", "python", folder)
    shown = nereid("build", folder, folder=tmp_path, fails=True)
    assert shown.rstrip().endswith("nereid plugin setup python"), shown
