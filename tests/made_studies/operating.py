"""How often the advice on made studies is right: its operating characteristics, by family and number of trials."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from greenopt.analysis.advice import advise
from greenopt.analysis.evidence import enough_to_pool, gather
from greenopt.analysis.expectation import expect
from greenopt.analysis.regression import Regressions, regress
from greenopt.analysis.results import CLEAR_GAIN, CLEAR_SAVING, MARGIN, Advice, Coding, Response, ValueAdvice
from greenopt.analysis.trials import analysed_trials
from greenopt.analysis.value_advice import HARDLY, SAFE_FROM, is_answered, judge_values
from greenopt.analysis.value_effects import SLIGHTLY_MORE, ValueEffect
from greenopt.spec import Value
from tests.made_studies.families import build
from tests.made_studies.truth import LEVELS, PARAMETERS, Made, as_indices, measured

NEXT = 10
REFERENCE_DRAWS = 400
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
        called, false_calls: how many values are settled or likely, and how many of those wrongly.
        has_saving: some value truly saves at least 20 % at no loss.
        is_missed: of those that have one: no value of some such parameter is advised.
        savings, missed: how many parameters have a clear saving, and how many of those are not advised.
        is_dominated: a trial that ran is truly better than the advised setting; None without one.
        matters: that trial is better by more than 5 % of energy or `MARGIN` of accuracy.
        has_none: no setting is advised.
        asked, answered: questions before ten next trials, and how many of them are answered after.
        wrong_answers: of those, how many are answered wrongly.
        reference_missed: of the clear savings, how many a model misses that knows all but the one in question.
        reference_answered: how many a model answers that knows all but the question, with ten trials on each question.
    """

    wrong_settled: bool
    wrong_settled_there: bool
    wrong_likely: bool
    wrong_hint: bool
    called: int
    false_calls: int
    has_saving: bool
    is_missed: bool
    savings: int
    missed: int
    reference_missed: int
    is_dominated: bool | None
    matters: bool | None
    has_none: bool
    asked: int = 0
    answered: int = 0
    wrong_answers: int = 0
    reference_answered: int = 0


NO_REGRESSIONS = Regressions({}, {}, {})
"""From `enough_to_pool` on, regressions add cautions to advice, and nothing that is judged here."""


def trials_of(made: Made, extra: Sequence[Mapping[str, Any]] = ()) -> tuple["pd.DataFrame", Regressions]:
    """Return a made study's trials, and the regressions that advice on them needs."""
    trials = analysed_trials(made.spec, [*made.rows, *extra])
    if int(trials["in_regressions"].sum()) >= enough_to_pool(made.spec):
        return trials, NO_REGRESSIONS
    return trials, regress(trials, made.spec, (Response.LOG_ENERGY_WH, Response.ACCURACY), [Coding.EFFECTIVE])


def advice_on(made: Made) -> Advice:
    """Return the advice on a made study."""
    trials, regressions = trials_of(made)
    return advise(regressions, trials, made.spec)


