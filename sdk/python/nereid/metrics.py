"""Metrics of the plugin's own, on the server's metrics page. Open them once, in `__init__`, and keep them.

    self.images = nereid.metrics.Counter("images_total", "Images seen", kind="photograph")
    self.images.add(3)

The host adds the label `model`. Names are Prometheus names without the prefixes `nv_` and `nereid_`; how many label sets a
model may have is limited. Two that are opened under one name and labels are the same.
"""

from wit_world.imports import metrics as host

from .errors import raised_by_host


class Counter:
    """A number that only grows."""

    __slots__ = ("_handle",)

    def __init__(self, name: str, description: str, **labels: str):
        with raised_by_host():
            self._handle = host.Counter.open(name, description, _labels(labels))

    def add(self, amount: float = 1) -> None:
        """Adds `amount`, which must not be negative."""
        with raised_by_host():
            self._handle.add(float(amount))

    @property
    def value(self) -> float:
        """The number now."""
        return self._handle.value()


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("_handle",)

    def __init__(self, name: str, description: str, **labels: str):
        with raised_by_host():
            self._handle = host.Gauge.open(name, description, _labels(labels))

    def set(self, value: float) -> None:
        """Replaces the number."""
        self._handle.set(float(value))

    def add(self, amount: float) -> None:
        """Adds `amount`, which may be negative."""
        self._handle.add(float(amount))

    @property
    def value(self) -> float:
        """The number now."""
        return self._handle.value()


class Histogram:
    """Observations, counted in buckets whose upper bounds are `bounds`, in growing order."""

    __slots__ = ("_handle",)

    def __init__(self, name: str, description: str, bounds, **labels: str):
        with raised_by_host():
            self._handle = host.Histogram.open(name, description, _labels(labels), [float(bound) for bound in bounds])

    def observe(self, value: float) -> None:
        """Counts an observation."""
        self._handle.observe(float(value))


def _labels(labels: dict) -> list:
    return [host.Label(name, str(value)) for name, value in labels.items()]
