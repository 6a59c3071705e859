"""Runs the unmodified tritonclient against `examples/echo.rs` and compares what comes back.

    cargo build -p nereid-grpc --example echo
    python host/grpc/tests/tritonclient_check.py target/debug/examples/echo

Needs `tritonclient[grpc]` and `numpy`. Exits with a traceback at the first difference.
"""

import asyncio
import queue
import subprocess
import sys

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

TYPES = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64"]


def tensor(datatype):
    """An input of each type with values that tell their order."""
    if datatype == "BYTES":
        values = np.array([b"one", b"", "zwei ü".encode()], dtype=np.object_)
    elif datatype == "BOOL":
        values = np.array([True, False, True])
    else:
        numpy_type = {name: kind for kind in map(np.dtype, "BHILbhilefd") for name in [np_to_triton_dtype(kind)]}
        values = np.array([0, 1, 100], dtype=numpy_type.get(datatype, np.int64))
        if datatype == "UINT64":
            values = values.astype(np.uint64)
    infer_input = grpc.InferInput(datatype, [3], datatype)
    infer_input.set_data_from_numpy(values)
    return infer_input, values


def check_resources(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("echo") and not client.is_model_ready("nobody")
    assert client.get_server_metadata().name == "echo"
    metadata = client.get_model_metadata("echo", as_json=True)
    assert metadata["platform"] == "echo" and metadata["versions"] == ["1"], metadata
    assert len(metadata["inputs"]) == 14, metadata
    config = client.get_model_config("repeat").config
    assert config.model_transaction_policy.decoupled and config.input[0].data_type == 1, config
    assert [row.name for row in client.get_inference_statistics().model_stats] == ["echo", "repeat"]
    assert [row.state for row in client.get_model_repository_index().models] == ["READY", "READY"]
    for call in (client.get_log_settings, client.get_trace_settings, client.get_system_shared_memory_status):
        try:
            call()
            raise SystemExit(f"{call} should have been refused")
        except InferenceServerException as refused:
            assert refused.status() == "StatusCode.UNIMPLEMENTED", refused


def check_infer(client):
    for datatype in TYPES + ["BYTES"]:
        for compression in (None, "gzip", "deflate"):
            infer_input, values = tensor(datatype)
            result = client.infer("echo", [infer_input], request_id="7", compression_algorithm=compression)
            assert result.get_response().id == "7"
            found = result.as_numpy(datatype)
            assert found.shape == (3,) and (found == values).all(), (datatype, found, values)
    inputs = [tensor("BYTES")[0], tensor("INT8")[0], tensor("FP32")[0]]
    result = client.infer("echo", inputs, priority=2, timeout=1_000_000, parameters={"mine": "text", "flag": True})
    assert {output.name for output in result.get_response().outputs} == {"BYTES", "INT8", "FP32"}
    parameters = result.get_response().parameters
    assert set(parameters) == {"mine", "flag"} and parameters["mine"].string_param == "text", parameters
    brain = grpc.InferInput("BF16", [2], "BF16")
    brain._raw_content = b"\x80\x3f\x00\x40"  # numpy has no such type
    assert client.infer("echo", [brain]).get_response().raw_output_contents == [brain._raw_content]
    large = grpc.InferInput("FP32", [1_000_000], "FP32")
    large.set_data_from_numpy(np.arange(1_000_000, dtype=np.float32))
    assert client.infer("echo", [large]).as_numpy("FP32")[-1] == 999_999


def check_errors(client):
    wrong = grpc.InferInput("INT8", [4], "INT8")
    wrong._raw_content = b"123"
    cases = [
        (lambda: client.infer("nobody", []), "StatusCode.NOT_FOUND", "Request for unknown model: 'nobody' is not found"),
        (lambda: client.infer("echo", [wrong]), "StatusCode.INVALID_ARGUMENT", "Expected 4, got 3"),
        (lambda: client.infer("repeat", [tensor("INT8")[0]]), "StatusCode.UNIMPLEMENTED", "decoupled transaction policy"),
        (lambda: client.infer("echo", [], model_version="x"), "StatusCode.INVALID_ARGUMENT", "(details: stol)"),
    ]
    for call, status, text in cases:
        try:
            call()
            raise SystemExit(f"{text} should have been raised")
        except InferenceServerException as error:
            assert error.status() == status and text in error.message(), error


def check_stream(client):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("repeat", [tensor("INT32")[0]], request_id="a", parameters={"times": 3})
    got = [answers.get(timeout=20) for _ in range(3)]
    assert all(error is None and result.get_response().id == "a" for result, error in got), got
    assert not any(result.get_response().parameters["triton_final_response"].bool_param for result, _ in got)
    client.async_stream_infer(
        "repeat", [tensor("INT32")[0]], request_id="b", parameters={"times": 1}, enable_empty_final_response=True
    )
    got = [answers.get(timeout=20)[0].get_response() for _ in range(2)]
    assert [response.parameters["triton_final_response"].bool_param for response in got] == [False, True], got
    client.async_stream_infer("nobody", [], request_id="c")
    _, error = answers.get(timeout=20)
    assert "unknown model" in error.message(), error
    for index in range(1000):
        client.async_stream_infer("echo", [tensor("INT32")[0]], request_id=str(index))
    order = [answers.get(timeout=20)[0].get_response().id for _ in range(1000)]
    assert order == [str(index) for index in range(1000)]
    client.stop_stream()


def check_strict_stream(client):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers={"triton_grpc_error": "true"})
    client.async_stream_infer("nobody", [])
    _, error = answers.get(timeout=20)
    assert error.status() == "StatusCode.NOT_FOUND", error
    client.stop_stream()


async def check_aio(url):
    async with aio.InferenceServerClient(url) as client:
        infer_input, values = tensor("FP64")
        result = await client.infer("echo", [infer_input])
        assert (result.as_numpy("FP64") == values).all()

        async def requests():
            for index in range(3):
                yield {"model_name": "echo", "inputs": [tensor("INT32")[0]], "request_id": str(index)}

        ids = [result.get_response().id async for result, error in client.stream_infer(requests()) if error is None]
        assert ids == ["0", "1", "2"], ids


def check_health(url):
    import grpc as grpcio

    with grpcio.insecure_channel(url) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"") == b"\x08\x01", "SERVING"


def main():
    server = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        with grpc.InferenceServerClient(url) as client:
            for check in (check_resources, check_infer, check_errors, check_stream, check_strict_stream):
                check(client)
                print(f"{check.__name__}: ok")
        asyncio.run(check_aio(url))
        check_health(url)
        print("check_aio, check_health: ok")
    finally:
        server.stdin.close()
        assert server.wait(timeout=20) == 0


if __name__ == "__main__":
    main()
