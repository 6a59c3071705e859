"""Makes the detector of this example: it finds red, green and blue discs on other backgrounds.

    pip install numpy onnx pillow
    python3 examples/detection/make_discs.py

Written, and committed: `model_repository/discs/1/model.onnx`, and `scene.png`, a picture to ask about. Nothing is trained: a
disc of a colour is where the colour's excess over the other two is larger inside of a circle than in the ring around it,
which convolutions measure at every fourth pixel and in five sizes. Names and form are those of a YOLOv8 export: `images`
`[n, 3, 160, 160]` in, `output0` `[n, 4 + 3, 8000]` out, so that a detector of your own can take its place.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw

HERE = pathlib.Path(__file__).resolve().parent

SIDE, STRIDE = 160, 4
RADII = (6, 8, 11, 15, 20)
# Where the ring around a disc ends, in radii.
RING = 1.4
COLOURS = ("red", "green", "blue")


def filters() -> np.ndarray:
    """One kernel per radius: the mean inside less the mean in the ring."""
    reach = int(RADII[-1] * RING) + 1
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(rows, columns)
    kernels = []
    for radius in RADII:
        inside, around = distance <= radius, (distance > radius) & (distance <= radius * RING)
        kernels.append(inside / inside.sum() - around / around.sum())
    return np.stack(kernels)[:, None].astype(np.float32)


def boxes() -> np.ndarray:
    """Middle, width and height of every anchor, radius by radius, row by row."""
    rows, columns = np.mgrid[0:SIDE:STRIDE, 0:SIDE:STRIDE] + 0.5
    middles = np.stack([columns.ravel(), rows.ravel()])
    sized = [np.concatenate([middles, np.full_like(middles, 2 * radius)]) for radius in RADII]
    return np.concatenate(sized, axis=1)[None].astype(np.float32)


def detector() -> onnx.ModelProto:
    reach, anchors = int(RADII[-1] * RING) + 1, len(RADII) * (SIDE // STRIDE) ** 2
    excess = (1.5 * np.eye(3) - 0.5)[:, :, None, None].astype(np.float32)
    constants = {
        "excess": excess, "filters": filters(), "boxes": boxes(), "zero": np.zeros((1, 3, 1), np.float32),
        "planes": np.array([-1, 1, SIDE, SIDE]), "flat": np.array([-1, 3, anchors]),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Conv", ["images", "excess"], ["differences"]),
        # Dark colours are as good as light ones.
        node("ReduceMax", ["images"], ["light"], axes=[1], keepdims=1),
        node("Add", ["light", "dark"], ["brightness"]),
        node("Div", ["differences", "brightness"], ["shares"]),
        node("Relu", ["shares"], ["colours"]),
        node("Reshape", ["colours", "planes"], ["each"]),
        node("Conv", ["each", "filters"], ["responses"], strides=[STRIDE] * 2, pads=[reach] * 4),
        node("Reshape", ["responses", "flat"], ["scores_below_zero_too"]),
        node("Clip", ["scores_below_zero_too", "least", "most"], ["scores"]),
        # The same boxes for every image of the batch.
        node("Mul", ["scores", "zero"], ["nothing"]),
        node("ReduceMax", ["nothing"], ["no_row"], axes=[1], keepdims=1),
        node("Add", ["no_row", "boxes"], ["batch_of_boxes"]),
        node("Concat", ["batch_of_boxes", "scores"], ["output0"], axis=1),
    ]
    scalars = {"least": 0, "most": 1, "dark": 0.05}
    constants |= {name: np.array(value, np.float32) for name, value in scalars.items()}
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 7, anchors])
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "discs", [images], [output], weights)
    # Operator set and file format that all supported versions of ONNX Runtime read.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def scene() -> Image.Image:
    picture = Image.new("RGB", (480, 360), (190, 180, 160))
    draw = ImageDraw.Draw(picture)
    for colour, (x, y), radius in (("red", (110, 100), 45), ("green", (300, 90), 25), ("blue", (370, 260), 60), ("red", (180, 280), 20)):
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
    return picture


def main():
    path = HERE / "model_repository/discs/1/model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(detector(), path)
    scene().save(HERE / "scene.png")
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
