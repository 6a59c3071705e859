"""Writes the small ONNX files that the tests serve.

    pip install numpy onnx
    python3 tests/models/make_onnx_fixtures.py

Every file is written for operator set 17 and file format 8, which all supported versions of ONNX Runtime read; the
`onnx` package would stamp its newest, which they may not.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent

TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def tensor(name, element_type, shape):
    return helper.make_tensor_value_info(name, element_type, shape)


def save(name, nodes, inputs, outputs, weights=(), opset=17):
    constants = [numpy_helper.from_array(value, key) for key, value in dict(weights).items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if opset == 17:
        onnx.checker.check_model(model)
    onnx.save(model, HERE / f"{name}.onnx")


def identity_all_types():
    """OUT_T = IN_T for every element type; batches."""
    nodes = [helper.make_node("Identity", [f"IN_{name}"], [f"OUT_{name}"]) for name in TYPES]
    inputs = [tensor(f"IN_{name}", kind, ["batch", 2]) for name, kind in TYPES.items()]
    outputs = [tensor(f"OUT_{name}", kind, ["batch", 2]) for name, kind in TYPES.items()]
    save("identity_all_types", nodes, inputs, outputs)


def add_sub():
    """Sum and difference of two rows of 16 integers; batches."""
    nodes = [
        helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
        helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
    ]
    inputs = [tensor(f"INPUT{index}", TensorProto.INT32, ["batch", 16]) for index in range(2)]
    outputs = [tensor(f"OUTPUT{index}", TensorProto.INT32, ["batch", 16]) for index in range(2)]
    save("add_sub", nodes, inputs, outputs)


def string_identity():
    """Strings in rows of any length; batches."""
    nodes = [helper.make_node("Identity", ["TEXT"], ["SAME"])]
    shape = ["batch", "words"]
    save(
        "string_identity", nodes, [tensor("TEXT", TensorProto.STRING, shape)], [tensor("SAME", TensorProto.STRING, shape)]
    )


def dynamic_shapes():
    """The transposed matrix, and where it is not zero: shapes that only the run tells; does not batch."""
    nodes = [
        helper.make_node("Transpose", ["X"], ["TRANSPOSED"]),
        helper.make_node("NonZero", ["X"], ["POSITIONS"]),
    ]
    outputs = [
        tensor("TRANSPOSED", TensorProto.FLOAT, ["columns", "rows"]),
        tensor("POSITIONS", TensorProto.INT64, [2, "found"]),
    ]
    save("dynamic_shapes", nodes, [tensor("X", TensorProto.FLOAT, ["rows", "columns"])], outputs)


def mlp():
    """4 -> 16 -> 3 with ReLU; batches."""
    generator = np.random.default_rng(0)
    weights = {
        "W0": generator.standard_normal((4, 16)).astype(np.float32),
        "B0": generator.standard_normal(16).astype(np.float32),
        "W1": generator.standard_normal((16, 3)).astype(np.float32),
        "B1": generator.standard_normal(3).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["X", "W0", "B0"], ["H"]),
        helper.make_node("Relu", ["H"], ["R"]),
        helper.make_node("Gemm", ["R", "W1", "B1"], ["Y"]),
    ]
    inputs, outputs = [tensor("X", TensorProto.FLOAT, ["batch", 4])], [tensor("Y", TensorProto.FLOAT, ["batch", 3])]
    save("mlp", nodes, inputs, outputs, weights)


def batch_gain(name: str, layers: int):
    """Layers of 1024 x 1024 whose weights (4 MiB each) are computed when the file is loaded: reading them costs the same
    for one row as for many, so batching pays. The bias keeps values away from zero: without it they shrink layer by layer to
    denormal numbers, with which a processor computes many times slower."""
    size = 1024
    weights = {
        "start": np.float32(0),
        "stop": np.float32(size * size),
        "step": np.float32(1),
        "square": np.array([size, size], np.int64),
        "scale": np.float32(1 / 32),
        "bias": np.float32(0.5),
    }
    nodes = [helper.make_node("Range", ["start", "stop", "step"], ["numbers"])]
    x = "X"
    for layer in range(layers):
        weights[f"speed{layer}"] = np.float32(0.7 + 0.1 * layer)
        nodes += [
            helper.make_node("Mul", ["numbers", f"speed{layer}"], [f"angles{layer}"]),
            helper.make_node("Sin", [f"angles{layer}"], [f"waves{layer}"]),
            helper.make_node("Mul", [f"waves{layer}", "scale"], [f"small{layer}"]),
            helper.make_node("Reshape", [f"small{layer}", "square"], [f"W{layer}"]),
            helper.make_node("MatMul", [x, f"W{layer}"], [f"M{layer}"]),
            helper.make_node("Add", [f"M{layer}", "bias"], [f"A{layer}"]),
            helper.make_node("Tanh", [f"A{layer}"], [x := "Y" if layer + 1 == layers else f"T{layer}"]),
        ]
    shape = ["batch", size]
    save(name, nodes, [tensor("X", TensorProto.FLOAT, shape)], [tensor("Y", TensorProto.FLOAT, shape)], weights)


def lookup():
    """The element of a table of four at an index; an index outside fails the run; batches."""
    nodes = [helper.make_node("Gather", ["table", "INDEX"], ["VALUE"])]
    inputs = [tensor("INDEX", TensorProto.INT64, ["batch", 1])]
    outputs = [tensor("VALUE", TensorProto.FLOAT, ["batch", 1])]
    save("lookup", nodes, inputs, outputs, {"table": np.array([10, 20, 30, 40], np.float32)})


def scalar_per_row():
    """Doubles one number per row: the batch is the only dimension."""
    nodes = [helper.make_node("Add", ["X", "X"], ["Y"])]
    save("scalar_per_row", nodes, [tensor("X", TensorProto.INT64, ["batch"])], [tensor("Y", TensorProto.INT64, ["batch"])])


def scalar():
    """Doubles a number without dimensions; does not batch."""
    nodes = [helper.make_node("Add", ["X", "X"], ["Y"])]
    save("scalar", nodes, [tensor("X", TensorProto.FLOAT, [])], [tensor("Y", TensorProto.FLOAT, [])])


def transpose_grids():
    """Transposes 2 x 2 grids, any number in a row of a batch: for a reshape from rows of four; batches."""
    nodes = [helper.make_node("Transpose", ["X"], ["Y"], perm=[0, 1, 3, 2])]
    shape = ["batch", "grids", 2, 2]
    save("transpose_grids", nodes, [tensor("X", TensorProto.FLOAT, shape)], [tensor("Y", TensorProto.FLOAT, shape)])


def ragged():
    """The sum of each request's elements times its scale, and the elements doubled. The requests' elements lie end to end in
    VALUES, and BOUNDS says where each of them begins and ends; a request is one row of a batch."""
    nodes = [
        helper.make_node("CumSum", ["VALUES", "axis"], ["RUNNING"]),
        helper.make_node("Concat", ["nothing", "RUNNING"], ["UP_TO"], axis=0),
        helper.make_node("Gather", ["UP_TO", "BOUNDS"], ["AT_BOUNDS"]),
        helper.make_node("Slice", ["AT_BOUNDS", "one", "end"], ["AT_ENDS"]),
        helper.make_node("Slice", ["AT_BOUNDS", "zero", "minus_one"], ["AT_BEGINS"]),
        helper.make_node("Sub", ["AT_ENDS", "AT_BEGINS"], ["SUMS"]),
        helper.make_node("Unsqueeze", ["SUMS", "one"], ["COLUMN"]),
        helper.make_node("Mul", ["COLUMN", "SCALE"], ["SUM"]),
        helper.make_node("Add", ["VALUES", "VALUES"], ["DOUBLED"]),
    ]
    inputs = [
        tensor("VALUES", TensorProto.FLOAT, ["elements"]),
        tensor("BOUNDS", TensorProto.INT32, ["requests_and_one"]),
        tensor("SCALE", TensorProto.FLOAT, ["batch", 1]),
    ]
    outputs = [tensor("SUM", TensorProto.FLOAT, ["batch", 1]), tensor("DOUBLED", TensorProto.FLOAT, ["elements"])]
    weights = {
        "axis": np.int64(0),
        "nothing": np.zeros(1, np.float32),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "minus_one": np.array([-1], np.int64),
        "end": np.array([np.iinfo(np.int64).max], np.int64),
    }
    save("ragged", nodes, inputs, outputs, weights)


def batch_tensors():
    """Gives every request what the model is told about the batch: a request is one row, and each row has all of it."""
    flat = {"COUNTS": "INT32", "ENDS": "FP32", "BOUNDS": "INT32", "SHAPES_FLAT": "FP32"}
    nodes = [
        helper.make_node("Shape", ["COUNTS"], ["REQUESTS"]),
        helper.make_node("Concat", ["REQUESTS", "one"], ["ROWS"], axis=0),
        helper.make_node("Shape", ["LONGEST"], ["LENGTH"]),
        helper.make_node("Identity", ["SHAPES"], ["OUT_SHAPES"]),
        helper.make_node("Shape", ["VALUES"], ["ELEMENTS"]),
    ]
    for name in [*flat, "LENGTH", "ELEMENTS"]:
        nodes.append(helper.make_node("Expand", [name, "ROWS"], [f"OUT_{name}"]))
    inputs = [tensor("VALUES", TensorProto.FLOAT, ["elements"]), tensor("LONGEST", TensorProto.FLOAT, ["longest"])]
    inputs += [tensor(name, TYPES[kind], [f"n_{name}"]) for name, kind in flat.items()]
    inputs.append(tensor("SHAPES", TensorProto.INT32, ["batch", 2]))
    outputs = [tensor(f"OUT_{name}", TYPES[kind], ["batch", f"n_{name}"]) for name, kind in flat.items()]
    outputs += [tensor(f"OUT_{name}", TensorProto.INT64, ["batch", 1]) for name in ("LENGTH", "ELEMENTS")]
    outputs.append(tensor("OUT_SHAPES", TensorProto.INT32, ["batch", 2]))
    save("batch_tensors", nodes, inputs, outputs, {"one": np.array([1], np.int64)})


def with_default():
    """X times FACTOR, which is 3 where nobody says otherwise; any shape; does not batch."""
    nodes = [helper.make_node("Mul", ["X", "FACTOR"], ["Y"])]
    inputs = [tensor("X", TensorProto.FLOAT, ["n"]), tensor("FACTOR", TensorProto.FLOAT, [1])]
    weights = {"FACTOR": np.array([3], np.float32)}
    save("with_default", nodes, inputs, [tensor("Y", TensorProto.FLOAT, ["n"])], weights)


def sequence_sum(name, id_type):
    """The sum of a sequence's inputs, kept by the host; what the control inputs said comes back as outputs; batches."""
    nodes = [
        helper.make_node("Mul", ["INPUT", "READY"], ["MEANT"]),
        helper.make_node("Add", ["SUM_IN", "MEANT"], ["OUTPUT"]),
        helper.make_node("Identity", ["OUTPUT"], ["SUM_OUT"]),
        helper.make_node("Identity", ["START"], ["STARTED"]),
        helper.make_node("Identity", ["END"], ["ENDED"]),
        helper.make_node("Identity", ["ID"], ["SEQUENCE"]),
    ]
    column = ["batch", 1]
    inputs = [tensor(name, TensorProto.INT32, column) for name in ("INPUT", "READY", "SUM_IN")]
    inputs += [tensor("START", TensorProto.FLOAT, column), tensor("END", TensorProto.BOOL, column)]
    outputs = [tensor(name, TensorProto.INT32, column) for name in ("OUTPUT", "SUM_OUT")]
    outputs += [tensor("STARTED", TensorProto.FLOAT, column), tensor("ENDED", TensorProto.BOOL, column)]
    save(name, nodes, inputs + [tensor("ID", id_type, column)], outputs + [tensor("SEQUENCE", id_type, column)])


