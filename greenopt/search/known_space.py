"""Spares a sampler from looking anew through all trials for what is known of them.

Optuna compares the distributions of all trials whenever a sampler that is built anew proposes, a second for 10,000 of
them; the study knows its space. Invariant: what is proposed is what the sampler itself would propose from the trials
that it learns from (`greenopt.search.learnt`); tests compare the two.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from greenopt.search.arguments import STARTUP
from greenopt.search.learnt import LEARNT_TRIALS, FewerTrials, LearntTrials
from greenopt.search.samplers import sampler_arguments
from greenopt.spec import StudySpec

_LOOKING = ("tpe", "nsga2", "nsga3", "gp", "cmaes")
"""The samplers that look for what trials have in common."""


def learnt_trials(spec: StudySpec) -> LearntTrials:
    """Return what follows the trials that a study's sampler learns from; `knowing_space` takes it."""
    if spec.sampler.name != "tpe":
        return LearntTrials((TrialState.COMPLETE,), limit=None)
    # Pruned trials teach TPE alone. Half of the limit may be all that is kept, and must do to begin to learn.
    startup = int(sampler_arguments(spec)[STARTUP])
    return LearntTrials((TrialState.COMPLETE, TrialState.PRUNED), limit=max(LEARNT_TRIALS, 2 * startup))


def knowing_space(
    sampler: optuna.samplers.BaseSampler,
    spec: StudySpec,
    distributions: Mapping[str, BaseDistribution],
    learnt: LearntTrials | None = None,
) -> optuna.samplers.BaseSampler:
    """Return a sampler that proposes the same; itself where it does not look for what trials have in common.

    Args:
        sampler: one of Optuna's.
        spec: the study.
        distributions: of all its parameters; those of all its trials are the same.
        learnt: the trials that it learns from; kept from one proposal to the next, it looks at each trial once.
    """
    if spec.sampler.name not in _LOOKING or spec.sampler.arguments.get("group"):
        return sampler
    numbers_only = spec.sampler.name == "cmaes"
    varied = {
        name: distribution
        for name, distribution in sorted(distributions.items())
        if not distribution.single() and not (numbers_only and isinstance(distribution, CategoricalDistribution))
    }
    return _KnowingSpace(sampler, varied, learnt or learnt_trials(spec))


class _KnowingSpace(optuna.samplers.BaseSampler):
    def __init__(
        self, sampler: optuna.samplers.BaseSampler, varied: Mapping[str, BaseDistribution], learnt: LearntTrials
    ) -> None:
        self._sampler, self._varied, self._learnt = sampler, varied, learnt

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that all trials have which teach the sampler; imported ones may lack some."""
        self._learnt.update(study._get_trials(deepcopy=False, use_cache=True), study.directions)
        common = self._learnt.common
        return {} if common is None else {name: d for name, d in self._varied.items() if name in common}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what the sampler proposes."""
        return self._sampler.sample_relative(self._shown(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return what the sampler draws."""
        return self._sampler.sample_independent(self._shown(study), trial, param_name, param_distribution)

    def _shown(self, study: optuna.Study) -> optuna.Study:
        """Return the study as the sampler is to see it."""
        if not self._learnt.is_share:
            return study
        return cast(optuna.Study, FewerTrials(study, self._learnt.trials))

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Pass on."""
        self._sampler.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Pass on."""
        self._sampler.after_trial(study, trial, state, values)
