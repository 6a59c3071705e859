"""Writes the seeds that are no plain text: gRPC messages, compressed bodies and forests. `cargo xtask clients` has the packages.

Run with .nereid/venv/bin/python tests/fuzz/make_seeds.py; the results are committed, so nobody needs to.
"""

import gzip
import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image
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


# A tree of five nodes: `x[1] < 0.5` goes to a leaf, otherwise categories 2 and 3 of `x[0]` part the rest.
XGBOOST_TREE = {
    "categories": [2, 3],
    "categories_nodes": [2],
    "categories_segments": [0],
    "categories_sizes": [2],
    "default_left": [1, 0, 0, 0, 0],
    "id": 0,
    "left_children": [1, -1, 3, -1, -1],
    "right_children": [2, -1, 4, -1, -1],
    "split_conditions": [0.5, 1, 3, 2, 3],
    "split_indices": [1, 0, 0, 0, 0],
    "split_type": [0, 0, 1, 0, 0],
    "sum_hessian": [5.5, 2, 3, 1, 2],
    "tree_param": {"num_nodes": "5", "size_leaf_vector": "1"},
}


def xgboost(objective: str, trees: list[dict], groups: list[int], **param) -> dict:
    model = {"model": {"trees": trees, "tree_info": groups}, "name": "gbtree"}
    param = {"base_score": "[5E-1]", "num_class": "0", "num_feature": "2", "num_target": "1"} | param
    learner = {"gradient_booster": model, "learner_model_param": param, "objective": {"name": objective}}
    return {"learner": learner, "version": [3, 2, 0]}


def ubjson(value) -> bytes:
    length = lambda text: b"L" + struct.pack(">q", len(text))  # noqa: E731
    match value:
        case dict():
            members = (length(name) + name.encode() + ubjson(member) for name, member in value.items())
            return b"{" + b"".join(members) + b"}"
        case list() if any(isinstance(element, float) for element in value):
            return b"[$d#" + length(value) + struct.pack(f">{len(value)}f", *value)
        case list():
            return b"[#" + length(value) + b"".join(map(ubjson, value))
        case str():
            return b"S" + length(value) + value.encode()
        case _:
            return b"l" + struct.pack(">i", value)


LIGHTGBM = b"""tree
version=v4
num_tree_per_iteration=1
max_feature_idx=1
objective=binary sigmoid:1

Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
threshold=0.5 0
decision_type=6 1
left_child=-1 -2
right_child=1 -3
leaf_value=1 2 3
leaf_count=5 3 2
internal_count=10 5
cat_boundaries=0 2
cat_threshold=2 2
is_linear=0

end of trees
"""


def treelite(leaf_vectors: bool) -> bytes:
    """A checkpoint of one tree of three nodes, whose leaves have one value or two."""
    array = lambda kind, *values: struct.pack(f"<Q{len(values)}{kind}", len(values), *values)  # noqa: E731
    classes = 2 if leaf_vectors else 1
    found = struct.pack("<3iBBQiBBi", 4, 8, 1, 3, 3, 1, 2, 2 if leaf_vectors else 1, 1, 1)
    found += array("i", classes) + array("i", 1, classes) + array("i", 0) + array("i", -1 if leaf_vectors else 0)
    found += array("B", *b"softmax" if leaf_vectors else b"identity") + struct.pack("<ff", 1, 1)
    found += array("d", *[0.5] * classes) + array("B") + struct.pack("<i", 0)
    found += struct.pack("<iB", 3, 0) + array("B", 1, 0, 0) + array("i", 1, -1, -1) + array("i", 2, -1, -1)
    found += array("i", 1, -1, -1) + array("B", 1, 0, 0) + array("d", 0, 1, 2) + array("d", 0.5, 0, 0)
    found += array("B", 2, 0, 0) + array("B", 0, 0, 0)
    vectors = (0.25, 0.75, 0.5, 0.5) if leaf_vectors else ()
    found += array("d", *vectors) + array("Q", 0, 0, 2 if vectors else 0) + array("Q", 0, *((2, 4) if vectors else (0, 0)))
    found += array("I") + array("Q", 0, 0, 0) + array("Q", 0, 0, 0)
    found += array("Q", 9, 5, 4) + array("B", 1, 1, 1) + array("d") + array("B") + array("d") + array("B")
    return found + struct.pack("<ii", 0, 0)


