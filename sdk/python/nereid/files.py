"""Files of the folders that the plugin was granted, under the paths at which its `plugin.toml` puts them.

    # [[grants.files]] path = "data", at = "/data"
    words = nereid.files.read("/data/words.txt").decode()

Python's own `open` and `pathlib` find the same folders; these functions say in the error what was refused, and why.
"""

from dataclasses import dataclass

from wit_world.imports import files as host

from .errors import raised_by_host


@dataclass(frozen=True)
class Entry:
    """What lies in a folder: name, bytes of a file, whether it is a folder."""

    name: str
    size: int
    is_folder: bool


def read(path: str) -> bytes:
    """The whole file."""
    with raised_by_host():
        return host.read(path)


def read_range(path: str, offset: int, length: int) -> bytes:
    """At most `length` bytes from `offset` on; fewer where the file ends."""
    with raised_by_host():
        return host.read_range(path, offset, length)


def write(path: str, data: bytes) -> None:
    """Makes the file, or puts `data` in the place of all that it held. Only in folders that are granted for writing."""
    with raised_by_host():
        host.write(path, bytes(data))


def remove(path: str) -> None:
    """Deletes the file. Only in folders that are granted for writing."""
    with raised_by_host():
        host.remove(path)


def list_folder(path: str) -> list:
    """What lies in the folder, ordered by name."""
    with raised_by_host():
        return [Entry(entry.name, entry.size, entry.is_folder) for entry in host.list_folder(path)]
