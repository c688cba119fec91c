"""Options that several commands share."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from greenopt.errors import UsageError, shown

MAX_NAME_BYTES = 255
"""What file systems take for a name."""


class Rule(StrEnum):
    """The stopping rules; the names of `greenopt.spec.StoppingKind`."""

    PARETO = "pareto"
    MOASHA = "moasha"
    NONE = "none"


class ExecutorName(StrEnum):
    """Where trials run."""

    LOCAL = "local"
    RAY = "ray"


class Tracker(StrEnum):
    """The trackers; the names of `greenopt.tracking.TrackerName`."""

    MLFLOW = "mlflow"
    WANDB = "wandb"


def study_name(name: str) -> str:
    """Return the name of a study that a command was given, which is also that of its folder.

    Raises:
        UsageError: it cannot be one: a path, an option, control characters.
    """
    is_path = "/" in name or name in ("", ".", "..")
    if is_path or not name.isprintable() or name.startswith("-") or len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise UsageError(f"{shown(name)}: is not the name of a study; `greenopt list` shows the existing ones")
    return name


def optional_study_name(name: str | None) -> str | None:
    """Return the name of a study, as `study_name` does; None where none is given."""
    return None if name is None else study_name(name)


def study_names(names: list[str]) -> list[str]:
    """Return the names of studies that a command was given; see `study_name`."""
    return [study_name(name) for name in names]


def named_path(path: Path | None) -> Path | None:
    """Return a path that a command was given; what it leads to need not exist.

    Raises:
        UsageError: it cannot lead anywhere: links in a circle, a name that is too long, control characters.
    """
    if path is None:
        return None
    # Bytes of another encoding, which Python keeps as such letters, may be part of a name.
    if any(not letter.isprintable() and not "\udc80" <= letter <= "\udcff" for letter in str(path)):
        raise UsageError(f"{shown(str(path))}: a path with control characters; give the file another name")
    try:
        path.resolve()
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return path


def study_file(path: Path) -> Path:
    """Return the path of a study file that a command was given; a bare name may be that of a study that comes along."""
    from greenopt.shipped import shipped_studies

    given = named_path(path)
    assert given is not None
    is_name = given.suffix != ".toml" and given.name == str(path)
    return shipped_studies().get(given.name, given) if is_name and not given.exists() else given


def study_files(incomplete: str) -> list[str]:
    """Return what a shell may complete to a study file: files here, folders, studies that come along."""
    from greenopt.shipped import shipped_studies

    folder = Path(incomplete).parent if incomplete else Path()
    there = sorted(folder.glob("*")) if folder.is_dir() else []
    files = [f"{path}/" if path.is_dir() else str(path) for path in there if path.is_dir() or path.suffix == ".toml"]
    return [each for each in (*files, *shipped_studies()) if each.startswith(incomplete)]


def known_studies(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the studies that a shell may complete a text to."""
    runs = Path(ctx.params.get("runs") or os.environ.get("GREENOPT_RUNS") or "runs")
    there = (path.parent.name for path in sorted(runs.glob("*/study.json")))
    return [name for name in there if name.startswith(incomplete)]


def runs_folder(path: Path) -> Path:
    """Return the folder of studies that a command was given; it need not exist.

    Raises:
        UsageError: something else is in its place.
    """
    named_path(path)
    there = next((place for place in (path, *path.parents) if place.exists()), path)
    if there.exists() and not there.is_dir():
        raise UsageError(f"--runs {path}: {there} is not a folder")
    return path


Runs = Annotated[
    Path,
    typer.Option(
        "--runs", envvar="GREENOPT_RUNS", callback=runs_folder, help="Folder that holds the studies' results."
    ),
]
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
StudyName = Annotated[
    str,
    typer.Argument(
        callback=study_name, autocompletion=known_studies, help="Name of a study; `greenopt list` shows all."
    ),
]
Gpus = Annotated[
    str | None,
    typer.Option(
        help="all; none, the CPU on purpose; or NVML indexes or UUIDs: 0,2. "
        "Default: all, or the CPU where there is no NVIDIA GPU."
    ),
]
ExecutorOption = Annotated[
    ExecutorName,
    typer.Option(
        "--executor", help="Where trials run: on this machine, or on the machines of a Ray cluster (extra ray)."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="With --executor ray: auto, HOST:PORT of the head node, or ray://HOST:10001. "
        "Default: RAY_ADDRESS, or auto, the cluster of which this machine is a node.",
    ),
]
Slots = Annotated[
    int | None,
    typer.Option("--slots", min=1, help="With --executor ray: the most trials at once. Default: one a GPU."),
]
GpuModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Use GPUs of this model alone, by a part of its name: H100; all: GPUs of different models, whose trials "
        "are marked. Default: the model of most GPUs.",
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
