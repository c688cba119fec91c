"""Each trial is sent once, whatever the tracker does."""

from pathlib import Path

import pytest

from greenopt.errors import GreenoptError, UsageError
from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage
from greenopt.tracking import tracker as trackers
from greenopt.tracking.record import TrialRecord
from greenopt.tracking.send import send_trials
from greenopt.tracking.tracker import TrackerName
from tests.showcase import run_showcase, showcase_study

MLFLOW = TrackerName.MLFLOW


class FakeTracker:
    def __init__(self, refused: int | None = None) -> None:
        self.records: list[TrialRecord] = []
        self._refused = refused

    def send(self, record: TrialRecord) -> str:
        if record.number == self._refused:
            raise ConnectionError("no\nroute")
        self.records.append(record)
        return f"run-{record.number}"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "showcase")
    folder.path.mkdir()
    run_showcase(showcase_study(3), open_storage(folder.default_storage), folder, exhibited=False)
    return folder


def sent(folder: RunFolder, tracker: FakeTracker, project: str = "p") -> list[int]:
    send_trials(folder, None, MLFLOW, project, lambda: tracker)
    return [record.number for record in tracker.records]


def test_what_was_refused_is_sent_the_next_time(folder: RunFolder) -> None:
    broken = FakeTracker(refused=1)
    with pytest.raises(GreenoptError, match="mlflow did not take trial 1: ConnectionError: no route"):
        sent(folder, broken)
    assert [record.number for record in broken.records] == [0]
    assert sent(folder, FakeTracker()) == [1, 2]
    assert sent(folder, FakeTracker()) == []
    assert sent(folder, FakeTracker(), "another") == [0, 1, 2]


def test_a_damaged_memory_sends_again(folder: RunFolder) -> None:
    assert sent(folder, FakeTracker()) == [0, 1, 2]
    for text in ("[1]", "{", '{"mlflow/p": 3}'):
        (folder.path / "tracking.json").write_text(text, encoding="utf-8")
        assert sent(folder, FakeTracker()) == [0, 1, 2]


def test_what_was_not_measured_is_left_out(folder: RunFolder) -> None:
    tracker = FakeTracker()
    sent(folder, tracker)
    first = tracker.records[0]
    assert first.figures["energy_wh"] > 0
    assert "energy_wh" not in first.texts
    assert all(value == value for value in first.figures.values())
    assert [epoch.epoch for epoch in first.epochs] == list(range(1, 13))
    total = sum(epoch.figures["epoch_energy_wh"] for epoch in first.epochs)
    assert first.epochs[-1].figures["energy_so_far_wh"] == pytest.approx(total)


def test_a_tracker_that_is_not_installed_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"wandb is not installed: pip install 'greenopt\[wandb\]'"):
        trackers.check_installed(TrackerName.WANDB)
