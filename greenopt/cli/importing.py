"""`greenopt import`: a study of runs that were trained elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, Storage, named_path
from greenopt.cli.output import say

if TYPE_CHECKING:
    from greenopt.exchange import Import

NAMED = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_runs)


def import_runs(
    source: Annotated[
        Path,
        typer.Argument(callback=named_path, help="Folder of runs in the paper's layout, or a CSV or Parquet export."),
    ],
    name: Annotated[str | None, typer.Option("--name", help="Name of the study; the source's unless given.")] = None,
    study_file: Annotated[
        Path | None,
        typer.Option(
            "--study", callback=named_path, help="Study file that the runs belong to: its space, baseline, training."
        ),
    ] = None,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Make a study of runs that were trained elsewhere.

    SOURCE is a folder with one folder for each run, which holds parameters.yaml and logs.csv (a row an epoch), or a CSV
    or Parquet file of `greenopt export`. What is broken is named and left out.
    """
    import re

    from rich.console import Console

    from greenopt.errors import UsageError
    from greenopt.exchange import read_import, write_import
    from greenopt.plain_text import in_one_line
    from greenopt.spec import NAME_PATTERN, load_study

    chosen = name or source.resolve().stem
    if not re.fullmatch(NAME_PATTERN, chosen):
        raise UsageError(f"--name: {chosen!r}: may hold letters, digits, '.', '_' and '-' only")
    console = Console()
    imported = read_import(source, chosen, load_study(study_file) if study_file else None)
    with console.status(f"importing {len(imported.trials)} trials") as status:
        path = write_import(
            imported, runs.resolve(), storage, lambda done: status.update(f"{done}/{len(imported.trials)} trials")
        )
    for line in _import_lines(imported):
        say(in_one_line(line))
    say(f"results: {path}  ·  greenopt analyze {chosen}")


def _import_lines(imported: "Import") -> list[str]:
    """Return lines on what was imported and what was skipped."""
    from greenopt.events import Outcome

    ends = [trial.verdict.outcome for trial in imported.trials]
    early = ends.count(Outcome.DIVERGED) + ends.count(Outcome.STOPPED)
    counts = f"{ends.count(Outcome.COMPLETED)} completed, {early} stopped early, {ends.count(Outcome.FAILED)} failed"
    lines = [f"study {imported.spec.name}: {len(ends)} trials imported ({counts}), {len(imported.skipped)} skipped"]
    lines += imported.notes
    lines += _first([f"skipped {where}: {why}" for where, why in imported.skipped.items()])
    lines += [
        f"{name}: taken for a range, {space.low:g} to {space.high:g}{' (log)' if space.log else ''}"
        for name, space in imported.ranges().items()
    ]
    outside = imported.outside_space()
    lines += _first(
        [
            f"run {run}: {parameter} = {value} is outside the study's space; imported, and left out of regressions"
            for run, (parameter, value) in outside.items()
        ]
    )
    return lines


def _first(lines: list[str]) -> list[str]:
    rest = len(lines) - NAMED
    return lines if rest <= 0 else [*lines[:NAMED], f"... and {rest} more like these"]
