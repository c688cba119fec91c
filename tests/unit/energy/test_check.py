"""Measuring a meter: figures against boards whose behaviour is known."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from greenopt.energy.check import Comparison, Repeats, compare, measure_readings, overhead, repeat
from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.nvml import Nvml
from greenopt.reading import EnergyReading, EnergySource
from tests.unit.energy.fake_nvml import Board, FakePynvml, VirtualClock, as_module
from tests.unit.energy.waveforms import Constant, Ramp


def source_of(board: Board, clock: Callable[[], float]) -> NvmlSource:
    return NvmlSource(Nvml(as_module(FakePynvml(clock, board))), board.uuid)


def reading(energy_wh: float, **rest: float | None) -> EnergyReading:
    return EnergyReading(energy_wh=energy_wh, source=EnergySource.NVML_COUNTER, seconds=10.0, **rest)


@pytest.mark.parametrize("tick_s", [0.02, 0.1, 0.5])
def test_a_census_finds_the_tick_and_the_cost_of_a_reading(tick_s: float) -> None:
    clock = VirtualClock()
    board = Board(tick_s=tick_s, counter_cost_s=0.004)
    stats = measure_readings(source_of(board, clock).energy_j, 6.0, clock, clock.advance)
    assert stats.period_s == pytest.approx(tick_s, abs=0.006)
    assert stats.cost_s == pytest.approx(0.004)
    assert stats.reads == pytest.approx(6.0 / 0.005, rel=0.02)


def test_a_census_of_what_the_board_does_not_tell() -> None:
    clock = VirtualClock()
    stats = measure_readings(source_of(Board(has_counter=False), clock).energy_j, 1.0, clock, clock.advance)
    assert (stats.cost_s, stats.period_s, stats.reads) == (None, None, 0)


def test_a_value_that_stands_still_has_no_period() -> None:
    clock = VirtualClock()
    stats = measure_readings(source_of(Board(), clock).power_w, 1.0, clock, clock.advance)
    assert stats.period_s is None
    assert stats.reads > 900


def test_failed_readings_are_passed_over() -> None:
    clock = VirtualClock()
    board = Board(waveform=Ramp(100, 200, 10), power_lost=[(0.2, 0.7)])
    stats = measure_readings(source_of(board, clock).power_w, 1.0, clock, clock.advance)
    assert stats.reads == pytest.approx(500, abs=5)
    assert stats.period_s == pytest.approx(0.1, abs=0.002)


def test_counter_and_integral_of_the_same_board_agree_and_a_wrong_sensor_is_seen() -> None:
    for factor in (1.0, 1.1):
        board = Board(waveform=Constant(300), power_factor=factor)
        found = compare(source_of(board, time.monotonic), "steady", lambda: time.sleep(2.0), counts_core=True)
        assert found.difference == pytest.approx(factor - 1, abs=0.06)
        assert found.core_share is not None
        assert 0 < found.core_share < 0.5
    assert found.difference is not None
    assert found.difference > 0.04


def test_a_board_without_a_counter_cannot_be_compared() -> None:
    assert Comparison(load="idle", reading=reading(1.0, integral_wh=1.0)).difference is None


def test_overhead_is_the_time_that_metering_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    order: list[bool] = []
    is_metered = [False]

    @contextmanager
    def metered(source: object) -> Iterator[None]:
        is_metered[0] = True
        yield
        is_metered[0] = False

    def work() -> None:
        order.append(is_metered[0])
        clock.advance(2.2 if is_metered[0] else 2.0)

    monkeypatch.setattr("greenopt.energy.check.metered", metered)
    found = overhead(source_of(Board(), clock), work, 4, 3.0, clock)
    # Each half of a pair is repeated so that it takes at least three seconds.
    assert order[:3] == [False] * 3
    assert order[3::2] == order[4::2] == [False, True, True, False, False, True, True, False]
    assert found.share == pytest.approx(0.1)
    assert (found.work_s, found.noise, found.pairs) == (pytest.approx(4.0), pytest.approx(0.0, abs=1e-9), 4)


def test_repeats_tell_the_variation_and_what_it_hides() -> None:
    equal = Repeats(readings=tuple(reading(1.0, uncertainty_wh=0.002) for _ in range(5)))
    assert equal.variation == 0
    assert equal.distinguishable == pytest.approx(0.002 * 2**0.5)
    spread = Repeats(readings=tuple(reading(energy, uncertainty_wh=0.002) for energy in (0.98, 1.0, 1.02)))
    assert spread.variation == pytest.approx(0.02)
    # Student's t for 2 degrees of freedom, 97.5 %: 4.303.
    assert spread.distinguishable == pytest.approx(4.3027 * 2**0.5 * 0.02, rel=1e-3)


def test_one_energy_has_no_variation() -> None:
    lonely = Repeats(readings=(reading(1.0), EnergyReading.missing("a test")))
    assert (lonely.energies_wh, lonely.variation, lonely.distinguishable) == ([1.0], None, None)


def test_the_source_outlives_its_checks() -> None:
    board = Board()
    module = FakePynvml(time.monotonic, board)
    source = NvmlSource(Nvml(as_module(module)), board.uuid)
    found = repeat(source, lambda: time.sleep(0.3), 3)
    assert len(found.energies_wh) == 3
    assert module.shutdowns == 0
