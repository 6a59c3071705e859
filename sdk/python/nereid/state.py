"""Small values that outlive the instance: shared by all instances and versions of the plugin's model, kept over swaps, gone
when the server ends or the model is unloaded. Bytes and keys of one model are limited together.

    nereid.state.add("requests", 1)

Every change gives a value another version, so that `swap` writes only while nobody else did.
"""

from dataclasses import dataclass

from wit_world.imports import state as host

from .errors import raised_by_host
from .values import milliseconds


@dataclass(frozen=True)
class Entry:
    """A value, and which change made it."""

    value: bytes
    version: int


def get(key: str) -> Entry | None:
    """The value under `key`, if there is one."""
    with raised_by_host():
        found = host.get(key)
    return None if found is None else Entry(found.value, found.version)


def set(key: str, value: bytes, lifetime: float | None = None) -> int:
    """Writes whatever is there, and gives the version. The value is forgotten after `lifetime` seconds, or never."""
    with raised_by_host():
        return host.set(key, bytes(value), milliseconds(lifetime))


def swap(key: str, value: bytes, expected: int | None, lifetime: float | None = None) -> int | None:
    """Writes if the version there is still `expected` (None: if there is no value). Gives the new version, or None when
    somebody else was quicker: then `get` again."""
    with raised_by_host():
        return host.swap(key, bytes(value), expected, milliseconds(lifetime))


def add(key: str, amount: int) -> int:
    """Adds to the whole number under `key`, 0 when there is none, and gives the sum."""
    with raised_by_host():
        return host.add(key, amount)


def delete(key: str) -> bool:
    """Forgets `key`, and says whether there was a value."""
    with raised_by_host():
        return host.delete(key)


def keys(prefix: str = "", limit: int = 1000) -> list:
    """The keys that begin with `prefix`, in order, at most `limit` of them."""
    with raised_by_host():
        return host.keys(prefix, limit)
