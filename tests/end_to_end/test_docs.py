"""`greenopt docs` as it is called."""

import pytest

from greenopt.docs import find_page, list_pages
from tests.end_to_end.conftest import Bench
from tests.tui.terminal import Terminal

pytestmark = pytest.mark.end_to_end


def test_in_a_pipe_the_page_is_printed(bench: Bench) -> None:
    done = bench.run("docs", "tutorial")
    assert done.returncode == 0
    assert done.stdout == find_page("tutorial").path.read_text(encoding="utf-8")


def test_pages_are_listed(bench: Bench) -> None:
    done = bench.run("docs", "--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [page.name for page in list_pages()]


def test_an_unknown_page_is_one_line(bench: Bench) -> None:
    done = bench.run("docs", "tutorail")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "greenopt: docs: 'tutorail': there is no such page; did you mean tutorial?\n"


def test_in_a_terminal_a_viewer_opens_and_q_leaves() -> None:
    terminal = Terminal(["docs", "citing"], size=(80, 24))
    terminal.read_until("How to cite")
    terminal.press("q")
    code, after = terminal.finish()
    assert code == 0
    assert "Traceback" not in after
