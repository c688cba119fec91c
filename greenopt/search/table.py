"""A search in memory among settings whose trials are on record, to compare samplers.

A sampler proposes as in a study; what it proposes is taken for the nearest setting on record that was not taken yet.
"""

import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from greenopt.search.asking import suggest_all
from greenopt.search.energy_aware import EnergyAwareSampler
from greenopt.search.energy_view import EnergyView, seeing
from greenopt.search.exhaustive import Places
from greenopt.search.gaussian_process import Encoder
from greenopt.search.known_space import knowing_space
from greenopt.search.samplers import build_sampler, derived_seed, entry_of, sampler_arguments
from greenopt.search.search import as_optuna
from greenopt.spec import Direction, StudySpec, Value


class TableSearch:
    """A study in memory whose settings are those of a table, each proposed as often as it is there."""

    def __init__(self, spec: StudySpec, settings: Sequence[Mapping[str, Value]]) -> None:
        """Begin.

        Args:
            spec: the study: its sampler, seed, space and epochs.
            settings: those on record; one may be there several times.
        """
        assert list(spec.objectives.values()) == [Direction.MAXIMIZE, Direction.MINIMIZE]
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._spec, self._settings = spec, list(settings)
        self._distributions = {name: as_optuna(d) for name, d in spec.space.distributions.items()}
        self._place_of = Places(spec.space).of
        self._places = [self._place_of(each) for each in settings]
        self._encoded = Encoder(spec.space).encode(self._settings)
        self._left = list(range(len(self._settings)))
        self._view = EnergyView(spec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(directions=["maximize", "minimize"])

    def ask(self) -> tuple[int, int] | None:
        """Return a trial's number and the index of its setting; None once all were taken."""
        if not self._left:
            return None
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = self._sampler(number)
        trial = self._study.ask()
        suggest_all(trial, self._spec.space, self._distributions)
        place = self._place_of(trial.params)
        index = next(index for index in self._left if self._places[index] == place)
        self._left.remove(index)
        return trial.number, index

    def tell(self, trial: int, values: Sequence[float] | None, figures: Mapping[str, Any]) -> None:
        """Record how a trial ended: with values, or without where it was stopped."""
        frozen = self._study.get_trials(deepcopy=False)[trial]
        for name, value in figures.items():
            self._study._storage.set_trial_user_attr(frozen._trial_id, name, value)
        self._study.tell(trial, values, state=TrialState.COMPLETE if values is not None else TrialState.PRUNED)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        left = [self._settings[index] for index in self._left]
        entry, seed = entry_of(self._spec), derived_seed(self._spec.seeds.sampler, number)
        if entry.is_energy_aware:
            return EnergyAwareSampler(self._spec, seed, settings=left, **sampler_arguments(self._spec))
        if entry.visits_each_once or self._spec.sampler.name == "random":
            return _Nearest(None, left, self._encoded[self._left], self._spec, self._distributions, seed)
        known = knowing_space(build_sampler(self._spec, number), self._spec, self._distributions)
        sampler = seeing(known, self._view)
        return _Nearest(sampler, left, self._encoded[self._left], self._spec, self._distributions, seed)


class _Nearest(optuna.samplers.BaseSampler):
    """Proposes the setting on record that is nearest to what a sampler proposes; any one, without a sampler."""

    def __init__(
        self,
        sampler: optuna.samplers.BaseSampler | None,
        settings: Sequence[Mapping[str, Value]],
        encoded: Any,
        spec: StudySpec,
        distributions: Mapping[str, BaseDistribution],
        seed: int,
    ) -> None:
        self._sampler, self._settings, self._encoded = sampler, settings, encoded
        self._encoder, self._distributions = Encoder(spec.space), dict(distributions)
        self._random = random.Random(seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all parameters."""
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the setting."""
        if self._sampler is None:
            return dict(self._random.choice(self._settings))
        space = self._sampler.infer_relative_search_space(study, trial)
        values = self._sampler.sample_relative(study, trial, space)
        for name, distribution in self._distributions.items():
            if name not in values:
                values[name] = self._sampler.sample_independent(study, trial, name, distribution)
        values = self._encoder.space.trimmed(values)
        alike = self._encoder.likeness(self._encoder.encode([values]), self._encoded).sum(axis=0)[0]
        nearest = np.flatnonzero(alike >= alike.max() - 1e-9)
        return dict(self._settings[int(self._random.choice(list(nearest)))])

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never called: all parameters are proposed together."""
        raise AssertionError(param_name)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Pass on."""
        if self._sampler is not None:
            self._sampler.before_trial(study, trial)
