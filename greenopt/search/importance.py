"""How much each parameter matters for each objective, by Optuna's evaluators."""

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.study import StudyDirection
from optuna.trial import TrialState

from greenopt.search.search import as_optuna
from greenopt.spec import Direction, StudySpec

LEAST_TRIALS = 10
FANOVA_TRIALS = 500
"""fANOVA's time grows with the trials; of more than this a seeded sample is taken, and said so."""


@dataclass(frozen=True)
class Shares:
    """Shares of importance, 0..1, that add up to 1, for one objective.

    Attributes:
        objective: its column.
        method: `ped_anova` or `fanova`.
        shares: by parameter; empty where `words` says why.
        words: what must be known of them.
    """

    objective: str
    method: str
    shares: Mapping[str, float]
    words: str = ""


def importances(spec: StudySpec, rows: Sequence[Mapping[str, Any]]) -> list[Shares]:
    """PED-ANOVA and fANOVA for each objective of a study.

    Args:
        spec: the study.
        rows: its completed trials with all values inside the space.
    """
    found = []
    for metric, direction in spec.objectives.items():
        having = [row for row in rows if row.get(metric) is not None]
        found.append(_ped_anova(spec, metric, direction, having))
        found.append(_fanova(spec, metric, direction, having))
    return found


def _ped_anova(spec: StudySpec, metric: str, direction: Direction, rows: Sequence[Mapping[str, Any]]) -> Shares:
    evaluate = PedAnovaImportanceEvaluator
    return _evaluated(spec, metric, direction, rows, "ped_anova", evaluate)


def _fanova(spec: StudySpec, metric: str, direction: Direction, rows: Sequence[Mapping[str, Any]]) -> Shares:
    words = ""
    if len(rows) > FANOVA_TRIALS:
        words = f"on {FANOVA_TRIALS} of {len(rows)} trials, drawn at random"
        rows = random.Random(0).sample(list(rows), FANOVA_TRIALS)
    found = _evaluated(spec, metric, direction, rows, "fanova", lambda: FanovaImportanceEvaluator(seed=0))
    return Shares(found.objective, found.method, found.shares, found.words or words)


def _evaluated(
    spec: StudySpec, metric: str, direction: Direction, rows: Sequence[Mapping[str, Any]], method: str, make: Any
) -> Shares:
    if len(rows) < LEAST_TRIALS:
        return Shares(str(metric), method, {}, f"needs {LEAST_TRIALS} completed trials; there are {len(rows)}")
    if len({row[metric] for row in rows}) < 2:
        return Shares(str(metric), method, {}, "it is the same in all trials")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator: BaseImportanceEvaluator = make()
        try:
            shares = get_param_importances(_study(spec, metric, direction, rows), evaluator=evaluator)
        except (ValueError, RuntimeError) as error:
            return Shares(str(metric), method, {}, str(error))
    return Shares(str(metric), method, {name: float(share) for name, share in shares.items()})


def _study(spec: StudySpec, metric: str, direction: Direction, rows: Sequence[Mapping[str, Any]]) -> optuna.Study:
    """A study in memory of one objective, of the free parameters alone."""
    distributions = {name: as_optuna(distribution) for name, distribution in spec.space.free.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=StudyDirection[direction.name])
    study.add_trials(
        optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            value=float(row[metric]),
            params={name: row[name] for name in distributions},
            distributions=distributions,
        )
        for row in rows
    )
    return study
