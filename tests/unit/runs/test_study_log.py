"""The study log: what is written is read back; other lines are passed over."""

import json
from pathlib import Path

import pytest

from greenopt.coordination.study_log_writer import StudyLogWriter
from greenopt.coordination.verdict import Verdict
from greenopt.events import FailReason, Outcome
from greenopt.execution import Slot
from greenopt.reading import EnergySource
from greenopt.runs.study_log import (
    CoordinatorEnded,
    CoordinatorStarted,
    RunState,
    RunStateChanged,
    StudyEnd,
    TrialRecorded,
)
from greenopt.runs.study_log import decode_entry as decode
from greenopt.runs.trial_ending import TrialEnding, format_ending
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
    assert recorded.ending is not None
    assert (recorded.ending.outcome, recorded.ending.accuracy, recorded.settled) == (Outcome.COMPLETED, 0.6, 2)
    assert format_ending(recorded.ending) == "done: accuracy 0.600 (test 0.550), 2 Wh, 20.0 s"
    assert isinstance(over, CoordinatorEnded)
    assert (over.end, over.failure) == (StudyEnd.EQUAL_FAILURES, FailReason.CRASH)


def test_a_recorded_failure_keeps_reason_and_message_apart_and_no_sentence(tmp_path: Path) -> None:
    file = tmp_path / "course.jsonl"
    verdict = Verdict(Outcome.FAILED, FailReason.OUT_OF_MEMORY, "the GPU has no 3 GB left")
    StudyLogWriter(file, [], clock=lambda: 100.0).trial_ended(1, summarise([started(1)]), verdict, 2)
    kept = json.loads(file.read_bytes())
    assert kept["text"] is None
    told = [kept["ending"][name] for name in ("outcome", "reason", "message", "energy_wh")]
    assert told == ["failed", "out_of_memory", "the GPU has no 3 GB left", None]
    recorded = decode(file.read_bytes())
    assert isinstance(recorded, TrialRecorded)
    assert recorded.ending is not None
    assert format_ending(recorded.ending) == "failed: out_of_memory: the GPU has no 3 GB left (– spent)"


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (
            TrialEnding(
                outcome=Outcome.COMPLETED, accuracy=0.5, energy_wh=6.1, energy_source=EnergySource.ESTIMATE, seconds=8.4
            ),
            "done: accuracy 0.500 (test –), ~6.1 Wh est., 8.4 s",
        ),
        (
            TrialEnding(
                outcome=Outcome.COMPLETED, energy_wh=1, energy_source=EnergySource.RAPL, seconds=90, flags=("gap",)
            ),
            "done: accuracy – (test –), 1 Wh, 1:30 (gap)",
        ),
        (
            TrialEnding(
                outcome=Outcome.COMPLETED,
                accuracy=0.5,
                energy_wh=1,
                energy_source=EnergySource.RAPL,
                seconds=9,
                message="training.callbacks: a:b ended the training after epoch 2 of 5",
            ),
            "done: accuracy 0.500 (test –), 1 Wh, 9.0 s; training.callbacks: a:b ended the training after epoch 2 of 5",
        ),
        (
            TrialEnding(
                outcome=Outcome.DIVERGED,
                reason="diverged",
                message="loss is nan",
                total_wh=2,
                total_source=EnergySource.RAPL,
            ),
            "stopped: diverged: loss is nan (2 Wh spent)",
        ),
        (
            TrialEnding(outcome=Outcome.FAILED, reason=FailReason.DUPLICATE, message="same as trial 3", ran=False),
            "skipped: same as trial 3",
        ),
    ],
)
def test_how_a_trial_ended_is_told_in_a_sentence(ending: TrialEnding, text: str) -> None:
    assert format_ending(TrialEnding.model_validate_json(ending.model_dump_json())) == text


def test_an_entry_from_before_endings_were_kept_is_read_with_its_sentence() -> None:
    line = b'{"utc_s":1.0,"kind":"trial_recorded","trial":3,"text":"failed: crash: exit code 1","settled":4}'
    recorded = decode(line)
    assert isinstance(recorded, TrialRecorded)
    assert (recorded.ending, recorded.text) == (None, "failed: crash: exit code 1")
    assert decode(b'{"utc_s":1.0,"kind":"trial_recorded","trial":3,"settled":4}') is None


def test_what_is_no_entry_is_passed_over() -> None:
    assert decode(b"{}") is None
    assert decode(b'{"kind": "trial_placed", "utc_s": 1') is None


def test_a_full_disk_does_not_end_the_study(tmp_path: Path) -> None:
    StudyLogWriter(tmp_path / "missing" / "course.jsonl", []).study_began(study(), 0)
