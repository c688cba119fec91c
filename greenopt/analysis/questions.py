"""The questions that are open, and what each lacks for an answer, in energy and in accuracy.

A question that is nearly answered is worth more trials than one that would take a hundred of them; and a value that
surely saves energy, but may lose accuracy, needs trials that tell of its accuracy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scipy.special import ndtri

from greenopt.analysis.evidence import Effect, Evidence
from greenopt.analysis.results import SETTLED_FROM, SHOWN_FROM, ValueAdvice
from greenopt.analysis.value_advice import ASKED, OPEN, SETTLED_BELOW, Values, may_pay
from greenopt.analysis.value_effects import SLIGHTLY_MORE, ValueEffect
from greenopt.spec import Value

WORTH_ASKING = 0.01
"""Probability of paying, up to which no trial is run for a value."""
LEAST_NEAR = 0.05
"""How near an answer a question counts that is far from one."""


@dataclass(frozen=True)
class Lack:
    """What is lacking for a claim: how sure it is, and how sure it must be, in standard errors of a normal estimate."""

    now: float
    wanted: float

    @classmethod
    def of(cls, probability: float, wanted: float) -> "Lack | None":
        """Return what a claim of some probability lacks; None where nothing does."""
        if probability >= wanted:
            return None
        return cls(float(ndtri(max(probability, 0.5))), float(ndtri(wanted)))

    @property
    def near(self) -> float:
        """How near the claim is to being sure enough, 0..1: the share of the trials needed that have run."""
        return max((self.now / self.wanted) ** 2, LEAST_NEAR)


UNKNOWN = Lack(0.0, float(ndtri(SETTLED_FROM)))
UNTESTED = Lack(1.0, 1.0)
"""What a claim lacks that is sure enough by the model, and not by a test."""


@dataclass(frozen=True)
class Question:
    """An open contrast: does this value of a parameter differ from the baseline's?

    Attributes:
        energy, accuracy: what is lacking of either for an answer; None where nothing is.
        weight: 1 for all contrasts of one parameter together.
    """

    parameter: str
    value: Value
    baseline: Value
    energy: Lack | None = UNKNOWN
    accuracy: Lack | None = UNKNOWN
    weight: float = 1.0


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
        asked = [
            value
            for value, cost in costs.items()
            if value != one.baseline
            and (_may_pay(effects.get(value), cost, gains.get(value)) if one.confidence == OPEN else one.value == value)
        ]
        for value in asked:
            tests = costs[value], evidence.accuracy.get(one.parameter, {}).get(value, Effect())
            lacks = _lacks(effects.get(value), *tests, is_open=one.confidence == OPEN)
            found.append(Question(one.parameter, value, one.baseline, *lacks, 1 / len(asked)))
    return found


def _may_pay(drawn: ValueEffect | None, cost: Effect, gain: Effect | None) -> bool:
    return may_pay(cost, gain) if drawn is None else float(drawn.pays.mean()) > WORTH_ASKING


def _lacks(drawn: ValueEffect | None, cost: Effect, gain: Effect, *, is_open: bool) -> tuple[Lack | None, Lack | None]:
    """Return what is lacking in energy and in accuracy for an answer."""
    if drawn is None:
        return UNKNOWN, UNKNOWN
    if is_open:
        ruled_out = Lack.of(1 - float(drawn.pays.mean()), SHOWN_FROM)
        return ruled_out, ruled_out
    is_sure = (1 + SETTLED_FROM) / 2
    if drawn.is_saving:
        saves, keeps = Lack.of(float((drawn.energy < 0).mean()), is_sure), Lack.of(drawn.keeps_accuracy, is_sure)
        return _tested(saves, cost), keeps
    costs_little = Lack.of(float((drawn.energy <= SLIGHTLY_MORE).mean()), is_sure)
    return costs_little, _tested(Lack.of(float((drawn.accuracy > 0).mean()), is_sure), gain)


def _tested(lack: Lack | None, test: Effect) -> Lack | None:
    return UNTESTED if lack is None and test.p_holm >= SETTLED_BELOW else lack