def forest_seeds():
    plain = xgboost("binary:logistic", [XGBOOST_TREE], [0])
    classes = xgboost("multi:softprob", [XGBOOST_TREE] * 2, [0, 1], num_class="2", base_score="[1,2]")
    vector = XGBOOST_TREE | {"split_type": [0] * 5, "leaf_weights": [1, 2, 3, 4, 5, 6]}
    vector |= {"right_children": [2, 0, 4, 1, 2], "tree_param": {"num_nodes": "5", "size_leaf_vector": "2"}}
    vectors = xgboost("reg:squarederror", [vector], [0], num_target="2")
    dart = xgboost("rank:ndcg", [XGBOOST_TREE], [0])
    dart["learner"]["gradient_booster"] |= {"name": "dart", "weight_drop": [0.5]}
    dart["learner"]["gradient_booster"]["gbtree"] = {"model": dart["learner"]["gradient_booster"].pop("model"), "name": "gbtree"}
    for name, document in (("binary", plain), ("classes", classes), ("vectors", vectors), ("dart", dart)):
        write("forest", f"json_{name}", b"j" + json.dumps(document).encode())
        write("forest", f"ubjson_{name}", b"u" + ubjson(document))
    write("forest", "lightgbm", b"l" + LIGHTGBM)
    write("forest", "lightgbm_average", b"l" + LIGHTGBM.replace(b"\n\nTree", b"\naverage_output\n\nTree"))
    write("forest", "treelite", b"t" + treelite(False))
    write("forest", "treelite_vectors", b"t" + treelite(True))
    tree = {"outputs": [0, 1, 1], "left": [1, -1, 3, -1, -1], "right": [2, -1, 4, -1, -1], "feature": [0, 0, 1, 0, 0]}
    tree |= {"threshold": [0.5, 0, 0, 0, 0], "default_left": [1, 0, 0, 0, 0], "cover": [5, 2, 3, 1, 2], "values": [1, 2, 4]}
    tree |= {"category_nodes": [2], "category_starts": [0, 1], "categories": [3]}
    exported = {"format": "nereid-forest", "version": 1, "task": "binary", "feature_count": 2, "targets": 1, "classes": 1}
    exported |= {"base_scores": [0.25], "averaged": True, "link": {"name": "sigmoid", "alpha": 1}, "trees": [tree]}
    write("forest", "exported", b"e" + json.dumps(exported).encode())


def image_seeds():
    """Small pictures of every form that a decoder tells apart."""
    y, x = np.mgrid[0:11, 0:13]
    colour = np.stack([x * 19, y * 23, (x * y) % 256], -1).astype(np.uint8)
    forms = {"rgb": Image.fromarray(colour), "grey": Image.fromarray(colour[:, :, 2])}
    forms["rgba"] = Image.fromarray(np.dstack([colour, colour[:, :, 0]]))
    forms |= {"palette": forms["rgb"].quantize(8), "bits": forms["grey"].convert("1")}
    forms["deep"] = Image.fromarray(colour[:, :, 2].astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    files = {f"png_{name}": (image, "PNG", {}) for name, image in forms.items()}
    files |= {f"jpeg_{name}": (forms[name], "JPEG", {"exif": turned}) for name in ("rgb", "grey")}
    files["jpeg_progressive"] = (forms["rgb"], "JPEG", {"progressive": True, "quality": 50})
    files["jpeg_cmyk"] = (forms["rgb"].convert("CMYK"), "JPEG", {})
    files |= {f"webp_{name}": (forms[name], "WEBP", {"quality": 40}) for name in ("rgb", "rgba")}
    files["webp_lossless"] = (forms["rgba"], "WEBP", {"lossless": True})
    for name, (image, form, options) in files.items():
        file = io.BytesIO()
        image.save(file, form, **options)
        write("image", name, file.getvalue())


def frame(header: dict, payload: bytes = b"", place: int = 0) -> bytes:
    text = json.dumps(header).encode()
    return b"NPY2" + bytes([place, 0, 0, 0]) + struct.pack("<IQ", len(text), len(payload)) + text + payload


def python_frame_seeds():
    """What a runner says on both of its connections."""
    strings = struct.pack("<I", 3) + b"abc" + struct.pack("<I", 0)
    rows = [["Y", "FP32", [2], 0, 8], ["T", "BYTES", [2], 64, len(strings)]]
    payload = struct.pack("<2f", 1.5, -2.0).ljust(64, b"\0") + strings
    answers = [{"o": rows, "p": {"a": True, "b": 1, "c": 0.5, "d": "x"}}, "deferred", "again", {"e": [3, "no"]}]
    call = {"op": "infer", "call": 1, "model": "m", "version": -1, "rid": "r", "corr": 7, "flags": 3, "timeout": 0}
    call |= {"want": ["Y"], "in": rows, "trace": 0, "decoupled": False}
    frames = {
        "executed": ({"answers": answers}, payload),
        "failed": ({"error": "it raised"}, b""),
        "loaded": ({"has_is_ready": True, "config": {"max_batch_size": 4}}, b""),
        "call": (call, payload),
        "send": ({"op": "send", "call": 2, "slot": 3, "final": True, "response": {"o": rows}}, payload),
        "log": ({"op": "log", "level": "INFO", "text": "said"}, b""),
        "load": ({"op": "load", "call": 4, "model": "m", "config": "{}", "files": [["1/model.py", 0, 8]]}, payload),
        "ready": ({"op": "readiness", "call": 5, "ready": False, "error": "tired"}, b""),
    }
    for name, (header, content) in frames.items():
        write("python_frames", name, frame(header, content))


grpc_seeds()
compressed_seeds()
forest_seeds()
image_seeds()
python_frame_seeds()
