"""Reads case files, and refuses keys that nobody would look at: a misspelt expectation must not pass for a met one."""

import dataclasses
import json
import os
import pathlib
import tomllib

PROTOCOLS = ("http", "grpc")

FILE_KEYS = {"about", "server", "models", "files", "shared_memory", "case"}
CASE_KEYS = {"title", "only", "deviation", "step"}
# What is asked.
ASK_KEYS = {"model", "version", "infer", "http", "headers", "body", "compress", "grpc", "message", "messages", "metadata", "port"}
# What must come.
EXPECT_KEYS = {
    "outputs", "id", "parameters", "answer", "answer_has", "error", "status", "code", "text", "binary_hex",
    "response_headers", "responses", "events", "decompress", "memory",
}  # fmt: skip
# What must come over one protocol, besides or instead of what must come over both.
PROTOCOL_KEYS = {"expect_http": "http", "expect_grpc": "grpc"}
STEP_KEYS = ASK_KEYS | EXPECT_KEYS | set(PROTOCOL_KEYS) | {"only"}
# Values that are JSON when they are text: TOML's own tables cannot be broken into lines.
JSON_KEYS = {
    "infer", "message", "messages", "outputs", "parameters", "answer", "answer_has", "responses", "events",
}  # fmt: skip


class BadCase(Exception):
    """The case itself is wrong."""


@dataclasses.dataclass
class Step:
    """One request and what it must get."""

    ask: dict
    # By protocol.
    expect: dict[str, dict]
    only: str | None

    def is_for(self, protocol: str) -> bool:
        return protocol in protocols_of(self.ask, self.only)


@dataclasses.dataclass
class Case:
    title: str
    line: int
    steps: list[Step]
    protocols: list[str]
    deviation: str | None


@dataclasses.dataclass
class CaseFile:
    path: pathlib.Path
    about: str
    # Flags of the server that the cases need, e.g. ["--model-control-mode=explicit"].
    flags: list[str]
    # Models of this file's own server: name to config.pbtxt; empty for the common ones.
    models: dict[str, str]
    # Further files of those models: "model/1/name" to text.
    files: dict[str, str]
    # Objects of shared memory that are there before the server: key to bytes, as hex.
    shared_memory: dict[str, str]
    cases: list[Case]


def read(path: pathlib.Path) -> CaseFile:
    # Keys of shared memory are the whole machine's; with the process in them two runs do not meet.
    text = path.read_text().replace("{pid}", str(os.getpid()))
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadCase(f"{path.name}: {error}") from None
    refuse_unknown(path, "the file", content, FILE_KEYS)
    lines = [number for number, line in enumerate(text.splitlines()) if line.strip() == "[[case]]"]
    rows = zip(content["case"], lines, strict=True)
    cases = [read_case(path, row, line) for row, line in rows]
    titles = [case.title for case in cases]
    for title in titles:
        if titles.count(title) > 1:
            raise BadCase(f"{path.name}: two cases are called '{title}'")
    return CaseFile(
        path,
        content["about"],
        content.get("server", {}).get("flags", []),
        content.get("models", {}),
        content.get("files", {}),
        content.get("shared_memory", {}),
        cases,
    )


def read_case(path: pathlib.Path, row: dict, line: int) -> Case:
    where = f"case '{row.get('title')}'"
    refuse_unknown(path, where, row, CASE_KEYS | STEP_KEYS)
    shared = {key: value for key, value in row.items() if key in STEP_KEYS}
    rows = [shared | step for step in row["step"]] if "step" in row else [shared]
    steps = [read_step(path, where, row) for row in rows]
    asked = [protocols_of(step.ask, step.only) for step in steps]
    protocols = [protocol for protocol in PROTOCOLS if any(protocol in found for found in asked)]
    if not protocols:
        raise BadCase(f"{path.name}: {where} asks nothing: expected 'infer', 'http' or 'grpc'")
    return Case(row["title"], line, steps, protocols, row.get("deviation"))


def read_step(path: pathlib.Path, where: str, row: dict) -> Step:
    refuse_unknown(path, where, row, STEP_KEYS)
    parsed = {key: parse(path, where, key, value) for key, value in row.items()}
    ask = {key: value for key, value in parsed.items() if key in ASK_KEYS}
    both = {key: value for key, value in parsed.items() if key in EXPECT_KEYS}
    expect = {}
    for key, protocol in PROTOCOL_KEYS.items():
        own = parsed.get(key, {})
        refuse_unknown(path, f"{where}, {key}", own, EXPECT_KEYS)
        expect[protocol] = both | {name: parse(path, where, name, value) for name, value in own.items()}
    for protocol in protocols_of(ask, parsed.get("only")):
        if not expect[protocol]:
            raise BadCase(f"{path.name}: {where} expects nothing over {protocol}")
    return Step(ask, expect, parsed.get("only"))


def protocols_of(ask: dict, only: str | None) -> list[str]:
    """Which protocols can ask this: `infer` is asked over both."""
    found = [protocol for protocol in PROTOCOLS if "infer" in ask or protocol in ask]
    return [protocol for protocol in found if only in (None, protocol)]


def parse(path: pathlib.Path, where: str, key: str, value):
    if key not in JSON_KEYS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise BadCase(f"{path.name}: {where}: '{key}' is not JSON: {error}") from None


def refuse_unknown(path: pathlib.Path, where: str, found: dict, known: set[str]):
    if unknown := sorted(set(found) - known):
        raise BadCase(f"{path.name}: {where} has unknown keys {unknown}; known are {sorted(known)}")
