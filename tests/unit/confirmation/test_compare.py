"""The verdict on made-up trainings, case by case."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from greenopt.confirmation import Confirmation, Held, comparison_table, confirmation, confirmation_lines, pick_trial
from greenopt.events import EpochEnded
from greenopt.spec import Metric
from tests.builders import epoch, reading, study
from tests.unit.confirmation.tables import failed, row, snapshot

STUDY = (row(0, 0.80, 4.0), row(1, 0.70, 7.0, lr=0.01), row(2, 0.75, 9.0, lr=0.001))


def nothing_on_file(_: int) -> Sequence[EpochEnded]:
    return ()


def judged(*again: dict[str, Any], pick: str = "accuracy", study_rows: Any = STUDY, **tables: Any) -> Confirmation:
    spec = study(**tables)
    old = snapshot(*study_rows)
    return confirmation(old, pick_trial(old, pick), nothing_on_file, snapshot(*again, spec=spec), nothing_on_file)


def accuracies(*values: float) -> list[dict[str, Any]]:
    return [row(trial, value, 4.0) for trial, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "held"),
    [
        ((0.79, 0.80, 0.81), Held.YES),
        ((0.70, 0.80, 0.90), Held.OPEN),
        ((0.68, 0.69, 0.70), Held.OPEN),
        ((0.64, 0.65, 0.66), Held.NO),
        ((0.80, 0.80, 0.80), Held.OPEN),
        ((0.60, 0.60), Held.OPEN),
        ((0.79, 0.80), Held.OPEN),
        ((0.800, 0.801), Held.YES),
        ((0.80,), Held.OPEN),
        ((), Held.OPEN),
    ],
)
def test_a_win_held_if_the_whole_interval_is_ahead_of_the_runner_up(values: tuple[float, ...], held: Held) -> None:
    result = judged(*accuracies(*values))
    assert result.held is held
    assert result.comparisons[Metric.ACCURACY].runner_up_value == 0.75


def test_less_energy_is_better() -> None:
    rows = [row(trial, 0.8, energy) for trial, energy in enumerate((4.0, 4.1, 4.2))]
    assert judged(*rows, pick="energy").held is Held.YES
    rows = [row(trial, 0.8, energy) for trial, energy in enumerate((8.0, 8.1, 8.2))]
    result = judged(*rows, pick="energy")
    assert result.held is Held.NO
    assert result.comparisons[Metric.ENERGY_WH].against_study == "better"


def test_a_lucky_value_of_the_study_is_called_lucky() -> None:
    result = judged(*accuracies(0.760, 0.761, 0.762))
    assert result.held is Held.YES
    assert result.comparisons[Metric.ACCURACY].against_study == "better"
    assert any("lucky" in line for line in confirmation_lines(result))


def test_a_trial_that_was_named_held_if_a_single_training_may_give_what_the_study_said() -> None:
    assert judged(*accuracies(0.79, 0.80, 0.81), pick="0").held is Held.YES
    lucky = judged(*accuracies(0.760, 0.761, 0.762), pick="0")
    assert lucky.held is Held.NO
    assert "the study's accuracy is better" in lucky.why


def test_one_training_that_diverges_is_enough() -> None:
    result = judged(*accuracies(0.8, 0.8), failed(2, "pruned", stop_reason="diverged"))
    assert result.held is Held.NO
    assert result.why == "1 of 3 trainings diverged"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gpu_name": "RTX 3090"}, "the study ran on H200, this on RTX 3090"),
        ({"energy_source": "estimate"}, "the study's energy is from nvml_counter, this one from estimate"),
        ({"energy_wh": None, "energy_missing": "no meter"}, "no meter"),
    ],
)
def test_energies_of_other_hardware_or_another_source_give_no_verdict(change: dict[str, Any], reason: str) -> None:
    again = [{**each, **change} for each in accuracies(0.8, 0.8, 0.8)]
    result = judged(*again, pick="energy")
    assert result.held is Held.OPEN
    assert reason in result.why
    assert judged(*[{**each, **change} for each in accuracies(0.8, 0.81, 0.82)], pick="accuracy").held is Held.YES


def test_counter_and_power_of_nvml_are_alike() -> None:
    again = [row(n, 0.8, energy, energy_source="nvml_power") for n, energy in enumerate((4.0, 4.1, 4.2))]
    assert judged(*again, pick="energy").held is Held.YES


def curve(*accuracies: float) -> list[EpochEnded]:
    return [epoch(number, value, reading(2.0)) for number, value in enumerate(accuracies, 1)]


def longer(lr_schedule: str = "constant", decay_steps: int | str = "total", old: Any = None) -> Confirmation:
    """The study's trainings had 2 epochs, these have 4; each epoch takes 2 Wh."""
    training = {"decay_steps": decay_steps}
    rows = [{**each, "lr_schedule": lr_schedule} for each in STUDY]
    before = snapshot(*rows, spec=study(training=training))
    again = snapshot(
        *[row(trial, 0.95, 8.0, epochs=4) for trial in range(3)], spec=study(training={**training, "epochs": 4})
    )
    curves = {0: curve(0.5, 0.80), 2: curve(0.5, 0.75)} if old is None else old
    new = {trial: curve(0.5, 0.81 + trial / 100, 0.9, 0.95) for trial in range(3)}
    return confirmation(
        before, pick_trial(before, "accuracy"), lambda trial: curves.get(trial, []), again, lambda trial: new[trial]
    )


