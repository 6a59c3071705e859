"""From the bytes of an image file to the tensor that the digit models take.

This is the contract that `plugins/image_preprocess` reproduces, step by step, within one level of 8 bits (two for JPEG):

1. decode to 8 bits per channel, upright as EXIF says; drop alpha; colours become grey as Pillow's `convert("L")` makes them;
2. resize to 28 x 28 with the triangle filter, support widened by the ratio when shrinking (Pillow's `BILINEAR`), the
   intermediate kept as float, the result rounded to the nearest 8-bit value;
3. x = (value / 255 - MEAN) / STD as float32, in a tensor [1, 28, 28]: channel, row, column.

Ink is bright on a dark ground, as in the data set; nothing is inverted, cropped or padded.
"""

import io
import math

import numpy as np
from PIL import Image, ImageOps

SIZE = 28
MEAN = 0.3
STD = 0.35


def image_to_tensor(file_bytes: bytes) -> np.ndarray:
    """The float32 tensor [1, 28, 28] of one encoded image."""
    return normalise(resize_triangle(decode_grey(file_bytes), SIZE, SIZE))


def decode_grey(file_bytes: bytes) -> np.ndarray:
    """The 8-bit grey picture [rows, columns] of one encoded image."""
    with Image.open(io.BytesIO(file_bytes)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("L"))


def resize_triangle(grey: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The picture in another size."""
    vertical = triangle_weights(grey.shape[0], rows)
    horizontal = triangle_weights(grey.shape[1], columns)
    resized = vertical @ grey.astype(np.float32) @ horizontal.T
    return np.clip(np.floor(resized + 0.5), 0, 255).astype(np.uint8)


def triangle_weights(source: int, target: int) -> np.ndarray:
    """How much each of `source` pixels gives to each of `target` pixels; every row adds up to one."""
    ratio = source / target
    scale = max(ratio, 1.0)
    weights = np.zeros((target, source), np.float32)
    for out in range(target):
        centre = (out + 0.5) * ratio
        left = min(max(math.floor(centre - scale), 0), source - 1)
        right = min(max(math.ceil(centre + scale), left + 1), source)
        for pixel in range(left, right):
            weights[out, pixel] = max(0.0, 1.0 - abs((pixel - (centre - 0.5)) / scale))
    return weights / weights.sum(axis=1, keepdims=True)


def normalise(grey: np.ndarray) -> np.ndarray:
    """Numbers as the models were trained on."""
    return ((grey.astype(np.float32) / 255 - MEAN) / STD)[None].astype(np.float32)
