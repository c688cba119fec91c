"""What someone who meters a training sees."""

import threading
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import pytest

from greenopt.energy import EnergyMeter
from greenopt.energy.meter import PowerSample
from greenopt.energy.source import DeviceStats, ReadError
from greenopt.reading import EnergySource
from tests.unit.energy.bench import Bench
from tests.unit.energy.fake_nvml import Board
from tests.unit.energy.waveforms import Constant, Square, Steps


class Steady:
    """300 W in real time; `fail` makes every call raise."""

    name, kind = "steady", EnergySource.NVML_COUNTER
    power_limit_w: float | None = 700.0
    counter_tick_s, power_lag_s = 0.1, 0.125

    def __init__(self, fail: type[Exception] | None = None) -> None:
        self.fail = fail
        self.closed = False

    def _value(self, value: float) -> float:
        if self.fail:
            raise self.fail("the device is gone")
        return value

    def energy_j(self) -> float | None:
        return self._value(int(time.monotonic() * 10) / 10 * 300)

    def power_w(self) -> float | None:
        return self._value(300.0)

    def device_stats(self) -> DeviceStats:
        self._value(0)
        return DeviceStats(temperature_c=40.0)

    def flags(self) -> tuple[str, ...]:
        self._value(0)
        return ()

    def close(self) -> None:
        self.closed = True
        self._value(0)


def test_a_real_thread_meters_a_block() -> None:
    source = Steady()
    with EnergyMeter(source) as meter, meter.window() as window:
        time.sleep(0.4)
    assert window.reading.average_power_w == pytest.approx(300, rel=0.02)
    assert window.reading.flags == ()
    assert source.closed
    assert all(thread.name != "energy-meter" for thread in threading.enumerate())


@pytest.mark.parametrize("error", [ReadError, RuntimeError, OSError])
def test_a_device_that_fails_in_every_way_never_disturbs_the_work(error: type[Exception]) -> None:
    with EnergyMeter(Steady(error), on_sample=lambda sample: None) as meter, meter.window() as window:
        time.sleep(0.15)
    assert window.reading.energy_wh is None
    assert window.reading.reason == "the device is gone"


def test_a_listener_and_a_sync_that_fail_never_disturb_the_work() -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("broken")

    bench = Bench(Board(), options={"on_sample": broken, "sync": broken})
    reading = bench.reading(1.0, 11.0)
    assert reading.average_power_w == pytest.approx(300, rel=0.01)
    assert "not_synchronised" in reading.flags


def test_leaving_by_an_exception_lets_it_pass_and_keeps_the_energy() -> None:
    def interrupt() -> None:
        time.sleep(0.1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), EnergyMeter(Steady()) as meter, meter.window() as window:
        interrupt()
    assert window.reading.energy_wh
    assert "partial" in window.reading.flags


def test_live_energy_reads_nothing_from_the_device_and_does_not_wait_for_it() -> None:
    syncs = []
    bench = Bench(Board(), options={"sync": lambda: syncs.append(1)})
    bench.run(20.0)
    reads = (bench.board.counter_reads, bench.board.power_reads)
    reading = bench.meter.so_far()
    assert reading.average_power_w == pytest.approx(300, rel=0.01)
    assert (bench.board.counter_reads, bench.board.power_reads, syncs) == (*reads, [])


def test_the_slow_counter_is_not_polled() -> None:
    bench = Bench(Board())
    bench.run(600.0)
    assert bench.board.counter_reads < 600
    assert bench.board.power_reads > 5500


def test_a_mark_waits_for_the_device_first() -> None:
    order: list[str] = []
    bench = Bench(Board(), options={"sync": lambda: order.append("sync")})
    read = bench.source.energy_j

    def energy_j() -> float | None:
        order.append("read")
        return read()

    bench.source.energy_j = energy_j  # type: ignore[method-assign]
    bench.meter.mark()
    assert order == ["sync", "read"]


def test_samples_for_display_come_once_a_second_with_vitals() -> None:
    samples: list[PowerSample] = []
    bench = Bench(Board(utilisation_percent=87), options={"on_sample": samples.append})
    bench.run(30.0)
    assert 25 <= len(samples) <= 30
    assert min(later.t_s - earlier.t_s for earlier, later in pairwise(samples)) >= 1.0
    last = samples[-1]
    assert (last.power_w, last.source) == (300.0, EnergySource.NVML_COUNTER)
    assert last.device_stats == DeviceStats(temperature_c=41.0, utilisation=0.87, memory_bytes=3 * 2**30)
    assert last.energy_wh == pytest.approx(300 * last.t_s / 3600, rel=0.01)


