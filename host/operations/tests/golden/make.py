"""Writes the values that NumPy and Pillow give, for host/operations/tests/golden.rs to compare with.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install numpy==2.4.6 pillow==13.0.0
    /tmp/golden/bin/python host/operations/tests/golden/make.py

The results are committed, one file per group of operations, so nobody else needs to. Every case has an operation, its
inputs and arguments, the outputs, and how far a number may be from them (0: the same bits).
"""

import base64
import io
import json
import pathlib
import struct

import numpy as np
from PIL import Image

FOLDER = pathlib.Path(__file__).resolve().parent
RANDOM = np.random.default_rng(20261127)
KINDS = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip


def tensor(array) -> dict:
    if isinstance(array, list):
        data = b"".join(struct.pack("<I", len(element)) + element for element in array)
        return {"type": "BYTES", "shape": [len(array)], "data": base64.b64encode(data).decode()}
    if isinstance(array, Bf16):
        return {"type": "BF16", "shape": list(array.bits.shape), "data": base64.b64encode(array.bits.tobytes()).decode()}
    array = np.ascontiguousarray(array)
    return {"type": KINDS[array.dtype.name], "shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()}


class Bf16:
    """NumPy has no such type: FP32 rounded to the nearest, ties to even, in its upper half."""

    def __init__(self, values):
        bits = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        self.bits = rounded.astype(np.uint16)

    def to_float(self):
        return (self.bits.astype(np.uint32) << 16).view(np.float32)


def case(operation: str, inputs: list, outputs: list, tolerance: float = 0, **arguments) -> dict:
    inputs, outputs = [tensor(array) for array in inputs], [tensor(array) for array in outputs]
    return {"operation": operation, "arguments": arguments, "inputs": inputs, "outputs": outputs, "tolerance": tolerance}


def write(name: str, cases: list):
    lines = ",\n".join(json.dumps(one) for one in cases)
    (FOLDER / f"{name}.json").write_text(f"[\n{lines}\n]\n")


def cast_cases():
    """Values that both types hold: what NumPy does beyond is not defined."""
    small = np.array([0, 1, 2, 100, 127, 5, 63], np.float64)
    names = [name for name in KINDS if name != "bool"]
    cases = []
    for source in names:
        for target in names:
            cases.append(case("cast", [small.astype(source)], [small.astype(source).astype(target)], to=KINDS[target]))
    numbers = RANDOM.normal(0, 1000, 64).astype(np.float32)
    numbers[:6] = [np.inf, -np.inf, 65504, 65520, 6e-8, 2**-25]
    with np.errstate(over="ignore"):
        cases.append(case("cast", [numbers], [numbers.astype(np.float16)], to="FP16"))
    cases.append(case("cast", [numbers], [Bf16(numbers)], to="BF16"))
    cases.append(case("cast", [Bf16(numbers)], [Bf16(numbers).to_float()], to="FP32"))
    finite = numbers[2:]
    cases.append(case("cast", [finite], [finite.astype(np.int32)], to="INT32"))
    cases.append(case("cast", [finite], [np.rint(finite).astype(np.int32)], to="INT32", round_to_nearest=True))
    large = np.array([2**63, 2**64 - 1, 2**53 + 1, 2**24 + 1, 2**24 + 3], np.uint64)
    cases.append(case("cast", [large], [large.astype(np.float32)], to="FP32"))
    cases.append(case("cast", [large], [large.astype(np.float64)], to="FP64"))
    cases.append(case("cast", [np.array([0.0, -0.0, 0.5, np.nan])], [np.array([False, False, True, True])], to="BOOL"))
    cases.append(case("cast", [np.array([True, False])], [np.array([1, 0], np.float32)], to="FP32"))
    return cases


def affine_cases():
    image = RANDOM.integers(0, 256, (2, 5, 7, 3), np.uint8)
    mean, deviation = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    scale = np.float32(1 / 255)
    as_lists = {"mean": mean.tolist(), "deviation": deviation.tolist(), "scale": float(scale)}
    last = (image.astype(np.float32) * scale - mean) / deviation
    planes = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    first = (planes.astype(np.float32) * scale - mean[:, None, None]) / deviation[:, None, None]
    rows = RANDOM.normal(0, 1, (3, 4)).astype(np.float32)
    factors, summands = np.array([2, 0.5, -1], np.float32), np.array([0.1, 0.2, 0.3], np.float32)
    moved = rows * factors[:, None] + summands[:, None]
    halves = rows.astype(np.float16)
    return [
        case("normalise", [image], [last], axis=-1, **as_lists),
        case("normalise", [planes], [first], axis=1, **as_lists),
        case("affine", [rows], [moved], axis=0, scale=factors.tolist(), bias=summands.tolist()),
        case("affine", [halves], [halves.astype(np.float32) * np.float32(3)], axis=1, scale=[3], bias=[]),
    ]


def layout_cases():
    image = RANDOM.integers(0, 256, (2, 4, 5, 3), np.uint8)
    wide = RANDOM.normal(0, 1, (3, 2, 4)).astype(np.float32)
    cases = [
        case("to-channels-first", [image], [image.transpose(0, 3, 1, 2)]),
        case("to-channels-last", [image.transpose(0, 3, 1, 2)], [image]),
        case("transpose", [wide], [wide.transpose(2, 0, 1)], axes=[2, 0, 1]),
        case("concat", [wide, wide[:, :1]], [np.concatenate([wide, wide[:, :1]], 1)], axis=1),
        case("stack", [wide, -wide], [np.stack([wide, -wide], -1)], axis=-1),
        case("split", [wide], np.split(wide, [1], 2), axis=2, extents=[1, 3]),
        case("pad", [wide], [np.pad(wide, ((1, 0), (0, 2), (3, 1)), constant_values=0.5)], before=[1, 0, 3], after=[0, 2, 1], value=0.5),
        case("crop", [image], [image[:, 1:4, 2:5]], top=1, left=2, height=3, width=3),
        case("crop", [image[0]], [image[0, :2, :1]], top=0, left=0, height=2, width=1),
    ]
    return cases


def softmax(x, axis):
    exponentials = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    return (exponentials / exponentials.sum(axis, keepdims=True)).astype(np.float32)


def ranking_cases():
    scores = RANDOM.normal(0, 5, (4, 50)).astype(np.float32)
    whole = RANDOM.integers(-9, 9, (3, 6, 2), np.int64)
    cases = []
    for axis in (0, 1):
        cases.append(case("softmax", [scores], [softmax(scores, axis)], 1e-6, axis=axis))
        order = np.argsort(-scores, axis, kind="stable").take(range(3), axis)
        values = np.take_along_axis(scores, order, axis)
        cases.append(case("top-k", [scores], [values, order.astype(np.int64)], axis=axis, k=3))
    cases.append(case("softmax", [scores.astype(np.float16)], [softmax(scores.astype(np.float16), 1)], 1e-6, axis=-1))
    for axis in (0, 1, 2):
        cases.append(case("argmax", [whole], [np.argmax(whole, axis)], axis=axis))
        order = np.argsort(-whole, axis, kind="stable").take(range(2), axis)
        cases.append(case("top-k", [whole], [np.take_along_axis(whole, order, axis), order], axis=axis, k=2))
    cases += suppression_cases()
    return cases


def suppression_cases():
    corner = RANDOM.uniform(0, 80, (200, 2))
    boxes = np.concatenate([corner, corner + RANDOM.uniform(5, 30, (200, 2))], 1).astype(np.float32)
    scores, classes = RANDOM.uniform(0, 1, 200).astype(np.float32), RANDOM.integers(0, 3, 200, np.int64)
    cases = []
    for overlap in (0.1, 0.45, 0.8):
        kept = suppress(boxes, scores, np.zeros(200), np.float32(overlap))
        cases.append(case("non-maximum-suppression", [boxes, scores], [kept], overlap=overlap))
        kept = suppress(boxes, scores, classes, np.float32(overlap))
        cases.append(case("non-maximum-suppression", [boxes, scores, classes], [kept], overlap=overlap))
    return cases


def suppress(boxes, scores, classes, overlap):
    """The definition, in NumPy's FP32."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept, rest = [], np.argsort(-scores, kind="stable")
    while rest.size:
        best, rest = rest[0], rest[1:]
        kept.append(best)
        least, most = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:], boxes[rest, 2:])
        sides = np.maximum(most - least, np.float32(0))
        common = sides[:, 0] * sides[:, 1]
        ratio = common / (areas[best] + areas[rest] - common)
        rest = rest[(ratio <= overlap) | (classes[rest] != classes[best])]
    return np.array(kept, np.int64)


def picture(height: int, width: int, channels: int):
    """Smooth, with an edge: what photographs are, and what a resize can get wrong."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(9 * x + 4 * y + phase) * 0.5 + 0.5 for phase in range(channels)]
    image = np.stack(waves, -1) * 200 + 20
    image[height // 3 : height // 2, width // 4 : width // 2] = 250
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "antialiased-box": Image.Resampling.BOX,
    "antialiased-bilinear": Image.Resampling.BILINEAR,
    "antialiased-bicubic": Image.Resampling.BICUBIC,
    "antialiased-lanczos": Image.Resampling.LANCZOS,
}


def plain_bilinear(image, height, width):
    """Four neighbours, without antialiasing: OpenCV's INTER_LINEAR and PyTorch's interpolate(align_corners=False)."""

    def places(extent, target):
        at = np.clip((np.arange(target) + 0.5) * extent / target - 0.5, 0, extent - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, extent - 1), at - low

    top, bottom, down = places(image.shape[0], height)
    left, right, across = places(image.shape[1], width)
    image, down, across = image.astype(np.float64), down[:, None, None], across[None, :, None]
    upper = image[top][:, left] * (1 - across) + image[top][:, right] * across
    lower = image[bottom][:, left] * (1 - across) + image[bottom][:, right] * across
    return upper * (1 - down) + lower * down


def resize_cases():
    cases = []
    for channels in (1, 3, 4):
        image = picture(19, 27, channels)
        for height, width in ((8, 10), (25, 41), (19, 6)):
            for name, resample in FILTERS.items():
                # Band by band, because Pillow weighs colours by alpha where it finds four of them.
                bands = [Image.fromarray(image[:, :, band]).resize((width, height), resample) for band in range(channels)]
                expected = np.stack([np.asarray(band) for band in bands], -1)
                arguments = {"height": height, "width": width, "filter": name}
                # The library has weights of 16 bits, Pillow of 22; the lobes of Lanczos make that two levels.
                tolerance = {"nearest": 0, "antialiased-lanczos": 2}.get(name, 1)
                cases.append(case("resize", [image], [expected], tolerance, **arguments))
            expected = np.rint(plain_bilinear(image, height, width)).astype(np.uint8)
            cases.append(case("resize", [image], [expected], 1, height=height, width=width, filter="bilinear"))
    floats = picture(21, 18, 1).astype(np.float32) / 255
    for name in ("antialiased-bilinear", "antialiased-bicubic"):
        expected = np.asarray(Image.fromarray(floats[:, :, 0]).resize((9, 10), FILTERS[name]))[:, :, None]
        cases.append(case("resize", [floats], [expected], 1e-5, height=10, width=9, filter=name))
    expected = plain_bilinear(floats, 30, 7).astype(np.float32)
    cases.append(case("resize", [floats], [expected], 1e-5, height=30, width=7, filter="bilinear"))
    both = np.stack([picture(12, 9, 3), picture(12, 9, 3)[::-1]])
    expected = np.stack([np.asarray(Image.fromarray(one).resize((5, 6), Image.Resampling.BILINEAR)) for one in both])
    cases.append(case("resize", [both], [expected], 1, height=6, width=5, filter="antialiased-bilinear"))
    return cases


def encoded(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decoded(file: bytes, mode: str):
    found = np.asarray(Image.open(io.BytesIO(file)).convert(mode))
    return found if found.ndim == 3 else found[:, :, None]


def image_cases():
    colour, grey, faint = picture(19, 23, 3), picture(19, 23, 1)[:, :, 0], picture(19, 23, 4)
    forms = {"RGB": Image.fromarray(colour), "L": Image.fromarray(grey), "RGBA": Image.fromarray(faint)}
    forms["P"] = forms["RGB"].quantize(16)
    forms["LA"] = Image.merge("LA", [Image.fromarray(faint[:, :, band]) for band in (0, 3)])
    forms["1"] = forms["L"].convert("1")
    cases = []
    for name, image in forms.items():
        files = [(encoded(image, "PNG"), 0)]
        if name in ("RGB", "RGBA"):
            files.append((encoded(image, "WEBP", lossless=True, exact=True), 0))
        for file, tolerance in files:
            for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
                cases.append(case("decode-image", [[file]], [decoded(file, mode)], tolerance, channels=channels))
    cases.append(case("decode-image", [[b"", encoded(forms["L"], "PNG")]], [grey[:, :, None]], index=1, channels=0))
    for options in ({"quality": 95, "subsampling": 0}, {"quality": 80}, {"quality": 80, "progressive": True}):
        file = encoded(forms["RGB"], "JPEG", **options)
        subsampled = "subsampling" not in options
        cases.append(case("decode-image", [[file]], [decoded(file, "RGB")], 6 if subsampled else 2, channels=3))
    file = encoded(forms["L"], "JPEG", quality=90)
    cases.append(case("decode-image", [[file]], [decoded(file, "L")], 2, channels=1))
    file = encoded(forms["RGB"].convert("CMYK"), "JPEG", quality=95)
    cases.append(case("decode-image", [[file]], [decoded(file, "RGB")], 4, channels=3))
    file = encoded(forms["RGB"], "WEBP", quality=90)
    cases.append(case("decode-image", [[file]], [decoded(file, "RGB")], 4, channels=3))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = encoded(forms["L"], "JPEG", quality=95, exif=exif)
        turned = np.asarray(turn(Image.open(io.BytesIO(file))))
        cases.append(case("decode-image", [[file]], [turned[:, :, None]], 2, channels=1))
    cases.append(case("decode-image", [[file]], [decoded(file, "L")], 2, channels=1, keep_orientation=True))
    return cases


def turn(image):
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


if __name__ == "__main__":
    write("cast", cast_cases())
    write("affine", affine_cases())
    write("layout", layout_cases())
    write("ranking", ranking_cases())
    write("resize", resize_cases())
    write("images", image_cases())
