"""Failures that have a kind. The kind decides the HTTP and gRPC status that a client sees.

`raise nereid.Error("invalid-argument", "row 3 is empty")` answers one request. Errors of the host and of called models
arrive as the same class. Any other exception becomes an `internal` error that names its type, text and place.
"""

import traceback
from contextlib import contextmanager

from componentize_py_types import Err
from wit_world.imports import types

CODES = {code.name.lower().replace("_", "-"): code for code in types.ErrorCode}


class Error(Exception):
    """A failure, in words for the client. `code` is one of `nereid.errors.CODES`, as `invalid-argument` or `not-found`."""

    def __init__(self, code: str, message: str):
        if code not in CODES:
            raise ValueError(f"no error code is called {code!r}, expected one of {', '.join(CODES)}")
        super().__init__(message)
        self.code = code
        self.message = message


@contextmanager
def raised_by_host():
    """Turns what the host answers instead of a value into an `Error`."""
    try:
        yield
    except Err as refused:
        code = refused.value.code.name.lower().replace("_", "-")
        raise Error(code, refused.value.message) from None


def to_host(error: Error) -> Err:
    return Err(types.Error(CODES[error.code], error.message))


def describe(exception: Exception) -> str:
    """`ZeroDivisionError: division by zero (plugin.py:7 in run)`."""
    text = "".join(traceback.format_exception_only(exception)).strip().splitlines()[-1]
    frames = traceback.extract_tb(exception.__traceback__)
    own = [frame for frame in frames if "/nereid/" not in frame.filename] or frames
    if not own:
        return text
    return f"{text} ({own[-1].filename.rsplit('/', 1)[-1]}:{own[-1].lineno} in {own[-1].name})"
