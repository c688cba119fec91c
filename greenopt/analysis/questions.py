"""The questions that are open, and how much there is to gain from trials for each, in energy and in accuracy.

A question that is nearly answered is worth more trials than one that would take a hundred of them; and a value that
surely saves energy, but may lose accuracy, needs trials that tell of its accuracy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scipy.special import ndtri

from greenopt.analysis.evidence import Effect, Evidence
from greenopt.analysis.results import FOUND, ValueAdvice
from greenopt.analysis.value_advice import ASKED, OPEN, SETTLED_FROM, SHOWN_FROM, Values, may_pay
from greenopt.analysis.value_effects import ValueEffect
from greenopt.spec import Value

WORTH_ASKING = 0.01
"""Probability of paying, up to which no trial is run for a value."""
LEAST_WEIGHT = 0.05
"""Weight of a question that is far from an answer."""


@dataclass(frozen=True)
class Question:
    """An open contrast: does this value of a parameter differ from the baseline's?

    Attributes:
        energy_weight, accuracy_weight: how much it is worth, 0..1, to know of the difference in each.
    """

    parameter: str
    value: Value
    baseline: Value
    energy_weight: float = 1.0
    accuracy_weight: float = 1.0


def open_questions(
    values: Iterable[ValueAdvice], evidence: Evidence, drawn: Mapping[str, Values]
) -> Sequence[Question]:
    """Return the contrasts that are open: the advised value's, and those of values that may still pay.

    Args:
        values: the advice on each parameter.
        evidence: tests of all values.
        drawn: parameter -> value -> draws of its effects; empty where tests have to do.
    """
    found: list[Question] = []
    for one in values:
        if one.confidence not in ASKED:
            continue
        costs = evidence.energy[one.parameter]
        gains = evidence.with_early.get(one.parameter) or evidence.accuracy.get(one.parameter, {})
        effects = drawn.get(one.parameter, {})
        for value, cost in costs.items():
            effect = effects.get(value)
            asked = _may_pay(effect, cost, gains.get(value)) if one.confidence == OPEN else one.value == value
            if value != one.baseline and asked:
                weights = (1.0, 1.0) if effect is None else _weights(effect, cost, is_open=one.confidence == OPEN)
                found.append(Question(one.parameter, value, one.baseline, *weights))
    return found


def _may_pay(drawn: ValueEffect | None, cost: Effect, gain: Effect | None) -> bool:
    return may_pay(cost, gain) if drawn is None else float(drawn.pays.mean()) > WORTH_ASKING


def _weights(drawn: ValueEffect, cost: Effect, *, is_open: bool) -> tuple[float, float]:
    """Return what it is worth to know of energy and of accuracy: the square of how near each is to its answer."""
    if is_open:
        ruled_out = _near(1 - float(drawn.pays.mean()), SHOWN_FROM)
        return ruled_out, ruled_out
    saves, keeps = float((drawn.energy < 0).mean()), drawn.keeps_accuracy
    is_sure = (1 + SETTLED_FROM) / 2
    energy = 0.0 if saves >= is_sure and cost.q < FOUND else _near(saves, SETTLED_FROM)
    return energy, 0.0 if keeps >= is_sure else _near(keeps, SETTLED_FROM)


def _near(probability: float, wanted: float) -> float:
    """Return how near a probability is to the wanted one, in standard errors of a normal estimate, squared, 0..1."""
    share = float(ndtri(min(max(probability, 0.5), wanted)) / ndtri(wanted))
    return max(share**2, LEAST_WEIGHT)