def collatz():
    """One step of the Collatz iteration from N: halve what is even, else three times it and one more. How many steps it
    took is kept by the host, and MORE says that 1 has not been reached; batches."""
    weights = {
        "zero": np.array([0], np.int32),
        "one": np.array([1], np.int32),
        "two": np.array([2], np.int32),
        "three": np.array([3], np.int32),
    }
    nodes = [
        helper.make_node("Where", ["START", "N", "VALUE_IN"], ["value"]),
        helper.make_node("Mod", ["value", "two"], ["odd"]),
        helper.make_node("Equal", ["odd", "zero"], ["is_even"]),
        helper.make_node("Div", ["value", "two"], ["half"]),
        helper.make_node("Mul", ["value", "three"], ["triple"]),
        helper.make_node("Add", ["triple", "one"], ["grown"]),
        helper.make_node("Where", ["is_even", "half", "grown"], ["VALUE_OUT"]),
        helper.make_node("Add", ["STEPS_IN", "one"], ["STEPS_OUT"]),
        helper.make_node("Identity", ["STEPS_OUT"], ["STEPS"]),
        helper.make_node("Equal", ["VALUE_OUT", "one"], ["is_done"]),
        helper.make_node("Not", ["is_done"], ["MORE"]),
        helper.make_node("Identity", ["ID"], ["SEQUENCE"]),
    ]
    column = ["batch", 1]
    inputs = [tensor(name, TensorProto.INT32, column) for name in ("N", "VALUE_IN", "STEPS_IN")]
    inputs += [tensor("START", TensorProto.BOOL, column), tensor("ID", TensorProto.UINT64, column)]
    outputs = [tensor(name, TensorProto.INT32, column) for name in ("STEPS", "VALUE_OUT", "STEPS_OUT")]
    outputs += [tensor("MORE", TensorProto.BOOL, column), tensor("SEQUENCE", TensorProto.UINT64, column)]
    save("collatz", nodes, inputs, outputs, weights)