def test_longer_trainings_are_compared_after_as_many_epochs_as_the_studys() -> None:
    result = longer()
    accuracy = result.comparisons[Metric.ACCURACY]
    assert accuracy.interval is not None
    assert accuracy.interval.values == pytest.approx((0.81, 0.82, 0.83))
    assert (accuracy.study_value, accuracy.runner_up_value) == (0.80, 0.75)
    assert result.comparisons[Metric.ENERGY_WH].study_value == 4.0
    assert result.comparisons[Metric.EFFICIENCY].study_value == pytest.approx(0.40)
    assert result.held is Held.YES
    assert result.at_the_end["accuracy"].mean == pytest.approx(0.95)
    assert any("after 2 epochs: the study's had 2, these 4" in line for line in confirmation_lines(result))


@pytest.mark.parametrize(
    ("schedule", "decay_steps", "comparable"),
    [
        ("cosine", "total", False),
        ("polynomial", "total", False),
        ("exponential", "total", True),
        ("cosine", 1000, True),
    ],
)
def test_a_schedule_that_is_stretched_makes_accuracies_incomparable(
    schedule: str, decay_steps: int | str, comparable: bool
) -> None:
    result = longer(schedule, decay_steps)
    assert (result.held is Held.YES) is comparable
    assert (result.comparisons[Metric.ACCURACY].incomparable is None) is comparable
    assert result.comparisons[Metric.ENERGY_WH].incomparable is None
    if not comparable:
        assert f"the {schedule} schedule is stretched" in result.why


def test_without_the_studys_curves_longer_trainings_give_no_verdict() -> None:
    result = longer(old={})
    assert result.held is Held.OPEN
    assert "not on file" in result.why


def test_estimates_are_marked_wherever_they_are_shown() -> None:
    again = [{**each, "energy_source": "estimate", "host": "here"} for each in accuracies(0.8, 0.8)]
    study_rows = [{**each, "energy_source": "estimate"} for each in STUDY]
    heads, rows = comparison_table(judged(*again, study_rows=study_rows))
    cells = {row[0]: dict(zip(heads, row, strict=True)) for row in rows}
    assert cells["the study"]["energy_wh"] == cells["again, mean"]["energy_wh"] == "~4 Wh est."
    assert cells["the study"]["accuracy"] == "0.800"
    assert cells["95 %, mean"]["accuracy"] == "±0.000"


EARLY = (row(0, 0.90, 40.0, epochs=20), row(1, 0.80, 60.0, epochs=20, lr=0.01), row(2, 0.70, 60.0, 20, lr=0.001))


def shorter(*new: float, curves: Any = None, rows: Any = EARLY, pick: str = "accuracy") -> Confirmation:
    """The study's trainings had 20 epochs, these have 2; trial 2 began best of the others and ended worst."""
    before = snapshot(*rows, spec=study(training={"epochs": 20, "decay_steps": 1000}))
    training = {"epochs": 2, "decay_steps": 1000}
    again = snapshot(*[row(n, value, 4.0) for n, value in enumerate(new)], spec=study(training=training))
    starts = {0: (0.2, 0.50), 1: (0.1, 0.30), 2: (0.3, 0.48)} if curves is None else curves
    old = {trial: curve(*start, *(0.6,) * 18) for trial, start in starts.items()}
    fresh = {trial: curve(0.2, value) for trial, value in enumerate(new)}
    return confirmation(
        before, pick_trial(before, pick), lambda trial: old.get(trial, []), again, lambda trial: fresh[trial]
    )


def test_the_runner_up_is_the_best_other_setting_after_as_many_epochs() -> None:
    """By final figures it was trial 1, far behind after 2 epochs: 'held' where nothing can be told."""
    result = shorter(0.47, 0.50, 0.53)
    accuracy = result.comparisons[Metric.ACCURACY]
    assert result.picked.runner_up is not None
    assert result.picked.runner_up["trial"] == 2
    assert (accuracy.study_value, accuracy.runner_up_value) == (0.50, 0.48)
    assert result.held is Held.OPEN
    assert shorter(0.600, 0.601, 0.602).held is Held.YES
    assert shorter(0.100, 0.101, 0.102).held is Held.NO


