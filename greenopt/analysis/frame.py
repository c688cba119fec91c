"""Trials as a pandas table, and that table as a Parquet file."""

import math
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from greenopt.cells import cell_texts
from greenopt.files import requested_file


def trials_frame(rows: Iterable[Mapping[str, Any]], cells: Collection[str] = ()) -> "pd.DataFrame":
    """One row a trial, one column a figure; a missing figure is a missing value, never 0.

    Args:
        rows: flat trials; the columns are the union of their keys, in order of first appearance.
        cells: columns whose values are written as cells (`greenopt.cells`), because no type of a column holds them all.
    """
    listed = [dict(row) for row in rows]
    names = dict.fromkeys(name for row in listed for name in row)
    return pd.DataFrame({name: _column([row.get(name) for row in listed], name in cells) for name in names})


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _column(values: list[Any], is_cells: bool) -> "pd.Series[Any]":
    """Return a column of the one type that all its values have; of texts where there is none."""
    known = [value for value in values if not _is_missing(value)]
    kinds = {type(value) for value in known}
    if is_cells or kinds & {list, dict}:
        return pd.Series([text or None for text in cell_texts(values)], dtype="string")
    if kinds == {int} and all(abs(value) < 2**63 for value in known):
        return pd.Series(values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pd.Series([None if _is_missing(value) else float(value) for value in values], dtype="Float64")
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if all(isinstance(value, datetime) for value in known):
        return pd.Series(values, dtype=None if known else "string")
    return pd.Series([None if _is_missing(value) else str(value) for value in values], dtype="string")


def write_parquet(frame: "pd.DataFrame", target: Path) -> None:
    """Write a table atomically.

    Args:
        frame: the table.
        target: the file; an existing one is replaced.

    Raises:
        UsageError: the file cannot be written.
    """
    with requested_file(target) as scratch:
        frame.to_parquet(scratch, index=False)
