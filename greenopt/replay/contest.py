"""Samplers and stopping rules compared on trials that are on record, by the energy that they need.

Each pair of a sampler and a rule searches a table of trials anew with many seeds. A trial costs what it used until it
was stopped, and counts for the front where it was trained to its end. What is compared is the energy spent until the
hypervolume of the finished trials is 95 % or 99 % of that of the whole table.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from greenopt.pareto import Point
from greenopt.replay.rerun import hypervolumes
from greenopt.search.samplers import entry_of
from greenopt.search.table import TableSearch
from greenopt.spec import Choice, SearchSpace, StoppingKind, StoppingSpec, StudySpec
from greenopt.stopping import Curve, StoppingRule, build_rule
from greenopt.stopping.gain import Frame

GOALS = (0.95, 0.99)
SCALES = ("linear", "log")
BOOTSTRAPS = 2000
COVERAGE = 0.9
"""Coverage of the intervals."""


@dataclass(frozen=True)
class TrialTable:
    """Trials on record, each trained to its end.

    Attributes:
        space: of their settings.
        curves: theirs.
    """

    space: SearchSpace
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Contender:
    """A sampler, with its defaults, and a stopping rule."""

    sampler: str
    stopping: StoppingSpec


def reference() -> Contender:
    """Return what all others are compared with: random settings without stopping."""
    return Contender("random", StoppingSpec(kind=StoppingKind.NONE))


def check_contender(contender: Contender) -> None:
    """Raise UsageError where a sampler is unknown, not installed, or not for two objectives."""
    table = TrialTable(SearchSpace(own=True, distributions={"a": Choice(values=(1, 2))}), ())
    entry_of(_study(table, contender, 0))


@dataclass(frozen=True)
class Spent:
    """What a search needed.

    Attributes:
        energies_wh: until each goal was reached on each scale, in Wh; None where it never was.
        whole_wh: of all trials of the table, in Wh.
        trials: how many it began in all.
    """

    energies_wh: Mapping[tuple[str, float], float | None]
    whole_wh: float
    trials: int

    @property
    def shares(self) -> dict[tuple[str, float], float | None]:
        """The same energies as shares of that of the whole table, which may be another for each seed."""
        whole_wh = self.whole_wh
        return {key: None if wh is None else wh / whole_wh for key, wh in self.energies_wh.items()}


@dataclass(frozen=True)
class Share:
    """The energy that a contender needs, as a share of what the reference needs in the median.

    Attributes:
        median: over seeds; None where more than half never reached the goal.
        low, high: of the interval, by bootstrap over seeds of both; None as above.
        reached: share of the seeds that reached the goal.
    """

    median: float | None
    low: float | None
    high: float | None
    reached: float


def search_once(table: TrialTable, contender: Contender, seed: int) -> Spent:
    """Search a table once; ends when every goal is reached, or all trials were taken.

    Args:
        table: the trials.
        contender: who searches.
        seed: of sampler and rule.
    """
    spec = _study(table, contender, seed)
    search = TableSearch(spec, [curve.setting for curve in table.curves])
    rule = build_rule(contender.stopping, table.space, seed)
    frame = frame_of(table.curves)
    whole = dict(zip(SCALES, hypervolumes(_points(table.curves), frame), strict=True))
    found: dict[tuple[str, float], float | None] = {(scale, goal): None for scale in SCALES for goal in GOALS}
    spent_wh, kept, trials = 0.0, list[Point](), 0
    while (asked := search.ask()) is not None and None in found.values():
        number, index = asked
        trials += 1
        curve = _trained(table.curves[index], number, rule)
        if curve is None:
            search.tell(number, None, {"forecast_wh": 0.0})
            continue
        rule.add(curve)
        spent_wh += curve.used_wh
        figures = {"accuracy": curve.accuracy, "energy_wh": curve.used_wh, "epochs_done": curve.epochs}
        search.tell(number, (curve.accuracy, curve.used_wh) if curve.is_whole else None, figures)
        if curve.is_whole:
            kept.append(Point(curve.used_wh, curve.accuracy, number))
            reached = dict(zip(SCALES, hypervolumes(kept, frame), strict=True))
            for scale, goal in found:
                if found[scale, goal] is None and reached[scale] >= goal * whole[scale]:
                    found[scale, goal] = spent_wh
    return Spent(found, sum(curve.used_wh for curve in table.curves), trials)


def _trained(whole: Curve, number: int, rule: StoppingRule) -> Curve | None:
    """Return the curve of a trial as far as the rule lets it train; None where it is not started."""
    whole = Curve(number, whole.setting, whole.planned_epochs, whole.accuracies, whole.energies_wh)
    if rule.refuse(number, whole.setting, whole.planned_epochs) is not None:
        return None
    for epoch in range(1, whole.planned_epochs):
        stop = rule.judge(whole.up_to(epoch))
        if stop is not None:
            return whole if stop.is_audited else whole.up_to(epoch)
    return whole


def frame_of(curves: Sequence[Curve]) -> Frame:
    """Return the frame that hypervolumes of a table are compared in; as in a replay."""
    energies_wh = [curve.used_wh for curve in curves]
    return Frame(min(energies_wh) * 0.9, max(energies_wh) * (1 + 1e-9))


def _points(curves: Sequence[Curve]) -> list[Point]:
    return [Point(curve.used_wh, curve.accuracy, curve.trial) for curve in curves]


def _study(table: TrialTable, contender: Contender, seed: int) -> StudySpec:
    planned = sorted(curve.planned_epochs for curve in table.curves) or [1]
    epochs = planned[len(planned) // 2]
    distributions = {name: d.model_dump() for name, d in table.space.distributions.items()}
    return StudySpec.model_validate(
        {
            "study": {"name": "table", "trials": max(1, len(table.curves)), "seed": seed, "objective": "table:row"},
            "training": {"epochs": epochs},
            "sampler": {"name": contender.sampler},
            "space": {"own": True, "distributions": distributions, "conditions": table.space.conditions},
        }
    )


def compare(spent: Sequence[Spent], reference: Sequence[Spent], scale: str, goal: float, seed: int = 0) -> Share:
    """Compare a contender's searches with the reference's.

    Args:
        spent: the contender's, one a seed.
        reference: those of random settings without stopping.
        scale: of `SCALES`.
        goal: of `GOALS`.
        seed: of the bootstrap.
    """
    own = [_or_infinite(each.shares[scale, goal]) for each in spent]
    others = [_or_infinite(each.shares[scale, goal]) for each in reference]
    rng = random.Random(seed)
    ratios = sorted(
        _ratio(median(rng.choices(own, k=len(own))), median(rng.choices(others, k=len(others))))
        for _ in range(BOOTSTRAPS)
    )
    low, high = ratios[round((1 - COVERAGE) / 2 * BOOTSTRAPS)], ratios[round((1 + COVERAGE) / 2 * BOOTSTRAPS) - 1]
    reached = sum(1 for each in own if math.isfinite(each)) / len(own)
    return Share(_finite(_ratio(median(own), median(others))), _finite(low), _finite(high), reached)


def _or_infinite(share: float | None) -> float:
    return math.inf if share is None else share


def _ratio(a: float, b: float) -> float:
    return a / b if math.isfinite(a) else math.inf


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
