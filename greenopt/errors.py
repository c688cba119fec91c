"""Errors that reach the user as one line, and the exit codes of the command line.

Every error that a person can mend is a `UsageError`: its text names the thing, the value and the way out.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every `greenopt` command."""

    DONE = 0
    FAILED = 1
    WRONG_USE = 2
    STOPPED_EARLY = 3


class GreenoptError(Exception):
    """An error whose text is meant for the user; shown without a traceback."""

    exit_code = ExitCode.FAILED


class UsageError(GreenoptError):
    """Input that cannot be used as given; nothing has been written."""

    exit_code = ExitCode.WRONG_USE
