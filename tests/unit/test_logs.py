"""Log lines are shown where they were asked for, in this process and in those that it starts."""

import subprocess
import sys

import pytest

from greenopt.logs import VERBOSE_VARIABLE

PROGRAM = """
from greenopt.logs import get_logger, show_logs_if_told
import logging, os
logging.basicConfig()
show_logs_if_told()
show_logs_if_told()
get_logger("greenopt.somewhere").debug("a line")
logging.getLogger("elsewhere").debug("not ours")
"""


def _run(value: str) -> str:
    environment = {VERBOSE_VARIABLE: value, "PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == ""
    return done.stderr


def test_each_line_is_written_once_with_its_module_and_level() -> None:
    (line,) = _run("1").splitlines()
    assert line.endswith(" DEBUG greenopt.somewhere: a line")


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_nothing_is_written_unless_asked_for(value: str) -> None:
    assert _run(value) == ""