def test_nested_windows_share_their_boundaries() -> None:
    bench = Bench(Board(waveform=Square(100, 700, 0.7)))
    run, first, second, third, end = bench.marks([1.003, 1.5, 2.777, 9.1, 30.4])
    between = bench.meter.between
    parts = [between(a, b).energy_wh or 0.0 for a, b in pairwise([run, first, second, third, end])]
    assert sum(parts) == between(run, end).energy_wh


def test_a_flag_stays_for_windows_that_end_later_and_spares_those_that_ended() -> None:
    bench = Bench(Board())
    a, b = bench.mark(1.0), bench.mark(2.0)
    bench.meter.flag("shared_gpu")
    c = bench.mark(3.0)
    assert "shared_gpu" not in bench.meter.between(a, b).flags
    assert "shared_gpu" in bench.meter.between(a, c).flags


@pytest.mark.parametrize("swap", [False, True])
def test_a_window_without_length_is_missing_and_no_error(swap: bool) -> None:
    bench = Bench(Board())
    a, b = bench.mark(1.0), bench.mark(2.0)
    assert bench.meter.between(*((b, a) if swap else (a, a))).energy_wh is None


def test_before_anything_was_read_live_energy_says_so() -> None:
    assert "not begun" in (Bench(Board()).meter.so_far().reason or "")


def test_a_split_board_says_that_the_whole_of_it_was_measured() -> None:
    assert "mig_whole_board" in Bench(Board(mig=True)).reading(1.0, 5.0).flags


def test_a_vgpu_without_counter_is_metered_by_power() -> None:
    reading = Bench(Board(has_counter=False, has_instant=False)).reading(1.0, 11.0)
    assert (reading.source, reading.counter_wh) == (EnergySource.NVML_POWER, None)
    assert reading.average_power_w == pytest.approx(300, rel=0.01)


def test_short_windows_are_marked_and_their_doubt_grows_with_what_the_load_has_shown() -> None:
    steady = Bench(Board()).reading(3.0, 3.05)
    assert "short" in steady.flags
    assert 0.05 * 300 * 0.05 < (steady.uncertainty_wh or 0) * 3600 < 0.1 * 300 * 0.05
    lively = Bench(Board(waveform=Steps([(0, 100), (1, 600), (2, 300)]))).reading(4.0, 4.05)
    assert (lively.uncertainty_wh or 0) * 3600 > 0.9 * (600 - 300) * 0.05


def test_an_average_over_a_second_leaves_a_short_window_anything_up_to_the_limit() -> None:
    board = Board(waveform=Square(100, 500, 0.2), has_counter=False, has_instant=False, usage_average_s=1.0)
    reading = Bench(board).reading(3.0, 3.05)
    assert (reading.uncertainty_wh or 0) * 3600 >= 0.99 * (700 - 300) * 0.05


def test_the_idle_baseline_makes_net_energy() -> None:
    assert Bench(Board()).reading(1.0, 11.0).net_wh is None
    net_wh = Bench(Board(), options={"idle_w": 80.0}).reading(1.0, 11.0).net_wh
    assert net_wh == pytest.approx(220 * 10 / 3600, rel=0.01)


def cost_of_a_step_s(steps: int = 3000) -> float:
    bench = Bench(Board(waveform=Constant(300.0)), options={"on_sample": lambda sample: None})
    began_s = time.thread_time()
    for _ in range(steps):
        bench.clock.advance_to(bench.meter.step())
    return (time.thread_time() - began_s) / steps


def test_the_sampler_takes_less_than_a_hundredth_of_a_core() -> None:
    assert min(cost_of_a_step_s() for _ in range(3)) * 11 < 0.01


def test_the_memory_does_not_grow_with_the_training() -> None:
    bench = Bench(Board())
    bench.run(60.0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    bench.run(1800.0)
    grown_bytes = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown_bytes < 100_000


def test_marks_from_several_threads_keep_their_order() -> None:
    with EnergyMeter(Steady()) as meter:
        work: Callable[[], object] = lambda: [meter.mark() for _ in range(200)]  # noqa: E731
        threads = [threading.Thread(target=work) for _ in range(4)]
        start = meter.mark()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        end = meter.mark()
    assert meter.between(start, end).energy_wh
