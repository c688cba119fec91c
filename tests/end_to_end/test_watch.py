"""The study and its view in real terminals: whatever becomes of the view, the study goes on."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from greenopt.course import CoordinatorEnded, decode_entry
from greenopt.runs import RunFolder
from tests.end_to_end.conftest import Bench
from tests.tui.terminal import Terminal

pytestmark = pytest.mark.end_to_end

MINE = """
import time


def train(trial):
    print("\\x1b[31mthe training's own output\\x1b[0m")
    trial.begin()
    for epoch in range(trial.epochs):
        sum(range(300_000))
        time.sleep(0.25)
        trial.end_epoch(0.1 * (epoch + 1) / trial.epochs + trial.params["width"] / 200, loss=1.0)
    return {"accuracy": 0.1 + trial.params["width"] / 200}
"""
STUDY = """
[study]
trials = {trials}
objective = "mine:train"
[training]
epochs = {epochs}
[space]
width = [32, 64]
"""


class Desk:
    """A folder with a study of a few seconds a trial, and terminals on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = RunFolder(folder / "runs" / "mine")
        (folder / "mine.py").write_text(MINE)
        self.terminals: list[Terminal] = []
        self.write()

    def write(self, trials: int = 2, epochs: int = 2000) -> None:
        (self.folder / "mine.toml").write_text(STUDY.format(trials=trials, epochs=epochs))

    def open(self, *arguments: str, size: tuple[int, int] = (120, 34)) -> Terminal:
        self.terminals.append(Terminal(arguments, self.folder, size))
        return self.terminals[-1]

    def coordinator(self) -> psutil.Process:
        pid = self.run.holder_pid()
        assert pid is not None
        return psutil.Process(pid)

    def tidy(self) -> None:
        pid = self.run.holder_pid() if self.run.study_file.exists() else None
        for process in [terminal.process.pid for terminal in self.terminals] + ([pid] if pid else []):
            with_it = psutil.Process(process) if psutil.pid_exists(process) else None
            if with_it is not None and with_it.status() != psutil.STATUS_ZOMBIE:
                with_it.send_signal(signal.SIGKILL)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.tidy()


def test_the_study_outlives_a_killed_view_and_one_that_is_left_and_can_be_steered(desk: Desk, bench: Bench) -> None:
    first = desk.open("run", "mine.toml")
    first.read_until("/2000")
    coordinator = desk.coordinator()
    assert coordinator.pid != first.process.pid
    assert os.getsid(coordinator.pid) == coordinator.pid
    first.process.kill()
    first.process.wait()

    second = desk.open("watch", "mine", size=(80, 24))
    second.read_until("running")
    second.read_until("epoch")
    assert coordinator.is_running()
    second.press("p")
    second.read_until("paused")
    second.press("q")
    code, words = second.finish()
    assert code == 0
    assert f"study mine goes on (pid {coordinator.pid}" in words
    assert "paused" in words
    assert "greenopt watch mine" in words
    assert coordinator.is_running()

    third = desk.open("watch", "mine")
    third.read_until("paused")
    third.press("k")
    third.read_until("Stop study mine now?")
    third.press("y")
    third.read_until("what it came to")
    third.press("q")
    assert third.finish()[0] == 0
    assert desk.run.holder() is None
    assert b"own output" in desk.run.log(0).read_bytes()


def test_a_study_that_ended_in_view_leaves_its_table_and_the_plain_exit_code(desk: Desk) -> None:
    desk.write(trials=1, epochs=3)
    terminal = desk.open("run", "mine.toml")
    terminal.read_until("what it came to")
    terminal.press("q")
    code, words = terminal.finish()
    assert code == 0
    assert "all trials are done (1 completed" in words
    ended = [decode_entry(line) for line in desk.run.course.read_bytes().splitlines()][-1]
    assert isinstance(ended, CoordinatorEnded)


def test_what_keeps_a_study_from_starting_is_one_line_before_the_view_opens(desk: Desk) -> None:
    running = desk.open("run", "mine.toml")
    running.read_until("/2000")
    other = desk.open("run", "mine.toml")
    code, words = other.finish()
    assert code == 2
    assert words.strip().splitlines()[-1].startswith("greenopt: study mine is being run by pid")
    assert "Traceback" not in words
    running.press("s")
    running.read_until("stopping")
    os.kill(desk.coordinator().pid, signal.SIGKILL)
    running.read_until("not running")
    running.press("q")
    code, words = running.finish()
    assert code == 1
    assert "ended without a word" in words


def test_a_pipe_gets_lines_and_watch_says_that_it_needs_a_terminal(desk: Desk, bench: Bench) -> None:
    bench.folder = desk.folder
    desk.write(trials=1, epochs=1)
    done = bench.run("run", "mine.toml")
    assert done.returncode == 0, done.stderr
    assert "trial 0 began on cpu" in done.stdout
    refused = bench.run("watch", "mine")
    assert refused.returncode == 2
    assert "needs a terminal" in refused.stderr
    missing = Terminal(["watch", "absent"], desk.folder)
    code, words = missing.finish()
    assert (code, "no study here" in words) == (2, True)
