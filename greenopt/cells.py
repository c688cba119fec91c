"""Values as cells of a table, and back, with their types.

Invariant: `read_cell(cell_of(value))` is the value, of its own type. A cell is `True`, `False`, a whole number, a
number with a point or an exponent, or a text; a text that would be read as anything else is written as a JSON text, in
quotes. So is a text that a spreadsheet would run as a formula, or that holds what is not seen: a table may be opened by
anybody, and its names, values and messages may be anybody's.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from greenopt.plain_text import is_seen, json_printable
from greenopt.spec import Choice, Distribution, Range, Value

MAX_DIGITS = 300
"""Digits of the largest whole number, so that it is also finite as a fraction."""

CELLS_REMEMBERED = 4096
"""Texts whose cells are kept: most texts of a table stand in it again and again."""

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
# After a semicolon, too: in many countries spreadsheets take it for the end of a cell, whatever stands in quotes.
_FORMULA = re.compile(r"(?:\A|[;\t\r\n])\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_TRUTHS = {"True": True, "False": False}


def cell_of(value: Value) -> str:
    """Return a value as the text of a cell."""
    return _text_cell(value) if isinstance(value, str) else repr(value)


@lru_cache(maxsize=CELLS_REMEMBERED)
def _text_cell(value: str) -> str:
    is_plain = value.isprintable() and value == value.strip() and value != "" and not value.startswith('"')
    if is_plain and not _FORMULA.search(value) and isinstance(read_cell(value), str):
        return value
    return _quoted(value)


@lru_cache(maxsize=CELLS_REMEMBERED)
def plain_cell(text: str) -> str:
    """Return a text as a cell of a column that holds nothing but texts, where numbers need no quotes."""
    is_plain = text.isprintable() or all(letter == "\n" or is_seen(letter) for letter in text)
    if is_plain and not text.startswith('"') and not _FORMULA.search(text):
        return text
    return _quoted(text)


def cell_texts(values: Sequence[Any], *, is_plain: bool = False) -> list[str]:
    """Return the cells of a column; an empty one is missing.

    Args:
        values: a `Value` each, a time, or what is written as JSON; None and NaN are missing.
        is_plain: whether the column holds nothing but texts (`plain_cell`).
    """
    # One expression for a column in place of a function for each cell, where an export would spend most of its time.
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {float} and not is_plain:
        return ["" if value is None or value != value else repr(value) for value in values]
    if kinds <= {int} and not is_plain:
        return ["" if value is None else repr(value) for value in values]
    if kinds <= {str}:
        cells = {value: _cell_text(value, is_plain) for value in set(values)}
        return [cells[value] for value in values]
    return [_cell_text(value, is_plain) for value in values]


def _cell_text(value: Any, is_plain: bool) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, str | bool | int | float):
        return plain_cell(str(value)) if is_plain else cell_of(value)
    return json_printable(json.dumps(value, ensure_ascii=False, default=str))


def read_plain_cell(cell: str) -> str:
    """Return the text of a cell that `plain_cell` wrote, or of anybody's as it stands."""
    text = read_cell(cell) if cell.startswith('"') else cell
    return text if isinstance(text, str) else cell


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=not text.isprintable())
    return quoted.replace(";", "\\u003b") if _FORMULA.search(text) else quoted


def read_cell(cell: str) -> Value:
    """Return the value of a cell that is not empty; what `cell_of` never writes is a text as it stands."""
    if cell in _TRUTHS:
        return _TRUTHS[cell]
    if _WHOLE.fullmatch(cell) and cell != "-0":
        return _integer(cell)
    if (number := _fraction(cell)) is not None:
        return number
    if cell.startswith('"'):
        try:
            text = json.loads(cell)
        except json.JSONDecodeError:
            return cell
        return text if isinstance(text, str) else cell
    return cell


