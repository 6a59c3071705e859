"""The demo's pipeline as Triton's Python backend needs it: the `model.py` of each of its models, which the name of the model tells apart.

`image_preprocess`, the two networks and `label_mapper` are the steps of the ensemble `vision_pipeline`. `vision_bls` does the first and the last by
itself and calls the networks between them. Pillow and NumPy do what the plugins' host does with its operations.
"""

import io
import pathlib
import sys

import numpy as np
import triton_python_backend_utils as pb_utils

CONFIDENCE_MIN, BEST = 0.8, 3
SIDE, MEAN, STD = 28, np.float32(0.3), np.float32(0.35)


def preprocess(files: np.ndarray) -> np.ndarray:
    from PIL import Image

    tensors = []
    for file in files.reshape(-1):
        with Image.open(io.BytesIO(file)) as image:
            small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        tensors.append((np.asarray(small, np.float32) / 255 - MEAN) / STD)
    return np.stack(tensors)[:, None]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def labels(logits: np.ndarray) -> dict[str, np.ndarray]:
    probability = softmax(logits)
    best = np.argsort(-probability, axis=1)[:, :BEST]
    label = np.array([[str(digit).encode() for digit in row] for row in best], np.object_)
    return {"label": label, "probability": np.take_along_axis(probability, best, axis=1)}


def ask(model: str, images: np.ndarray) -> np.ndarray:
    request = pb_utils.InferenceRequest(
        model_name=model, requested_output_names=["logits"], inputs=[pb_utils.Tensor("image", images)]
    )
    response = request.exec()
    if response.has_error():
        raise pb_utils.TritonModelException(response.error().message())
    return pb_utils.get_output_tensor_by_name(response, "logits").as_numpy()


def cascade(files: np.ndarray) -> dict[str, np.ndarray]:
    images = preprocess(files)
    logits = ask("digits_cnn", images)
    unsure = softmax(logits).max(axis=1) < CONFIDENCE_MIN
    if unsure.any():
        logits = logits.copy()
        logits[unsure] = ask("digits_cnn_large", images[unsure])
    model = np.where(unsure, b"digits_cnn_large", b"digits_cnn").astype(np.object_)[:, None]
    return labels(logits) | {"model": model}


class TritonPythonModel:
    def initialize(self, args):
        # An isolated interpreter: Pillow and ONNX Runtime lie where the bench says.
        folder = pathlib.Path(args["model_repository"])
        sys.path.append((folder.parent / "packages.txt").read_text())
        name = args["model_name"]
        if name.startswith("digits"):
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(folder / "1/model.onnx", options, providers=["CPUExecutionProvider"])
            self.work = lambda images: {"logits": session.run(None, {"image": images})[0]}
        else:
            steps = {"image_preprocess": lambda files: {"tensor": preprocess(files)}, "label_mapper": labels}
            self.work = steps.get(name, cascade)
        self.input = "logits" if name == "label_mapper" else "image"

    def execute(self, requests):
        responses = []
        for request in requests:
            outputs = self.work(pb_utils.get_input_tensor_by_name(request, self.input).as_numpy())
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor(*output) for output in outputs.items()]))
        return responses
