"""Advice on one parameter: which value, how sure it is that it is better than the baseline's, and in words.

With enough trials a value is judged by draws of its effects (`greenopt.analysis.value_effects`): by the probability
that it saves energy at no loss of accuracy beyond `MARGIN`, or is more accurate at hardly more energy. That takes a
model, so that nothing is settled whose energy or accuracy does not differ by a test as well, which asks less of the
model (`greenopt.analysis.evidence`). With few trials, or where the settings explain every trial, there are tests alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from greenopt.analysis.encoder import Matrix
from greenopt.analysis.evidence import Effect, Evidence
from greenopt.analysis.expectation import Expectation
from greenopt.analysis.recommend_text import format_probability
from greenopt.analysis.results import CLEAR_GAIN, CLEAR_SAVING, FOUND, MARGIN, SETTLED_FROM, SHOWN_FROM, ValueAdvice
from greenopt.analysis.value_effects import SLIGHTLY_MORE, ValueEffect, draw_value_effects
from greenopt.spec import Distribution, Range, StudySpec, Value

CONFIDENCES = SETTLED, LIKELY, TRADE_OFF, HINT, NEGLIGIBLE, LITTLE, OPEN = (
    *("settled", "likely", "trade_off"),
    *("hint", "no_matter", "little_to_gain", "open"),
)
ADVISED, ASKED = (SETTLED, LIKELY), (LIKELY, HINT, OPEN)
HARDLY = math.log(1.1)
"""A change of energy that is not worth a choice, as a log ratio."""
SETTLED_BELOW = FOUND / 2
"""Adjusted p below which a value is settled: half, since its energy or its accuracy may settle it."""
SAFE_FROM = 0.9
"""Probability of a loss of at most `MARGIN`, from which on the value of least energy is taken: one of ten may lose."""
NOTICED = 0.005
"""Difference of accuracy, as a fraction, below which no other value is named as more accurate."""
FALSE_DISCOVERIES = 0.1
"""Share of false ones among the values called likely."""
HINTED_FROM = 0.75
"""Probability of being better, from which on there is a hint: three to one."""

Values = Mapping[Value, ValueEffect]


def judge_values(
    evidence: Evidence, expected: Expectation | None, spec: StudySpec
) -> tuple[list[ValueAdvice], Mapping[str, Values]]:
    """Return the advice on every parameter that can be judged, the surest first, and the draws behind it.

    Args:
        evidence: tests of all values.
        expected: what settings are expected to measure; None with too few trials.
        spec: the study.
    """
    drawn = draw_value_effects(expected, evidence.reference) if expected is not None and evidence.is_pooled else {}
    return advise_values(evidence, drawn, spec), drawn


def advise_values(evidence: Evidence, drawn: Mapping[str, Values], spec: StudySpec) -> list[ValueAdvice]:
    """Return the advice on every parameter that can be judged, the surest first.

    Args:
        evidence: tests of all values.
        drawn: parameter -> value -> draws of its effects; empty where tests have to do.
        spec: the study.
    """
    judged = {
        name: _judge(name, distribution, evidence, drawn.get(name, {}))
        for name, distribution in spec.space.free.items()
        if name in evidence.energy
    }
    likely = _likely({name: one.better for name, one in judged.items() if one.better is not None and one.matters})
    found = [
        _with_condition(_as_advice(name, replace(one, confidence=LIKELY) if name in likely else one, evidence), spec)
        for name, one in judged.items()
    ]
    return sorted(found, key=lambda advice: (CONFIDENCES.index(advice.confidence), advice.energy_ratio))


@dataclass(frozen=True)
class _Judged:
    """A parameter's value, and how sure it is.

    Attributes:
        costs, gains: of all its values, against the reference, in energy and accuracy.
        better: probability of being better than the reference, where that alone decides; None otherwise.
        matters: whether any value may matter for energy, save clearly, or be clearly more accurate.
    """

    value: Value
    costs: Mapping[Value, Effect]
    gains: Mapping[Value, Effect]
    confidence: str
    better: float | None = None
    matters: bool = True


def _judge(name: str, distribution: Distribution, evidence: Evidence, drawn: Values) -> _Judged:
    costs = evidence.energy[name]
    # A value that amounts to another one wherever it ran has no effect of its own, and needs no test.
    told = {*costs, *(value for value, one in drawn.items() if not one.acts)}
    is_told = distribution.size <= len(told) or (isinstance(distribution, Range) and len(costs) > 1)
    known = {value: one for value, one in drawn.items() if value in costs and distribution.holds(value)}
    if known:
        return _by_draws(known, evidence, name, is_told=is_told)
    return _by_tests(distribution, evidence, name, is_told=is_told)


def _by_draws(drawn: Values, evidence: Evidence, name: str, *, is_told: bool) -> _Judged:
    """Judge a parameter by draws of its values' effects."""
    reference, tests = evidence.reference[name], (evidence.energy[name], evidence.accuracy.get(name, {}))
    costs = {reference: Effect(), **{value: _effect(one.energy, tests[0].get(value)) for value, one in drawn.items()}}
    gains = {reference: Effect(), **{value: _effect(one.accuracy, tests[1].get(value)) for value, one in drawn.items()}}
    value = _best_of(drawn, reference)
    cost, gain = costs[value], gains[value]
    better = 0.0 if value == reference else drawn[value].is_better
    is_shown = (cost.estimate < 0 and cost.p_holm < SETTLED_BELOW) or (
        gain.estimate > 0 and gain.p_holm < SETTLED_BELOW
    )
    if better >= SETTLED_FROM and is_shown:
        return _Judged(value, costs, gains, SETTLED)
    is_alike, is_little = is_told and _hardly_matters(drawn), is_told and _pays_little(drawn)
    if is_alike or is_little:
        matters = not (is_alike and is_little)
        return _Judged(value, costs, gains, LITTLE if is_little and not is_alike else NEGLIGIBLE, better, matters)
    most = max(drawn, key=lambda one: gains[one].estimate)
    if better < SAFE_FROM and gains[most].low > 0 and gains[most].estimate >= CLEAR_GAIN and costs[most].low > 0:
        return _Judged(most, costs, gains, TRADE_OFF, 0.0)
    if better >= HINTED_FROM:
        return _Judged(value, costs, gains, HINT, better)
    return _Judged(value, costs, gains, OPEN, better)


