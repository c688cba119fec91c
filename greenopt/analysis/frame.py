"""Trials as a pandas table, and that table as a Parquet file."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import chain
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
    listed = list(rows)
    names = dict.fromkeys(chain.from_iterable(listed))
    return pd.DataFrame({name: _column([row.get(name) for row in listed], name in cells) for name in names})


def _column(values: list[Any], is_cells: bool) -> "pd.Series[Any]":
    """Return a column of the one type that all its values have; of texts where there is none."""
    values = [None if value != value else value for value in values]  # NaN is missing
    kinds = set(map(type, values)) - {type(None)}
    if is_cells or kinds & {list, dict}:
        return pd.Series([text or None for text in cell_texts(values)], dtype="string")
    if kinds == {int} and all(abs(value) < 2**63 for value in values if value is not None):
        return pd.Series(values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pd.Series([None if value is None else float(value) for value in values], dtype="Float64")
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if all(issubclass(kind, datetime) for kind in kinds):
        return pd.Series(values, dtype=None if kinds else "string")
    return pd.Series([None if value is None else str(value) for value in values], dtype="string")


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
