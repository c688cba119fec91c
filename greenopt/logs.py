"""Log lines of greenopt's own modules, by the standard library's `logging`; silent unless somebody listens.

The lines are for people who look for a fault. What a study is told and what it records does not depend on them.
"""

import logging
import os
import sys
from collections.abc import MutableMapping

from greenopt.plain_text import printable

VERBOSE_VARIABLE = "GREENOPT_VERBOSE"
"""Environment variable; `1` shows the lines, in a trial's process too, which inherits it."""

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_package = logging.getLogger("greenopt")
# Otherwise warnings would appear on standard error of a program that only uses the meter.
_package.addHandler(logging.NullHandler())


class _Plain(logging.Formatter):
    """Writes what is not seen as escapes: a message may be anybody's, and the lines go to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), keep="\n\t")


def get_logger(module: str) -> logging.Logger:
    """Return the logger of a module, by its full name."""
    return logging.getLogger(module)


def show_logs(environment: MutableMapping[str, str] = os.environ) -> None:
    """Write all log lines of this process to standard error, and have the processes that it starts do so too."""
    environment[VERBOSE_VARIABLE] = "1"
    if any(type(handler) is logging.StreamHandler for handler in _package.handlers):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain(_FORMAT))
    _package.addHandler(handler)
    _package.setLevel(logging.DEBUG)
    # TensorFlow gives the root logger a handler of its own, which would write each line again.
    _package.propagate = False


def show_logs_if_told(environment: MutableMapping[str, str] = os.environ) -> None:
    """Write all log lines to standard error where the environment says so."""
    if environment.get(VERBOSE_VARIABLE) == "1":
        show_logs(environment)
