"""Training by a function of the user's: the same phases, epochs and records."""

import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from greenopt.events import Event, FailReason, Outcome, Phase
from greenopt.spec import EnergySpec, TrainingSpec, TrialSpec
from greenopt.trial.failures import classify_failure
from greenopt.trial.journal import Journal
from greenopt.trial.objective import run_objective
from tests.unit.trial import objectives
from tests.unit.trial.workbench import FakeMeter, Told


def run(name: str, epochs: int = 1, **rest: Any) -> Told:
    spec = TrialSpec(
        study="own",
        trial=0,
        objective=f"tests.unit.trial.objectives:{name}",
        parameters={"bonus": 0.5, "kind": "a"},
        training=TrainingSpec(epochs=epochs),
        energy=EnergySpec(),
        split_seed=0,
        training_seed=4,
        **rest,
    )
    events: list[Event] = []
    journal = Journal(FakeMeter(), events.append)
    try:
        run_objective(spec, journal)
    except Exception as error:
        journal.fail(classify_failure(error))
    return Told(events)


def test_epochs_and_set_up_are_told_apart() -> None:
    told = run("told", epochs=3)
    assert list(told.phases) == [Phase.IMPORT, Phase.BUILD, Phase.TRAIN, Phase.TEST]
    assert [epoch.val_accuracy for epoch in told.epochs] == pytest.approx([0.1, 0.2, 0.3])
    assert (told.epochs[1].loss, told.epochs[1].accuracy, told.epochs[1].lr) == (0.5, 0.4, 0.5)
    assert told.epochs[0].val_loss is None
    assert told.ended.outcome is Outcome.COMPLETED
    assert told.ended.accuracy == pytest.approx(0.8)
    assert told.ended.test_accuracy == 0.25
    assert told.ended.energy is not None
    # The fake draws 1 Wh from mark to mark: three epochs, and all of import, build, training and test.
    assert told.ended.energy.energy_wh == 3
    assert told.ended.total is not None
    assert told.ended.total.energy_wh == 6


def test_a_function_that_tells_nothing_has_one_epoch_which_is_all_of_it() -> None:
    told = run("silent", epochs=5)
    assert [(epoch.epoch, epoch.epochs, epoch.val_accuracy) for epoch in told.epochs] == [(1, 1, 0.75)]
    assert list(told.phases) == [Phase.IMPORT, Phase.TRAIN, Phase.TEST]
    assert told.ended.energy is not None
    assert told.ended.energy.energy_wh == 1


def test_an_accuracy_that_is_no_number_is_a_divergence() -> None:
    assert run("diverges").ended.outcome is Outcome.DIVERGED


def test_an_exception_keeps_its_reason_and_the_energy_so_far() -> None:
    ended = run("breaks").ended
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, FailReason.OUT_OF_MEMORY)
    assert ended.energy is not None
    assert ended.energy.flags == ("partial",)
    assert ended.energy.energy_wh == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("returns_nothing", "returned None; expected the validation accuracy"),
        ("returns_else", "returned f1; the study's objectives need accuracy too"),
        ("nowhere", "has no function nowhere"),
        ("not_a_function", "has no function not_a_function"),
    ],
)
def test_a_wrong_function_is_a_wrong_setting(name: str, message: str) -> None:
    ended = run(name).ended
    assert ended.reason == FailReason.WRONG_SETTING
    assert message in ended.message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (87.5, "accuracy 87.5: give a fraction 0..1, 0.875"),
        (100, "accuracy 100: give a fraction 0..1, 1"),
        (1.0001, "accuracy 1.0001: give a fraction 0..1"),
        (-0.2, "accuracy -0.2: it is below 0; give a fraction 0..1"),
        (-31, "accuracy -31: give a fraction 0..1"),
        (5000.0, "accuracy 5000: give a fraction 0..1"),
        (float("inf"), "accuracy inf: give a fraction 0..1"),
        (float("-inf"), "accuracy -inf: give a fraction 0..1"),
        (np.float32(87.5), "accuracy 87.5: give a fraction 0..1, 0.875"),
        (np.array(87.5), "accuracy 87.5: give a fraction 0..1, 0.875"),
        ("0.9", "accuracy '0.9': give one number"),
        (b"0.9", "accuracy b'0.9': give one number"),
        ("87.5 %", "accuracy '87.5 %': give one number"),
        (True, "accuracy True: give one number"),
        (np.True_, "accuracy np.True_: give one number"),
        (0.5 + 0j, "accuracy (0.5+0j): give one number"),
        (np.array([0.5, 0.6]), "accuracy array([0.5, 0.6]): give one number"),
        ((0.5, 1.2), "accuracy (0.5, 1.2): give one number"),
        ([0.5], "accuracy [0.5]: give one number"),
        (10**400, "give one number"),
        (None, "returned None; expected the validation accuracy, a number 0..1"),
        ({"accuracy": None}, "returned None; expected the validation accuracy"),
        ({}, "returned an empty mapping; the study's objectives need accuracy too"),
        ({"accuracy": 0.5, "test_accuracy": 90}, "test_accuracy 90: give a fraction 0..1, 0.9"),
        ({"accuracy": 0.5, "test_accuracy": "none"}, "test_accuracy 'none': give one number"),
        ({"accuracy": 0.5, "energy_wh": 3}, "returned energy_wh, which is the name of a figure of greenopt's own"),
        ({"test_accuracy": 0.5}, "returned test_accuracy; the study's objectives need accuracy too"),
    ],
    ids=lambda value: None if isinstance(value, str) and len(value) > 6 else repr(value),
)
def test_what_is_no_accuracy_fails_the_trial_with_the_cure_and_leaves_no_value(
    monkeypatch: pytest.MonkeyPatch, given: Any, message: str
) -> None:
    monkeypatch.setitem(objectives.GIVEN, "result", given)
    told = run("gives")
    assert (told.ended.outcome, told.ended.reason) == (Outcome.FAILED, FailReason.WRONG_SETTING)
    assert message in told.ended.message
    assert "study.objective: tests.unit.trial.objectives:gives" in told.ended.message
    assert (told.ended.accuracy, told.ended.test_accuracy, told.epochs) == (None, None, [])


