"""`greenopt list`: the studies there are."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from greenopt.runs.folder import RunFolder
    from greenopt.runs.study_log import ForecastMade
    from greenopt.spec import StudySpec
    from greenopt.storage.snapshot import StudySnapshot


_SHOWN = ("accuracy", "energy_wh", "energy_source", "code_id", "data_id", "fail_reason", "retried")
"""The figures that the table rests on."""

_OTHERS = "best of other objectives"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("list")(list_studies)


def list_studies(
    runs: Runs = DEFAULT_RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the studies with their state, trials and best results.

    `changed` beside the trials: code or data changed between them; `greenopt analyze` tells them apart. `!` behind the
    best accuracy: it is far above the trial's test accuracy. `forecast`: what a study that is not done will take in
    all, and how much longer, with the interval of 90 %.
    """
    from rich.console import Console

    from greenopt.cli.output import say
    from greenopt.cli.tables import Table, print_table
    from greenopt.runs.folder import run_folders

    folders = run_folders(runs.resolve())
    if as_json:
        import json

        from greenopt.cli.output import say_json

        say_json(json.dumps([_document(folder) for folder in folders], allow_nan=False, ensure_ascii=False))
        return
    if not folders:
        say(f"no studies in {runs}; `greenopt run quickstart` creates one")
        return
    rows = [[folder.name, *_row(folder)] for folder in folders]
    heads = ["study", "state", "trials", "failed", "best accuracy", "least energy", _OTHERS, "forecast", "storage"]
    if not any(row[heads.index(_OTHERS)] for row in rows):
        rows = [[cell for head, cell in zip(heads, row, strict=True) if head != _OTHERS] for row in rows]
        heads.remove(_OTHERS)
    table = Table(*heads, left=("study",), wraps=("state", _OTHERS, "forecast", "storage"))
    for row in rows:
        table.add_row(*row)
    print_table(Console(), table)


def _has_changed(rows: "Sequence[Mapping[str, Any]]") -> bool:
    """Return whether trials of one study ran with different code or data, so that the best of all says little."""
    from greenopt.identity.inputs import CODE_ATTRIBUTE, DATA_ATTRIBUTE

    return any(len({row[name] for row in rows if row.get(name)}) > 1 for name in (CODE_ATTRIBUTE, DATA_ATTRIBUTE))


def _row(folder: "RunFolder") -> list[str]:
    from greenopt.errors import GreenoptError
    from greenopt.formatting import MISSING, format_energy, format_figure
    from greenopt.front import plane_of
    from greenopt.identity.snapshot import read_folder
    from greenopt.reading import EnergySource
    from greenopt.storage.trial_state import TrialState, is_settled
    from greenopt.storage.url import without_password
    from greenopt.validation_gap import marked_accuracy

    state = f"running ({holder})" if (holder := folder.holder()) else "not running"
    try:
        url = folder.storage()
        snapshot = read_folder(folder, only=_SHOWN)
        if others := plane_of(snapshot.spec).others:
            snapshot = read_folder(folder, only=(*_SHOWN, *others))
    except GreenoptError as error:
        return [state, MISSING, MISSING, MISSING, MISSING, "", MISSING, str(error)]
    complete = [row for row in snapshot.rows if row["state"] == TrialState.COMPLETE]
    source = next((row["energy_source"] for row in complete if row["energy_source"] == EnergySource.ESTIMATE), None)
    measured = [row for row in complete if row["energy_wh"] is not None]
    best = max((row for row in complete if row["accuracy"] is not None), key=lambda row: row["accuracy"], default=None)
    least = min(measured, key=lambda row: row["energy_wh"], default=None)
    done = len(complete) + snapshot.count(TrialState.PRUNED, TrialState.EXCLUDED)
    settled = sum(is_settled(row["state"], row) for row in snapshot.rows)
    extends = snapshot.spec.study.extends
    return [
        (state if holder or settled < snapshot.spec.study.trials else "done")
        + (f"; goes on from {extends.study}" if extends is not None else ""),
        f"{done}/{snapshot.spec.study.trials}{_excluded(snapshot)}{' (changed)' if _has_changed(complete) else ''}",
        str(snapshot.count(TrialState.FAIL)),
        MISSING if best is None else marked_accuracy(snapshot.spec, best),
        format_energy(least["energy_wh"], least["energy_source"]) if least else MISSING,
        ", ".join(f"{name} {format_figure(name, value, source)}" for name, value in _best_of(snapshot, others).items()),
        _forecast_text(folder, snapshot.spec, is_running=holder is not None) or MISSING,
        "study.db" if url == folder.default_storage else without_password(url),
    ]


