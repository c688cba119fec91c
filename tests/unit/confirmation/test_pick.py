"""Which trial is confirmed, and which one it has to beat."""

import pytest

from greenopt.confirmation import pick_trial
from greenopt.errors import UsageError
from tests.unit.confirmation.tables import failed, row, snapshot

STUDY = snapshot(
    row(0, 0.80, 4.0),
    row(1, 0.90, 9.0, lr=0.01),
    row(2, 0.90, 9.5, lr=0.01),
    row(3, 0.60, 2.0, lr=0.001),
    failed(4, fail_reason="out_of_memory"),
    failed(5, "pruned", stop_reason="diverged"),
    {**row(6, 0.50, 1.5, batch_size=8), "energy_wh": None, "efficiency": None},
)


@pytest.mark.parametrize(("pick", "trial", "runner_up"), [("efficiency", 3, 0), ("accuracy", 1, 0), ("energy", 3, 0)])
def test_the_best_is_picked_and_the_best_of_another_setting_is_its_runner_up(
    pick: str, trial: int, runner_up: int
) -> None:
    picked = pick_trial(STUDY, pick)
    assert picked.trial == trial
    assert picked.runner_up is not None
    assert picked.runner_up["trial"] == runner_up


def test_a_trial_can_be_named() -> None:
    picked = pick_trial(STUDY, "2")
    assert (picked.trial, picked.by, picked.runner_up) == (2, None, None)


def test_a_study_of_one_setting_has_no_runner_up() -> None:
    assert pick_trial(snapshot(row(0, 0.8, 4.0), row(1, 0.9, 4.0)), "accuracy").runner_up is None


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        ("best", "--pick best: is neither efficiency, accuracy, energy nor a trial's number"),
        ("-1", "--pick -1: is neither"),
        ("9", "--pick 9: study tried has no such trial"),
        ("4", "--pick 4: that trial did not complete (out_of_memory)"),
        ("5", "--pick 5: that trial did not complete (diverged)"),
    ],
)
def test_what_cannot_be_picked_is_said(pick: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        pick_trial(STUDY, pick)
    assert message in str(caught.value)


def test_nothing_measured_is_nothing_to_confirm() -> None:
    with pytest.raises(UsageError, match="study tried: no completed trial has a measured energy_wh"):
        pick_trial(snapshot(failed(0), failed(1)), "energy")
