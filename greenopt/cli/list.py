"""`greenopt list`: the studies there are."""

from typing import TYPE_CHECKING, Any

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from greenopt.runs.folder import RunFolder


_SHOWN = ("accuracy", "energy_wh", "energy_source", "code_id", "data_id")
"""The figures that the table rests on."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list")(list_studies)


def list_studies(runs: Runs = DEFAULT_RUNS) -> None:
    """List the studies with their state, trials and best results.

    `changed` beside the trials: code or data changed between them; `greenopt analyze` tells them apart. `!` behind the
    best accuracy: it is far above the trial's test accuracy.
    """
    from rich.console import Console

    from greenopt.cli.output import say
    from greenopt.cli.tables import Table, print_table
    from greenopt.runs.folder import run_folders

    folders = run_folders(runs.resolve())
    if not folders:
        say(f"no studies in {runs}; `greenopt run studies/quickstart.toml` creates one")
        return
    heads = ("study", "state", "trials", "failed", "best accuracy", "least energy", "storage")
    table = Table(*heads, left=("study",), wraps=("state", "storage"))
    for folder in folders:
        table.add_row(folder.name, *_row(folder))
    print_table(Console(), table)


def _has_changed(rows: "Sequence[Mapping[str, Any]]") -> bool:
    """Return whether trials of one study ran with different code or data, so that the best of all says little."""
    from greenopt.identity.inputs import CODE_ATTRIBUTE, DATA_ATTRIBUTE

    return any(len({row[name] for row in rows if row.get(name)}) > 1 for name in (CODE_ATTRIBUTE, DATA_ATTRIBUTE))


def _row(folder: "RunFolder") -> list[str]:
    from greenopt.errors import GreenoptError
    from greenopt.formatting import MISSING, format_energy
    from greenopt.identity.snapshot import read_folder
    from greenopt.storage.trial_state import TrialState
    from greenopt.storage.url import without_password
    from greenopt.validation_gap import marked_accuracy

    state = f"running ({holder})" if (holder := folder.holder()) else "not running"
    try:
        url = folder.storage()
        snapshot = read_folder(folder, only=_SHOWN)
    except GreenoptError as error:
        return [state, MISSING, MISSING, MISSING, MISSING, str(error)]
    complete = [row for row in snapshot.rows if row["state"] == TrialState.COMPLETE]
    measured = [row for row in complete if row["energy_wh"] is not None]
    best = max((row for row in complete if row["accuracy"] is not None), key=lambda row: row["accuracy"], default=None)
    least = min(measured, key=lambda row: row["energy_wh"], default=None)
    done = len(complete) + snapshot.count(TrialState.PRUNED)
    return [
        state if holder or done < snapshot.spec.study.trials else "done",
        f"{done}/{snapshot.spec.study.trials}{' (changed)' if _has_changed(complete) else ''}",
        str(snapshot.count(TrialState.FAIL)),
        MISSING if best is None else marked_accuracy(snapshot.spec, best),
        format_energy(least["energy_wh"], least["energy_source"]) if least else MISSING,
        "study.db" if url == folder.default_storage else without_password(url),
    ]
