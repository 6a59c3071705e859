"""Answers: of a plugin to its caller, and of other models to the plugin."""

from wit_world.imports import serving

from . import tensor, values
from .errors import Error


class Response:
    """Tensors and parameters. `response["Y"]` is an output; a plugin may also return a plain `dict` of tensors."""

    def __init__(self, outputs: dict | None = None, parameters: dict | None = None):
        self.outputs = dict(outputs or {})
        self.parameters = dict(parameters or {})

    def __getitem__(self, name: str) -> tensor.Tensor:
        if name not in self.outputs:
            present = ", ".join(repr(present) for present in self.outputs) or "none"
            raise Error("internal", f"output {name!r} is missing; there are: {present}")
        return self.outputs[name]


def from_host(response) -> Response:
    return Response(tensor.from_host(response.outputs), values.from_host(response.parameters))


def to_host(answer):
    if isinstance(answer, dict):
        answer = Response(answer)
    if not isinstance(answer, Response):
        raise TypeError(f"the plugin returned {type(answer).__name__}, expected nereid.Response or a dict of tensors")
    return serving.Response(tensor.to_host(answer.outputs), values.to_host(answer.parameters))
