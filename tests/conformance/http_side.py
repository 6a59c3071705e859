"""Asks over HTTP, with real bytes on a real connection and no client library in between."""

import gzip
import http.client
import json
import zlib

import tensors
from cases import BadCase
from matching import CODES, Mismatch, expect_contains, expect_equal

SECONDS_MAX = 30
HEADER_LENGTH = "Inference-Header-Content-Length"
CODINGS = {"gzip": (gzip.compress, gzip.decompress), "deflate": (zlib.compress, zlib.decompress)}


class Answer:
    def __init__(self, response: http.client.HTTPResponse):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()


def run(server, ask: dict, expect: dict):
    method, path, body, headers = request(ask)
    port = server.metrics_port if ask.get("port") == "metrics" else server.http_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)
    try:
        connection.request(method, path, body, headers)
        answer = Answer(connection.getresponse())
    finally:
        connection.close()
    check(answer, expect)


def request(ask: dict):
    """Method, path, body and headers."""
    headers = dict(ask.get("headers", {}))
    if "http" in ask:
        method, path = ask["http"].split(" ", 1)
    else:
        version = f"/versions/{ask['version']}" if "version" in ask else ""
        method, path = "POST", f"/v2/models/{ask['model']}{version}/infer"
    body = join(ask["body"], headers) if "body" in ask else json.dumps(ask["infer"]).encode() if "infer" in ask else b""
    if "compress" in ask:
        pack, _ = CODINGS[ask["compress"]]
        headers["Content-Encoding"] = ask["compress"]
        body = pack(body)
    return method, path, body, headers


def join(body, headers: dict) -> bytes:
    """The parts of a body in a row. A header length of "auto" becomes that of the first part."""
    found = [part_bytes(part) for part in (body if isinstance(body, list) else [body])]
    if headers.get(HEADER_LENGTH) == "auto":
        headers[HEADER_LENGTH] = str(len(found[0]))
    return b"".join(found)


def part_bytes(part) -> bytes:
    """A text, `{ hex = "…" }`, or `{ zeros = N }`."""
    match part:
        case str():
            return part.encode()
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"zeros": count}:
            return bytes(count)
    raise BadCase(f"a body consists of texts, hex and zeros, not of {part}")


def check(answer: Answer, expect: dict):
    if "error" in expect:
        if "code" not in expect and "status" not in expect:
            raise BadCase("an 'error' needs the 'code' that Triton gives it, or the 'status' over HTTP")
        expect_status(answer, expect.get("status") or CODES[expect["code"]][0])
        expect_equal("the error", json.loads(answer.body), {"error": expect["error"]})
    else:
        expect_status(answer, expect.get("status", 200))
    for name, value in expect.get("response_headers", {}).items():
        found = answer.headers.get(name.lower())
        if found is None and value != "":
            raise Mismatch(f"no header '{name}'; there are {sorted(answer.headers)}")
        expect_equal(f"header '{name}'", found or "", value)
    if "decompress" in expect:
        expect_equal("header 'Content-Encoding'", answer.headers.get("content-encoding"), expect["decompress"])
        answer.body = CODINGS[expect["decompress"]][1](answer.body)
    if "text" in expect:
        expect_equal("the body", answer.body.decode(), expect["text"])
    if "events" in expect:
        expect_equal("the events", events(answer.body.decode()), expect["events"])
    if "answer" in expect:
        expect_equal("the answer", json.loads(answer.body), expect["answer"])
    if "answer_has" in expect:
        expect_contains("the answer", json.loads(answer.body), expect["answer_has"])
    check_inference(answer, expect)


def expect_status(answer: Answer, status: int):
    if answer.status != status:
        raise Mismatch(f"expected status {status}, found {answer.status}: {answer.body[:500]!r}")


def check_inference(answer: Answer, expect: dict):
    if not {"outputs", "id", "parameters", "binary_hex"} & set(expect):
        return
    json_bytes = int(answer.headers.get(HEADER_LENGTH.lower(), len(answer.body)))
    document, binary = json.loads(answer.body[:json_bytes]), answer.body[json_bytes:]
    if "binary_hex" in expect:
        expect_equal("the bytes behind the JSON", binary.hex(), expect["binary_hex"].replace(" ", ""))
    if "id" in expect:
        expect_equal("the id", document.get("id", ""), expect["id"])
    if "parameters" in expect:
        expect_equal("the parameters", document.get("parameters", {}), expect["parameters"])
    if "outputs" in expect:
        expect_equal("the outputs", [output(row, binary, at) for row, at in places(document["outputs"])], expect["outputs"])


def places(rows: list):
    """Each output and where its bytes begin."""
    at = 0
    for row in rows:
        yield row, at
        at += row.get("parameters", {}).get("binary_data_size", 0)


def output(row: dict, binary: bytes, at: int) -> dict:
    """An output with its elements, wherever they came."""
    size = row.get("parameters", {}).get("binary_data_size")
    found = {key: value for key, value in row.items() if key != "parameters"}
    if size is not None:
        found["data"] = tensors.decode(row["datatype"], binary[at : at + size])
    return found


def events(body: str) -> list:
    parts = body.split("\n\n")
    if parts.pop() != "" or not all(part.startswith("data: ") for part in parts):
        raise Mismatch(f"these are no server-sent events: {body!r}")
    return [json.loads(part.removeprefix("data: ")) for part in parts]