def _integer(cell: str) -> Value:
    # A number of more digits than a fraction can have is a text, as is one that Python refuses to read.
    return int(cell) if len(cell) <= MAX_DIGITS else cell


def _fraction(cell: str) -> float | None:
    """Return a number with a point or an exponent; a number that begins with zeros, such as 007, is a name."""
    if not _FRACTION.fullmatch(cell) or re.match(r"[+-]?0[0-9]", cell):
        return None
    if re.fullmatch(r"[+]?[0-9]+", cell):
        return None
    number = float(cell)
    return number if math.isfinite(number) else None


def read_column(cells: Sequence[str]) -> list[Value]:
    """Return the values of a column of a table whose study is not known, decided for the column as a whole.

    All its cells are true or false, or all are numbers, or all are texts. Cells in quotes are texts by themselves, so
    that a column that mixes types, as only `greenopt export` writes them, keeps them.

    Args:
        cells: those that are not empty.
    """
    values = [read_cell(cell) for cell in cells]
    if any(cell.startswith('"') and value != cell for cell, value in zip(cells, values, strict=True)):
        return values
    kinds = {bool if isinstance(v, bool) else str if isinstance(v, str) else float for v in values}
    if len(kinds) > 1:
        return list(cells)
    return _of_one_type(values)


def _of_one_type(values: list[Value]) -> list[Value]:
    """Fractions throughout, where the same number is written both ways: 1 and 1.0."""
    whole = {value for value in values if isinstance(value, int)}
    is_both = any(isinstance(value, float) and value in whole for value in values)
    return [float(value) for value in values] if is_both else values


def looked_up(value: Value, distribution: Distribution, *, is_cell: bool) -> Value:
    """Return the value of a parameter that a table means; a value outside the space as it was read.

    Args:
        value: a cell's text, or a value that has its type.
        distribution: the parameter's.
        is_cell: whether it is a cell's text.
    """
    if isinstance(distribution, Choice):
        return _listed(value, distribution.values, is_cell=is_cell)
    return _in_range(value, distribution)


def mixes_types(distribution: Distribution) -> bool:
    """Return whether a list has values of several types, or whole numbers that a table's column cannot hold."""
    if not isinstance(distribution, Choice):
        return False
    is_large = any(isinstance(value, int) and abs(value) >= 2**63 for value in distribution.values)
    return is_large or len({type(value) for value in distribution.values}) > 1


def _listed(value: Value, values: Iterable[Value], *, is_cell: bool) -> Value:
    """Return the value of the list that is meant: itself first, then the same text, then the same number."""
    read = read_cell(value) if is_cell and isinstance(value, str) else value
    text = value.strip() if isinstance(value, str) else cell_of(value)
    tests: list[Callable[[Value], bool]] = [
        lambda one: cell_of(one) == value if is_cell else type(one) is type(value) and repr(one) == repr(value),
        lambda one: isinstance(one, str) and one in (value, read),
        lambda one: isinstance(one, bool) and str(one).lower() == text.lower(),
        lambda one: _is_number(one) and one == (loose_number(text) if isinstance(read, str) else read),
        lambda one: isinstance(one, str) and one.strip() == text,
    ]
    listed = list(values)
    return next((one for test in tests for one in listed if test(one)), read)


def _in_range(value: Value, distribution: Range) -> Value:
    read = loose_number(value) if isinstance(value, str) else value
    if read is None or isinstance(read, bool | str):
        return value
    if not distribution.is_integer:
        return float(read)
    return int(read) if read == int(read) else read


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def loose_number(text: str) -> int | float | None:
    """Return a number as people and spreadsheets write it: 007, +1, ' 2'; None for a text."""
    plain = text.strip()
    if re.fullmatch(rf"[+-]?[0-9]{{1,{MAX_DIGITS}}}", plain):
        return int(plain)
    if not _FRACTION.fullmatch(plain):
        return None
    number = float(plain)
    return number if math.isfinite(number) else None