def test_a_winner_that_was_behind_early_in_the_study_is_not_refuted_early() -> None:
    result = shorter(0.30, 0.301, 0.302, curves={0: (0.2, 0.30), 1: (0.1, 0.30), 2: (0.3, 0.48)})
    assert result.held is Held.OPEN
    assert "after 2 epochs trial 0 was not ahead of the runner-up, trial 2 in the study either" in result.why


def test_a_setting_whose_early_figures_are_not_on_file_may_have_been_better() -> None:
    result = shorter(0.600, 0.601, 0.602, curves={0: (0.2, 0.50), 1: (0.1, 0.30)})
    assert result.held is Held.OPEN
    assert "not on file for 1 completed trials of other settings" in result.why
    assert shorter(0.1, 0.101, 0.102, curves={0: (0.2, 0.50), 1: (0.1, 0.30)}).held is Held.NO


def test_an_imported_study_without_curves_gives_no_verdict_after_fewer_epochs() -> None:
    result = shorter(0.600, 0.601, 0.602, curves={})
    assert result.held is Held.OPEN
    assert "not on file" in result.why


def test_a_runner_up_of_other_hardware_is_not_compared_by_energy() -> None:
    rows = (row(0, 0.8, 4.0), row(1, 0.7, 7.0, lr=0.01, gpu_name="RTX 3090"))
    result = judged(*(row(n, 0.8, 4 + n / 10) for n in range(3)), pick="energy", study_rows=rows)
    assert result.held is Held.OPEN
    assert "energy_wh of the runner-up, trial 1 cannot be compared: the study ran on RTX 3090" in result.why


def test_a_runner_up_whose_schedule_is_stretched_is_not_compared() -> None:
    rows = [{**each, "lr_schedule": "cosine" if each["trial"] == 2 else "constant"} for each in EARLY]
    before = snapshot(*rows, spec=study(training={"epochs": 20}))
    again = snapshot(*[row(n, 0.7, 4.0) for n in range(2)], spec=study())
    curves = {0: curve(0.2, 0.5), 1: curve(0.1, 0.3), 2: curve(0.3, 0.48)}
    new = {0: curve(0.2, 0.70), 1: curve(0.2, 0.701)}
    found = confirmation(before, pick_trial(before, "accuracy"), lambda n: curves[n], again, lambda n: new[n])
    assert found.held is Held.OPEN
    assert "the cosine schedule is stretched" in found.why


def test_a_training_of_another_length_counts_by_its_epochs() -> None:
    """A study that was extended has trials of two lengths: what one came to after more epochs is not compared."""
    rows = (row(0, 0.80, 4.0), row(1, 0.95, 70.0, epochs=20, lr=0.01), row(2, 0.70, 7.0, lr=0.001))
    before = snapshot(*rows)
    picked = pick_trial(snapshot(rows[0], rows[2]), "accuracy")
    again = snapshot(*accuracies(0.79, 0.80, 0.81))
    found = confirmation(before, picked, lambda _: curve(0.1, 0.5, 0.95), again, nothing_on_file)
    assert found.comparisons[Metric.ACCURACY].runner_up_value == 0.70


@pytest.mark.parametrize(
    ("values", "held"),
    [
        ((0.60, 0.70), Held.OPEN),
        ((0.60, 0.70, 0.65), Held.OPEN),
        ((0.50, 0.50, 0.50), Held.OPEN),
        ((0.80, 0.80, 0.80), Held.YES),
        ((0.75, 0.81), Held.YES),
        ((0.700, 0.701, 0.702), Held.NO),
    ],
)
def test_a_wide_interval_alone_does_not_hold_a_named_trial(values: tuple[float, ...], held: Held) -> None:
    assert judged(*accuracies(*values), pick="0").held is held


def test_false_verdicts_are_rare() -> None:
    """Thirty settings that are all alike: nothing held and nothing failed to, however lucky the best of them were."""
    rng = np.random.default_rng(4)
    settings: list[dict[str, Any]] = [{"lr": 0.001 * (n + 1)} for n in range(30)]
    for seeds in (2, 3, 5):
        ended = []
        for _ in range(150):
            rows = [row(n, float(a), 4.0, **settings[n]) for n, a in enumerate(rng.normal(0.7, 0.02, 30))]
            ended.append(judged(*accuracies(*map(float, rng.normal(0.7, 0.02, seeds))), study_rows=rows).held)
        assert ended.count(Held.YES) <= 0.05 * 150
        assert ended.count(Held.NO) <= 0.05 * 150