def _best_of(snapshot: "StudySnapshot", names: "Sequence[str]") -> "dict[str, float | None]":
    """Return the best value of each of these objectives over the completed trials; None where none has one."""
    from greenopt.spec import Direction
    from greenopt.storage.trial_state import TrialState

    complete = [row for row in snapshot.rows if row["state"] == TrialState.COMPLETE]
    found: dict[str, float | None] = {}
    for name in names:
        values = [row[name] for row in complete if row.get(name) is not None]
        best = max if snapshot.spec.objectives[name] is Direction.MAXIMIZE else min
        found[name] = best(values, default=None)
    return found


def _excluded(snapshot: "StudySnapshot") -> str:
    from greenopt.storage.trial_state import TrialState

    count = snapshot.count(TrialState.EXCLUDED)
    return f" ({count} excluded)" if count else ""


def _last_forecast(folder: "RunFolder") -> "ForecastMade | None":
    from greenopt.runs.study_log import ForecastMade, read_entries

    made = [each for each in read_entries(folder.study_log, folder.study_id) if isinstance(each, ForecastMade)]
    return made[-1] if made else None


def _forecast_text(folder: "RunFolder", spec: "StudySpec", *, is_running: bool) -> str:
    """Return what a study will take that is not done: in all, and how much longer if it runs; empty if unknown."""
    import time

    from greenopt.energy.footprint import Footprint
    from greenopt.errors import GreenoptError
    from greenopt.forecast import forecast_kept, format_forecast

    made = _last_forecast(folder)
    if made is None or not made.left:
        return ""
    try:
        footprint = Footprint.from_spec(spec.energy)
    except GreenoptError:
        footprint = Footprint()
    passed_s = time.time() - made.utc_s if is_running else 0.0
    return format_forecast(forecast_kept(made, passed_s), footprint)


def _document(folder: "RunFolder") -> "dict[str, Any]":
    """Return a study as a JSON object; what is not known is null."""
    from greenopt.errors import GreenoptError
    from greenopt.forecast import ended_trials
    from greenopt.identity.snapshot import read_folder
    from greenopt.runs.study_log import elapsed_s, read_entries
    from greenopt.storage.trial_state import TrialState

    head: dict[str, Any] = {"study": folder.name, "running": folder.holder()}
    try:
        snapshot = read_folder(folder)
    except GreenoptError as error:
        return {**head, "problem": str(error)}
    rows, spec, made = snapshot.rows, snapshot.spec, _last_forecast(folder)
    used = [trial.energy_wh for trial in ended_trials(spec, rows) if trial.energy_wh is not None]
    complete = [row for row in rows if row["state"] == TrialState.COMPLETE]
    accuracies = [row["accuracy"] for row in complete if row["accuracy"] is not None]
    energies = [row["energy_wh"] for row in complete if row["energy_wh"] is not None]
    return {
        **head,
        "problem": None,
        "goes_on_from": None if spec.study.extends is None else spec.study.extends.study,
        "trials": spec.study.trials,
        "completed": len(complete),
        "stopped_early": snapshot.count(TrialState.PRUNED),
        "failed": snapshot.count(TrialState.FAIL),
        "excluded": snapshot.count(TrialState.EXCLUDED),
        "best_accuracy": max(accuracies, default=None),
        "least_energy_wh": min(energies, default=None),
        "best": _best_of(snapshot, [str(name) for name in spec.objectives]),
        "used_wh": sum(used) if used else None,
        "elapsed_s": elapsed_s(read_entries(folder.study_log, folder.study_id)),
        "budgets": [str(budget) for budget in spec.budgets],
        "forecast": None if made is None or not made.left else made.model_dump(mode="json", exclude={"kind"}),
    }
