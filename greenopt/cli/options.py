"""Options that several commands share."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

Runs = Annotated[Path, typer.Option("--runs", envvar="GREENOPT_RUNS", help="Folder that holds the studies' results.")]
Storage = Annotated[
    str | None,
    typer.Option("--storage", envvar="GREENOPT_STORAGE", help="Storage URL. Default: SQLite in the study's folder."),
]
StoragePatience = Annotated[
    float,
    typer.Option(
        "--storage-patience",
        min=0,
        envvar="GREENOPT_STORAGE_PATIENCE",
        help="How long to wait for a storage that is away, in seconds. Running trials go on.",
    ),
]
StudyName = Annotated[str, typer.Argument(help="Name of a study; `greenopt list` shows all.")]
Gpus = Annotated[
    str | None,
    typer.Option(
        help="all; none, the CPU on purpose; or NVML indexes or UUIDs: 0,2. "
        "Default: all, or the CPU where there is no NVIDIA GPU."
    ),
]
ShareGpus = Annotated[bool, typer.Option("--share-gpus", help="Use GPUs on which other processes compute.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, show the plan, write nothing.")]
AcceptChanges = Annotated[
    bool,
    typer.Option(
        "--accept-changes", help="Go on with changed code or data, or on another kind of device; trials are marked."
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        envvar="GREENOPT_VERBOSE",
        help="Write what coordinator, meters and trials do to standard error, and to the logs of a background study.",
    ),
]

DEFAULT_RUNS = Path("runs")
DEFAULT_STORAGE_PATIENCE_S = 600.0


def is_interactive() -> bool:
    """Return whether a person sits at both ends of a terminal that can be drawn on."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
