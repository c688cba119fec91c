"""The command line: it parses arguments, connects the parts and prints results.

Invariant: nothing heavy is imported before a command needs it, so `greenopt --help` is instant.
"""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, NoReturn

import typer

from greenopt.cli.output import say
from greenopt.errors import ExitCode, GreenoptError, ProblemsError, one_line

NAME = "greenopt"

app = typer.Typer(
    name=NAME,
    help="What does accuracy cost in energy? Multi-objective hyperparameter studies with metered training.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _command in (
    "init",
    "run",
    "watch",
    "stop",
    "list",
    "rename",
    "mending",
    "importing",
    "analyze",
    "report",
    "compare",
    "confirm",
    "replay",
    "bench_search",
    "dashboard",
    "export",
    "track",
    "doctor",
    "docs",
):
    import_module(f"greenopt.cli.{_command}").register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from greenopt.version import __version__

        say(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every error ends in one line and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or a file name of another encoding must not end a command that has done its work.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name=NAME, standalone_mode=False)
    except GreenoptError as error:
        _quit(error.lines if isinstance(error, ProblemsError) else str(error), error.exit_code)
    except typer.Abort:
        # Questions are asked before anything is done.
        _quit("aborted; nothing was changed", ExitCode.FAILED)
    except KeyboardInterrupt:
        _quit("interrupted", ExitCode.STOPPED_EARLY)
    except BrokenPipeError:
        os._exit(ExitCode.DONE)
    except Exception as error:
        if (problem := _usage_problem(error)) is not None:
            _quit(problem, ExitCode.WRONG_USE)
        if os.environ.get("GREENOPT_DEBUG"):
            raise
        if _was_interrupted(error):
            _quit("interrupted", ExitCode.STOPPED_EARLY)
        if (cause := _storage_cause(error)) is not None:
            _quit(f"the storage failed: {cause}", ExitCode.FAILED)
        _quit(f"internal error: {type(error).__name__}: {error} (GREENOPT_DEBUG=1 shows where)", ExitCode.FAILED)
    else:
        sys.exit(code)


def _usage_problem(error: Exception) -> str | None:
    """Return what is wrong with a command line that cannot be parsed; None for any other error.

    Told by its methods: where the parser's errors are defined depends on typer's version.
    """
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    context = getattr(error, "ctx", None)
    command = str(context.command_path) if context is not None else NAME
    text = str(format_message()).strip().rstrip(".")
    what = command.removeprefix(NAME).strip()
    return f"{what}: {text}; see {command} --help" if what else f"{text}; see {command} --help"


def _was_interrupted(error: BaseException) -> bool:
    """Return whether an error came of Ctrl-C: a module that was being imported then is there in part."""
    context: BaseException | None = error
    while context is not None and not isinstance(context, KeyboardInterrupt):
        context = context.__context__
    return context is not None


def _storage_cause(error: Exception) -> str | None:
    """Return why a storage failed, in words; None where the error is another one."""
    if not type(error).__module__.startswith(("optuna.", "sqlalchemy.")):
        return None
    from greenopt.search import storage_cause

    return storage_cause(error)


def _quit(message: str | Sequence[str], code: int) -> NoReturn:
    """Print one line or several, without what would command the terminal and a storage's secrets, and end."""
    from greenopt.storage.url import STORAGE_VARIABLE, take_storage, without_secrets

    storages = (take_storage(sys.argv[1:])[1], os.environ.get(STORAGE_VARIABLE))
    messages = [message] if isinstance(message, str) else message
    texts = [without_secrets(f"{NAME}: {each}", *(url for url in storages if url)) for each in messages]
    try:
        sys.stdout.flush()
        for text in texts:
            say(one_line(text), is_error=True)
    except OSError:
        # Nothing can be said where the disk of both streams is full; what is left in them would fail again at the end.
        os._exit(code)
    sys.exit(code)
