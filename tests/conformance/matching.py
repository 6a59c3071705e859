"""Compares what came with what was expected, and says where they part.

A text that begins with `~` is a pattern for the whole value (of a number, its digits). All else must be equal; NaN is
equal to NaN.
"""

import json
import math
import re

# Triton's error codes: the HTTP status and the gRPC code of each.
CODES = {
    "INTERNAL": (500, "INTERNAL"),
    "NOT_FOUND": (404, "NOT_FOUND"),
    "UNAVAILABLE": (503, "UNAVAILABLE"),
    "UNSUPPORTED": (501, "UNIMPLEMENTED"),
    "INVALID_ARG": (400, "INVALID_ARGUMENT"),
    "ALREADY_EXISTS": (400, "ALREADY_EXISTS"),
    "CANCELLED": (400, "CANCELLED"),
    "RESTRICTED": (403, "UNAVAILABLE"),
    "DEADLINE": (504, "DEADLINE_EXCEEDED"),
}


class Mismatch(Exception):
    """The server answered otherwise."""


def expect_equal(what: str, found, expected):
    """Whole equality, apart from patterns."""
    if difference := differ(found, expected, exact=True):
        raise Mismatch(f"{what}{difference}\n  expected {shown(expected)}\n  found    {shown(found)}")


def expect_contains(what: str, found, expected):
    """Objects may have more members than expected."""
    if difference := differ(found, expected, exact=False):
        raise Mismatch(f"{what}{difference}\n  expected at least {shown(expected)}\n  found             {shown(found)}")


def differ(found, expected, exact: bool) -> str | None:
    """Where they part; None where they do not."""
    if isinstance(expected, str) and expected.startswith("~"):
        text = found if isinstance(found, str) else json.dumps(found)
        return None if re.fullmatch(expected[1:], text, re.DOTALL) else f" does not match {expected[1:]}"
    if isinstance(expected, dict) and isinstance(found, dict):
        missing = [key for key in expected if key not in found]
        further = [key for key in found if exact and key not in expected]
        if missing or further:
            return "".join(f" lacks '{key}'" for key in missing) + "".join(f" has '{key}' too" for key in further)
        parts = ((f".{key}", found[key], value) for key, value in expected.items())
    elif isinstance(expected, list) and isinstance(found, list):
        if len(found) != len(expected):
            return f" has {len(found)} elements instead of {len(expected)}"
        parts = ((f"[{index}]", *pair) for index, pair in enumerate(zip(found, expected)))
    else:
        return None if is_same(found, expected) else " differs"
    for place, part_found, part_expected in parts:
        if difference := differ(part_found, part_expected, exact):
            return place + difference
    return None


def is_same(found, expected) -> bool:
    if isinstance(found, float) and isinstance(expected, float) and math.isnan(expected):
        return math.isnan(found)
    # JSON's 1 and 1.0 are one number; true is none.
    return found == expected and isinstance(found, bool) == isinstance(expected, bool)


def shown(value) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, bytes) else repr(value)
