"""Clients that stall, truncate and flood, and files that are not what they claim: each costs itself, nobody else."""

import json
import shutil
import socket
import struct

import grpc
import numpy as np
import pytest
from clients import Client
from repository import identity, write_model
from server import ROOT

ONE = np.ones(1, np.float32)
TOLERANT = ("--exit-on-error=false", "--strict-readiness=false")


def still_serves(server) -> bool:
    client = Client("grpc", server)
    answer = client.identity("identity_fp32", ONE)
    client.close()
    return answer[0] == 1


@pytest.mark.parametrize("sent", [b"", b"GET", b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"])
def test_connections_that_end_early_or_talk_nonsense(server, sent):
    for port in (server.http_port, server.grpc_port, server.metrics_port):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(sent)
    assert still_serves(server)


def test_a_body_that_ends_before_its_length(server):
    head = b"POST /v2/models/identity_fp32/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.http_port)) as connection:
        connection.sendall(head + b'{"inputs": [')
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(30)
        answer = connection.recv(4096)
    assert b" 200 " not in answer
    assert still_serves(server)


def test_many_connections_that_say_nothing(server):
    silent = [socket.create_connection(("127.0.0.1", server.http_port)) for _ in range(200)]
    assert still_serves(server)
    assert server.get("/v2/health/ready").status == 200
    for connection in silent:
        connection.close()


def test_a_body_beyond_the_limit(start_server, tmp_path):
    write_model(tmp_path / "models", "identity_fp32", identity())
    server = start_server(tmp_path / "models", "--http-max-input-size=10000")
    answer = server.request("POST", "/v2/models/identity_fp32/infer", b" " * 20_000)
    assert answer.status in (400, 413), answer
    assert "--http-max-input-size" in json.loads(answer.body)["error"], answer
    assert still_serves(server)


@pytest.mark.parametrize("message", [b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab"])
def test_a_broken_protobuf_message(server, message):
    with grpc.insecure_channel(server.grpc_url) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as caught:
            call(message, timeout=30)
    assert caught.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)
    assert still_serves(server)


def test_an_unknown_method(server):
    with grpc.insecure_channel(server.grpc_url) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/inference.GRPCInferenceService/Conquer")(b"", timeout=30)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


CORE_MODULE = b"\0asm" + struct.pack("<I", 1)
EMPTY_COMPONENT = b"\0asm" + struct.pack("<HH", 0x0D, 1)

# What the file holds, and words that its explanation must have.
BROKEN_PLUGINS = {
    "nothing": (b"", ()),
    "text": (b"hello", ()),
    "a core module": (CORE_MODULE, ("component",)),
    "an empty component": (EMPTY_COMPONENT, ("transform",)),
}


@pytest.fixture
def broken(start_server, tmp_path):
    """Serves a good model beside one whose file is given; returns the server and why the bad one is not served."""

    def serve(backend: str, file: str, content: bytes):
        models = tmp_path / "models"
        write_model(models, "identity_fp32", identity())
        write_model(models, "bad", identity().replace('"identity"', f'"{backend}"'))
        (models / "bad/1" / file).write_bytes(content)
        server = start_server(models, *TOLERANT)
        client = Client("http", server)
        row = client.index()["bad"][0]
        client.close()
        assert row["state"] == "UNAVAILABLE", row
        return server, row["reason"]

    return serve


@pytest.mark.parametrize("case", BROKEN_PLUGINS)
def test_a_plugin_file_that_is_none(broken, case):
    content, words = BROKEN_PLUGINS[case]
    server, reason = broken("wasm", "model.wasm", content)
    assert "bad" in reason and all(word in reason for word in words), reason
    assert still_serves(server)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08\x12\x04"], ids=["nothing", "text", "half a model"])
def test_an_onnx_file_that_is_none(broken, content):
    server, reason = broken("onnxruntime", "model.onnx", content)
    assert "bad" in reason and "model.onnx" in reason, reason
    assert still_serves(server)


def test_an_onnx_file_cut_in_half(broken):
    whole = (ROOT / "model_repository/digits_cnn/1/model.onnx").read_bytes()
    server, reason = broken("onnxruntime", "model.onnx", whole[: len(whole) // 2])
    assert "bad" in reason, reason
    assert still_serves(server)


def test_without_the_library_the_model_says_what_to_run(start_server, tmp_path):
    models = tmp_path / "models"
    write_model(models, "identity_fp32", identity())
    (models / "add_sub/1").mkdir(parents=True)
    shutil.copy(ROOT / "tests/models/add_sub.onnx", models / "add_sub/1/model.onnx")
    nowhere = str(tmp_path / "libonnxruntime.so")
    server = start_server(models, *TOLERANT, environment={"NEREID_ONNXRUNTIME_LIBRARY": nowhere})
    client = Client("http", server)
    reason = client.index()["add_sub"][0]["reason"]
    client.close()
    assert nowhere in reason and "cargo xtask setup onnxruntime" in reason, reason
    assert still_serves(server)
