"""The plugin's own model, as configured. It does not change while a plugin lives, so read it once, in `__init__`."""

from dataclasses import dataclass

from wit_world.imports import settings as host

from .errors import Error
from .tensor import name_of


@dataclass(frozen=True)
class TensorInfo:
    """An input or an output of the model; -1 in `dims` stands for any extent, and the batch dimension is not among them."""

    name: str
    data_type: str
    dims: tuple
    optional: bool


@dataclass(frozen=True)
class ModelInfo:
    """The model that the plugin serves. `max_batch_size` is 0 when tensors have no batch dimension; with `decoupled`, a request
    may get any number of responses."""

    name: str
    version: int
    max_batch_size: int
    inputs: tuple
    outputs: tuple
    decoupled: bool


def setting(key: str, default=None):
    """The value under `key` in the `parameters` of `config.pbtxt`, as the type that `default` has; else `default`."""
    value = host.get(key)
    if value is None:
        return default
    if default is None or isinstance(default, str):
        return value
    if isinstance(default, bool):
        return value.strip().lower() in ("true", "1", "yes", "on")
    try:
        return type(default)(value)
    except ValueError as error:
        text = f"parameter {key!r} of config.pbtxt is {value!r}, expected {type(default).__name__}: correct it there"
        raise Error("internal", text) from error


def settings() -> dict:
    """All of the `parameters` of `config.pbtxt`."""
    return dict(host.entries())


def instance_name() -> str:
    """The name of the model's instance that this guest works for, for example `digits_0_1`."""
    return host.instance_name()


def model() -> ModelInfo:
    """Name, version, inputs and outputs."""
    info = host.model()
    inputs, outputs = tuple(map(_tensor_info, info.inputs)), tuple(map(_tensor_info, info.outputs))
    return ModelInfo(info.name, info.version, info.max_batch_size, inputs, outputs, info.decoupled)


def _tensor_info(info) -> TensorInfo:
    return TensorInfo(info.name, name_of(info.dtype), tuple(info.dims), info.optional)
