"""Writes the digits model of `tests/models/torch` as a TensorFlow SavedModel and as OpenVINO IR, and small models beside it.

    python3 -m venv /tmp/openvino_models && /tmp/openvino_models/bin/pip install -r tests/models/openvino/requirements.txt
    /tmp/openvino_models/bin/python tests/models/openvino/make_models.py

The weights are those that `tests/models/torch/make_models.py` trains, so that `digits_mlp.expected.json` there says what is right.
Everything written is committed; neither TensorFlow nor OpenVINO's Python side is needed by the tests.
"""

import pathlib
import sys

import numpy as np
import openvino
import tensorflow as tf
from openvino import opset13 as ops

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "torch"))
import make_models as digits  # noqa: E402  (the one beside the TorchScript models)


class DigitsModule(tf.Module):
    """A module with one signature: `pixels` in, `probabilities` and `label` out."""

    def __init__(self, weights, biases):
        super().__init__()
        self.weights = [tf.Variable(np.float32(values)) for values in weights]
        self.biases = [tf.Variable(np.float32(values)) for values in biases]

    @tf.function(input_signature=[tf.TensorSpec([None, 64], tf.float32, name="pixels")])
    def serve(self, pixels):
        hidden = tf.nn.relu(pixels / 16.0 @ self.weights[0] + self.biases[0])
        probabilities = tf.nn.softmax(hidden @ self.weights[1] + self.biases[1])
        return {"probabilities": probabilities, "label": tf.argmax(probabilities, axis=1)}


def write_saved_model(model):
    module = DigitsModule(model.coefs_, model.intercepts_)
    tf.saved_model.save(module, str(HERE / "digits.savedmodel"), signatures={"serving_default": module.serve})


def parameter(shape, name, kind=np.float32):
    node = ops.parameter(shape, kind, name=name)
    node.output(0).get_tensor().set_names({name})
    return node


def result(node, name):
    node.output(0).get_tensor().set_names({name})
    return node


def digits_ir(model, rows):
    """The same network; `rows` is the batch dimension."""
    pixels = parameter([rows, 64], "pixels")
    layer = ops.divide(pixels, np.float32(16))
    for weights, biases, activate in zip(
        model.coefs_, model.intercepts_, (ops.relu, lambda node: ops.softmax(node, axis=1)), strict=True
    ):
        layer = activate(ops.add(ops.matmul(layer, np.float32(weights), False, False), np.float32(biases)))
    return openvino.Model([result(layer, "probabilities")], [pixels], "digits")


def every_type():
    """An input and an output of each element type that OpenVINO shares with the protocol, passed through."""
    kinds = {"BOOL": "boolean", "FP16": "f16", "BF16": "bf16", "FP32": "f32", "FP64": "f64"}
    kinds |= {f"{sign}INT{bits}": f"{sign.lower() or 'i'}{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
    inputs, outputs = [], []
    for name, kind in kinds.items():
        node = parameter([-1, 2], f"IN_{name}", getattr(openvino.Type, kind))
        inputs.append(node)
        # A layout of its own, so that the output has a name beside the input's.
        outputs.append(result(ops.reshape(node, np.array([-1, 2], dtype=np.int64), False), f"OUT_{name}"))
    return openvino.Model(outputs, inputs, "every_type")


def main():
    model, _, _ = digits.train()
    write_saved_model(model)
    openvino.save_model(digits_ir(model, -1), HERE / "digits.xml", compress_to_fp16=False)
    openvino.save_model(digits_ir(model, 1), HERE / "digits_one_row.xml", compress_to_fp16=False)
    openvino.save_model(every_type(), HERE / "every_type.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
