"""A sampler that is told the space proposes what it proposes when it finds it out."""

import importlib.util
from typing import Any

import optuna
import pytest

from greenopt.search.known_space import knowing_space
from greenopt.search.samplers import SAMPLERS, build_sampler
from greenopt.search.search import as_optuna
from tests.builders import study

SPACE = {"batch_size": [4, 8], "lr": {"low": 1e-4, "high": 0.1, "log": True}, "optimizer": ["SGD", "Adam"]}


@pytest.mark.parametrize("name", ["random", "tpe", "nsga2", "nsga3", "gp", "qmc", "cmaes"])
@pytest.mark.parametrize("lacking", [False, True])
def test_the_same_is_proposed(name: str, lacking: bool) -> None:
    entry = SAMPLERS[name]
    if any(importlib.util.find_spec(module) is None for module in entry.modules):
        pytest.skip(f"needs {entry.modules}: pip install 'greenopt[{entry.extra}]'")
    few: dict[str, Any] = {entry.startup: 2} if entry.startup else {}
    one = {} if entry.several_objectives else {"objectives": {"accuracy": "maximize"}}
    spec = study(space=SPACE, sampler={"name": name, **few}, **one)
    distributions = {name: as_optuna(distribution) for name, distribution in spec.space.distributions.items()}
    proposed = []
    for knows in (False, True):
        trials = optuna.create_study(directions=["maximize"] * len(spec.objectives))
        for number in range(6):
            sampler = build_sampler(spec, number)
            trials.sampler = knowing_space(sampler, spec, distributions) if knows else sampler
            asked = trials.ask({k: d for k, d in distributions.items() if k != "lr" or number != 1 or not lacking})
            ended = optuna.trial.TrialState.PRUNED if number == 0 else None
            values = None if ended else [float(number % 3)] * len(spec.objectives)
            trials.tell(asked, values, state=ended)
        proposed.append([trial.params for trial in trials.trials])
    assert proposed[0] == proposed[1]
