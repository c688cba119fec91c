"""A study's trials as a table in a file, with carbon and cost where the study names its electricity."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from greenopt.cells import mixes_types
from greenopt.energy.footprint import Footprint
from greenopt.exchange.columns import CELLS_ATTRIBUTE, PLAIN_TEXTS, STUDY_ATTRIBUTE
from greenopt.exchange.text_table import write_csv
from greenopt.identity.snapshot import read_folder
from greenopt.runs.folder import RunFolder
from greenopt.spec import StudySpec
from greenopt.storage.snapshot import collector_paused
from greenopt.validation_gap import accuracy_caution


@collector_paused()
def export_trials(folder: RunFolder, storage: str | None, target: Path, file_format: str) -> int:
    """Write the trials of a study; returns how many there are.

    Args:
        folder: its results; need not exist where `storage` is given.
        storage: URL of its storage; the one that the study was last run with unless given.
        target: the file; an existing one is replaced.
        file_format: `csv` or `parquet`.

    Raises:
        UsageError: there is no such study, or the file cannot be written.
    """
    snapshot = read_folder(folder, storage)
    footprint = Footprint.from_spec(snapshot.spec.energy)
    beside = {"carbon_g": footprint.carbon_g, "cost": footprint.cost} if footprint.is_known else {}
    rows = list(snapshot.rows)
    if beside:
        rows = [{**row, **{name: of(row["energy_wh"]) for name, of in beside.items()}} for row in rows]
    cautions = [accuracy_caution(snapshot.spec, row) for row in snapshot.rows]
    if any(cautions):
        rows = [{**row, "accuracy_caution": text or None} for row, text in zip(rows, cautions, strict=True)]
    if file_format == "csv":
        write_csv(rows, target, PLAIN_TEXTS)
    else:
        _write_parquet(snapshot.spec, rows, target)
    return len(rows)


def _write_parquet(spec: StudySpec, rows: Sequence[Mapping[str, Any]], target: Path) -> None:
    from greenopt.analysis.frame import trials_frame, write_parquet  # pandas takes longer to load than a CSV to write

    cells = [name for name, distribution in spec.space.distributions.items() if mixes_types(distribution)]
    frame = trials_frame(rows, cells)
    # For `greenopt import`, which finds them again in a Parquet file.
    frame.attrs[STUDY_ATTRIBUTE] = spec.model_dump_json()
    frame.attrs[CELLS_ATTRIBUTE] = json.dumps(cells)
    write_parquet(frame, target)
