"""A storage that is away, locked, full or replaced, and trial folders that vanish: they cost time or a trial."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event

from greenopt.coordination.coordinator import Coordinator
from greenopt.coordination.progress import Forecast, PlainProgress
from greenopt.coordination.storage_access import StoragePlace
from greenopt.coordination.study_log_writer import StudyLogWriter
from greenopt.dashboard import DashboardPublisher
from greenopt.events import EpochEnded, read_events
from greenopt.execution import Slot
from greenopt.files import LogTail
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import StorageChanged, StudyEnd, decode_entry
from greenopt.search import Search, file_watch, open_storage, read_study
from greenopt.spec import TrialSpec
from tests.builders import study
from tests.fakes import FakeEngine, completes

CONTINUOUS = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}
LOCKED = "database is locked"


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Database:
    """An SQLite storage whose statements and commits fail when told to."""

    def __init__(self, url: str) -> None:
        self.storage = open_storage(url, busy_timeout_s=0.05)
        self.fails: Callable[[str], str | None] = lambda statement: None
        engine = self.storage._backend.engine  # type: ignore[attr-defined]  # Optuna has no public way to its engine
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "commit", lambda connection: self._refuse("COMMIT"))
        self.after_commit: Callable[[], str | None] = lambda: None
        commit = engine.dialect.do_commit

        def do_commit(connection: Any) -> None:
            commit(connection)
            if (message := self.after_commit()) is not None:
                raise sqlite3.OperationalError(message)

        engine.dialect.do_commit = do_commit

    def dispose(self) -> None:
        """Close its connections, as the end of a process does."""
        self.storage._backend.engine.dispose()  # type: ignore[attr-defined]

    def _before(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        self._refuse(statement)

    def _refuse(self, statement: str) -> None:
        if (message := self.fails(statement)) is not None:
            raise sqlalchemy.exc.OperationalError(statement, {}, sqlite3.OperationalError(message))


class Watch:
    """Keeps what observers are told of the storage."""

    def __init__(self) -> None:
        self.causes: list[str | None] = []

    def storage_changed(self, name: str, cause: str | None) -> None:
        assert name == "sqlite:///study.db"
        self.causes.append(cause)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.fixture(scope="module")
def empty_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making the tables takes longer than all else."""
    file = tmp_path_factory.mktemp("empty") / "study.db"
    open_storage(f"sqlite:///{file}")
    return file


class Desk:
    def __init__(self, path: Path, empty_storage: Path) -> None:
        self.folder = RunFolder(path / "tried")
        self.folder.path.mkdir(parents=True)
        shutil.copy(empty_storage, self.folder.path / "study.db")
        self.database = Database(self.folder.default_storage)
        self.clock, self.watch = Clock(), Watch()

    def coordinator(self, engine: FakeEngine, *observers: Any, patience_s: float = 600.0, **rest: Any) -> Coordinator:
        spec = rest.pop("spec", None) or study(space=CONTINUOUS)
        place = StoragePlace(
            "sqlite:///study.db", patience_s, rest.pop("change", lambda: None), self.clock, self.clock.sleep
        )
        search = Search(spec, self.database.storage)
        observers = (self.watch, *observers)
        return Coordinator(spec, search, engine, self.folder, observers, place=place, wait=self.clock.sleep, **rest)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(read_study("tried", self.database.storage).rows)


@pytest.fixture
def desk(tmp_path: Path, empty_storage: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, empty_storage)
    yield desk
    desk.database.fails = lambda _: None


def times(count: int, message: str = LOCKED) -> Callable[[str], str | None]:
    """Fail so many statements that write, then none."""
    left = [count]

    def fails(statement: str) -> str | None:
        if statement.lstrip().upper().startswith("SELECT") or left[0] <= 0:
            return None
        left[0] -= 1
        return message

    return fails


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("database is locked", "it is locked by another process"),
        ("database or disk is full", "its disk is full"),
        ("attempt to write a readonly database", "it is read-only"),
        ("unable to open database file", "its file cannot be opened"),
        ("disk I/O error", "its disk reports errors"),
        ('connection failed: connection to server at "::1", port 1 failed: Connection refused', "cannot be reached"),
        ("terminating connection due to administrator command", "the server closed the connection"),
        ("FATAL:  the database system is starting up", "the server is starting"),
    ],
)
def test_an_outage_ends_no_study_and_is_told_in_words(desk: Desk, message: str, cause: str) -> None:
    coordinator = desk.coordinator(FakeEngine())
    desk.database.fails = times(7, message)
    assert coordinator.run() is StudyEnd.DONE
    assert [row["state"] for row in desk.rows] == ["complete"] * 4
    first, last = desk.watch.causes[0], desk.watch.causes[-1]
    assert first is not None
    assert cause in first
    assert "commit" not in first
    assert last is None


