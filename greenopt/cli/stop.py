"""`greenopt stop`: end a study that runs elsewhere on this host."""

import os
import signal
from typing import Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, StudyName


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stop")(stop)


def stop(
    study: StudyName,
    runs: Runs = DEFAULT_RUNS,
    now: Annotated[bool, typer.Option("--now", help="End the running trials too; they run again later.")] = False,
) -> None:
    """Stop a running study, after its running trials or at once."""
    from greenopt.errors import UsageError
    from greenopt.runs import RunFolder

    folder = RunFolder(runs.resolve() / study)
    folder.storage()
    pid = folder.holder_pid()
    if pid is None:
        raise UsageError(f"study {study} is not running on this host")
    os.kill(pid, signal.SIGTERM if now else signal.SIGINT)
    print(f"study {study} (pid {pid}) will stop {'now' if now else 'after its running trials'}")
