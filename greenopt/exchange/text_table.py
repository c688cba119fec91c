"""Writes trials as CSV, every value a cell that says its type. Does without pandas, which takes long to load."""

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from greenopt.cells import cell_texts, plain_cell
from greenopt.files import requested_file


def write_csv(rows: Sequence[Mapping[str, Any]], target: Path, plain: Collection[str] = ()) -> None:
    """Write one row a trial, one column a figure, atomically; an empty cell is missing.

    Args:
        rows: flat trials; the columns are the union of their keys, in order of first appearance.
        target: the file; an existing one is replaced.
        plain: columns of nothing but texts, whose numbers stand without quotes.

    Raises:
        UsageError: the file cannot be written.
    """
    names: dict[str, Any] = {}
    for row in rows:
        names.update(row)
    columns = [cell_texts([row.get(name) for row in rows], is_plain=name in plain) for name in names]
    with requested_file(target) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([plain_cell(name) for name in names])
        writer.writerows(zip(*columns, strict=True))
