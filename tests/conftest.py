"""No test touches what the user's own studies keep between trials, or what another test hears of the log; Ctrl-C works
in what tests start.
"""

import logging
import os
import signal
import tempfile
from collections.abc import Iterator

import pytest

from greenopt.logs import VERBOSE_VARIABLE

os.environ["GREENOPT_CACHE"] = tempfile.mkdtemp(prefix="greenopt-test-cache-")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background so, and processes pass it on.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that train models directly after the end-to-end tests.

    They take longest of the rest, and at the end of a run on two processes one would wait for the other's.
    """
    items.sort(key=lambda item: 0 if "end_to_end" in item.path.parts else 1 if "trial" in item.path.parts else 2)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Undo what a command that a test ran with --verbose in this process did to greenopt's log."""
    package, told = logging.getLogger("greenopt"), os.environ.get(VERBOSE_VARIABLE)
    before = list(package.handlers), package.level, package.propagate
    yield
    package.handlers[:], package.propagate = before[0], before[2]
    package.setLevel(before[1])
    if told is None:
        os.environ.pop(VERBOSE_VARIABLE, None)
