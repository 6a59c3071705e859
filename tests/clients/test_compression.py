"""Compressed bodies over HTTP: tritonclient's own algorithms, and raw requests for what it cannot send."""

import gzip
import json
import struct
import zlib

import numpy as np
import pytest
from clients import Client
from repository import identity, write_model

ALGORITHMS = {"gzip": (gzip.compress, gzip.decompress), "deflate": (zlib.compress, zlib.decompress)}
INFER = "/v2/models/identity_fp32/infer"

# On both sides of the size from which the server compresses on another thread.
COUNTS = (1, 500, 200_000)


def body_of(*values: float) -> bytes:
    tensor = {"name": "INPUT0", "shape": [len(values)], "datatype": "FP32", "data": values}
    return json.dumps({"inputs": [tensor]}).encode()


def post(server, body: bytes, **headers: str):
    return server.request("POST", INFER, body, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture
def http_client(server):
    connected = Client("http", server)
    yield connected
    connected.close()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("response", [None, *ALGORITHMS])
@pytest.mark.parametrize("request_coding", [None, *ALGORITHMS])
@pytest.mark.parametrize("is_binary", [True, False], ids=["binary", "json"])
def test_tritonclient_compresses_either_way(http_client, request_coding, response, count, is_binary):
    array = np.random.default_rng(7).random(count, np.float32)
    answer = http_client.identity(
        "identity_fp32",
        array,
        binary=is_binary,
        request_compression_algorithm=request_coding,
        response_compression_algorithm=response,
    )
    np.testing.assert_array_equal(answer, array)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_response_says_how_it_is_packed_and_how_long_its_json_is(server, algorithm):
    compress, decompress = ALGORITHMS[algorithm]
    head = json.dumps(
        {
            "parameters": {"binary_data_output": True},
            "inputs": [{"name": "INPUT0", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}}],
        }
    ).encode()
    tensor = struct.pack("<f", 2.5)
    length = {"Inference-Header-Content-Length": str(len(head))}
    answer = server.request(
        "POST",
        INFER,
        compress(head + tensor),
        {"Content-Encoding": algorithm, "Accept-Encoding": algorithm} | length,
    )
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert answer.status == 200 and headers["content-encoding"] == algorithm, answer
    unpacked = decompress(answer.body)
    json_bytes = int(headers["inference-header-content-length"])
    assert json.loads(unpacked[:json_bytes])["model_name"] == "identity_fp32"
    assert unpacked[json_bytes:] == tensor


@pytest.mark.parametrize(
    "accepted, expected",
    [
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("deflate, gzip", "deflate"),
        ("br, gzip;q=0.1", "gzip"),
        ("identity, gzip", None),
        ("gzip;q=0", None),
        ("br", None),
    ],
)
def test_the_highest_q_wins(server, accepted, expected):
    answer = post(server, body_of(1.5), Accept_Encoding=accepted)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert (answer.status, headers.get("content-encoding")) == (200, expected)
    unpack = ALGORITHMS[expected][1] if expected else bytes
    assert json.loads(unpack(answer.body))["outputs"][0]["data"] == [1.5]


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, deflate"])
def test_other_codings_are_refused_with_those_that_are_served(server, coding):
    answer = post(server, body_of(1), Content_Encoding=coding)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert (answer.status, json.loads(answer.body)) == (501, {"error": "Unsupported compression type"})
    assert headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_broken_bodies_say_what_is_wrong_with_them(server, algorithm):
    whole = ALGORITHMS[algorithm][0](body_of(*range(100)))
    for broken in (b"", whole[:-1], whole[: len(whole) // 2], whole + b"tail", body_of(1)):
        answer = post(server, broken, Content_Encoding=algorithm)
        assert answer.status == 400, answer
        assert f"'Content-Encoding: {algorithm}'" in json.loads(answer.body)["error"], answer
    assert post(server, whole, Content_Encoding=algorithm).status == 200


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_bomb_is_refused_and_takes_no_memory(start_server, tmp_path, algorithm):
    write_model(tmp_path / "models", "identity_fp32", identity())
    server = start_server(tmp_path / "models", "--http-max-input-size=1000000")
    bomb = ALGORITHMS[algorithm][0](b" " * (400 << 20))
    before = resident_bytes_max(server)
    answer = post(server, bomb, Content_Encoding=algorithm)
    text = "Decompressed data size exceeds the maximum allowed value of 1000000 bytes. Use --http-max-input-size to increase the limit."
    assert (answer.status, json.loads(answer.body)) == (400, {"error": text})
    assert resident_bytes_max(server) - before < 50 << 20


def resident_bytes_max(server) -> int:
    """The most memory that the server ever had, from the kernel's books."""
    with open(f"/proc/{server.process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10
