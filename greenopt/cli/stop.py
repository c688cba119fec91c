"""`greenopt stop`, `pause` and `resume`: requests to a study that runs on this host."""

from typing import Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, StudyName
from greenopt.cli.output import say


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("stop")(stop)
    app.command("pause")(pause)
    app.command("resume")(resume)


def stop(
    study: StudyName,
    runs: Runs = DEFAULT_RUNS,
    now: Annotated[bool, typer.Option("--now", help="End the running trials too; they run again later.")] = False,
) -> None:
    """Stop a running study, after its running trials or at once."""
    from greenopt.runs.folder import RunFolder
    from greenopt.runs.requests import Request, send

    pid = send(RunFolder(runs.resolve() / study), Request.STOP_NOW if now else Request.STOP)
    say(f"study {study} (pid {pid}) will stop {'now' if now else 'after its running trials'}")


def pause(study: StudyName, runs: Runs = DEFAULT_RUNS) -> None:
    """Start no new trials of a running study; its running trials go on."""
    from greenopt.runs.folder import RunFolder
    from greenopt.runs.requests import Request, send

    pid = send(RunFolder(runs.resolve() / study), Request.PAUSE)
    say(f"study {study} (pid {pid}) starts no new trials; `greenopt resume {study}` resumes it")


def resume(study: StudyName, runs: Runs = DEFAULT_RUNS) -> None:
    """Let a paused study start trials again."""
    from greenopt.runs.folder import RunFolder
    from greenopt.runs.requests import Request, send

    pid = send(RunFolder(runs.resolve() / study), Request.RESUME)
    say(f"study {study} (pid {pid}) is resumed")