def growing_state():
    """The inputs of a sequence so far, one row longer with every request, as a decoder's cache of keys: its first row is
    the zero that it starts with; batches."""
    weights = {"axis": np.array([1], np.int64)}
    nodes = [
        helper.make_node("Unsqueeze", ["INPUT", "axis"], ["row"]),
        helper.make_node("Concat", ["CACHE_IN", "row"], ["CACHE_OUT"], axis=1),
        helper.make_node("Identity", ["CACHE_OUT"], ["SEEN"]),
    ]
    inputs = [tensor("INPUT", TensorProto.FLOAT, ["batch", 2]), tensor("CACHE_IN", TensorProto.FLOAT, ["batch", "past", 2])]
    outputs = [tensor(name, TensorProto.FLOAT, ["batch", "all", 2]) for name in ("SEEN", "CACHE_OUT")]
    save("growing_state", nodes, inputs, outputs, weights)


def fill():
    """A quarter of a million times the number: a small input with an output of a megabyte."""
    nodes = [helper.make_node("Expand", ["IN", "shape"], ["OUT"])]
    outputs = [tensor("OUT", TensorProto.INT32, [262_144])]
    save("fill", nodes, [tensor("IN", TensorProto.INT32, [1])], outputs, {"shape": np.array([262_144], np.int64)})


