"""The study log: what is written is read back; other lines are passed over."""

from pathlib import Path

from greenopt.coordination.study_log_writer import StudyLogWriter
from greenopt.coordination.verdict import Verdict
from greenopt.events import FailReason, Outcome
from greenopt.execution import Slot
from greenopt.runs.study_log import (
    CoordinatorEnded,
    CoordinatorStarted,
    RunState,
    RunStateChanged,
    StudyEnd,
    TrialRecorded,
)
from greenopt.runs.study_log import decode_entry as decode
from greenopt.summary import summarise
from tests.builders import ended, epoch, started, study


def test_what_a_coordinator_did_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "course.jsonl"
    writer = StudyLogWriter(file, [Slot("gpu 0", "GPU-0")], clock=lambda: 100.0)
    writer.study_began(study(), 1)
    writer.run_state_changed(RunState.PAUSED)
    writer.trial_ended(1, summarise([started(1), epoch(1), ended()]), Verdict(Outcome.COMPLETED), 2)
    writer.study_ended(StudyEnd.EQUAL_FAILURES, FailReason.CRASH)
    began, paused, recorded, over = (decode(line) for line in file.read_bytes().splitlines())
    assert isinstance(began, CoordinatorStarted)
    assert (began.slots, began.settled, began.trials, began.utc_s) == ({"gpu 0": "GPU-0"}, 1, 4, 100.0)
    assert isinstance(paused, RunStateChanged)
    assert paused.conduct is RunState.PAUSED
    assert isinstance(recorded, TrialRecorded)
    assert recorded.text.startswith("done: accuracy 0.600 (test 0.550), 2 Wh")
    assert isinstance(over, CoordinatorEnded)
    assert (over.end, over.failure) == (StudyEnd.EQUAL_FAILURES, FailReason.CRASH)


def test_what_is_no_entry_is_passed_over() -> None:
    assert decode(b"{}") is None
    assert decode(b'{"kind": "trial_placed", "utc_s": 1') is None


def test_a_full_disk_does_not_end_the_study(tmp_path: Path) -> None:
    StudyLogWriter(tmp_path / "missing" / "course.jsonl", []).study_began(study(), 0)
