"""Asks for the parameters of a trial, one after the other: those alone that its setting has."""

from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution

from greenopt.spec import SearchSpace


def suggest_all(trial: optuna.Trial, space: SearchSpace, distributions: Mapping[str, BaseDistribution]) -> None:
    """Have a sampler choose each parameter that a trial's setting has; one that is stored already keeps its value.

    Args:
        trial: a running one; which parameters it has depends on those that were chosen before.
        space: the study's.
        distributions: of all its parameters.
    """
    for name in space.order:
        if not space.is_left_out(name, trial.params):
            trial._suggest(name, distributions[name])
