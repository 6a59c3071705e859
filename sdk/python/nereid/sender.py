"""Responses that do not come back from the function that was asked: many, or later."""

from . import response
from .errors import Error, raised_by_host, to_host


class Sender:
    """Sends the responses of one request: `request.sender()`. May be kept for later batches, until the deadline of its
    request; dropped before the last response it answers the client with an error."""

    __slots__ = ("_handle",)

    def __init__(self, handle):
        self._handle = handle

    def send(self, answer) -> None:
        """Sends a response that others follow. Waits while the client has not read the earlier ones; raises `cancelled` when
        the client is gone."""
        self._send(answer, False)

    def respond(self, answer) -> None:
        """Sends the last response, or the only one."""
        self._send(answer, True)

    def fail(self, error: Error) -> None:
        """Ends the request with an error."""
        self._handle.fail(to_host(error).value)

    def finish(self) -> None:
        """Ends the request without another response."""
        self._handle.finish()

    @property
    def cancelled(self) -> bool:
        """Whether the client is gone, or the request has ended in another way."""
        return self._handle.cancelled()

    def _send(self, answer, last: bool) -> None:
        sent = response.to_host(answer)
        with raised_by_host():
            self._handle.send(sent, last)
