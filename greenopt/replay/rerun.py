"""Runs a finished study again on paper, with a stopping rule, in many orders of its trials.

Each trial comes in turn, epoch by epoch as it was recorded, and is stopped where the rule says so. Trials that were
trained to their end are what the study would have kept; all epochs that were trained are what it would have spent.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from greenopt.pareto import Point, pareto_front
from greenopt.stopping import Curve, StoppingRule
from greenopt.stopping.gain import Frame


@dataclass(frozen=True)
class Figure:
    """A figure over all orders: its mean, and its worst."""

    mean: float
    worst: float


@dataclass(frozen=True)
class Replay:
    """The outcome over all orders.

    Attributes:
        orders: how many there were.
        trials: of the study.
        energy_wh: of all trials trained to their end, in Wh.
        energy_share: energy spent, as a share of that.
        hypervolume_ratio: hypervolume kept, as a share of that of all trials; reference accuracy 0 and their largest
            energy.
        log_hypervolume_ratio: the same with the logarithm of energy, from a tenth below the least energy.
        front_lost: trials of the front that were stopped or refused.
        front: how many trials the front has.
        finished: trials trained to their end, audited ones included, in the mean.
        refused: trials that were not started, in the mean.
        audited: trials that the rule would have stopped and that were trained to their end, in the mean.
        wrongly_stopped: audited trials that were on the front at the end, in the mean.
    """

    orders: int
    trials: int
    energy_wh: float
    energy_share: Figure
    hypervolume_ratio: Figure
    log_hypervolume_ratio: Figure
    front_lost: Figure
    front: int
    finished: float
    refused: float
    audited: float
    wrongly_stopped: float


@dataclass(frozen=True)
class _Order:
    spent_wh: float
    kept: tuple[Point, ...]
    refused: int
    audited: frozenset[int]


def replay(curves: Sequence[Curve], build: Callable[[int], StoppingRule], orders: int, seed: int = 0) -> Replay:
    """Replay trials in random orders.

    Args:
        curves: whole ones, at least one.
        build: makes a rule without trials, from a seed.
        orders: how many orders.
        seed: of the orders, and of what the rule draws.
    """
    points = [Point(curve.used_wh, curve.accuracy, curve.trial) for curve in curves]
    front = {point.trial for point in pareto_front(points)}
    # A hair beyond the largest energy, so that a front of that energy alone still has a hypervolume to compare.
    energies_wh = [point.energy_wh for point in points]
    frame = Frame(min(energies_wh) * 0.9, max(energies_wh) * (1 + 1e-9))
    whole_wh = sum(point.energy_wh for point in points)
    whole, whole_log = hypervolumes(points, frame)
    ran = [_replay_once(_shuffled(curves, seed + number), build(seed + number)) for number in range(orders)]
    volumes = [hypervolumes(order.kept, frame) for order in ran]
    kept = [{point.trial for point in order.kept} for order in ran]
    return Replay(
        orders=orders,
        trials=len(curves),
        energy_wh=whole_wh,
        energy_share=_figure([order.spent_wh / whole_wh for order in ran], max),
        hypervolume_ratio=_figure([volume / whole for volume, _ in volumes], min),
        log_hypervolume_ratio=_figure([volume / whole_log for _, volume in volumes], min),
        front_lost=_figure([float(len(front - trials)) for trials in kept], max),
        front=len(front),
        finished=_mean([float(len(order.kept)) for order in ran]),
        refused=_mean([float(order.refused) for order in ran]),
        audited=_mean([float(len(order.audited)) for order in ran]),
        wrongly_stopped=_mean([float(len(order.audited & front)) for order in ran]),
    )


def _replay_once(curves: Sequence[Curve], rule: StoppingRule) -> _Order:
    spent_wh, kept, refused, audited = 0.0, [], 0, set()
    for whole in curves:
        if rule.refuse(whole.trial, whole.setting, whole.planned_epochs) is not None:
            refused += 1
            continue
        curve = whole
        for epoch in range(1, whole.planned_epochs):
            stop = rule.judge(whole.up_to(epoch))
            if stop is not None and stop.audited:
                audited.add(whole.trial)
                break
            if stop is not None:
                curve = whole.up_to(epoch)
                break
        rule.add(curve)
        spent_wh += curve.used_wh
        if curve.is_whole:
            kept.append(Point(curve.used_wh, curve.accuracy, curve.trial))
    return _Order(spent_wh, tuple(kept), refused, frozenset(audited))


def hypervolumes(points: Sequence[Point], frame: Frame) -> tuple[float, float]:
    """Return the shares 0..1 of the frame that points dominate, with energy as it is and with its logarithm."""
    shares = [0.0, 0.0]
    front = pareto_front(points)
    for index, point in enumerate(front):
        places = frame.places(point.energy_wh)
        ends = frame.places(front[index + 1].energy_wh) if index + 1 < len(front) else (1.0, 1.0)
        for scale in range(2):
            shares[scale] += (ends[scale] - places[scale]) * point.accuracy
    return shares[0], shares[1]


def _shuffled(curves: Sequence[Curve], seed: int) -> list[Curve]:
    return random.Random(seed).sample(list(curves), len(curves))


def _figure(values: Sequence[float], worst: Callable[[Sequence[float]], float]) -> Figure:
    return Figure(_mean(values), worst(values))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
