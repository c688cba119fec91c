"""`greenopt watch`: a study live in the terminal; and what `greenopt run` does in one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, Storage, StudyName
from greenopt.cli.output import say
from greenopt.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from greenopt.runs.background import Launched
    from greenopt.runs.folder import RunFolder
    from greenopt.spec import StudySpec
    from greenopt.tui.state.model import StudyModel


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch")(watch)


def watch(study: StudyName, storage: Storage = None, runs: Runs = DEFAULT_RUNS) -> None:
    """Watch a study live: running, finished, or on another machine by its storage.

    Any number may watch the same study; leaving with q leaves it running. Without the run folder on this machine only
    what the storage knows is shown.
    """
    from greenopt.errors import UsageError
    from greenopt.identity.place import locate
    from greenopt.runs.folder import RunFolder

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("watch: needs a terminal; use `greenopt list` or `greenopt export` instead")
    folder = RunFolder(runs.resolve() / study)
    url = locate(folder, storage).url
    model = _show(folder, url)
    say(_format_next_steps(model, folder, url))


def run_attached(console: "Console", spec: "StudySpec", storage: str | None, runs: Path) -> ExitCode | int:
    """Start a study's coordinator as a separate process, show the study live, and return the exit code.

    Raises:
        LaunchError: the coordinator ended before it had begun.
    """
    from greenopt.runs.background import launch
    from greenopt.runs.folder import RunFolder

    folder = RunFolder(runs.resolve() / spec.name)
    say(f"study {spec.name}: starting its coordinator")
    launched = launch([*sys.argv[1:], "--plain"], folder)
    launched.wait_until_begun()
    url = storage or folder.storage()
    model = _show(folder, url)
    return _after(console, folder, url, launched, model)


def _show(folder: "RunFolder", url: str) -> "StudyModel":
    """Show the live view until the user leaves.

    Raises:
        GreenoptError: the view failed; the study does not notice.
    """
    import gc

    from greenopt.errors import GreenoptError

    # What is imported and read first is no garbage; looking there costs a tenth of the opening, and keys wait for it.
    gc.disable()
    from greenopt.tui.actions import StudyActions
    from greenopt.tui.app import WatchApp
    from greenopt.tui.state.reader import StudyReader

    def collect_what_comes_now() -> None:
        gc.freeze()
        gc.enable()

    reader = StudyReader(folder, url)
    actions = StudyActions(folder, url, Path.cwd())
    app = WatchApp(reader, actions, commands=_next_commands(folder, url), when_shown=collect_what_comes_now)
    try:
        app.run()
    finally:
        reader.close()
    if app.failure is not None:
        what = f"{type(app.failure).__name__}: {app.failure}"
        state = "is still running" if app.model.is_running else "is not affected"
        raise GreenoptError(f"the live view crashed; the study {state}: {what} (GREENOPT_DEBUG=1 shows where)")
    return app.model


def _after(
    console: "Console", folder: "RunFolder", url: str, launched: "Launched", model: "StudyModel"
) -> ExitCode | int:
    from greenopt.cli.summary_output import STORAGE_LOST_TEXT, print_summary
    from greenopt.cli.tables import print_lines
    from greenopt.errors import GreenoptError
    from greenopt.runs.study_log import StudyEnd
    from greenopt.search import open_storage

    ending = launched.ending()
    if ending is not None and ending.end is StudyEnd.STORAGE_LOST:
        print_lines(console, [f"study {folder.name}: {STORAGE_LOST_TEXT}"])
        return ExitCode.STOPPED_EARLY
    if ending is not None:
        return print_summary(console, folder, open_storage(url), ending.end, ending.failure)
    if launched.exit_code is not None:
        raise GreenoptError(
            f"the coordinator of study {folder.name} exited unexpectedly (code {launched.exit_code}): "
            f"{launched.last_line()}; see {folder.coordinator_log}. Run the same command to resume"
        )
    say(_format_next_steps(model, folder, url))
    return ExitCode.DONE


def _format_next_steps(model: "StudyModel", folder: "RunFolder", url: str) -> str:
    """Return how to get back to a running study, or the result and the next commands of an ended one."""
    from greenopt.storage.trial_state import TrialState
    from greenopt.tui.text.header import state_text

    name = folder.name
    if model.is_running and model.end is None and model.holder is not None:
        where = f"pid {model.holder['pid']} on {model.holder['host']}"
        text = f"study {name} is still running ({where}{', paused' if model.run_state == 'paused' else ''})"
        commands = {"watch": "to return"} | ({"stop": "to stop it"} if _is_here(folder) else {})
    else:
        completed = model.counts[TrialState.COMPLETE]
        counted = f"{completed} of {model.spec.study.trials} trials completed"
        text = f"study {name}: {state_text(model).plain[2:]} ({counted})"
        telling = {"analyze": "says what saves energy", "report": "writes figures and a report"} if completed else {}
        commands = telling | {"export": "writes its trials"}
    width = max(map(len, commands))
    where = _where(folder, url)
    return "\n".join([text, *(f"  greenopt {each:<{width}} {name}{where}   {what}" for each, what in commands.items())])


def _next_commands(folder: "RunFolder", url: str) -> list[tuple[str, str]]:
    """Return the commands for this study, with the first line of their help."""
    from greenopt.cli import app
    from greenopt.runs.requests import REQUEST_COMMANDS

    actions = REQUEST_COMMANDS if _is_here(folder) else ()
    known = {command.name: command.callback for command in app.registered_commands}
    asked = ("analyze", "report", "confirm", "export", "dashboard", *actions)
    docs = ((each, known[each].__doc__) for each in asked if known.get(each) is not None)
    where = _where(folder, url)
    return [(f"greenopt {each} {folder.name}{where}", (doc or "").strip().splitlines()[0]) for each, doc in docs]


def _is_here(folder: "RunFolder") -> bool:
    """Return whether the study runs, or ran, on this machine."""
    return folder.study_file.exists()


def _where(folder: "RunFolder", url: str) -> str:
    """Return the options that a command for a study on another machine needs, without the password."""
    from greenopt.storage.url import without_password

    return "" if _is_here(folder) else f" --storage {without_password(url)}"
