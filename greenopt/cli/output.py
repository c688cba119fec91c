"""Plain lines on standard output and standard error.

Invariant: commands print through here and through `tables` alone, and both take out what would command the terminal:
names, values and messages may be anybody's.
"""

import os
import re
import sys

from greenopt.plain_text import json_printable, printable

COMMAND_VARIABLE = "GREENOPT_COMMAND"
"""Environment variable: how this shell calls greenopt; `scripts/run` sets it where `greenopt` is not on the PATH."""

_CALL = re.compile(r"(?<![\w/.-])greenopt (?=[a-z])(?!is\b|needs\b|has\b)")


def as_called(text: str) -> str:
    """Return a text with its commands as this shell calls them."""
    command = os.environ.get(COMMAND_VARIABLE, "")
    return _CALL.sub(lambda _: f"{command} ", text) if command else text


def say(text: str, *, end: str = "\n", is_error: bool = False) -> None:
    """Print a text at once, as long as it is, to standard output or standard error."""
    print(printable(as_called(text), keep="\n\t"), end=end, file=sys.stderr if is_error else sys.stdout, flush=True)


def say_json(text: str) -> None:
    """Print a JSON text; what is not seen in it is written as JSON's own escapes."""
    print(json_printable(text), flush=True)
