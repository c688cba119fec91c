"""The command line: it parses arguments, connects the parts and prints results.

Invariant: nothing heavy is imported before a command needs it, so `greenopt --help` is instant.
"""

import io
import os
import sys
from importlib import import_module
from typing import NoReturn

import typer

from greenopt.cli.output import say
from greenopt.errors import ExitCode, GreenoptError

app = typer.Typer(
    name="greenopt",
    help="What does accuracy cost in energy? Multi-objective hyperparameter studies with metered training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _command in (
    "run",
    "watch",
    "stop",
    "list",
    "rename",
    "importing",
    "analyze",
    "report",
    "confirm",
    "dashboard",
    "export",
    "doctor",
    "docs",
):
    import_module(f"greenopt.cli.{_command}").register(app)


def main() -> None:
    """Run the command line; every error ends in one line and an exit code, never a traceback."""
    try:
        code = app(standalone_mode=False)
    except GreenoptError as error:
        _quit(str(error), error.exit_code)
    except typer.Abort:
        _quit("aborted", ExitCode.FAILED)
    except KeyboardInterrupt:
        _quit("interrupted", ExitCode.STOPPED_EARLY)
    except BrokenPipeError:
        os._exit(ExitCode.DONE)
    except Exception as error:
        if (explained := _explanation(error)) is not None:
            _end(explained, ExitCode.WRONG_USE)
        if os.environ.get("GREENOPT_DEBUG"):
            raise
        _quit(f"internal error: {type(error).__name__}: {error} (GREENOPT_DEBUG=1 shows where)", ExitCode.FAILED)
    else:
        sys.exit(code)


def _explanation(error: Exception) -> str | None:
    """Return what Typer says of arguments that it does not understand; None of any other error."""
    show = getattr(error, "show", None)
    if show is None:
        return None
    told = io.StringIO()
    show(file=told)
    return told.getvalue().rstrip()


def _quit(message: str, code: int) -> NoReturn:
    _end(f"greenopt: {message}", code)


def _end(text: str, code: int) -> NoReturn:
    """Print a text without what would command the terminal and without a storage's secrets, and end."""
    from greenopt.storage.url import STORAGE_VARIABLE, take_storage, without_secrets

    storages = (take_storage(sys.argv[1:])[1], os.environ.get(STORAGE_VARIABLE))
    sys.stdout.flush()
    say(without_secrets(text, *(url for url in storages if url)), is_error=True)
    sys.exit(code)
