"""Samplers by name, and what is said where one does not fit."""

import importlib.util
import re
from typing import Any

import optuna
import pytest

from greenopt.errors import UsageError
from greenopt.search import SAMPLERS, Search, build_sampler, check_sampler, sampler_arguments, startup_note
from greenopt.search.samplers import derived_seed
from tests.builders import study


def test_every_optuna_sampler_is_offered_or_left_out_for_a_reason() -> None:
    ours = {entry.class_name for entry in SAMPLERS.values() if not entry.is_energy_aware}
    # Base classes, and PartialFixedSampler: a fixed value is a one-value list in a study's space.
    left_out = {"BaseSampler", "BaseGASampler", "PartialFixedSampler"}
    offered = {name for name in optuna.samplers.__all__ if name.endswith("Sampler")}
    assert ours == offered - left_out


@pytest.mark.parametrize("name", ["random", "tpe", "nsga2", "nsga3", "energy_aware", "qmc", "grid", "brute_force"])
def test_a_sampler_is_built_by_name(name: str) -> None:
    sampler = build_sampler(study(sampler={"name": name}), 0)
    own = "ExhaustiveSampler" if SAMPLERS[name].visits_each_once else None
    assert type(sampler).__name__ == (own or SAMPLERS[name].class_name)


def test_arguments_reach_the_sampler() -> None:
    sampler = build_sampler(study(sampler={"name": "nsga2", "population_size": 12}), 0)
    assert isinstance(sampler, optuna.samplers.NSGAIISampler)
    assert sampler.population_size == 12


def test_every_plain_argument_is_recorded_with_its_value_in_force() -> None:
    recorded = sampler_arguments(study(sampler={"name": "tpe", "n_startup_trials": 3}))
    assert recorded["n_startup_trials"] == 3
    assert recorded["multivariate"] is True
    assert recorded["n_ei_candidates"] == 24


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ({"name": "tep"}, "sampler.name: 'tep': unknown sampler; did you mean tpe?"),
        ({"name": "x"}, "sampler.name: 'x': unknown sampler; known are random, tpe, nsga2"),
        ({"name": "tpe", "startup": 3}, "sampler.startup: 3: unknown argument of tpe; it takes"),
        ({"name": "random", "seed": 3}, "sampler.seed: 3: unknown argument of random; it takes no arguments but the"),
        ({"name": "nsga2", "population_size": 1}, "sampler: nsga2 does not take population_size = 1"),
        ({"name": "energy_aware", "n_candidates": 0}, "sampler.n_candidates: 0: must be 1 to 100,000"),
        ({"name": "energy_aware", "seed": 1}, "sampler.seed: 1: unknown argument of energy_aware; it takes n_startup"),
        ({"name": "cmaes"}, "optimises one objective and this study has 2"),
    ],
)
def test_a_sampler_that_does_not_fit_is_refused(sampler: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        build_sampler(study(sampler=sampler), 0)


def test_a_grid_needs_lists() -> None:
    spec = study(sampler={"name": "grid"}, space={"lr": {"low": 0.1, "high": 0.2}})
    with pytest.raises(UsageError, match=r"space\.lr: a grid needs a list"):
        build_sampler(spec, 0)


def test_seeds_of_trials_differ_and_are_stable() -> None:
    seeds = [derived_seed(7, trial) for trial in range(1000)]
    assert len(set(seeds)) == 1000
    assert derived_seed(7, 0) == seeds[0] != derived_seed(8, 0)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ({"name": "tpe", "n_startup_trials": "many"}, "sampler.n_startup_trials: 'many': tpe takes a whole number"),
        ({"name": "tpe", "n_startup_trials": True}, "sampler.n_startup_trials: True: tpe takes a whole number"),
        ({"name": "tpe", "n_ei_candidates": 0}, "sampler.n_ei_candidates: 0: must be 1 to 100,000"),
        ({"name": "tpe", "multivariate": 1}, "sampler.multivariate: 1: tpe takes true or false"),
        ({"name": "tpe", "gamma": 3}, "sampler.gamma: 3: unknown argument of tpe"),
        ({"name": "nsga2", "crossover_prob": float("nan")}, "sampler.crossover_prob: nan: is not a finite number"),
        ({"name": "nsga2", "crossover_prob": 1.5}, "sampler: nsga2 does not take crossover_prob = 1.5"),
        ({"name": "qmc", "qmc_type": "sob"}, "sampler: qmc does not take qmc_type = 'sob'"),
        ({"name": "cmaes", "popsize": 1}, "sampler: cmaes does not take popsize = 1"),
        ({"name": "cmaes", "x0": {"nothing": 1.0}}, "sampler: cmaes does not take x0 = {'nothing': 1.0}"),
        ({"name": "grid", "order": "x" * 500}, "unknown argument of grid; it takes no arguments but the study's seed"),
    ],
)
def test_an_argument_that_fails_once_it_learns_is_refused_before(sampler: dict[str, Any], message: str) -> None:
    one = {"objectives": {"accuracy": "maximize"}} if sampler["name"] == "cmaes" else {}
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        check_sampler(study(sampler=sampler, space={"lr": {"low": 0.1, "high": 0.2}}, **one))
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize("name", [name for name, entry in SAMPLERS.items() if entry.several_objectives])
def test_every_sampler_passes_with_its_defaults(name: str) -> None:
    if any(importlib.util.find_spec(module) is None for module in SAMPLERS[name].modules):
        pytest.skip(f"needs {SAMPLERS[name].modules}")
    check_sampler(study(sampler={"name": name}))


def test_a_missing_package_is_one_line_that_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    with pytest.raises(UsageError, match=r"'gp': needs torch, not installed; pip install 'greenopt\[gp\]'$"):
        check_sampler(study(sampler={"name": "gp"}))


@pytest.mark.parametrize(
    ("trials", "sampler", "says"),
    [
        (10, {"name": "tpe"}, True),
        (11, {"name": "tpe"}, False),
        (10, {"name": "tpe", "n_startup_trials": 9}, False),
        (50, {"name": "nsga2"}, True),
        (50, {"name": "random"}, False),
    ],
)
def test_a_study_that_ends_before_its_sampler_learns_is_told(trials: int, sampler: dict[str, Any], says: bool) -> None:
    note = startup_note(study(study={"trials": trials}, sampler=sampler))
    assert (note is not None) == says
    if note is not None:
        assert f"all {trials} trials at random" in note


@pytest.mark.parametrize("name", ["qmc", "random"])
def test_lists_are_not_drawn_alike_for_every_trial(name: str) -> None:
    search = Search(study(sampler={"name": name}), None)
    assert len({search.ask().values["lr"] for _ in range(8)}) > 1
