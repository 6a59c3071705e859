"""Lines for the server's log: `log.info("3 images")`. The host adds the names of plugin and model, and limits what a call may
write.

Python's own `logging` ends here too, so that libraries need no set-up; `print` works, and is logged as `info`.
"""

import logging

from wit_world.imports import logging as host

_LEVELS = [
    (logging.ERROR, host.Level.ERROR),
    (logging.WARNING, host.Level.WARN),
    (logging.INFO, host.Level.INFO),
    (logging.DEBUG, host.Level.DEBUG),
]


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = next((ours for theirs, ours in _LEVELS if record.levelno >= theirs), host.Level.TRACE)
        write(level, self.format(record))


def write(level: host.Level, message: str) -> None:
    """Writes the lines of `message`."""
    for line in message.splitlines() or [""]:
        host.log(level, line)


def enabled(level: host.Level) -> bool:
    """Whether lines of this level are kept: worth asking before an expensive line is made."""
    return host.enabled(level)


def trace(message: str) -> None:
    write(host.Level.TRACE, message)


def debug(message: str) -> None:
    write(host.Level.DEBUG, message)


def info(message: str) -> None:
    write(host.Level.INFO, message)


def warn(message: str) -> None:
    write(host.Level.WARN, message)


def error(message: str) -> None:
    write(host.Level.ERROR, message)


logging.getLogger().addHandler(_Handler())
logging.getLogger().setLevel(logging.INFO)
