"""The command line: it parses arguments, connects the parts and prints results.

Invariant: nothing heavy is imported before a command needs it, so `greenopt --help` is instant.
"""

import os
import sys
from importlib import import_module

import typer

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
    "replay",
    "dashboard",
    "export",
    "doctor",
    "docs",
):
    import_module(f"greenopt.cli.{_command}").register(app)


def main() -> None:
    """Run the command line; every error ends in one line and an exit code, never a traceback."""
    try:
        app()
    except GreenoptError as error:
        _quit(str(error), error.exit_code)
    except KeyboardInterrupt:
        _quit("interrupted", ExitCode.STOPPED_EARLY)
    except BrokenPipeError:
        os._exit(ExitCode.DONE)
    except Exception as error:
        if os.environ.get("GREENOPT_DEBUG"):
            raise
        _quit(f"internal error: {type(error).__name__}: {error} (GREENOPT_DEBUG=1 shows where)", ExitCode.FAILED)


def _quit(message: str, code: ExitCode) -> None:
    sys.stdout.flush()
    print(f"greenopt: {message}", file=sys.stderr)
    sys.exit(code)
