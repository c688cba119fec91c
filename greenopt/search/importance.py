"""How much each parameter matters for each objective, by Optuna's evaluators."""

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from greenopt.search.search import as_optuna
from greenopt.spec import Choice, Distribution, Range, StudySpec, is_too_varied

if TYPE_CHECKING:
    from optuna.importance import BaseImportanceEvaluator

MIN_TRIALS = 10
TREES = 20
METHODS = {"ped_anova": 2000, "fanova": 300}
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
    """

    objective: str
    method: str
    shares: Mapping[str, float]
    text: str = ""


def importances(spec: StudySpec, rows: Sequence[Mapping[str, Any]]) -> list[Shares]:
    """PED-ANOVA and fANOVA for each objective of a study.

    Args:
        spec: the study.
        rows: its completed trials with all values inside the space.
    """
    having = [row for row in rows if all(row.get(metric) is not None for metric in spec.objectives)]
    if len(having) < MIN_TRIALS:
        text = f"needs {MIN_TRIALS} completed trials; there are {len(having)}"
        return [Shares(str(metric), method, {}, text) for metric in spec.objectives for method in METHODS]
    varied = [name for name in spec.space.free if is_too_varied([row[name] for row in having], spec.space.free[name])]
    free = {name: distribution for name, distribution in spec.space.free.items() if name not in varied}
    text = f"without {', '.join(varied)}, of which most trials have a value of their own" if varied else ""
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
    is_less_better = study.directions[index] is StudyDirection.MINIMIZE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shares = optuna.importance.get_param_importances(
                study,
                evaluator=_evaluator(method),
                target=lambda trial: _lower_is_better(trial.values[index], is_less_better),
            )
        except (ValueError, RuntimeError) as error:
            return Shares(metric, method, {}, str(error))
    return Shares(metric, method, {name: float(share) for name, share in shares.items()}, text)


def _lower_is_better(value: float, is_less_better: bool) -> float:
    """With a target PED-ANOVA takes the lowest values for the best, whatever the study's direction."""
    return value if is_less_better else -value


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
