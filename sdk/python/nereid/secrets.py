"""Secrets that the server's operator keeps, by name. `plugin.toml` lists those that the plugin wants under `[grants] secrets`."""

from wit_world.imports import secrets as host

from .errors import raised_by_host


def secret(name: str) -> bytes:
    """The secret called `name`, as it was when the plugin was loaded."""
    with raised_by_host():
        return host.get(name)
