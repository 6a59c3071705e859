"""What a plugin computes by itself, and the same by the host's operations: halve an image and normalise it, rank numbers, decode a picture."""

import math

import nereid
from nereid import operations

MEAN, DEVIATION, BEST = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 5


def image_loop(x):
    height, width, channels = x.shape
    values, row, halved = x.tolist(), width * channels, []
    for y in range(0, height, 2):
        for left in range(y * row, y * row + row, 2 * channels):
            for channel in range(channels):
                at = left + channel
                total = values[at] + values[at + channels] + values[at + row] + values[at + row + channels]
                halved.append((total / 4 / 255 - MEAN[channel]) / DEVIATION[channel])
    return nereid.Tensor.from_list("FP32", [height // 2, width // 2, channels], halved)


def image_host(x):
    halved = operations.resize(x, x.shape[0] // 2, x.shape[1] // 2, "antialiased-box")
    return operations.normalise(halved, MEAN, DEVIATION, scale=1 / 255)


def rank_loop(x):
    values = x.tolist()
    highest = max(values)
    powers = [math.exp(value - highest) for value in values]
    total = sum(powers)
    best = sorted((power / total for power in powers), reverse=True)[:BEST]
    return nereid.Tensor.from_list("FP32", [BEST], best)


def rank_host(x):
    return operations.top_k(operations.softmax(x), BEST)[0]


def decode_host(x):
    return operations.decode_image(x, 0, channels=3)


@nereid.transform
def run(request, inputs):
    return {"Y": globals()[request.parameters["mode"]](inputs["X"])}
