"""Samplers by name, and what is said where one does not fit."""

import re
from typing import Any

import optuna
import pytest

from greenopt.errors import UsageError
from greenopt.search import SAMPLERS, build_sampler, sampler_arguments
from greenopt.search.samplers import derived_seed
from tests.builders import study


def test_every_optuna_sampler_is_offered_or_left_out_for_a_reason() -> None:
    ours = {entry.class_name for entry in SAMPLERS.values()}
    # Base classes, and PartialFixedSampler: a fixed value is a one-value list in a study's space.
    left_out = {"BaseSampler", "BaseGASampler", "PartialFixedSampler"}
    offered = {name for name in optuna.samplers.__all__ if name.endswith("Sampler")}
    assert ours == offered - left_out


@pytest.mark.parametrize("name", ["random", "tpe", "nsga2", "nsga3", "qmc", "grid", "brute_force"])
def test_a_sampler_is_built_by_name(name: str) -> None:
    sampler = build_sampler(study(sampler={"name": name}), 0)
    assert type(sampler).__name__ == SAMPLERS[name].class_name


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
        ({"name": "tep"}, "sampler.name: 'tep': unknown sampler; known are random, tpe, nsga2"),
        ({"name": "tpe", "startup": 3}, "sampler.startup: 3: unknown argument of tpe; it takes"),
        ({"name": "random", "seed": 3}, "sampler.seed: 3: unknown argument of random; it takes no arguments but the"),
        ({"name": "nsga2", "population_size": 1}, "sampler: nsga2 does not take population_size = 1"),
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
