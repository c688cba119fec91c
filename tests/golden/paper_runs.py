"""The paper's 51 runs: the folder of their logs, where it is at hand, and the table of facts that stands here.

`python -m tests.golden.paper_runs` writes the table anew from the folder.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from greenopt.spec import PARAMETERS
from tests.golden.paper_table import Facts, facts_of_log

FOLDER = Path(__file__).parents[3] / "shared" / "paper-runs"
"""Settings and logs as they were published; not part of the repository."""

TABLE = Path(__file__).with_name("paper_runs.csv")
"""What is needed of them: a row a run."""

_COLUMNS = ("accuracy", "wh_per_epoch", "efficiency", "epochs_done", "energy_wh", "energy_source", "seconds")


def read_folder(folder: Path) -> list[tuple[str, Facts]]:
    """Return the name and the facts of each run under the folder, in order of name."""
    found = []
    for path in sorted(folder.glob("*/parameters.yaml")):
        with (path.parent / "logs.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found.append((path.parent.name, facts_of_log(yaml.safe_load(path.read_text(encoding="utf-8")), rows)))
    return found


def read_facts(table: Path) -> list[tuple[str, Facts]]:
    """Return the name and the facts of each run of the table, in its order."""
    with table.open(newline="", encoding="utf-8") as file:
        return [(row["run"], _facts(row)) for row in csv.DictReader(file)]


def _facts(row: Mapping[str, str]) -> Facts:
    return Facts(
        setting={name: row[name] for name in PARAMETERS},
        accuracy=float(row["accuracy"]),
        wh_per_epoch=float(row["wh_per_epoch"]),
        epochs=int(row["epochs_done"]),
        energy_wh=float(row["energy_wh"]),
        seconds=float(row["seconds"]),
    )


def write_facts(runs: Sequence[tuple[str, Facts]], table: Path) -> None:
    """Write a table that `greenopt import` reads; numbers to their last digit."""
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", *PARAMETERS, *_COLUMNS])
        writer.writerows(_rows(runs))


def _rows(runs: Sequence[tuple[str, Facts]]) -> Iterator[list[Any]]:
    for name, facts in runs:
        values = [facts.setting[parameter] for parameter in PARAMETERS]
        measured = [facts.energy_wh, "nvidia_smi_snapshot", facts.seconds]
        yield [name, *values, facts.accuracy, facts.wh_per_epoch, facts.efficiency, facts.epochs, *measured]


if __name__ == "__main__":
    write_facts(read_folder(FOLDER), TABLE)