def sequence_output():
    """A tensor, and a sequence of tensors, which the protocol cannot carry."""
    nodes = [
        helper.make_node("Identity", ["X"], ["SAME"]),
        helper.make_node("SequenceConstruct", ["X", "X"], ["PAIR"]),
    ]
    pair = helper.make_tensor_sequence_value_info("PAIR", TensorProto.FLOAT, ["batch", 2])
    same = tensor("SAME", TensorProto.FLOAT, ["batch", 2])
    save("sequence_output", nodes, [tensor("X", TensorProto.FLOAT, ["batch", 2])], [same, pair])


def future_opset():
    """Written for an operator set that does not exist yet."""
    nodes = [helper.make_node("Identity", ["X"], ["Y"])]
    shape = ["batch", 2]
    save("future_opset", nodes, [tensor("X", TensorProto.FLOAT, shape)], [tensor("Y", TensorProto.FLOAT, shape)], opset=99)


if __name__ == "__main__":
    identity_all_types()
    add_sub()
    string_identity()
    dynamic_shapes()
    mlp()
    batch_gain("batch_gain", layers=4)
    # Long enough that serving it costs little beside: ten milliseconds for a full batch.
    batch_gain("batch_gain_long", layers=32)
    lookup()
    scalar_per_row()
    scalar()
    transpose_grids()
    ragged()
    batch_tensors()
    with_default()
    sequence_sum("sequence_sum", TensorProto.UINT64)
    sequence_sum("sequence_sum_text", TensorProto.STRING)
    collatz()
    growing_state()
    fill()
    sequence_output()
    future_opset()