def _hardly_matters(drawn: Values) -> bool:
    """Return whether surely no value changes energy by as much as a choice is worth."""
    return bool(np.mean(np.all([np.abs(one.energy) < HARDLY for one in drawn.values()], axis=0)) >= SHOWN_FROM)


def _pays_little(drawn: Values) -> bool:
    """Return whether surely no value saves clearly at no loss, or gains much."""
    return bool(np.mean(np.any([one.pays for one in drawn.values()], axis=0)) <= 1 - SHOWN_FROM)


def is_answered(drawn: Values) -> bool:
    """Return whether draws answer the question of a parameter's value by themselves, whatever tests say."""
    if max(one.is_better for one in drawn.values()) >= SETTLED_FROM:
        return True
    return _hardly_matters(drawn) or _pays_little(drawn)


def _effect(draws: Matrix, test: Effect | None) -> Effect:
    """Return the median and the 95 % interval of draws, with the p of a test."""
    low, median, high = (float(one) for one in np.quantile(draws, (0.025, 0.5, 0.975)))
    return replace(test or Effect(), estimate=median, low=low, high=high)


def _best_of(drawn: Values, reference: Value) -> Value:
    """Return the value of least energy among those that hardly lose accuracy; else the one that is probably better."""
    safe = [value for value, one in drawn.items() if one.keeps_accuracy >= SAFE_FROM and one.energy.mean() < 0]
    if safe:
        return min(safe, key=lambda value: float(drawn[value].energy.mean()))
    best = max(drawn, key=lambda value: drawn[value].is_better)
    return best if drawn[best].is_better >= 0.5 else reference


def _likely(better: Mapping[str, float]) -> set[str]:
    """Return the parameters whose values are likely better: of all of them at most a tenth is expected to be false."""
    ordered = sorted(better, key=lambda name: -better[name])
    false = np.cumsum([1 - better[name] for name in ordered]) / np.arange(1, len(ordered) + 1)
    return {
        name
        for name, share in zip(ordered, false, strict=True)
        if share <= FALSE_DISCOVERIES and better[name] >= HINTED_FROM
    }


