"""Plain lines on standard output and standard error.

Invariant: commands print through here and through `tables` alone, and both take out what would command the terminal:
names, values and messages may be anybody's.
"""

import sys

from greenopt.plain_text import json_printable, printable


def say(text: str, *, end: str = "\n", is_error: bool = False) -> None:
    """Print a text at once, as long as it is, to standard output or standard error."""
    print(printable(text, keep="\n\t"), end=end, file=sys.stderr if is_error else sys.stdout, flush=True)


def say_json(text: str) -> None:
    """Print a JSON text; what is not seen in it is written as JSON's own escapes."""
    print(json_printable(text), flush=True)
