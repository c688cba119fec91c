"""Trials as a pandas table, and that table as a file."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from greenopt.errors import UsageError


def trials_frame(rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """One row a trial, one column a figure; a missing figure is a missing value, never 0.

    Args:
        rows: flat trials; the columns are the union of their keys, in order of first appearance.
    """
    frame = pd.DataFrame([dict(row) for row in rows])
    return frame.convert_dtypes()


def write_frame(frame: "pd.DataFrame", target: Path, file_format: str) -> None:
    """Write a table so that a half-written file never bears the target's name.

    Args:
        frame: the table.
        target: the file; an existing one is replaced.
        file_format: `csv` or `parquet`.

    Raises:
        UsageError: the file cannot be written.
    """
    scratch = target.with_name(target.name + ".part")
    try:
        if file_format == "parquet":
            frame.to_parquet(scratch, index=False)
        else:
            frame.to_csv(scratch, index=False)
        scratch.replace(target)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from None
    finally:
        scratch.unlink(missing_ok=True)