@pytest.mark.parametrize(
    "given", [0, 1, 0.0, 1.0, 0.25, np.float16(0.25), np.array(0.25), Fraction(1, 4), Decimal("0.25")], ids=repr
)
def test_any_number_of_0_to_1_is_an_accuracy(monkeypatch: pytest.MonkeyPatch, given: Any) -> None:
    monkeypatch.setitem(objectives.GIVEN, "result", {"accuracy": given, "test_accuracy": None})
    told = run("gives")
    assert told.ended.outcome is Outcome.COMPLETED
    assert type(told.ended.accuracy) is float
    assert told.ended.accuracy == float(given)
    assert told.ended.test_accuracy is None


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"accuracy": 50}, "Trial.end_epoch: accuracy 50: give a fraction 0..1, 0.5"),
        ({"train_accuracy": 50.0}, "Trial.end_epoch: train_accuracy 50: give a fraction 0..1, 0.5"),
        ({"accuracy": -0.1}, "Trial.end_epoch: accuracy -0.1: it is below 0"),
        ({"accuracy": "high"}, "Trial.end_epoch: accuracy 'high': give one number"),
        ({"loss": "low"}, "Trial.end_epoch: loss 'low': give one number"),
        ({"validation_loss": [1.0, 2.0]}, "Trial.end_epoch: validation_loss [1.0, 2.0]: give one number"),
        ({"lr": -0.1}, "Trial.end_epoch: lr -0.1: a learning rate is at least 0"),
        ({"lr": "fast"}, "Trial.end_epoch: lr 'fast': give one number"),
    ],
    ids=repr,
)
def test_an_epochs_figures_are_checked_where_they_are_told(
    monkeypatch: pytest.MonkeyPatch, figures: dict[str, Any], message: str
) -> None:
    monkeypatch.setitem(objectives.GIVEN, "figures", figures)
    told = run("tells", epochs=2)
    assert told.ended.reason == FailReason.WRONG_SETTING
    assert message in told.ended.message
    assert [epoch.val_accuracy for epoch in told.epochs] == [0.25]


@pytest.mark.parametrize("loss", [float("inf"), np.float32("nan"), -np.inf])
def test_a_loss_that_is_not_finite_ends_the_trial_as_diverged(monkeypatch: pytest.MonkeyPatch, loss: float) -> None:
    figures = {"loss": loss, "accuracy": np.float32(0.5), "lr": np.float64("nan")}
    monkeypatch.setitem(objectives.GIVEN, "figures", figures)
    told = run("tells", epochs=5)
    last = told.epochs[-1]
    assert (last.epoch, last.loss, last.val_accuracy, last.lr) == (2, None, 0.5, None)
    assert (told.ended.outcome, told.ended.message) == (
        Outcome.DIVERGED,
        "the training loss was not finite in epoch 2",
    )
    assert told.ended.energy is not None
    assert told.ended.energy.energy_wh is not None


def test_other_losses_that_are_not_finite_are_recorded_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objectives.GIVEN, "figures", {"validation_loss": float("inf"), "accuracy": 0.5})
    told = run("tells", epochs=2)
    assert (told.epochs[-1].val_loss, told.ended.outcome) == (None, Outcome.COMPLETED)


def test_training_begins_once() -> None:
    ended = run("begins_twice").ended
    assert ended.reason == FailReason.CRASH
    assert "begin was called twice" in ended.message


def test_no_framework_is_imported_for_a_function() -> None:
    import subprocess

    code = "import sys, greenopt.trial.objective, greenopt.trial.__main__; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
