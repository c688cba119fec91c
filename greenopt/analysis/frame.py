"""Trials as a pandas table, and that table as a file."""

import json
import math
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from greenopt.cells import cell_of, plain_cell
from greenopt.files import requested_file
from greenopt.plain_text import json_printable


def trials_frame(rows: Iterable[Mapping[str, Any]], cells: Collection[str] = ()) -> "pd.DataFrame":
    """One row a trial, one column a figure; a missing figure is a missing value, never 0.

    Args:
        rows: flat trials; the columns are the union of their keys, in order of first appearance.
        cells: columns whose values are written as cells (`greenopt.cells`), because no type of a column holds them all.
    """
    listed = [dict(row) for row in rows]
    names = dict.fromkeys(name for row in listed for name in row)
    return pd.DataFrame({name: _column([row.get(name) for row in listed], name in cells) for name in names})


def text_frame(rows: Iterable[Mapping[str, Any]], plain: Collection[str] = ()) -> "pd.DataFrame":
    """Return the same as texts: every value a cell that says its type; an empty text is missing.

    Args:
        rows: as in `trials_frame`.
        plain: columns of nothing but texts, whose numbers stand without quotes.
    """
    listed = [dict(row) for row in rows]
    names = dict.fromkeys(name for row in listed for name in row)
    columns = {plain_cell(name): [_text(row.get(name), name in plain) for row in listed] for name in names}
    return pd.DataFrame(columns, dtype=str)


def _text(value: Any, is_plain: bool) -> str:
    if _is_missing(value):
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, str | bool | int | float):
        return plain_cell(str(value)) if is_plain else cell_of(value)
    return json_printable(json.dumps(value, ensure_ascii=False, default=str))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _column(values: list[Any], is_cells: bool) -> "pd.Series[Any]":
    """Return a column of the one type that all its values have; of texts where there is none."""
    known = [value for value in values if not _is_missing(value)]
    kinds = {type(value) for value in known}
    if is_cells or kinds & {list, dict}:
        return pd.Series([None if _is_missing(v) else _text(v, is_plain=False) for v in values], dtype="string")
    if kinds == {int} and all(abs(value) < 2**63 for value in known):
        return pd.Series(values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pd.Series([None if _is_missing(value) else float(value) for value in values], dtype="Float64")
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if all(isinstance(value, datetime) for value in known):
        return pd.Series(values, dtype=None if known else "string")
    return pd.Series([None if _is_missing(value) else str(value) for value in values], dtype="string")


def write_frame(frame: "pd.DataFrame", target: Path, file_format: str) -> None:
    """Write a table atomically.

    Args:
        frame: the table.
        target: the file; an existing one is replaced.
        file_format: `csv` or `parquet`.

    Raises:
        UsageError: the file cannot be written.
    """
    with requested_file(target) as scratch:
        if file_format == "parquet":
            frame.to_parquet(scratch, index=False)
        else:
            frame.to_csv(scratch, index=False)