def values_after(made: Made, extra: Sequence[Mapping[str, Any]]) -> Sequence[ValueAdvice]:
    """Return the advice on values after further trials."""
    trials, regressions = trials_of(made, extra)
    evidence = gather(regressions, trials, made.spec)
    return () if evidence is None else judge_values(evidence, expect(trials, made.spec), made.spec)[0]


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
    called = [one for one in advice.values if one.confidence in ADVISED]
    setting = advice.setting
    return Judged(
        wrong_settled=any(_is_wrong(one, made) for one in advice.values if one.confidence == "settled"),
        wrong_settled_there=any(_is_wrong_there(one, made, advice) for one in advice.values),
        wrong_likely=any(_is_wrong(one, made) for one in advice.values if one.confidence == "likely"),
        wrong_hint=any(_is_wrong(one, made) for one in advice.values if one.confidence == "hint"),
        called=len(called),
        false_calls=sum(_is_wrong(one, made) for one in called),
        has_saving=bool(savings),
        is_missed=bool(missed),
        savings=len(savings),
        missed=len(missed),
        reference_missed=sum(reference_misses(made, name, values) for name, values in savings.items()),
        is_dominated=None if setting is None else is_dominated(made, setting),
        matters=None if setting is None else is_dominated(made, setting, SLIGHTLY_MORE, MARGIN),
        has_none=setting is None,
        **(_followed(made, advice) if follow else {}),
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
    energy = float(np.log(made.true_energy_wh(advice.setting) / made.true_energy_wh(other)))
    accuracy = made.true_accuracy(advice.setting) - made.true_accuracy(other)
    # A value that does nothing in that setting is neither right nor wrong there.
    does_nothing = abs(energy) < ROUNDING and abs(accuracy) < ROUNDING
    return not does_nothing and _is_no_better(energy, accuracy)


def is_dominated(
    made: Made, setting: Mapping[str, Value], energy_by: float = ROUNDING, accuracy_by: float = ROUNDING
) -> bool:
    """Return whether a completed trial's setting is truly at least as good in both and better in one.

    A trial that is equal in both does not dominate: settings that differ in idle parameters alone are the same.

    Args:
        made: the study.
        setting: the advised one.
        energy_by, accuracy_by: by more than which it must be better in one, as a log ratio and as a fraction.
    """
    ran = [row for row in made.rows if row["state"] == "complete"]
    settings = np.array([as_indices(row) for row in ran])
    energy, accuracy = made.truth.log_energy(settings), made.truth.expected_accuracy(settings)
    ours, our_accuracy = np.log(made.true_energy_wh(setting)), made.true_accuracy(setting)
    as_good = (energy <= ours + ROUNDING) & (accuracy >= our_accuracy - ROUNDING)
    better = (energy < ours - energy_by) | (accuracy > our_accuracy + accuracy_by)
    return bool((as_good & better).any())


def _followed(made: Made, advice: Advice) -> dict[str, int]:
    """Run the proposed trials, at most ten; returns the questions, and how many of them the trials answer."""
    questions = {one.parameter: one for one in advice.values if one.confidence in ASKED}
    following = [dict(setting) for setting in advice.next_settings[:NEXT]]
    known = sum(reference_answers(made, one) for one in questions.values())
    if not questions or not following:
        return {"asked": len(questions), "reference_answered": known}
    after = values_after(made, made.run(following, seed=1))
    answers = [one for one in after if one.parameter in questions and one.confidence in ANSWERED]
    wrong = sum(is_wrong_answer(one, made) for one in answers)
    return {
        "asked": len(questions),
        "answered": len(answers),
        "wrong_answers": wrong,
        "reference_answered": known,
    }


def is_wrong_answer(one: ValueAdvice, made: Made) -> bool:
    """Return whether what is said of a parameter is not so."""
    parameter = PARAMETERS.index(one.parameter)
    energy, accuracy = made.truth.effects[0][parameter], made.truth.effects[1][parameter]
    if one.confidence == "little_to_gain":
        saves = (energy <= CLEAR_SAVING) & (accuracy >= -MARGIN)
        return bool((saves | (accuracy >= CLEAR_GAIN)).any())
    if one.confidence == "no_matter":
        return bool((np.abs(energy) >= HARDLY).any())
    if one.confidence == "trade_off":
        index = as_indices({**made.spec.space.baseline, one.parameter: one.value})[parameter]
        return not (energy[index] > 0 and accuracy[index] > 0)
    return _is_wrong(one, made)


def reference_answers(made: Made, question: ValueAdvice) -> bool:
    """Return whether a model that knows everything but one parameter's effects answers its question.

    It has the study's trials, and runs `NEXT` trials for this question alone: as many with the baseline's value as with
    the value in question. No model that has to learn the rest as well can have more from ten trials for all questions;
    it has no prior, though, that most parameters are idle. It answers by the same rules.
    """
    parameter = PARAMETERS.index(question.parameter)
    generator = np.random.default_rng([made.seed, parameter, 7])
    own = as_indices({**made.spec.space.baseline, question.parameter: question.value})[parameter]
    asked = int(own) if own else int(np.argmin(made.truth.effects[0][parameter]))
    ran = np.array([as_indices(row) for row in made.rows])
    further = ran[generator.integers(len(ran), size=NEXT)]
    further[:, parameter] = np.where(np.arange(NEXT) % 2 == 0, 0, asked)
    return is_answered(reference_effects(made, parameter, measured(made.truth, further, generator)))


def reference_misses(made: Made, name: str, allowed: Collection[Value]) -> bool:
    """Return whether a model that knows all else does not see a parameter's clear saving in the study's trials.

    It sees it if one of the values that save so much is better with a probability of at least `SAFE_FROM`.
    """
    parameter = PARAMETERS.index(name)
    known = reference_effects(made, parameter, ())
    levels = [int(as_indices({**made.spec.space.baseline, name: value})[parameter]) for value in allowed]
    return all(known[level].is_better < SAFE_FROM for level in levels)


def reference_effects(made: Made, parameter: int, further: Sequence[Mapping[str, Any]]) -> dict[Value, ValueEffect]:
    """Draw one parameter's effects as a model does that knows every other effect, and how much each trial spreads.

    Args:
        made: the study.
        parameter: the place of the one in question.
        further: rows of further trials.
    """
    generator = np.random.default_rng([made.seed, parameter, 8])
    rows = [row for row in (*made.rows, *further) if row["state"] == "complete"]
    settings = np.array([as_indices(row) for row in rows])
    noise = (
        np.log([row["energy_wh"] for row in rows]) - made.truth.log_energy(settings),
        np.array([row["accuracy"] for row in rows]) - made.truth.expected_accuracy(settings),
    )
    spread = made.truth.spread(settings)
    draws = []
    for effects, left in zip(made.truth.effects, noise, strict=True):
        scale = np.std(left / spread)
        weights = [np.where(settings[:, parameter] == level, 1 / spread**2, 0.0) for level in range(LEVELS)]
        told = np.array([max(float(weight.sum()), 1e-9) for weight in weights])
        means = effects[parameter] + np.array([weight @ left for weight in weights]) / told
        drawn = means + scale / np.sqrt(told) * generator.standard_normal((REFERENCE_DRAWS, LEVELS))
        draws.append(drawn - drawn[:, :1])
    return {
        level: ValueEffect(draws[0][:, level], draws[1][:, level], draws[1][:, level]) for level in range(1, LEVELS)
    }


@dataclass(frozen=True)
class Share:
    """A share of something, 0..1, and its standard error; NaN where there is nothing to have a share of."""

    value: float
    error: float

    @classmethod
    def of(cls, parts: Sequence[float], wholes: Sequence[float]) -> "Share":
        """Return the share of all parts in all wholes, over studies (a ratio estimate; Cochran 1977, chapter 6)."""
        part, whole = np.array(parts, dtype=float), np.array(wholes, dtype=float)
        if not whole.sum():
            return cls(np.nan, np.nan)
        value = float(part.sum() / whole.sum())
        count = len(part)
        # Nothing found in n studies is not known to be nothing: one half of a study is added, and taken away.
        left = part - value * whole
        least = 0.5 / float(whole.sum())
        error = np.sqrt(count / max(count - 1, 1) * float(left @ left)) / float(whole.sum())
        return cls(value, max(float(error), least))


def operating(family: str, trials: int, studies: int, seed: int, *, follow: bool = True) -> dict[str, Share]:
    """Judge the advice on many studies of a family.

    Args:
        family: a name of `FAMILIES`.
        trials: of each study.
        studies: how many.
        seed: of the first; the others follow.
        follow: whether their next trials are run as well.

    Returns:
        Figure, as `Judged` names it -> its share of studies; `missed` of clear savings, `false_calls` of values called
        settled or likely, `answered` and `reference_answered` of questions, and `wrong_answers` of answers.
    """
    found = [judge(build(family, seed + i, trials), follow=follow) for i in range(studies)]
    of_studies = ("wrong_settled", "wrong_settled_there", "wrong_likely", "wrong_hint", "has_none")
    shares = {name: Share.of([getattr(one, name) for one in found], [1] * studies) for name in of_studies}
    advised = [one for one in found if not one.has_none]
    for name in ("is_dominated", "matters"):
        shares[name] = Share.of([getattr(one, name) for one in advised], [1] * len(advised))
    for part, whole in (
        ("missed", "savings"),
        ("reference_missed", "savings"),
        ("is_missed", "has_saving"),
        ("false_calls", "called"),
        ("answered", "asked"),
        ("reference_answered", "asked"),
        ("wrong_answers", "answered"),
    ):
        shares[part] = Share.of([getattr(one, part) for one in found], [getattr(one, whole) for one in found])
    shares["asked"] = Share.of([one.asked for one in found], [1] * studies)
    return shares
