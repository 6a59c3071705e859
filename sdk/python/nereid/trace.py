"""Steps of the plugin's own in the trace of a request: in the collector's spans, and in trace files.

    with nereid.trace.span("decode", images=3) as span:
        ...
        span.event("half of them", rows=2)
        with span.child("resize"):
            ...

A request that is not traced has no spans: beginning one costs one call of the host, and everything else nothing. `request.span(...)` is
one of that request of a batch.
"""

from wit_world.imports import tracing as host

from .values import to_host, value_to_host


class Span:
    """A step that takes time. It ends with its `with` block, with `end`, or with the call."""

    __slots__ = ("_handle",)

    def __init__(self, handle, attributes: dict):
        self._handle = handle
        for name, value in attributes.items():
            self.set(name, value)

    @property
    def recorded(self) -> bool:
        """Whether it is: worth asking before what it costs to find an attribute."""
        return self._handle is not None

    def child(self, name: str, **attributes) -> "Span":
        """Begins a span within this one."""
        return Span(None if self._handle is None else self._handle.child(name), attributes)

    def set(self, name: str, value) -> None:
        """Adds an attribute: a bool, int, float or str. Of two of one name the later counts."""
        if self._handle is not None:
            self._handle.set(name, value_to_host(name, value))

    def event(self, name: str, **attributes) -> None:
        """Notes that something happened now."""
        if self._handle is not None:
            self._handle.event(name, to_host(attributes))

    def end(self) -> None:
        """Ends it; what happens after counts no more."""
        if self._handle is not None:
            self._handle.end()
            self._handle = None

    def __enter__(self) -> "Span":
        return self

    def __exit__(self, *_) -> None:
        self.end()


def span(name: str, **attributes) -> Span:
    """Begins a span of the request under way; of a batch, of the first request that is traced."""
    return Span(host.Span.begin(name), attributes)


def span_of(request, name: str, attributes: dict) -> Span:
    """Begins a span of one request; `request.span` is this."""
    return Span(host.Span.begin_for(request, name), attributes)
