"""How much each parameter matters for each objective, by Optuna's evaluators."""

import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from greenopt.search.search import as_optuna
from greenopt.spec import Choice, Distribution, Range, StudySpec, is_too_varied

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator

MIN_TRIALS = 200
"""Trials below which no importance is given: results dealt out at random have shares as large then."""
PERMUTATIONS = 40
CHANCE = 0.95
TREES = 20
METHODS = {"ped_anova": 500, "fanova": 300}
"""By method, the most trials that it is computed on; of more a seeded sample is taken, and said so."""

MAX_ENCODED = 8
"""Values of a list up to which fANOVA takes each for a feature of its own; its time doubles with every value. Values of
a longer list are known to it by their places in the list."""


@dataclass(frozen=True)
class Shares:
    """Shares of importance, 0..1, that add up to 1, for one objective.

    Attributes:
        objective: its column.
        method: `ped_anova` or `fanova`.
        shares: by parameter; empty where `text` says why.
        text: what must be known of them.
        chance: by parameter, the share that 95 of 100 permutations of the results stay below; empty where not known.
    """

    objective: str
    method: str
    shares: Mapping[str, float]
    text: str = ""
    chance: Mapping[str, float] = field(default_factory=dict)


def importances(spec: StudySpec, rows: Sequence[Mapping[str, Any]]) -> list[Shares]:
    """PED-ANOVA and fANOVA for each objective of a study.

    Args:
        spec: the study.
        rows: its completed trials with all values inside the space.
    """
    having = [row for row in rows if all(row.get(metric) is not None for metric in spec.objectives)]
    if len(having) < MIN_TRIALS:
        text = (
            f"not shown under {MIN_TRIALS} completed trials, of which there are {len(having)}: in so few, results "
            "dealt out at random give shares as large"
        )
        return [Shares(str(metric), method, {}, text) for metric in spec.objectives for method in METHODS]
    always = {name: found for name, found in spec.space.free.items() if name not in spec.space.conditions}
    varied = [name for name in always if is_too_varied([row[name] for row in having], always[name])]
    free = {name: distribution for name, distribution in always.items() if name not in varied}
    notes = [f"without {', '.join(varied)}, of which most trials have a value of their own"] if varied else []
    some = [name for name in spec.space.free if name not in always]
    notes += [f"without {', '.join(some)}, which not every setting has"] if some else []
    text = "; ".join(notes)
    if not free:
        return [
            Shares(str(m), method, {}, text or "no parameter varies") for m in spec.objectives for method in METHODS
        ]
    return [shares for method in METHODS for shares in _by_method(spec, free, method, having, text)]


def _by_method(
    spec: StudySpec, free: Mapping[str, Distribution], method: str, rows: Sequence[Mapping[str, Any]], text: str
) -> list[Shares]:
    """Compute the shares for each objective by one method, on a sample of limited size."""
    most = METHODS[method]
    if len(rows) > most:
        drawn = f"on {most} of {len(rows)} trials, drawn at random"
        text = f"{drawn}; {text}" if text else drawn
        rows = random.Random(0).sample(list(rows), most)
    study = _study(spec, free, rows, encodes=method == "fanova")
    return [_shares(study, str(metric), index, method, text) for index, metric in enumerate(spec.objectives)]


def _evaluator(method: str) -> "BaseImportanceEvaluator":
    # Brings scikit-learn, which the coordinator need not load.
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    return FanovaImportanceEvaluator(n_trees=TREES, seed=0) if method == "fanova" else PedAnovaImportanceEvaluator()


def _shares(study: optuna.Study, metric: str, index: int, method: str, text: str) -> Shares:
    if len({trial.values[index] for trial in study.get_trials(deepcopy=False)}) < 2:
        return Shares(metric, method, {}, "it is the same in all trials")
    sign = 1.0 if study.directions[index] is StudyDirection.MINIMIZE else -1.0
    # With a target PED-ANOVA takes the lowest values for the best, whatever the study's direction.
    results = [sign * trial.values[index] for trial in study.get_trials(deepcopy=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shares = _estimated(study, method, results)
            chance = _chance(study, method, results) if method == "ped_anova" else {}
        except (ValueError, RuntimeError) as error:
            return Shares(metric, method, {}, str(error))
    return Shares(metric, method, shares, text, chance)


def _estimated(study: optuna.Study, method: str, results: Sequence[float]) -> dict[str, float]:
    """Compute the shares for these results, one a trial by its number."""
    found = optuna.importance.get_param_importances(
        study, evaluator=_evaluator(method), target=lambda trial: results[trial.number]
    )
    return {name: float(share) for name, share in found.items()}


def _chance(study: optuna.Study, method: str, results: Sequence[float]) -> dict[str, float]:
    """Return the shares that results dealt out at random seldom exceed."""
    generator, drawn = random.Random(0), []
    for _ in range(PERMUTATIONS):
        dealt = generator.sample(list(results), len(results))
        drawn.append(_estimated(study, method, dealt))
    place = math.ceil(CHANCE * PERMUTATIONS) - 1
    return {name: sorted(one[name] for one in drawn)[place] for name in drawn[0]}


def _study(
    spec: StudySpec, free: Mapping[str, Distribution], rows: Sequence[Mapping[str, Any]], *, encodes: bool
) -> optuna.Study:
    """Return a study in memory, of these parameters alone."""
    places = {
        name: {value: place for place, value in enumerate(distribution.values)}
        for name, distribution in free.items()
        if encodes and isinstance(distribution, Choice) and distribution.size > MAX_ENCODED
    }
    shown = {name: Range(low=0, high=len(places[name]) - 1) if name in places else free[name] for name in free}
    distributions = {name: as_optuna(distribution) for name, distribution in shown.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=[StudyDirection[way.name] for way in spec.objectives.values()])
    study.add_trials(
        optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            values=[float(row[metric]) for metric in spec.objectives],
            params={name: places[name][row[name]] if name in places else row[name] for name in distributions},
            distributions=distributions,
        )
        for row in rows
    )
    return study