@pytest.mark.parametrize("at", range(1, 13))
def test_a_commit_whose_answer_was_lost_is_repeated_without_harm(desk: Desk, at: int) -> None:
    """Optuna repeats the creation of a trial by itself, and the coordinator everything else."""
    spec = study(study={"trials": 2, "enqueue": [{"batch_size": 4, "lr": 0.1}]})
    engine = FakeEngine(lambda trial: completes(trial))
    coordinator = desk.coordinator(engine, spec=spec)
    commits = [0]

    def lost() -> str | None:
        commits[0] += 1
        return "server closed the connection unexpectedly" if commits[0] == at else None

    desk.database.after_commit = lost
    assert coordinator.run() is StudyEnd.DONE
    desk.database.after_commit = lambda: None
    rows = [row for row in desk.rows if row.get("fail_reason") != "duplicate"]
    assert [row["state"] for row in rows] == ["complete"] * 2
    assert len(desk.rows) == 2 or "made twice" in desk.rows[1]["message"]
    assert next((row["batch_size"], row["lr"]) for row in rows) == (4, 0.1)
    assert [trial.trial for trial in engine.specs] == [row["trial"] for row in rows]


def test_running_trials_go_on_and_their_events_are_written_while_the_storage_is_away(desk: Desk) -> None:
    """The second trial's epochs come in while the first one's result cannot be told."""
    seen: list[int] = []

    class Slow(FakeEngine):
        def receive(self, timeout_s: float) -> list[Any]:
            if is_away[0]:
                seen.append(sum(isinstance(each, EpochEnded) for each in read_events(desk.folder.events(1))))
            return super().receive(timeout_s)

    def script(spec: TrialSpec) -> list[Any]:
        events = completes(spec)
        return events if spec.trial == 0 else [*events[:4], *[events[4]] * 40, *events[5:]]

    is_away = [False]

    def fails(statement: str) -> str | None:
        starts = "trial_user_attributes" in statement and statement.startswith("INSERT") and has_ended()
        is_away[0] = (is_away[0] or starts) and desk.clock() < 30
        return LOCKED if is_away[0] else None

    def has_ended() -> bool:
        return desk.folder.events(0).exists() and b'"trial_ended"' in desk.folder.events(0).read_bytes()

    spec = study(study={"trials": 2}, space=CONTINUOUS)
    coordinator = desk.coordinator(Slow(script, slots=[Slot("a", "GPU-a"), Slot("b", "GPU-b")]), spec=spec)
    desk.database.fails = fails
    assert coordinator.run() is StudyEnd.DONE
    assert max(seen) == 41, "all of them, before the storage was back"
    assert 30 <= desk.clock() < 60
    assert [row["state"] for row in desk.rows] == ["complete"] * 2


def test_patience_over_ends_the_study_cleanly_and_the_next_run_counts_everything_once(desk: Desk) -> None:
    engine = FakeEngine()
    coordinator = desk.coordinator(engine, patience_s=60)

    def fails(statement: str) -> str | None:
        return LOCKED if len(engine.specs) == 2 and b'"trial_ended"' in desk.folder.events(1).read_bytes() else None

    desk.database.fails = fails
    assert coordinator.run() is StudyEnd.STORAGE_LOST
    assert 60 <= desk.clock() < 90
    assert desk.watch.causes == ["it is locked by another process"]
    desk.database.fails = lambda _: None
    again = FakeEngine()
    assert desk.coordinator(again).run() is StudyEnd.DONE
    assert [trial.trial for trial in engine.specs + again.specs] == [0, 1, 2, 3]
    assert [(row["state"], row["total_wh"]) for row in desk.rows] == [("complete", 2.5)] * 4


