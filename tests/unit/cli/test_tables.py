"""No digit of any table is cut: at any width of a terminal, and in a pipe."""

import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from greenopt.analysis.analyse import analyse
from greenopt.analysis.results import Analysis, Coding, Response
from greenopt.cli import app
from greenopt.cli.analysis_tables import print_analysis
from greenopt.cli.confirm import print_confirmation
from greenopt.cli.plan import print_plan
from greenopt.cli.regression_tables import format_p
from greenopt.cli.summary_output import print_summary
from greenopt.cli.tables import Table, print_table
from greenopt.confirmation import confirmation, pick_trial
from greenopt.execution import Slot
from greenopt.report.study_analysis import analyse_study
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import StudyEnd
from greenopt.search import open_storage
from tests.known_effects import known_rows, paper_study, write_known_study
from tests.unit.confirmation.tables import row, snapshot

WIDTHS = (20, 27, 33, 40, 57, 72, 79, 80, 81, 100, 120, 160, 200, 300)


def printed(write: Callable[[Console], object], width: int | None) -> str:
    """What is printed to a terminal of this width, or to a pipe."""
    target = io.StringIO()
    is_terminal = width is not None
    write(Console(file=target, width=width or 80, force_terminal=is_terminal, color_system=None, legacy_windows=False))
    return target.getvalue()


def numbers(text: str) -> Counter[str]:
    """Every word with a digit, as often as it stands there."""
    return Counter(word.rstrip(":") for word in text.split() if re.search(r"\d", word))


def is_whole_at_every_width(write: Callable[[Console], object]) -> str:
    """Assert it, and return the text in a pipe."""
    whole = printed(write, None)
    assert numbers(whole)
    for width in WIDTHS:
        lost = numbers(whole) - numbers(printed(write, width))
        assert not lost, f"at {width} columns"
    return whole


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A study with a trial of each kind and a repeated setting."""
    return RunFolder(write_known_study(tmp_path_factory.mktemp("runs"), 90, pruned=2, failed=2))


@pytest.fixture(scope="module")
def known(folder: RunFolder) -> Analysis:
    return analyse_study(folder)


@pytest.mark.parametrize("coding", Coding)
def test_an_analysis(known: Analysis, coding: Coding) -> None:
    text = is_whole_at_every_width(lambda console: print_analysis(console, known, list(Response), coding))
    there = numbers(text)
    for response in Response:
        for found in known.regressions[response][coding].coefficients:
            assert there[format_p(found.p)], f"p of {found.name}"


def test_p_keeps_its_digits_in_eighty_columns() -> None:
    """The paper's coding has the widest table."""
    found = analyse(paper_study(150), known_rows(paper_study(150), 150, 5))
    text = printed(lambda c: print_analysis(c, found, [Response.LOG_ENERGY_WH], Coding.PAPER), 80)
    rows = found.regressions[Response.LOG_ENERGY_WH][Coding.PAPER].coefficients
    assert not Counter(format_p(row.p) for row in rows) - Counter(text.split())


def test_the_summary_of_a_run(folder: RunFolder) -> None:
    storage = open_storage(folder.storage())
    text = is_whole_at_every_width(lambda console: print_summary(console, folder, storage, StudyEnd.DONE, None))
    assert "and 70 more; energy from: nvml_counter" in text


def test_a_plan() -> None:
    spec = paper_study(4)
    is_whole_at_every_width(lambda console: print_plan(console, spec, [Slot("GPU 0 (NVIDIA H100 80GB HBM3)", "GPU-0")]))


def test_a_confirmation(tmp_path: Path) -> None:
    study = snapshot(row(0, 0.80, 4.0123), row(1, 0.70, 7.0, lr=0.01))
    again = snapshot(*(row(n, 0.80123 + n / 1000, 3.98765 + n / 7) for n in range(3)))
    found = confirmation(study, pick_trial(study, "accuracy"), lambda _: (), again, lambda _: ())
    is_whole_at_every_width(lambda console: print_confirmation(console, found, RunFolder(tmp_path)))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_of_studies(folder: RunFolder, width: int) -> None:
    environment = {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": str(width), "TERM": "xterm"}
    narrow, wide = (
        CliRunner().invoke(app, ["list", "--runs", str(folder.path.parent)], env=env) for env in (environment, {})
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", narrow.output)
    assert "90/90" not in wide.output or "90/90" in plain
    assert not numbers(wide.output) - numbers(plain)


def test_rows_that_do_not_fit_become_lines_of_their_own() -> None:
    table = Table("trial", "accuracy", "setting", left=("trial",), wraps=("setting",))
    table.add_row("12", "0.870", "lr 0.00625 cosine")
    assert [line for line, _ in table.lines(30)] == [
        "trial  accuracy  setting",
        "12        0.870  lr 0.00625",
        "                 cosine",
    ]
    assert [line for line, _ in table.lines(20)] == [
        "trial 12",
        "  accuracy: 0.870",
        "  setting: lr",
        "    0.00625 cosine",
    ]


def test_what_looks_like_markup_or_moves_the_cursor_is_text() -> None:
    table = Table("value", left=("value",))
    table.add_row("[b1]")
    table.add_row("a\nb\x1b[2J")
    assert printed(lambda console: print_table(console, table), 80).split() == ["value", "[b1]", r"a\nb\x1b[2J"]


def test_columns_that_say_nothing_are_dropped_where_that_is_asked_for() -> None:
    table = Table("trial", "f1", "accuracy", "1/Wh", left=("trial",))
    table.add_row("0", "0.5", "–", "")
    table.add_row("1", "–", "–", "2")
    table.drop_empty("accuracy", "1/Wh")
    assert [line for line, _ in table.lines(None)] == ["trial   f1  1/Wh", "0      0.5", "1        –     2"]
