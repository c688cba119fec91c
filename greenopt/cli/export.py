"""`greenopt export`: the trials as a table in a file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, Storage, StudyName, named_path


class Format(StrEnum):
    """File formats of an export."""

    CSV = "csv"
    PARQUET = "parquet"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    study: StudyName,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", callback=named_path, help="File to write; NAME.csv or NAME.parquet here unless given."
        ),
    ] = None,
    file_format: Annotated[Format | None, typer.Option("--format", help="Default: from the file's suffix.")] = None,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Write a study's trials to a CSV or Parquet file.

    One row a trial, one column a figure; what was not measured is empty. Where the study names its electricity,
    carbon_g and cost stand beside energy_wh.
    """
    from greenopt.cli.output import say
    from greenopt.errors import UsageError
    from greenopt.exchange.export import export_trials
    from greenopt.runs.folder import RunFolder

    chosen = file_format or Format.CSV
    if file_format is None and output is not None:
        endings = {f".{known}": known for known in Format}
        if output.suffix not in endings:
            raise UsageError(f"{output}: unknown suffix; give a format with --format csv or --format parquet")
        chosen = endings[output.suffix]
    target = output or Path(f"{study}.{chosen}")
    count = export_trials(RunFolder(runs.resolve() / study), storage, target, chosen)
    say(f"{count} trials -> {target}")
