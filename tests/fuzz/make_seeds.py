"""Writes the seeds that are no plain text: gRPC messages and compressed bodies. `cargo xtask clients` has the packages.

Run with .nereid/venv/bin/python tests/fuzz/make_seeds.py; the results are committed, so nobody needs to.
"""

import gzip
import pathlib
import zlib

from tritonclient.grpc import service_pb2

SEEDS = pathlib.Path(__file__).resolve().parent / "seeds"
BODY = b'{"inputs":[{"name":"F","shape":[2],"datatype":"FP32","data":[1,2]}]}'


def write(target: str, name: str, content: bytes):
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def request(**fields) -> service_pb2.ModelInferRequest:
    return service_pb2.ModelInferRequest(model_name="M", **fields)


def tensor(name: str, datatype: str, shape: list[int], **contents) -> dict:
    found = {"name": name, "datatype": datatype, "shape": shape}
    return found | ({"contents": contents} if contents else {})


def grpc_seeds():
    typed = [
        tensor("F", "FP32", [2], fp32_contents=[1, -2.5]),
        tensor("I", "INT64", [1, 2], int64_contents=[3, -4]),
        tensor("U", "UINT8", [2], uint_contents=[5, 255]),
        tensor("B", "BOOL", [2], bool_contents=[True, False]),
        tensor("T", "BYTES", [2], bytes_contents=[b"text", b""]),
    ]
    raw = [tensor("F", "FP32", [2]), tensor("T", "BYTES", [2])]
    raw_contents = [b"\0\0\x80\x3f\0\0\0\x40", b"\x02\0\0\0ab\0\0\0\0"]
    parameters = {
        "sequence_id": {"string_param": "a"},
        "sequence_start": {"bool_param": True},
        "priority": {"uint64_param": 2},
        "timeout": {"int64_param": 1000},
        "custom": {"double_param": 0.5},
        "triton_enable_empty_final_response": {"bool_param": True},
    }
    outputs = [{"name": "F", "parameters": {"classification": {"int64_param": 2}}}, {"name": "T"}]
    region = {
        "shared_memory_region": {"string_param": "R"},
        "shared_memory_byte_size": {"int64_param": 8},
        "shared_memory_offset": {"int64_param": 4},
    }
    shared = tensor("F", "FP32", [2]) | {"parameters": region}
    small = [tensor("X", "INT8", [1], int_contents=[-128]), tensor("Y", "FP64", [1], fp64_contents=[0.1])]
    small += [tensor("Z", "UINT64", [1], uint64_contents=[2**64 - 1]), tensor("H", "FP16", [0])]
    seeds = {
        "typed": request(id="1", inputs=typed),
        "raw": request(model_version="3", inputs=raw, raw_input_contents=raw_contents),
        "both": request(inputs=typed[:1], raw_input_contents=raw_contents[:1]),
        "parameters": request(parameters=parameters, inputs=typed[:1], outputs=outputs),
        "shared_memory": request(inputs=[shared], outputs=[{"name": "F", "parameters": region}]),
        "numbers": request(inputs=small),
        "huge_shape": request(inputs=[tensor("F", "FP32", [2**62, 2**62])], raw_input_contents=[b""]),
    }
    for name, message in seeds.items():
        write("grpc_infer", name, message.SerializeToString())


def compressed_seeds():
    write("decompress", "gzip", b"g" + gzip.compress(BODY, mtime=0))
    write("decompress", "gzip_two_members", b"g" + gzip.compress(BODY[:9], mtime=0) + gzip.compress(BODY[9:], mtime=0))
    write("decompress", "gzip_empty", b"g" + gzip.compress(b"", mtime=0))
    write("decompress", "gzip_stored", b"g" + gzip.compress(BODY, compresslevel=0, mtime=0))
    write("decompress", "deflate", b"d" + zlib.compress(BODY))
    write("decompress", "deflate_stored", b"d" + zlib.compress(BODY, level=0))
    write("decompress", "deflate_cut", b"d" + zlib.compress(BODY)[:-3])
    write("decompress", "deflate_followed", b"d" + zlib.compress(BODY) + b"more")
    write("decompress", "gzip_beyond_inline", b"g" + gzip.compress(bytes(280 << 10), mtime=0))
    write("decompress", "deflate_bomb", b"d" + zlib.compress(bytes(1 << 20), level=9))


grpc_seeds()
compressed_seeds()
