"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Runs = Annotated[Path, typer.Option("--runs", envvar="GREENOPT_RUNS", help="Folder that holds the studies' results.")]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage", envvar="GREENOPT_STORAGE", help="Storage URL; SQLite in the study's folder unless given."
    ),
]
StudyName = Annotated[str, typer.Argument(help="Name of a study; `greenopt list` shows those there are.")]

DEFAULT_RUNS = Path("runs")
