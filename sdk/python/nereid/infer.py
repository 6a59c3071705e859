"""Calls to the other models of the server, through the same queues, batchers and limits as a client's requests.

    answer = nereid.infer("digits_cnn", {"image": x}, outputs=["logits"])
    logits = answer["logits"]

While a plugin waits, no thread of the server does, and the wait does not count as the plugin's computing time. It does
count against the deadline of the call that the plugin answers.
"""

from wit_world.imports import inference as host

from . import response, tensor, values
from .errors import raised_by_host
from .request import Sequence, sequence_to_host

# Milliseconds that the contract can say: 49 days.
_WAIT_MAX = 2**32 - 1


class Pending:
    """A call under way. Dropping it cancels the call."""

    __slots__ = ("_handle",)

    def __init__(self, handle):
        self._handle = handle

    def receive(self) -> response.Response | None:
        """Waits for the next response. None after the last one: most models give one, decoupled models any number."""
        with raised_by_host():
            received = self._handle.receive()
        return None if received is None else response.from_host(received)

    def cancel(self) -> None:
        """Gives the call up: `receive` gives None from now on."""
        self._handle.cancel()

    @property
    def ready(self) -> bool:
        """Whether `receive` would return at once."""
        return self._handle.ready()

    def __iter__(self):
        """Every response, up to the last."""
        return iter(self.receive, None)


def infer(model: str, inputs: dict, **options) -> response.Response:
    """Calls a model that gives exactly one response, and waits for it. Options as of `submit`."""
    call = _call(model, inputs, **options)
    with raised_by_host():
        return response.from_host(host.infer(call))


def submit(model: str, inputs: dict, **options) -> Pending:
    """Starts a call without waiting, so that several can work at the same time.

    Options: `outputs` (names of those wanted), `parameters` (a dict), `version`, `timeout` (seconds), `id`,
    `priority` (1 is the most urgent), `sequence` (a `nereid.Sequence` of the model that is called). Id and priority are those
    of the plugin's own request where they are not given; its sequence is not passed on by itself.
    """
    call = _call(model, inputs, **options)
    with raised_by_host():
        return Pending(host.submit(call))


def wait_any(calls: list, timeout: float | None = None) -> int | None:
    """Waits until one of the calls has something to receive, and gives its index; None when `timeout` seconds ran out."""
    with raised_by_host():
        return host.wait_any([call._handle for call in calls], values.milliseconds(timeout, _WAIT_MAX))


def model_ready(model: str, version: int | None = None) -> bool:
    """Whether the highest version of `model` that is ready, or the given one, would accept a call now."""
    return host.model_ready(model, version)


def _call(
    model: str,
    inputs: dict,
    *,
    outputs=(),
    parameters=None,
    version=None,
    timeout=None,
    id=None,
    priority=None,
    sequence: Sequence | None = None,
):
    return host.Call(
        model,
        version,
        tensor.to_host(inputs),
        list(outputs),
        values.to_host(parameters or {}),
        values.milliseconds(timeout, _WAIT_MAX),
        id,
        priority,
        None if sequence is None else sequence_to_host(sequence),
    )
