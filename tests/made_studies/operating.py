"""How often the advice on made studies is right: its operating characteristics, by family and number of trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from greenopt.analysis.advice import SLIGHTLY_MORE, advise
from greenopt.analysis.regression import regress
from greenopt.analysis.results import MARGIN, Advice, Coding, Response, ValueAdvice
from greenopt.analysis.trials import analysed_trials
from greenopt.spec import Value
from tests.made_studies.families import build
from tests.made_studies.truth import PARAMETERS, Made, as_indices

CLEAR_SAVING = float(np.log(0.8))
NEXT = 10
ADVISED = ("settled", "likely")
ASKED = ("likely", "hint", "open")
ANSWERED = ("settled", "trade_off", "no_matter", "little_to_gain")
ROUNDING = 1e-9


@dataclass(frozen=True)
class Judged:
    """One study's advice against the truth.

    Attributes:
        wrong_settled: a settled value costs accuracy or takes no less energy, on the mean over the space.
        wrong_settled_there: the same in the advised setting, against that setting with the baseline's value.
        wrong_likely, wrong_hint: as `wrong_settled`.
        has_saving: some value truly saves at least 20 % at no loss.
        is_missed: of those that have one: no value of some such parameter is advised.
        savings, missed: how many parameters have a clear saving, and how many of those are not advised.
        is_dominated: a trial that ran is truly better than the advised setting; None without one.
        asked, answered: questions before ten next trials, and how many of them are answered after.
    """

    wrong_settled: bool
    wrong_settled_there: bool
    wrong_likely: bool
    wrong_hint: bool
    has_saving: bool
    is_missed: bool
    savings: int
    missed: int
    is_dominated: bool | None
    asked: int = 0
    answered: int = 0


def advice_on(made: Made, extra: Sequence[Mapping[str, Any]] = ()) -> Advice:
    """Return the advice on a made study."""
    trials = analysed_trials(made.spec, [*made.rows, *extra])
    wanted = (Response.LOG_ENERGY_WH, Response.ACCURACY)
    return advise(regress(trials, made.spec, wanted, [Coding.EFFECTIVE]), trials, made.spec)


def judge(made: Made, *, follow: bool = True) -> Judged:
    """Judge the advice on a made study.

    Args:
        made: the study.
        follow: whether its next trials are run as well.
    """
    advice = advice_on(made)
    savings = clear_savings(made)
    found = {one.parameter: one for one in advice.values if one.confidence in ADVISED}
    missed = [name for name, values in savings.items() if name not in found or found[name].value not in values]
    asked, answered = _followed(made, advice) if follow else (0, 0)
    return Judged(
        wrong_settled=any(_is_wrong(one, made) for one in advice.values if one.confidence == "settled"),
        wrong_settled_there=any(_is_wrong_there(one, made, advice) for one in advice.values),
        wrong_likely=any(_is_wrong(one, made) for one in advice.values if one.confidence == "likely"),
        wrong_hint=any(_is_wrong(one, made) for one in advice.values if one.confidence == "hint"),
        has_saving=bool(savings),
        is_missed=bool(missed),
        savings=len(savings),
        missed=len(missed),
        is_dominated=None if advice.setting is None else is_dominated(made, advice.setting),
        asked=asked,
        answered=answered,
    )


def clear_savings(made: Made) -> dict[str, set[Value]]:
    """Return the parameters that have a clear saving, and their values that save as much and lose at most `MARGIN`."""
    energy, accuracy = made.truth.effects
    found: dict[str, set[Value]] = {}
    for parameter, name in enumerate(PARAMETERS):
        saves = energy[parameter] <= CLEAR_SAVING
        if (saves & (accuracy[parameter] >= -ROUNDING)).any():
            values = made.spec.space.distributions[name].values  # type: ignore[union-attr]
            allowed = saves & (accuracy[parameter] >= -MARGIN)
            found[name] = {value for value, is_one in zip(values, allowed, strict=True) if is_one}
    return found


def _is_wrong(one: ValueAdvice, made: Made) -> bool:
    """Return whether an advised value is truly no better than the baseline's, on the mean over the space."""
    if one.value == one.baseline:
        return False
    parameter = PARAMETERS.index(one.parameter)
    indices = [as_indices({**made.spec.space.baseline, one.parameter: value})[parameter] for value in _both(one)]
    energy, accuracy = (
        float(table[parameter, indices[0]] - table[parameter, indices[1]]) for table in made.truth.effects
    )
    return _is_no_better(energy, accuracy)


