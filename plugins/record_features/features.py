"""From raw records to the numbers that a model was trained on. Nothing here asks the host, so that any Python can run it.

What to do is data, written by the script that trained the model: a list of columns, each with a `kind`:

    {"kind": "number", "input": "measurements", "column": 0, "fill": 26.4}       the number, or `fill` where it is NaN
    {"kind": "missing", "input": "measurements", "column": 0}                    1 where it is NaN
    {"kind": "category", "input": "sex", "equals": "1", "fill": "missing"}       1 where the text is this one; `fill` stands for ""
    {"kind": "years", "from": "born", "to": "examined", "fill": 48.5}            years between two dates, or `fill` where one is ""

Refused: texts that are no dates. Categories that training has not seen are none of those that it has.
"""

import datetime
import math

DAYS_OF_A_YEAR = 365.25


class Refused(Exception):
    """A record that cannot be read; the text says which, and what was expected."""


class Features:
    """The columns of a `features.json`, in order."""

    def __init__(self, document: dict):
        self._columns = [_KINDS[column["kind"]](**{key: column[key] for key in column if key != "kind"}) for column in document["columns"]]

    @property
    def width(self) -> int:
        return len(self._columns)

    @property
    def inputs(self) -> set:
        """The names of the inputs that are read."""
        return {name for column in self._columns for name in column.inputs}

    def rows(self, inputs: dict, count: int) -> list:
        """`count` records as rows of numbers, one behind the other. `inputs` has a list per name: texts, or lists of numbers."""
        columns = [column.values(inputs, count) for column in self._columns]
        return [values[row] for row in range(count) for values in columns]


class _Number:
    def __init__(self, input, column, fill):
        self.inputs, self._column, self._fill = (input,), column, fill

    def values(self, inputs, count):
        values = [row[self._column] for row in inputs[self.inputs[0]]]
        return [self._fill if math.isnan(value) else value for value in values]


class _Missing:
    def __init__(self, input, column):
        self.inputs, self._column = (input,), column

    def values(self, inputs, count):
        return [float(math.isnan(row[self._column])) for row in inputs[self.inputs[0]]]


class _Category:
    def __init__(self, input, equals, fill):
        self.inputs, self._equals, self._fill = (input,), equals, fill

    def values(self, inputs, count):
        return [float((text or self._fill) == self._equals) for text in inputs[self.inputs[0]]]


class _Years:
    def __init__(self, to, fill, **names):
        self.inputs, self._fill = (names["from"], to), fill

    def values(self, inputs, count):
        begins, ends = (_days(name, inputs[name]) for name in self.inputs)
        pairs = zip(begins, ends)
        return [self._fill if None in pair else (pair[1] - pair[0]) / DAYS_OF_A_YEAR for pair in pairs]


_KINDS = {"number": _Number, "missing": _Missing, "category": _Category, "years": _Years}


def _days(name: str, texts: list) -> list:
    return [_day(name, row, text) if text else None for row, text in enumerate(texts)]


def _day(name: str, row: int, text: str) -> int:
    try:
        return datetime.date.fromisoformat(text).toordinal()
    except ValueError:
        raise Refused(f"row {row} of input '{name}' is '{text}', expected a date like 1964-03-07, or nothing") from None
