"""The study and its view in real terminals: whatever becomes of the view, the study goes on."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from greenopt.errors import GreenoptError, UsageError
from greenopt.events import Outcome
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import CoordinatorEnded, decode_entry
from greenopt.search import Search, open_storage, read_study
from greenopt.storage.live_rows import LiveRows
from tests.builders import study
from tests.end_to_end.conftest import Bench
from tests.end_to_end.programs import postgresql
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
    assert f"study mine is still running (pid {coordinator.pid}" in words
    assert "paused" in words
    assert "greenopt watch mine" in words
    assert coordinator.is_running()

    third = desk.open("watch", "mine")
    third.read_until("paused")
    third.press("k")
    third.read_until("Stop study mine now?")
    third.press("y")
    third.read_until("results")
    third.read_until("stopped on request, at once")
    third.press("q")
    code, words = third.finish()
    assert (code, "study mine: stopped on request, at once (0 of 2 trials" in words) == (0, True)
    assert "greenopt analyze" not in words
    assert desk.run.holder() is None
    assert b"own output" in desk.run.log(0).read_bytes()


def test_a_study_that_ended_in_view_leaves_its_table_and_the_plain_exit_code(desk: Desk) -> None:
    desk.write(trials=1, epochs=3)
    terminal = desk.open("run", "mine.toml")
    terminal.read_until("results")
    terminal.press("q")
    code, words = terminal.finish()
    assert code == 0
    assert "all trials are done (1 completed" in words
    assert "next: greenopt analyze mine  ·  greenopt report mine" in words
    ended = [decode_entry(line) for line in desk.run.study_log.read_bytes().splitlines()][-1]
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
    assert "exited unexpectedly" in words


def test_a_pipe_gets_lines_and_watch_says_that_it_needs_a_terminal(desk: Desk, bench: Bench) -> None:
    bench.folder = desk.folder
    desk.write(trials=1, epochs=1)
    done = bench.run("run", "mine.toml")
    assert done.returncode == 0, done.stderr
    assert "trial 0 started on cpu" in done.stdout
    refused = bench.run("watch", "mine")
    assert refused.returncode == 2
    assert "needs a terminal" in refused.stderr
    missing = Terminal(["watch", "absent"], desk.folder)
    code, words = missing.finish()
    assert (code, "no study here" in words) == (2, True)


def test_rows_on_postgresql_equal_those_on_sqlite_while_they_are_written(postgres_url: str, tmp_path: Path) -> None:
    name = "rows-of-two-storages"
    spec = study(
        study={"name": name, "trials": 6},
        space={"batch_size": [4, 8], "optimizer": ["SGD", "Adam"], "lr": {"low": 1e-4, "high": 0.1, "log": True}},
    )
    urls = (postgres_url, f"sqlite:///{tmp_path / 'study.db'}")
    searches = [Search(spec, open_storage(url)) for url in urls]
    watched = [LiveRows(name, url) for url in urls]
    assert [rows.spec() for rows in watched] == [spec, spec]
    parameters = tuple(spec.space.distributions)

    def changed() -> list[dict[str, object]]:
        on_server, in_file = ([_timeless(row) for row in rows.changed(parameters)] for rows in watched)
        assert on_server == in_file
        return on_server

    def told(trial: int, outcome: Outcome, figures: dict[str, object], values: list[float] | None = None) -> None:
        for search in searches:
            search.tell(trial, outcome, figures, values)

    assert changed() == []
    for search in searches:
        search._study.enqueue_trial({"batch_size": 8, "optimizer": "Adam", "lr": 0.01})
    assert [(row["state"], row["lr"]) for row in changed()] == [("waiting", 0.01)]
    for search in searches:
        assert [search.ask().trial for _ in range(4)] == [0, 1, 2, 3]
    assert [row["state"] for row in changed()] == ["running"] * 4
    told(1, Outcome.COMPLETED, {"accuracy": 0.1 + 0.2, "energy_wh": 2.0, "note": "a 'quoted' \\ word, ü"}, [0.3, 2.0])
    told(2, Outcome.DIVERGED, {"accuracy": float("nan"), "stop_reason": "diverged"})
    assert [(row["trial"], row["state"]) for row in changed()] == [
        (0, "running"),
        (1, "complete"),
        (2, "pruned"),
        (3, "running"),
    ]
    told(0, Outcome.COMPLETED, {"accuracy": 0.5}, [0.5, 1.0])
    told(3, Outcome.FAILED, {"fail_reason": "out_of_memory", "message": None})
    assert [row["trial"] for row in changed()] == [0, 3]
    assert changed() == []

    whole = LiveRows(name, postgres_url).changed(parameters)
    assert repr(whole) == repr(list(read_study(name, open_storage(postgres_url)).rows))
    assert [row["optimizer"] for row in whole][:1] == ["Adam"]
    for search, rows in zip(searches, watched, strict=True):
        assert rows.holder() is not None
        search.lease.release()
        assert rows.holder() is None
        rows.close()


def _timeless(row: dict[str, object]) -> dict[str, object]:
    """A row without its moments, and with words for NaN, which equals nothing."""
    return {key: repr(value) for key, value in row.items() if key not in ("began", "ended")} | {
        "trial": row["trial"],
        "state": row["state"],
        "lr": row["lr"],
    }


def test_a_study_on_postgresql_is_watched_from_elsewhere_while_it_runs_and_afterwards(
    desk: Desk, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    desk.write(trials=2, epochs=12)
    here = desk.open("run", "mine.toml", "--storage", postgres_url)
    here.read_until("epoch")
    elsewhere = Terminal(["watch", "mine", "--storage", postgres_url], tmp_path_factory.mktemp("elsewhere"))
    desk.terminals.append(elsewhere)
    elsewhere.read_until("running")
    here.read_until("results")
    elsewhere.read_until("results")
    elsewhere.read_until("2/2")
    elsewhere.press("c")
    elsewhere.read_until(f"greenopt analyze mine --storage {postgres_url}")
    elsewhere.press("\x1b")
    elsewhere.drain(0.5)
    for terminal, storage in ((here, ""), (elsewhere, f" --storage {postgres_url}")):
        terminal.press("q")
        code, words = terminal.finish()
        assert code == 0
        for command in ("analyze", "report"):
            assert re.search(rf"greenopt {command} +mine{re.escape(storage)}", re.sub(r"\s*\n", "", words))
    again = desk.open("watch", "mine", "--storage", postgres_url, size=(80, 24))
    again.read_until("2/2")
    again.press("q")
    code, words = again.finish()
    assert (code, "2 of 2 trials completed" in words) == (0, True)


def test_a_server_that_goes_away_is_one_line_without_its_password() -> None:
    with postgresql() as url:
        url = url.replace("greenopt@", "greenopt:secret@")
        search = Search(study(), open_storage(url))
        search.ask()
        rows = LiveRows("tried", url)
        assert [row["state"] for row in rows.changed(("lr",))] == ["running"]
        with pytest.raises(UsageError, match="study absent: not in storage"):
            LiveRows("absent", url)
    with pytest.raises(GreenoptError, match=r"^storage postgresql\+psycopg://greenopt:\*\*\*@[^\n]*$") as caught:
        rows.changed(("lr",))
    assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read") as caught:
        LiveRows("tried", url)
    assert "secret" not in str(caught.value)