def test_a_running_trial_is_waited_for_beyond_the_patience(desk: Desk) -> None:
    """Its training is worth more than the wait, and its result is kept on disk."""

    class Long(FakeEngine):
        def receive(self, timeout_s: float) -> list[Any]:
            held = self._queues.pop(1, None) if desk.clock() < 100 else None
            messages = super().receive(timeout_s)
            if held is not None:
                self._queues[1] = held
            return messages

    engine = Long(slots=[Slot("a", "GPU-a"), Slot("b", "GPU-b")])
    coordinator = desk.coordinator(engine, patience_s=10, spec=study(study={"trials": 2}, space=CONTINUOUS))

    def fails(statement: str) -> str | None:
        return LOCKED if b'"trial_ended"' in desk.folder.events(0).read_bytes() else None

    desk.database.fails = lambda statement: fails(statement) if len(engine.specs) == 2 else None
    assert coordinator.run() is StudyEnd.STORAGE_LOST
    assert desk.clock() >= 100
    assert b'"trial_ended"' in desk.folder.events(1).read_bytes()


def test_stopping_now_ends_an_outage_at_once(desk: Desk) -> None:
    coordinator = desk.coordinator(FakeEngine())
    desk.database.fails = lambda _: LOCKED
    sleep = desk.clock.sleep

    def stops(seconds: float) -> None:
        sleep(seconds)
        if desk.clock() > 5:
            coordinator.stop_now()

    object.__setattr__(coordinator._place, "sleep", stops)
    assert coordinator.run() is StudyEnd.STORAGE_LOST
    assert desk.clock() < 10


def test_a_storage_that_was_deleted_or_replaced_is_away_and_nothing_is_written_into_the_void(desk: Desk) -> None:
    file = desk.folder.path / "study.db"
    change = file_watch(desk.folder.default_storage)
    coordinator = desk.coordinator(FakeEngine(), change=change)
    file.rename(file.with_name("away.db"))
    sleep = desk.clock.sleep

    def comes_back(seconds: float) -> None:
        sleep(seconds)
        if desk.clock() > 20 and not file.exists():
            file.with_name("away.db").rename(file)

    object.__setattr__(coordinator._place, "sleep", comes_back)
    assert coordinator.run() is StudyEnd.DONE
    assert desk.watch.causes == ["its file is gone", None]
    file.with_name("other.db").write_bytes(file.read_bytes())
    file.with_name("other.db").replace(file)
    assert change() == "its file was replaced by another"


