"""Shows samplers the logarithm of energies, while the study keeps Wh.

Samplers that weigh values by how far apart they are would else learn from the dearest trials alone: energies of one
study differ by factors of a hundred. Invariant: what is stored, and what the dashboard shows, stays in Wh.
"""

import copy
import math
from collections.abc import Collection, Container
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from greenopt.spec import Metric, StudySpec

ENERGIES = (Metric.ENERGY_WH, Metric.TOTAL_WH, Metric.WH_PER_EPOCH)
"""Objectives of which samplers see the logarithm."""

_LEAST_WH = 1e-12
"""An energy of 0 has no logarithm."""


class EnergyView:
    """The view of one study; keeps what it has converted of trials that have ended."""

    def __init__(self, spec: StudySpec, excluded: Collection[int] = (), *, logarithms: bool = True) -> None:
        """Prepare for a study without trials.

        Args:
            spec: the study.
            excluded: numbers of the trials that no sampler is to see.
            logarithms: whether energies are shown by their logarithms; else as they are stored.
        """
        self.excluded = excluded
        self._indexes = [index for index, metric in enumerate(spec.objectives) if logarithms and metric in ENERGIES]
        self._converted: dict[int, FrozenTrial] = {}

    def of(self, study: optuna.Study) -> optuna.Study:
        """Return the study as samplers see it; itself where that is all of it, as it is stored."""
        return _Viewed(study, self) if self._indexes or self.excluded else study

    def convert(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a trial with the logarithms of its energies."""
        if trial.state is not TrialState.COMPLETE:
            return trial
        found = self._converted.get(trial._trial_id)
        if found is None:
            found = copy.copy(trial)
            values = list(trial.values or ())
            for index in self._indexes:
                values[index] = math.log(max(values[index], _LEAST_WH))
            # Not by the property, which refuses to change a trial that has ended.
            found._values = values
            self._converted[trial._trial_id] = found
        # A sampler may have noted something of it since, such as its generation.
        found.system_attrs, found.user_attrs = trial.system_attrs, trial.user_attrs
        return found


class _Viewed(optuna.Study):
    """A study whose trials have the logarithms of their energies; in all else the study itself."""

    def __init__(self, study: optuna.Study, view: EnergyView) -> None:
        self.__dict__.update(study.__dict__)
        self._view = view

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials: list[FrozenTrial] = super()._get_trials(deepcopy=deepcopy, states=states, use_cache=use_cache)
        return [self._view.convert(trial) for trial in trials if trial.number not in self._view.excluded]


def seeing(sampler: optuna.samplers.BaseSampler, view: EnergyView) -> optuna.samplers.BaseSampler:
    """Return a sampler that proposes what this one proposes for the logarithms of energies."""
    return _SeeingLogarithms(sampler, view)


class _SeeingLogarithms(optuna.samplers.BaseSampler):
    def __init__(self, sampler: optuna.samplers.BaseSampler, view: EnergyView) -> None:
        self._sampler, self._view = sampler, view

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """Return what the sampler infers."""
        return self._sampler.infer_relative_search_space(self._view.of(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, optuna.distributions.BaseDistribution]
    ) -> dict[str, Any]:
        """Return what the sampler proposes."""
        return self._sampler.sample_relative(self._view.of(study), trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: optuna.distributions.BaseDistribution,
    ) -> Any:
        """Return what the sampler draws."""
        return self._sampler.sample_independent(self._view.of(study), trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Pass on."""
        self._sampler.before_trial(self._view.of(study), trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Pass on; the values are those that were told, of which no sampler takes note."""
        self._sampler.after_trial(self._view.of(study), trial, state, values)