def _by_tests(distribution: Distribution, evidence: Evidence, name: str, *, is_told: bool) -> _Judged:
    """Judge a parameter by tests alone."""
    reference, costs = evidence.reference[name], evidence.energy[name]
    gains, all_gains = evidence.accuracy.get(name, {}), evidence.with_early.get(name, {})
    allowed = [
        value
        for value in costs
        if distribution.holds(value) and _keeps_accuracy(value, gains) and _keeps_accuracy(value, all_gains)
    ]
    value = min(allowed or [reference], key=lambda candidate: costs[candidate].estimate)
    confidence = _confidence(costs[value], gains.get(value))
    if evidence.has_early and value in gains:
        confidence = _weaker(confidence, _confidence(costs[value], all_gains.get(value)))
    bounds = [abs(bound) for other in costs.values() for bound in (other.low, other.high)]
    if confidence == OPEN and is_told and all(bound < HARDLY for bound in bounds):
        confidence = NEGLIGIBLE
    if confidence == OPEN and is_told and _offers_little(costs, all_gains or gains, reference):
        confidence = LITTLE
    return _Judged(value, costs, gains, confidence)


def _as_advice(name: str, judged: _Judged, evidence: Evidence) -> ValueAdvice:
    reference, value, costs = evidence.reference[name], judged.value, judged.costs
    cost, gain = costs[value], judged.gains.get(value)
    gains = judged.gains if judged.better is not None else evidence.with_early.get(name) or judged.gains
    best = _most_accurate(gains)
    text = _untold(name)
    if len(costs) > 1:
        text = _format_advice(name, value, reference, cost, gain, judged.confidence, judged.better)
    return ValueAdvice(
        parameter=name,
        value=value,
        baseline=reference,
        energy_ratio=_exp(cost.estimate),
        energy_low=_exp(cost.low),
        energy_high=_exp(cost.high),
        accuracy_change=gain.estimate if gain else None,
        accuracy_low=gain.low if gain else None,
        accuracy_high=gain.high if gain else None,
        confidence=judged.confidence,
        text=text + _format_most_accurate(best, value, reference, costs, gains),
        most_accurate=best,
        most_accurate_change=None if best is None else gains[best].estimate,
        most_accurate_energy_ratio=_exp(costs[best].estimate) if best is not None and best in costs else None,
        probability_better=judged.better,
    )


def _offers_little(costs: Mapping[Value, Effect], gains: Mapping[Value, Effect], reference: Value) -> bool:
    """Return whether no value's 95 % intervals leave room for a clear saving at no loss, or for clear accuracy."""
    others = [value for value in costs if value != reference]
    return not any(may_pay(costs[value], gains.get(value)) for value in others)


def may_pay(cost: Effect, gain: Effect | None) -> bool:
    """Return whether a value may still save clearly at no loss, or be clearly more accurate."""
    return gain is None or gain.high >= CLEAR_GAIN or (cost.low <= CLEAR_SAVING and gain.high >= -MARGIN)


def _most_accurate(gains: Mapping[Value, Effect]) -> Value | None:
    return max(gains, key=lambda candidate: gains[candidate].estimate) if gains else None


def _format_most_accurate(
    best: Value | None, value: Value, reference: Value, costs: Mapping[Value, Effect], gains: Mapping[Value, Effect]
) -> str:
    """Format what the most accurate value would give; nothing where it is the advised one or no better."""
    if best is None or value not in gains or best not in costs or best == value:
        return ""
    if gains[best].estimate - gains[value].estimate < NOTICED:
        return ""
    against = f" against {reference}'s" if best != reference else ", the baseline's,"
    energy = f" at {_percent(costs[best].estimate)} energy" if best != reference else " at its own energy"
    return f"; most accurate is {best}: {gains[best].estimate:+.3f}{against}{energy}"


def _weaker(confidence: str, with_failed: str) -> str:
    """Return what holds both for completed trials and with those that failed."""
    rank = CONFIDENCES.index
    if TRADE_OFF in (confidence, with_failed) and confidence != with_failed:
        return OPEN
    return max(confidence, with_failed, key=rank)