def test_the_outage_stands_in_the_study_log_and_in_the_progress(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    log = StudyLogWriter(desk.folder.study_log, [Slot("cpu")])
    lines = PlainProgress(Console(width=200), Forecast(4, 1))
    coordinator = desk.coordinator(FakeEngine(), log, lines)
    desk.database.fails = times(7)
    coordinator.run()
    entries = [decode_entry(line) for line in LogTail(desk.folder.study_log).new_lines()]
    causes = [entry.cause for entry in entries if isinstance(entry, StorageChanged)]
    assert (causes[0], causes[-1]) == ("it is locked by another process", None)
    out = capsys.readouterr().out
    assert "storage sqlite:///study.db is away: it is locked by another process; running trials go on" in out
    assert "storage sqlite:///study.db is back" in out


def test_the_dashboard_misses_nothing_by_an_outage(desk: Desk) -> None:
    warnings: list[str] = []
    spec = study(study={"trials": 2}, space=CONTINUOUS)
    publisher = DashboardPublisher(spec, desk.database.storage, desk.folder, warnings.append)
    coordinator = desk.coordinator(FakeEngine(), publisher, spec=spec, annotator=publisher)
    desk.database.fails = times(12)
    assert coordinator.run() is StudyEnd.DONE
    publisher.close()
    assert warnings == []
    notes = desk.database.storage.get_study_system_attrs(0 + 1)
    assert {f"dashboard:{trial}:note_ver" for trial in (1, 2)} <= notes.keys()


class Vandal(FakeEngine):
    """Does something to a trial's folder after its first epoch."""

    def __init__(self, does: Callable[[Path], None], folder: RunFolder, trials: tuple[int, ...] = (1,)) -> None:
        super().__init__()
        self._does, self._folder, self._left = does, folder, set(trials)

    def receive(self, timeout_s: float) -> list[Any]:
        for trial in sorted(self._left):
            if self._folder.events(trial).exists() and b"epoch_ended" in self._folder.events(trial).read_bytes():
                self._left.discard(trial)
                self._does(self._folder.trial(trial))
        return super().receive(timeout_s)


def _delete_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def _delete_events(folder: Path) -> None:
    (folder / "events.jsonl").unlink()


def _replace_events(folder: Path) -> None:
    (folder / "events.jsonl").unlink()
    (folder / "events.jsonl").mkdir()


@pytest.mark.parametrize("does", [_delete_folder, _delete_events, _replace_events])
def test_a_trials_folder_that_vanishes_costs_that_trial_and_keeps_its_energy(
    desk: Desk, does: Callable[[Path], None]
) -> None:
    coordinator = desk.coordinator(Vandal(does, desk.folder))
    assert coordinator.run() is StudyEnd.DONE
    rows = desk.rows
    assert [row.get("fail_reason") for row in rows] == [None, "not_recorded", None, None, None]
    assert rows[1]["energy_wh"] == 2.0, "an epoch more arrived before it was noticed"
    assert "events.jsonl" in rows[1]["message"]
    assert rows[2]["retry_of"] == 1


def test_events_that_cannot_be_written_for_a_while_are_written_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    write, refused = os.write, [0]

    def full(descriptor: int, content: bytes) -> int:
        if b"epoch_ended" in content and b'"epoch":1' in content and refused[0] < 1:
            refused[0] += 1
            write(descriptor, content[:10])
            raise OSError(28, "No space left on device")
        return write(descriptor, content)

    monkeypatch.setattr("greenopt.coordination.events_file.os.write", full)
    assert desk.coordinator(FakeEngine()).run() is StudyEnd.DONE
    assert [row["state"] for row in desk.rows] == ["complete"] * 4
    kinds = [each.kind for each in read_events(desk.folder.events(0))]
    assert kinds.count("epoch_ended") == 2
    assert refused == [1]


def test_a_folder_that_cannot_be_written_costs_the_trial_and_not_the_study(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greenopt.coordination import coordinator as module

    take = vars(module)["take_trial_folder"]

    def refuse(folder: Path, head: Any) -> None:
        if head.trial == 1:
            raise OSError(30, "Read-only file system", str(folder))
        take(folder, head)

    monkeypatch.setattr(module, "take_trial_folder", refuse)
    assert desk.coordinator(FakeEngine()).run() is StudyEnd.DONE
    rows = desk.rows
    assert [row.get("fail_reason") for row in rows] == [None, "not_recorded", None, None, None]
    assert "could not be started" in rows[1]["message"]
    assert "Read-only file system" in rows[1]["message"]
    assert rows[1]["energy_wh"] is None


def test_an_error_that_waiting_does_not_mend_ends_the_study_in_one_line(desk: Desk) -> None:
    from greenopt.errors import GreenoptError

    coordinator = desk.coordinator(FakeEngine())
    desk.database.fails = lambda _: "database disk image is malformed"
    with pytest.raises(GreenoptError, match=r"^storage sqlite:///study\.db: its file is damaged$"):
        coordinator.run()


@pytest.mark.parametrize("writes", range(1, 24, 2))
def test_a_coordinator_killed_while_it_asks_loses_no_setting_and_runs_none_twice(desk: Desk, writes: int) -> None:
    """The next one goes on with the trial that was half asked for, enqueued or drawn."""
    spec = study(study={"trials": 3, "enqueue": [{"batch_size": 8, "lr": 0.001}]})

    class Killed(BaseException):
        pass

    left, engines = [writes], [FakeEngine(), FakeEngine()]

    def dies(statement: str) -> str | None:
        if not statement.lstrip().upper().startswith("SELECT") and "user_attributes" not in statement:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
        return None

    first = desk.coordinator(engines[0], spec=spec)
    desk.database.fails = dies
    with contextlib.suppress(Killed):
        first.run()
    desk.database.dispose()
    desk.database = Database(desk.folder.default_storage)
    assert desk.coordinator(engines[1], spec=spec).run() is StudyEnd.DONE
    rows = desk.rows
    assert [row["state"] for row in rows].count("complete") == 3
    ran = [trial.trial for engine in engines for trial in engine.specs]
    assert len(ran) == len(set(ran))
    enqueued = [row for row in rows if (row["batch_size"], row["lr"]) == (8, 0.001) and row["state"] == "complete"]
    assert len(enqueued) >= 1
    assert all(row["lr"] is not None for row in rows)
