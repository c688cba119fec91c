"""Samplers see the logarithm of energies; the study keeps Wh."""

import math
from typing import Any

import optuna
import pytest

from greenopt.events import Outcome
from greenopt.search import Search
from greenopt.search.energy_view import EnergyView, seeing
from tests.builders import study

ENERGIES_WH = (1.0, 10.0, 1000.0)


class Recorder(optuna.samplers.RandomSampler):
    """A sampler that notes what it is shown."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.seen: list[list[float]] = []

    def sample_independent(self, study: optuna.Study, trial: Any, name: str, distribution: Any) -> Any:
        self.seen = [list(each.values) for each in study.get_trials(states=[optuna.trial.TrialState.COMPLETE])]
        shared = study._get_trials(deepcopy=False, use_cache=True)
        assert [list(each.values) for each in shared if each.values] == self.seen
        return super().sample_independent(study, trial, name, distribution)


def told(energies_wh: tuple[float, ...] = ENERGIES_WH, **tables: Any) -> optuna.Study:
    spec = study(**tables)
    search = Search(spec, None)
    for number, wh in enumerate(energies_wh):
        search.ask()
        search.tell(number, Outcome.COMPLETED, {"energy_wh": wh}, [0.5, wh])
    return search._study


def test_a_sampler_is_shown_logarithms_and_the_study_keeps_wh() -> None:
    trials, recorder = told(), Recorder()
    trials.sampler = seeing(recorder, EnergyView(study()))
    trials.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    assert [values[1] for values in recorder.seen] == pytest.approx([math.log(wh) for wh in ENERGIES_WH])
    assert [values[0] for values in recorder.seen] == [0.5] * 3
    assert [trial.values[1] for trial in trials.trials if trial.values] == list(ENERGIES_WH)
    assert [trial.values[1] for trial in trials.best_trials] == [1.0]


def test_accuracy_alone_is_shown_as_it_is() -> None:
    spec = study(objectives={"accuracy": "maximize"})
    trials = optuna.create_study(direction="maximize")
    assert EnergyView(spec).of(trials) is trials


def test_an_energy_of_zero_is_shown_below_all_others() -> None:
    trials, recorder = told((0.0, 1e-6)), Recorder()
    trials.sampler = seeing(recorder, EnergyView(study()))
    trials.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    assert recorder.seen[0][1] < recorder.seen[1][1]


@pytest.mark.parametrize("name", ["tpe", "nsga2", "nsga3", "qmc"])
def test_the_scale_of_energy_does_not_change_what_is_proposed(name: str) -> None:
    """Squared energies are as far apart in all that a sampler sees, up to a factor."""
    startup = {"tpe": "n_startup_trials", "nsga2": "population_size", "nsga3": "population_size"}.get(name)
    arguments = {startup: 4} if startup else {}
    space = {"batch_size": [4, 8, 16, 32], "lr": {"low": 1e-4, "high": 0.1, "log": True}}
    proposed = []
    for power in (1, 2):
        search = Search(study(space=space, sampler={"name": name, **arguments}), None)
        settings = []
        for number in range(12):
            values = search.ask().values
            settings.append(values)
            assert isinstance(values["batch_size"], int)
            wh = (1e4 / values["batch_size"] ** 2) ** power
            search.tell(number, Outcome.COMPLETED, {}, [number % 5 / 5, wh])
        proposed.append(settings)
    assert proposed[0] == proposed[1]


def test_generations_that_a_sampler_notes_are_seen_again() -> None:
    """NSGA-II notes a trial's generation in the storage after the view has seen the trial."""
    search = Search(study(sampler={"name": "nsga2", "population_size": 3}), None)
    for number in range(10):
        search.ask()
        search.tell(number, Outcome.COMPLETED, {}, [number / 10, 1.0 + number])
    key = optuna.samplers.NSGAIISampler._get_generation_key()
    assert [trial.system_attrs[key] for trial in search._study.trials] == [0] * 3 + [1] * 3 + [2] * 3 + [3]
