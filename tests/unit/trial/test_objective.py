"""Training by a function of the user's: the same phases, epochs and records."""

import sys

import pytest

from greenopt.events import Event, FailReason, Outcome, Phase
from greenopt.spec import EnergySpec, TrainingSpec, TrialSpec
from greenopt.trial.failures import failure_of
from greenopt.trial.journal import Journal
from greenopt.trial.objective import run_objective
from tests.unit.trial.workbench import FakeMeter, Told


def run(name: str, epochs: int = 1) -> Told:
    spec = TrialSpec(
        study="own",
        trial=0,
        objective=f"tests.unit.trial.objectives:{name}",
        parameters={"bonus": 0.5, "kind": "a"},
        training=TrainingSpec(epochs=epochs),
        energy=EnergySpec(),
        split_seed=0,
        training_seed=4,
    )
    events: list[Event] = []
    journal = Journal(FakeMeter(), events.append)
    try:
        run_objective(spec, journal)
    except Exception as error:
        journal.fail(failure_of(error))
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
    assert [(epoch.epoch, epoch.val_accuracy) for epoch in told.epochs] == [(1, 0.75)]
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
        ("returns_nothing", "returned None; wanted is the validation accuracy"),
        ("returns_else", "returned f1; known: accuracy, test_accuracy"),
        ("nowhere", "has no function nowhere"),
        ("not_a_function", "has no function not_a_function"),
    ],
)
def test_a_wrong_function_is_a_wrong_setting(name: str, message: str) -> None:
    ended = run(name).ended
    assert ended.reason == FailReason.WRONG_SETTING
    assert message in ended.message


def test_training_begins_once() -> None:
    ended = run("begins_twice").ended
    assert ended.reason == FailReason.CRASH
    assert "begin was called twice" in ended.message


def test_no_framework_is_imported_for_a_function() -> None:
    import subprocess

    code = "import sys, greenopt.trial.objective, greenopt.trial.__main__; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
