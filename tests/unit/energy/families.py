"""Families of meters, sound and broken, each measured over random loads and random windows of known energy.

A family is a kind of board with its sensors and faults. Each bench of a family draws a load, a board and a few windows
from a seed; windows are 0.05 to 60 s long, on a logarithmic scale, and begin anywhere, one in eight with the meter.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from greenopt.reading import EnergyReading
from tests.unit.energy.bench import Bench
from tests.unit.energy.fake_nvml import Board, Spans
from tests.unit.energy.loads import random_load

BENCH_S = 75.0
WINDOWS_A_BENCH = 4
SHORTEST_S, LONGEST_S = 0.05, 60.0
LIMITS_W = (115.0, 300.0, 450.0, 700.0)

Arrange = Callable[[random.Random, Board], Spans]
"""Makes a sound board one of a family; returns the spans in which the sampler does not run."""


@dataclass(frozen=True)
class Family:
    """A kind of board; `is_sound` where counter and power, as far as it has both, are right."""

    name: str
    arrange: Arrange
    is_sound: bool = False


@dataclass(frozen=True)
class Outcome:
    """One window: its length, its reading and the truth."""

    seconds: float
    reading: EnergyReading
    true_wh: float

    @property
    def is_missing(self) -> bool:
        return self.reading.energy_wh is None

    @property
    def is_held(self) -> bool:
        """Whether the interval holds the truth; one without a known width does not."""
        energy_wh, half_wh = self.reading.energy_wh, self.reading.uncertainty_wh
        return energy_wh is not None and half_wh is not None and abs(energy_wh - self.true_wh) <= half_wh + 1e-9

    @property
    def half_width(self) -> float:
        """As a share of the truth."""
        half_wh = self.reading.uncertainty_wh
        return math.inf if half_wh is None else half_wh / self.true_wh

    @property
    def error(self) -> float:
        """As a share of the truth, without its sign."""
        return abs((self.reading.energy_wh or 0.0) / self.true_wh - 1)


def outcomes(family: Family, windows: int, seed: int) -> Iterator[Outcome]:
    """Measure so many random windows of a family."""
    for number in range(math.ceil(windows / WINDOWS_A_BENCH)):
        yield from _bench_outcomes(family, random.Random(f"{family.name} {seed} {number}"))


def _bench_outcomes(family: Family, chance: random.Random) -> Iterator[Outcome]:
    limit_w = chance.choice(LIMITS_W)
    board = Board(
        waveform=random_load(chance, BENCH_S, limit_w),
        limit_w=limit_w,
        tick_phase_s=chance.random(),
        power_phase_s=0.1 * chance.random(),
        power_factor=chance.uniform(0.99, 1.01),
        power_noise=chance.choice([0.0, 0.003]),
        counter_cost_s=0.004,
        counter_start_j=chance.uniform(0.0, 1e8),
    )
    bench = Bench(board, sampler_off=family.arrange(chance, board))
    lengths_s = [SHORTEST_S * (LONGEST_S / SHORTEST_S) ** chance.random() for _ in range(WINDOWS_A_BENCH)]
    starts_s = [chance.uniform(0.0, BENCH_S - length_s) for length_s in lengths_s]
    if chance.random() < 0.5:
        starts_s[0] = 0.0  # the window that opens with the meter itself
    instants_s = sorted(
        [*starts_s, *(start_s + length_s for start_s, length_s in zip(starts_s, lengths_s, strict=True))]
    )
    marks = dict(zip(instants_s, bench.marks(instants_s), strict=True))
    for start_s, length_s in zip(starts_s, lengths_s, strict=True):
        start, end = marks[start_s], marks[start_s + length_s]
        yield Outcome(end.t_s - start.t_s, bench.meter.between(start, end), bench.true_wh(start, end))


def _with(**fields: object) -> Arrange:
    def arrange(chance: random.Random, board: Board) -> Spans:
        for name, value in fields.items():
            setattr(board, name, value)
        return []

    return arrange


INSTANT: dict[str, object] = {}
AVERAGE: dict[str, object] = {"has_instant": False, "usage_average_s": 1.0}
NO_POWER: dict[str, object] = {"has_instant": False, "has_usage": False}


def _spans(chance: random.Random, every_s: float, shortest_s: float, longest_s: float) -> Spans:
    """Spans of random length, apart from each other by `every_s` on average."""
    spans, now_s = [], chance.expovariate(1 / every_s)
    while now_s < BENCH_S:
        until_s = now_s + chance.uniform(shortest_s, longest_s)
        spans.append((now_s, until_s))
        now_s = until_s + chance.expovariate(1 / every_s)
    return spans


def _frozen(chance: random.Random, board: Board) -> Spans:
    board.frozen = _spans(chance, 10.0, 2.0, 2.0)
    return []


def _garbage_power(chance: random.Random, board: Board) -> Spans:
    stuck_w = chance.uniform(0.0, 2 * (board.limit_w or 0.0))
    kinds: list[Callable[[float], float]] = [
        lambda right_w: -right_w,
        lambda right_w: math.nan,
        lambda right_w: 4_294_967.295,
        lambda right_w: 10 * right_w,
        lambda right_w: 0.0,
        lambda right_w: stuck_w,
    ]
    share = chance.choice([0.01, 0.05, 0.1])
    board.garble_power = lambda t_s, right_w: chance.choice(kinds)(right_w) if chance.random() < share else right_w
    return []


def _power_stuck(chance: random.Random, board: Board) -> Spans:
    board.frozen = [(chance.uniform(0.0, BENCH_S), math.inf)]
    return []


def _garbage_counter(chance: random.Random, board: Board) -> Spans:
    kinds: list[Callable[[float], float]] = [
        lambda right_j: 0.0,
        lambda right_j: 1.8e16,
        lambda right_j: 10 * right_j,
        lambda right_j: right_j + 1e5,
        lambda right_j: max(0.0, right_j - 1e5),
    ]
    share = chance.choice([0.01, 0.05])
    board.garble_counter = lambda t_s, right_j: chance.choice(kinds)(right_j) if chance.random() < share else right_j
    return []


def _reset(chance: random.Random, board: Board) -> Spans:
    board.resets_s = [chance.uniform(0.0, BENCH_S) for _ in range(chance.choice([1, 2]))]
    return []


def _stuck(chance: random.Random, board: Board) -> Spans:
    board.stuck = _spans(chance, 40.0, 2.0, 20.0)[:1]
    board.catches_up = chance.random() < 0.5
    return []


def _paused(chance: random.Random, board: Board) -> Spans:
    return _spans(chance, 12.0, 1.0, 8.0)


def _unknown_limit(chance: random.Random, board: Board) -> Spans:
    board.limit_w = chance.choice([None, 0.0])
    return []


def _laptop(chance: random.Random, board: Board) -> Spans:
    assert board.limit_w is not None
    board.limit_w /= chance.uniform(1.2, 1.3)
    return []


def _both(first: Arrange, second: Arrange) -> Arrange:
    return lambda chance, board: [*first(chance, board), *second(chance, board)]


def _families() -> Iterator[Family]:
    for tick_s, tick in ((0.02, "20 ms"), (0.1, "100 ms"), (0.5, "0.5 s"), (1.0, "1 s")):
        for power, fields in (("instant", INSTANT), ("1 s average", AVERAGE), ("no power", NO_POWER)):
            yield Family(f"counter {tick}, {power}", _with(tick_s=tick_s, **fields), is_sound=True)
    yield Family("power alone, instant", _with(has_counter=False), is_sound=True)
    yield Family("power alone, 1 s average", _with(has_counter=False, **AVERAGE), is_sound=True)
    for percent in (5, -5):
        biased = _with(power_factor=1 + percent / 100)
        yield Family(f"sensor {percent:+d} %", biased, is_sound=True)
        yield Family(f"sensor {percent:+d} %, 1 s average", _both(biased, _with(**AVERAGE)), is_sound=True)
        yield Family(f"sensor {percent:+d} %, power alone", _both(biased, _with(has_counter=False)), is_sound=True)
    for what, fault in (
        ("power frozen for 2 s", _frozen),
        ("garbage power", _garbage_power),
        ("paused sampler", _paused),
        ("limit unknown", _unknown_limit),
        ("draws 1.2 to 1.3 x limit", _laptop),
    ):
        yield Family(what, fault, is_sound=fault in (_paused, _unknown_limit, _laptop))
        yield Family(f"{what}, power alone", _both(fault, _with(has_counter=False)))
    for what, fault in (("garbage counter", _garbage_counter), ("reset", _reset), ("stuck counter", _stuck)):
        yield Family(what, fault)
        yield Family(f"{what}, no power", _both(fault, _with(**NO_POWER)))
    yield Family("power stuck at one value", _power_stuck)
    yield Family("paused sampler, no power", _both(_paused, _with(**NO_POWER)), is_sound=True)
    yield Family("paused sampler, 1 s average", _both(_paused, _with(**AVERAGE)), is_sound=True)


FAMILIES = tuple(_families())
