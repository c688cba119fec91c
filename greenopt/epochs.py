"""The epochs of a study's trials as one table, read from their events.

Invariant: only lines of ended epochs are decoded, so that a study of 10,000 trials is read in seconds.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from greenopt.runs.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("trial", "epoch", "epochs", "t_s", "seconds", "loss", "accuracy", "val_loss", "val_accuracy", "lr"),
    *("energy_wh", "source", "counter_wh", "integral_wh"),
)
"""`epoch` counts from 1; `t_s` is its end in s since the trial's first event; the last four are the epoch's energy."""

_MARK = b'"epoch_ended"'
_OWN = ("epoch", "epochs", "seconds", "loss", "accuracy", "val_loss", "val_accuracy", "lr")
_ENERGY = ("energy_wh", "source", "counter_wh", "integral_wh")


def read_epochs(folder: RunFolder) -> "pd.DataFrame":
    """Every epoch of every trial under a run folder.

    Returns:
        A row an epoch with `COLUMNS`, by trial and epoch; a figure that was not measured is a missing value.
    """
    import pandas as pd

    rows = [row for number in _numbers(folder) for row in _epochs(folder, number)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    texts = ("source",)
    whole = ("trial", "epoch", "epochs")
    return frame.astype(
        {name: "float64" for name in COLUMNS if name not in (*texts, *whole)} | dict.fromkeys(whole, int)
    )


def _numbers(folder: RunFolder) -> list[int]:
    return sorted(int(path.name) for path in (folder.path / "trials").glob("*") if path.name.isdigit())


def _epochs(folder: RunFolder, number: int) -> Iterator[dict[str, Any]]:
    try:
        lines = folder.events(number).read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return
    first_s = None
    for line in lines:
        if first_s is None and (document := _decoded(line)):
            first_s = document.get("t_s")
        if _MARK not in line or not line.endswith(b"\n") or (document := _decoded(line)) is None:
            continue
        energy = document["energy"]
        yield {
            "trial": number,
            "t_s": document["t_s"] - first_s,
            **{name: document[name] for name in _OWN},
            **{name: energy[name] for name in _ENERGY},
        }


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