def _both(one: ValueAdvice) -> tuple[Value, Value]:
    return one.value, one.baseline


def _is_no_better(energy: float, accuracy: float) -> bool:
    """Return whether a change of log energy and accuracy is neither a saving at no loss nor a gain at no cost."""
    saves = energy < -ROUNDING and accuracy >= -MARGIN - ROUNDING
    return not (saves or (accuracy > ROUNDING and energy <= SLIGHTLY_MORE + ROUNDING))


def _is_wrong_there(one: ValueAdvice, made: Made, advice: Advice) -> bool:
    if one.confidence != "settled" or advice.setting is None or advice.setting[one.parameter] == one.baseline:
        return False
    other = {**advice.setting, one.parameter: one.baseline}
    energy = np.log(made.true_energy_wh(advice.setting) / made.true_energy_wh(other))
    return _is_no_better(float(energy), made.true_accuracy(advice.setting) - made.true_accuracy(other))


def is_dominated(made: Made, setting: Mapping[str, Value]) -> bool:
    """Return whether a completed trial's setting is truly at least as good in both and better in one."""
    ran = [row for row in made.rows if row["state"] == "complete"]
    settings = np.array([as_indices(row) for row in ran])
    energy, accuracy = made.truth.log_energy(settings), made.truth.expected_accuracy(settings)
    ours, our_accuracy = np.log(made.true_energy_wh(setting)), made.true_accuracy(setting)
    as_good = (energy <= ours + ROUNDING) & (accuracy >= our_accuracy - ROUNDING)
    better = (energy < ours - ROUNDING) | (accuracy > our_accuracy + ROUNDING)
    return bool((as_good & better).any())


def _followed(made: Made, advice: Advice) -> tuple[int, int]:
    """Run the proposed trials, at most ten; returns the questions, and how many of them the trials answer."""
    questions = {one.parameter for one in advice.values if one.confidence in ASKED}
    following = [dict(setting) for setting in advice.next_settings[:NEXT]]
    if not questions or not following:
        return len(questions), 0
    after = advice_on(made, made.run(following, seed=1))
    return len(questions), sum(one.parameter in questions and one.confidence in ANSWERED for one in after.values)


@dataclass(frozen=True)
class Operating:
    """Shares over the studies of one family and size, 0..1; None where none of them can be judged.

    Attributes:
        missed: share of clear savings that are not advised.
        studies_missing: share of the studies with a clear saving that miss one.
    """

    family: str
    trials: int
    studies: int
    wrong_settled: float
    wrong_settled_there: float
    wrong_likely: float
    wrong_hint: float
    missed: float | None
    studies_missing: float | None
    dominated: float | None
    answered: float | None


def operating(family: str, trials: int, studies: int, seed: int, *, follow: bool = True) -> Operating:
    """Judge the advice on many studies of a family.

    Args:
        family: a name of `FAMILIES`.
        trials: of each study.
        studies: how many.
        seed: of the first; the others follow.
        follow: whether their next trials are run as well.
    """
    found = [judge(build(family, seed + i, trials), follow=follow) for i in range(studies)]
    saving = [one.is_missed for one in found if one.has_saving]
    dominated = [one.is_dominated for one in found if one.is_dominated is not None]
    return Operating(
        family=family,
        trials=trials,
        studies=studies,
        wrong_settled=float(np.mean([one.wrong_settled for one in found])),
        wrong_settled_there=float(np.mean([one.wrong_settled_there for one in found])),
        wrong_likely=float(np.mean([one.wrong_likely for one in found])),
        wrong_hint=float(np.mean([one.wrong_hint for one in found])),
        missed=_ratio(sum(one.missed for one in found), sum(one.savings for one in found)),
        studies_missing=_ratio(sum(saving), len(saving)),
        dominated=_ratio(sum(dominated), len(dominated)),
        answered=_ratio(sum(one.answered for one in found), sum(one.asked for one in found)),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
