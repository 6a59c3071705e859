"""Plans of an engine that adds to every element of `x`, for the TensorRT of the machine: the one in software, or NVIDIA's."""

import os

import pytest

SOFTWARE = os.environ.get("NEREID_SOFTWARE_TENSORRT") == "1"

# Tag, serialisation, and 16 bytes that are not looked at; then the TensorRT that is said to have made it.
HEADER = b"ftrt" + bytes(20)

ADDEND = 1.5

Shape = tuple[int, int]


def addition(*profiles: tuple[Shape, Shape, Shape], recordable: bool = True) -> bytes:
    """`y` is `x` + 1.5, FP32 of two open extents; a profile is its smallest, best and largest shape."""
    if not SOFTWARE:
        return built(profiles)
    lines = [f"addend {ADDEND}", "dims -1,-1"]
    lines += ["profile " + " ".join(",".join(map(str, shape)) for shape in profile) for profile in profiles]
    lines += [] if recordable else ["unrecordable"]
    return HEADER + bytes([11, 4, 0, 0]) + "\n".join(lines).encode()


def built(profiles) -> bytes:
    """By the whole TensorRT of the Python that runs the tests, which has to be the server's too."""
    reason = "an engine is built by TensorRT's Python module, which is not here"
    trt = pytest.importorskip("tensorrt", reason=reason)
    import numpy as np

    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(0)
    x = network.add_input("x", trt.float32, (-1, -1))
    addend = network.add_constant((1, 1), np.full((1, 1), ADDEND, dtype=np.float32)).get_output(0)
    y = network.add_elementwise(x, addend, trt.ElementWiseOperation.SUM).get_output(0)
    y.name = "y"
    network.mark_output(y)
    settings = builder.create_builder_config()
    for profile in profiles:
        own = builder.create_optimization_profile()
        own.set_shape("x", *profile)
        settings.add_optimization_profile(own)
    return bytes(builder.build_serialized_network(network, settings))
