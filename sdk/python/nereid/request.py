"""What a plugin is asked: the request, and its input tensors."""

from dataclasses import dataclass

from wit_world.imports import serving

from . import tensor, trace, values
from .errors import Error, raised_by_host
from .sender import Sender


@dataclass(frozen=True)
class Sequence:
    """Where a request stands in its sequence. The id is a number other than 0, or a text."""

    id: int | str
    start: bool = False
    end: bool = False


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
    def inputs(self) -> "Inputs":
        """The input tensors. `Transform.run` is given them besides; in `Model` this is where they are."""
        with raised_by_host():
            return Inputs(self._handle.inputs())

    @property
    def rows(self) -> int:
        """The first dimension of the tensors where the model batches, otherwise 1."""
        return self._handle.rows()

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
    def sequence(self) -> Sequence | None:
        """Where the request stands in its sequence; None when it belongs to none."""
        found = self._handle.sequence()
        return None if found is None else Sequence(found.id.value, found.start, found.end)

    @property
    def priority(self) -> int:
        """The priority that the client gave: 1 is the most urgent, 0 the model's default."""
        return self._handle.priority()

    @property
    def tenant(self) -> str | None:
        """The tenant on whose account the request goes; None when on nobody's."""
        return self._handle.tenant()

    @property
    def remaining(self) -> float:
        """Seconds until the host ends the call. Ask in long loops, to answer with an error of your own in time."""
        return self._handle.remaining_ms() / 1000

    @property
    def cancelled(self) -> bool:
        """Whether the client is gone, so that nobody will read the answer."""
        return self._handle.cancelled()

    def span(self, name: str, **attributes) -> trace.Span:
        """Begins a span of this request, of a batch for example; see `nereid.trace`."""
        return trace.span_of(self._handle, name, attributes)

    def sender(self) -> Sender:
        """Takes the request's sender, once: whoever holds it owes the client its end. Only in a `nereid.Model`, whose outcome
        must then be `nereid.DEFERRED` or a `nereid.Reschedule`."""
        with raised_by_host():
            return Sender(self._handle.sender())


class Inputs(dict):
    """The tensors that came with the request, under the names in `config.pbtxt`. `get` is for optional ones."""

    def __init__(self, named: list):
        super().__init__(tensor.from_host(named))

    def __missing__(self, name: str):
        present = ", ".join(repr(present) for present in self) or "none"
        raise Error("invalid-argument", f"input {name!r} is missing; there are: {present}")


def sequence_to_host(sequence: Sequence):
    is_text = isinstance(sequence.id, str)
    kind = serving.SequenceId_Text if is_text else serving.SequenceId_Number
    return serving.Sequence(kind(sequence.id), sequence.start, sequence.end)
