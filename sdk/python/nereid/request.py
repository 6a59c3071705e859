"""What a plugin is asked: the request, and its input tensors."""

from . import tensor, values
from .errors import Error


class Request:
    """One request, for the length of the call."""

    __slots__ = ("_handle",)

    def __init__(self, handle):
        self._handle = handle

    @property
    def id(self) -> str:
        """The client's own name for the request; empty when it gave none."""
        return self._handle.id()

    @property
    def parameters(self) -> dict:
        """The request's parameters, without those that the protocol reserves."""
        return values.from_host(self._handle.parameters())

    @property
    def wanted_outputs(self) -> list:
        """The names of the outputs that the client wants; empty when it wants all."""
        return self._handle.wanted_outputs()

    def wants(self, name: str) -> bool:
        """Whether the client wants the output called `name`: worth asking before an expensive one is computed."""
        return self._handle.wants(name)

    @property
    def remaining(self) -> float:
        """Seconds until the host ends the call. Ask in long loops, to answer with an error of your own in time."""
        return self._handle.remaining_ms() / 1000

    @property
    def cancelled(self) -> bool:
        """Whether the client is gone, so that nobody will read the answer."""
        return self._handle.cancelled()


class Inputs(dict):
    """The tensors that came with the request, under the names in `config.pbtxt`. `get` is for optional ones."""

    def __init__(self, named: list):
        super().__init__(tensor.from_host(named))

    def __missing__(self, name: str):
        present = ", ".join(repr(present) for present in self) or "none"
        raise Error("invalid-argument", f"input {name!r} is missing; there are: {present}")
