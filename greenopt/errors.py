"""Errors that reach the user as one line, and the exit codes of the command line.

Every error that a person can mend is a `UsageError`: its text names the thing, the value and the way out.
"""

from collections.abc import Sequence
from enum import IntEnum

from greenopt.plain_text import printable

MAX_LINE = 200
"""Letters of the line in which an error is shown, the program's name included."""

_MIN_WORD = 32


class ExitCode(IntEnum):
    """Exit codes of every `greenopt` command."""

    DONE = 0
    FAILED = 1
    WRONG_USE = 2
    STOPPED_EARLY = 3
    NOTHING_COMPLETED = 4


class GreenoptError(Exception):
    """An error whose text is meant for the user; shown without a traceback."""

    exit_code = ExitCode.FAILED


class UsageError(GreenoptError):
    """Input that cannot be used as given; nothing has been written."""

    exit_code = ExitCode.WRONG_USE


MAX_PROBLEMS = 10
"""Lines in which the problems of one file are shown; the rest is counted."""


class ProblemsError(UsageError):
    """Several things that are wrong with one input, each a line of its own; as one line, the first and their number."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Take what is wrong, at least one thing."""
        self.problems = tuple(dict.fromkeys(problems))
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{self.problems[0]}{more}")

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines to be shown: at most `MAX_PROBLEMS`, then how many more there are."""
        left = len(self.problems) - MAX_PROBLEMS
        return (*self.problems[:MAX_PROBLEMS], *([f"and {left} more"] if left > 0 else []))


def shortened(text: str, width: int) -> str:
    """Return a text of at most this many letters, without its middle where it is longer."""
    if len(text) <= width:
        return text
    head = max((width - 1) // 2, 0)
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}" if width > 1 else "…"


def shown(value: object, width: int = 40) -> str:
    """Return a value as it is written in Python, on one line, without its middle where it is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Python writes no integer of more than 4,300 digits, and nothing that is nested too deeply.
        text = f"a {type(value).__name__} too large to be shown"
    return shortened(printable(text), width)


def one_line(message: str, width: int = MAX_LINE) -> str:
    """Return a message on one line that a terminal shows as it is.

    Where it is too long its longest words, which are paths, names and values, lose their middle, and then its end goes.
    """
    words = [printable(word) for word in message.split()]
    while (excess := sum(map(len, words)) + len(words) - 1 - width) > 0:
        longest = max(words, key=len)
        if len(longest) <= _MIN_WORD:
            break
        words[words.index(longest)] = shortened(longest, max(_MIN_WORD, len(longest) - excess))
    line = " ".join(words)
    return line if len(line) <= width else f"{line[: width - 1]}…"
