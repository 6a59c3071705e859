"""Errors of models, and the text that a client reads when a model raises."""

import os

UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)
OWN_FOLDER = os.path.dirname(os.path.abspath(__file__))


class TritonModelException(Exception):
    """What the host refuses, and what models may raise themselves."""


class TritonError:
    """The error of one response: a text and one of Triton's codes."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG = UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG
    UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED

    def __init__(self, message: str, code: int = INTERNAL):
        if not isinstance(message, str):
            raise TypeError(f"TritonError expects its message as str, found type {type(message)}")
        if code not in range(8):
            raise TypeError(f"TritonError has no code {code!r}")
        self._message, self._code = message, code

    def code(self) -> int:
        return self._code

    def message(self) -> str:
        return self._message


def describe(error: BaseException) -> str:
    """The error, and below it where in the model's files it came from, innermost first."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        text += f"\n\nAt:\n  {error.filename}({error.lineno})\n"
        return text
    places, step = [], error.__traceback__
    while step:
        code = step.tb_frame.f_code
        is_ours = os.path.abspath(code.co_filename).startswith(OWN_FOLDER) or code.co_filename.startswith("<frozen")
        if not is_ours:
            places.append(f"  {code.co_filename}({step.tb_lineno}): {code.co_name}\n")
        step = step.tb_next
    return text + ("\n\nAt:\n" + "".join(reversed(places)) if places else "")
