"""Spares a sampler from finding out which parameters all trials have in common, which the study knows.

Optuna compares the distributions of all trials for that, a second for 10,000 of them, whenever a sampler that is built
anew proposes. Invariant: what is proposed is what the sampler itself would propose; tests compare the two.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from greenopt.spec import StudySpec


def knowing_space(
    sampler: optuna.samplers.BaseSampler, spec: StudySpec, distributions: Mapping[str, BaseDistribution]
) -> optuna.samplers.BaseSampler:
    """Return a sampler that proposes the same; itself where it does not look for what trials have in common.

    Args:
        sampler: one of Optuna's.
        spec: the study.
        distributions: of all its parameters; those of all its trials are the same.
    """
    if spec.sampler.name not in ("tpe", "nsga2", "nsga3", "gp", "cmaes") or spec.sampler.arguments.get("group"):
        return sampler
    numbers_only = spec.sampler.name == "cmaes"
    learnt = {
        name: distribution
        for name, distribution in sorted(distributions.items())
        if not distribution.single() and not (numbers_only and isinstance(distribution, CategoricalDistribution))
    }
    # Pruned trials teach TPE alone.
    states = (TrialState.COMPLETE, TrialState.PRUNED) if spec.sampler.name == "tpe" else (TrialState.COMPLETE,)
    return _KnowingSpace(sampler, learnt, states)


class _KnowingSpace(optuna.samplers.BaseSampler):
    def __init__(
        self,
        sampler: optuna.samplers.BaseSampler,
        learnt: Mapping[str, BaseDistribution],
        states: tuple[TrialState, ...],
    ) -> None:
        self._sampler, self._learnt, self._states = sampler, learnt, states

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that all trials have which teach the sampler; imported ones may lack some."""
        common, is_empty = set(self._learnt), True
        for other in study._get_trials(deepcopy=False, use_cache=True):
            if other.state in self._states:
                is_empty = False
                if not common <= other.params.keys():
                    common &= other.params.keys()
        return {} if is_empty else {name: d for name, d in self._learnt.items() if name in common}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what the sampler proposes."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return what the sampler draws."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Pass on."""
        self._sampler.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Pass on."""
        self._sampler.after_trial(study, trial, state, values)