def _keeps_accuracy(value: Value, gains: Mapping[Value, Effect]) -> bool:
    """Return whether a value's accuracy allows advising it."""
    if value not in gains:
        return not gains
    best = max(gains, key=lambda candidate: gains[candidate].estimate)
    if value == best:
        return True
    ours, theirs = gains[value], gains[best]
    # Both are compared with the same reference: intervals that do not meet are a difference beyond doubt.
    return ours.estimate >= -MARGIN and not ours.high < theirs.low


def _confidence(cost: Effect, gain: Effect | None) -> str:
    """Rate the confidence that a value beats the baseline's in energy, or in accuracy at similar energy."""
    saves, gains = cost.estimate < 0, gain is not None and gain.estimate > 0
    holds = gain is not None and gain.low >= -MARGIN
    if saves and cost.p_holm < SETTLED_BELOW and holds:
        return SETTLED
    if gain is not None and gains and gain.p_holm < SETTLED_BELOW and cost.high <= SLIGHTLY_MORE:
        return SETTLED
    if gain is not None and gains and gain.p < FOUND and not saves and cost.p < FOUND:
        return TRADE_OFF
    keeps = gain is None or gain.estimate >= -MARGIN
    at_little = gain is not None and gains and cost.estimate <= SLIGHTLY_MORE
    if (saves and keeps and cost.q < FALSE_DISCOVERIES) or (gain and at_little and gain.q < FALSE_DISCOVERIES):
        return LIKELY
    is_hinted = (saves and keeps and cost.p < FOUND) or (gain is not None and at_little and gain.p < FOUND)
    return HINT if is_hinted else OPEN


def _with_condition(advice: ValueAdvice, spec: StudySpec) -> ValueAdvice:
    """Return the advice on a parameter that not every setting has with its condition in words."""
    condition = spec.space.condition_text(advice.parameter)
    if not condition:
        return advice
    text = advice.text.removeprefix(f"{advice.parameter}: ")
    return replace(advice, text=f"{advice.parameter} (with {condition}): {text}")


def _format_advice(
    parameter: str,
    value: Value,
    reference: Value,
    cost: Effect,
    gain: Effect | None,
    confidence: str,
    better: float | None,
) -> str:
    if value == reference:
        return f"{parameter}: keep {reference}; no other value is estimated to take less energy at no loss of accuracy"
    energy = f"{_percent(cost.estimate)} energy ({_percent(cost.low)} to {_percent(cost.high)})"
    points = "accuracy could not be judged"
    if gain is not None:
        points = f"accuracy {gain.estimate:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) against {reference}'s"
    head = f"{parameter}: {value} instead of {reference}: {energy}, {points}"
    if confidence == TRADE_OFF:
        return f"{head}; a trade-off between accuracy and energy"
    doubts = "; ".join(_doubts(cost, gain, confidence, better))
    named = {NEGLIGIBLE: "of no matter for energy", LITTLE: "little to gain"}.get(confidence, confidence)
    return f"{head}; {named}{': ' if doubts else ''}{doubts}"


UNTOLD = "in these trials its values always change together with those of other parameters"


def _untold(parameter: str) -> str:
    return f"{parameter}: {UNTOLD}"


def _doubts(cost: Effect, gain: Effect | None, confidence: str, better: float | None) -> list[str]:
    """Return why an effect is not settled."""
    if confidence == SETTLED:
        return []
    if better is not None:
        return [f"better with probability {format_probability(better)}"]
    found = []
    if cost.p >= FOUND:
        for_accuracy = gain is not None and gain.estimate > 0 and gain.p < FOUND
        found.append(f"{'chosen for its accuracy; ' if for_accuracy else ''}its energy may be no different")
    elif cost.p_holm >= FOUND:
        among = " (one of so many would by chance)" if confidence == HINT else ""
        found.append(f"its energy differs, but not after correction for all values compared{among}")
    if gain is None:
        found.append("accuracy is not known")
    elif gain.low < -MARGIN:
        found.append(f"more than {MARGIN:g} of accuracy may be lost")
    return found


def _percent(log_ratio: float) -> str:
    change = 100 * (_exp(log_ratio) - 1)
    return f"{change:+.0f} %" if abs(change) >= 10 else f"{change:+.1f} %"


def _exp(exponent: float) -> float:
    return math.exp(exponent) if exponent < 700 else math.inf
