"""The model repository, for plugins that are granted some of its models under `[grants] model_control`.

    nereid.control.load("digits_large")
"""

from dataclasses import dataclass

from wit_world.imports import control as host

from .errors import raised_by_host


@dataclass(frozen=True)
class ModelEntry:
    """One version of a model. `state` is `ready`, `unavailable`, `loading` or `unloading`; `version` and `state` are None for
    a model that was never loaded."""

    name: str
    version: int | None
    state: str | None
    reason: str


def index() -> list:
    """Every version of the models that the plugin may control."""
    with raised_by_host():
        entries = host.index()
    state = lambda entry: None if entry.state is None else entry.state.name.lower()
    return [ModelEntry(entry.name, entry.version, state(entry), entry.reason) for entry in entries]


def load(model: str, config: str | None = None) -> None:
    """Loads the model, or loads it again, and returns when it is ready. `config` is a whole configuration as JSON, instead
    of that of the repository."""
    with raised_by_host():
        host.load(model, config)


def unload(model: str, dependents: bool = False) -> None:
    """Starts to unload the model; what it was asked is still answered. With `dependents`, the models that only an ensemble
    needs go with it."""
    with raised_by_host():
        host.unload(model, dependents)
