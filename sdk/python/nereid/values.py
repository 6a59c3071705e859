"""Parameters: scalars of requests and responses, as Python's own `bool`, `int`, `float` and `str`."""

import math

from wit_world.imports import types

_INT_MAX = 2**63 - 1


def from_host(parameters: list) -> dict:
    """Of two equal names the later counts."""
    return {parameter.name: parameter.value.value for parameter in parameters}


def to_host(parameters: dict) -> list:
    return [types.Parameter(name, value_to_host(name, value)) for name, value in parameters.items()]


def options(**given) -> list:
    """Under the names that the contract gives them; those that are None are left out."""
    return to_host({name.replace("_", "-"): value for name, value in given.items() if value is not None})


def value_to_host(name: str, value):
    # `bool` first: it is a kind of `int`.
    if isinstance(value, bool):
        return types.Value_Boolean(value)
    if isinstance(value, int):
        return types.Value_Int(value) if value <= _INT_MAX else types.Value_Uint(value)
    if isinstance(value, float):
        return types.Value_Double(value)
    if isinstance(value, str):
        return types.Value_Text(value)
    raise TypeError(f"parameter {name!r} is of {type(value).__name__}, expected bool, int, float or str")


def milliseconds(seconds: float | None, most: int = 2**64 - 1) -> int | None:
    """Rounded up, so that a short time is still one."""
    return None if seconds is None else min(math.ceil(seconds * 1000), most)
