"""Random loads: what a GPU may be made to draw, from standing still to trainings with epochs and pauses."""

import random

from tests.unit.energy.waveforms import Constant, Ramp, Square, Steps, Waveform

IDLE_SHARE = 0.1
"""Idle power as a share of the limit."""


def random_load(chance: random.Random, seconds: float, limit_w: float) -> Waveform:
    """A load that never draws more than a limit."""
    kind = chance.choice([_constant, _square, _near_the_sensor, _ramp, _bursts, _training, _phases])
    return kind(chance, seconds, limit_w)


def _level_w(chance: random.Random, limit_w: float) -> float:
    return limit_w * chance.uniform(IDLE_SHARE, 1.0)


def _constant(chance: random.Random, seconds: float, limit_w: float) -> Waveform:
    return Constant(_level_w(chance, limit_w))


def _square(chance: random.Random, seconds: float, limit_w: float) -> Waveform:
    period_s = 0.02 * 1000.0 ** chance.random()
    low_w, high_w = sorted([_level_w(chance, limit_w), _level_w(chance, limit_w)])
    return Square(low_w, high_w, period_s, duty=chance.uniform(0.1, 0.9), phase_s=period_s * chance.random())


def _near_the_sensor(chance: random.Random, seconds: float, limit_w: float) -> Waveform:
    """A square wave whose period is near the 100 ms of the sensor."""
    low_w, high_w = sorted([_level_w(chance, limit_w), _level_w(chance, limit_w)])
    return Square(low_w, high_w, chance.uniform(0.08, 0.125), duty=chance.uniform(0.3, 0.7), phase_s=chance.random())


def _ramp(chance: random.Random, seconds: float, limit_w: float) -> Waveform:
    begin_s = chance.uniform(0.0, seconds / 2)
    return Ramp(_level_w(chance, limit_w), _level_w(chance, limit_w), chance.uniform(1.0, seconds / 2), begin_s)


def _bursts(chance: random.Random, seconds: float, limit_w: float) -> Waveform:
    """Bursts of random length at random instants, over an idle board."""
    steps, now_s = [(0.0, IDLE_SHARE * limit_w)], 0.0
    pause_s, burst_s = chance.uniform(0.3, 5.0), chance.uniform(0.03, 2.0)
    while now_s < seconds:
        now_s += chance.expovariate(1 / pause_s)
        steps.append((now_s, _level_w(chance, limit_w)))
        now_s += chance.expovariate(1 / burst_s)
        steps.append((now_s, IDLE_SHARE * limit_w))
    return Steps(steps)


def _training(chance: random.Random, seconds: float, limit_w: float) -> Waveform:
    """Epochs of steps, each step with a dip for its input, each epoch with a validation and a pause after it."""
    idle_w, high_w = IDLE_SHARE * limit_w, limit_w * chance.uniform(0.5, 1.0)
    dip_w = high_w * chance.uniform(0.4, 0.95)
    step_s, epoch_s = chance.uniform(0.04, 0.6), chance.uniform(2.0, 20.0)
    steps, now_s = [(0.0, idle_w)], chance.uniform(0.0, 5.0)
    while now_s < seconds:
        until_s = now_s + epoch_s
        while now_s < until_s:
            busy_s = step_s * chance.uniform(0.6, 0.95)
            steps.extend([(now_s, high_w * chance.uniform(0.95, 1.0)), (now_s + busy_s, dip_w)])
            now_s += step_s
        steps.append((now_s, high_w * 0.7))
        now_s += epoch_s * chance.uniform(0.05, 0.2)
        steps.append((now_s, idle_w))
        now_s += chance.uniform(0.1, 2.0)
    return Steps(steps)


def _phases(chance: random.Random, seconds: float, limit_w: float) -> Waveform:
    """Steady phases of seconds to tens of seconds, idle ones among them."""
    steps, now_s = [(0.0, IDLE_SHARE * limit_w)], 0.0
    while now_s < seconds:
        now_s += chance.expovariate(1 / chance.choice([1.0, 5.0, 20.0]))
        steps.append((now_s, chance.choice([IDLE_SHARE * limit_w, _level_w(chance, limit_w)])))
    return Steps(steps)
