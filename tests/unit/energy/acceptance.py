"""The acceptance table of the meter: seventeen cases, each measured against a load whose energy is known.

Every case returns its findings, so that the tests can assert them and `scripts/acceptance_table` can print them.
Instants are seconds of the virtual clock; windows open at an odd one, so that nothing falls on a tick by luck.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from greenopt.energy import EnergyMeter
from greenopt.energy.gpu_choice import visible_gpus
from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.gpus import Gpu
from greenopt.energy.idle import measure_idle_w
from greenopt.energy.nvml import Nvml
from greenopt.energy.source import DeviceStats
from greenopt.errors import UsageError
from greenopt.reading import EnergyReading, EnergySource, sum_of_devices
from tests.unit.energy.bench import Bench
from tests.unit.energy.fake_nvml import Board, FakePynvml, VirtualClock, as_module
from tests.unit.energy.waveforms import Constant, Ramp, Square, Steps, Waveform

OPEN_S = 3.217
MINUTE_S = 60.043
TICK_PHASES_S = (0.0, 0.031, 0.077)


@dataclass(frozen=True)
class Finding:
    """One line of the table: what was looked at, how far off it was, what was allowed, and whether that held."""

    what: str
    found: str
    allowed: str
    holds: bool


Case = Callable[[], list[Finding]]


def _within(what: str, error: float, bound: float, unit: str) -> Finding:
    return Finding(what, f"{error:+.3g} {unit}", f"±{bound:g} {unit}", abs(error) <= bound + 1e-9)


def _is(what: str, found: object, expected: object) -> Finding:
    return Finding(what, str(found), str(expected), found == expected)


def _has(what: str, reading: EnergyReading, flag: str) -> Finding:
    return Finding(what, ", ".join(reading.flags) or "no flag", flag, flag in reading.flags)


def _share(value_wh: float | None, true_wh: float) -> float:
    """Relative error in percent; not a number where there is no value."""
    return math.nan if value_wh is None else 100 * (value_wh / true_wh - 1)


def _error_j(value_wh: float | None, true_wh: float) -> float:
    return math.nan if value_wh is None else 3600 * (value_wh - true_wh)


def _worst(errors: Sequence[float]) -> float:
    return next((error for error in errors if math.isnan(error)), max(errors, key=abs))


def _measured(waveform: Waveform, seconds: float, **board: object) -> list[tuple[EnergyReading, float]]:
    """The reading and the truth at three phases of the tick against the window."""
    results = []
    for phase_s in TICK_PHASES_S:
        bench = Bench(Board(waveform=waveform, tick_phase_s=phase_s, counter_cost_s=0.004, **board))  # type: ignore[arg-type]
        start, end = bench.mark(OPEN_S), bench.mark(OPEN_S + seconds)
        results.append((bench.meter.between(start, end), bench.true_wh(start, end)))
    return results


def _accuracy(waveform: Waveform, seconds: float, tick_j: float, integral_percent: float) -> list[Finding]:
    results = _measured(waveform, seconds)
    return [
        _within("energy", _worst([_error_j(r.energy_wh, true) for r, true in results]), tick_j, "J"),
        _within("counter", _worst([_error_j(r.counter_wh, true) for r, true in results]), tick_j, "J"),
        _within("integral", _worst([_share(r.integral_wh, true) for r, true in results]), integral_percent, "%"),
        _is("uncertainty holds the truth", all(_is_honest(r, true) for r, true in results), True),
        _is("source", {str(r.source) for r, _ in results}, {"nvml_counter"}),
    ]


def _is_honest(reading: EnergyReading, true_wh: float) -> bool:
    if reading.energy_wh is None or reading.uncertainty_wh is None:
        return False
    return abs(reading.energy_wh - true_wh) <= reading.uncertainty_wh + 1e-6


def case_01_constant() -> list[Finding]:
    """Constant 300 W for 60 s."""
    return _accuracy(Constant(300), MINUTE_S, tick_j=30, integral_percent=0.1)


def case_02_square() -> list[Finding]:
    """Square wave of 100 and 700 W, period 1 s, 60 s."""
    return _accuracy(Square(100, 700, 1.0), MINUTE_S, tick_j=70, integral_percent=1)


def case_03_short_duty() -> list[Finding]:
    """700 W for a tenth of each 2 s, else 100 W, 60 s."""
    return _accuracy(Square(100, 700, 2.0, duty=0.1), MINUTE_S, tick_j=70, integral_percent=2)


def case_04_aliased() -> list[Finding]:
    """Square wave with the sensor's own period of 100 ms: power samples see only one half of it."""
    results = _measured(Square(100, 700, 0.1), MINUTE_S)
    return [
        _within("energy", _worst([_error_j(r.energy_wh, true) for r, true in results]), 70, "J"),
        _within("counter", _worst([_error_j(r.counter_wh, true) for r, true in results]), 70, "J"),
        *(_has(f"integral off by {_share(r.integral_wh, true):+.0f} %", r, "disagreement") for r, true in results),
    ]


def case_05_ramp() -> list[Finding]:
    """Ramp from 100 to 700 W in 30 s, by instant power."""
    results = _measured(Ramp(100, 700, 30, begin_s=OPEN_S), 30.043)
    return [
        _within("integral", _worst([_share(r.integral_wh, true) for r, true in results]), 0.5, "%"),
        _within("energy", _worst([_error_j(r.energy_wh, true) for r, true in results]), 70, "J"),
    ]


def case_06_short_windows() -> list[Finding]:
    """Windows far shorter than, and near, the counter's tick; steady 300 W."""
    findings = []
    for milliseconds in (5, 50, 150, 500):
        errors = []
        for phase_s in TICK_PHASES_S:
            bench = Bench(Board(tick_phase_s=phase_s))
            for opened_s in (OPEN_S + 0.37 * k for k in range(10)):
                start, end = bench.mark(opened_s), bench.mark(opened_s + milliseconds / 1000)
                errors.append(_share(bench.meter.between(start, end).energy_wh, bench.true_wh(start, end)))
        findings.append(_within(f"{milliseconds} ms, 30 windows", _worst(errors), 1, "%"))
    for milliseconds in (5, 50, 150, 500):
        reading = Bench(Board(has_instant=False, has_usage=False)).reading(OPEN_S, OPEN_S + milliseconds / 1000)
        good = reading.energy_wh is None or reading.energy_wh > 0
        what = f"{milliseconds} ms, counter alone: null with a reason, or above 0"
        findings.append(_is(what, good and (reading.energy_wh is not None or bool(reading.reason)), True))
    return findings


def case_07_faulty_counter() -> list[Finding]:
    """The counter starts again, cannot be read at first, or stands still."""
    faults = {
        "reset": Board(resets_s=[OPEN_S + 21.3]),
        "first read fails": Board(counter_lost=[(0, OPEN_S + 1)]),
        "stuck_counter": Board(stuck=[(OPEN_S + 20, OPEN_S + 1000)]),
        "stuck_counter, moves on later": Board(stuck=[(OPEN_S + 20, OPEN_S + 30)]),
        "stuck_counter, catches up": Board(stuck=[(OPEN_S + 20, OPEN_S + 30)], catches_up=True),
    }
    findings = []
    for what, board in faults.items():
        board.waveform = Square(100, 700, 1.0)
        bench = Bench(board)
        start, end = bench.mark(OPEN_S), bench.mark(OPEN_S + MINUTE_S)
        reading = bench.meter.between(start, end)
        findings.append(_within(what, _share(reading.energy_wh, bench.true_wh(start, end)), 2, "%"))
        findings.append(
            _within(f"{what}: share of 1.1 x limit", (reading.energy_wh or -1) / (1.1 * 700 * MINUTE_S / 3600), 1, "")
        )
        flag = what.partition(",")[0]
        if flag in ("reset", "stuck_counter"):
            findings.append(_has(f"{what}: flagged", reading, flag))
    return findings


def case_08_lost_samples() -> list[Finding]:
    """A fifth of the power samples fails, and 5 s of sampling are missing, in 60 s of a square wave."""
    chance = random.Random(8)
    board = Board(waveform=Square(100, 700, 1.0), power_lost=lambda t_s: chance.random() < 0.2)
    bench = Bench(board, sampler_off=[(OPEN_S + 20.3, OPEN_S + 25.3)])
    start, end = bench.mark(OPEN_S), bench.mark(OPEN_S + MINUTE_S)
    with_counter, true_wh = bench.meter.between(start, end), bench.true_wh(start, end)
    board = Board(waveform=Steps([(0, 100), (OPEN_S + 20.3, 700), (OPEN_S + 25.3, 100)]), has_counter=False)
    bench = Bench(board, sampler_off=[(OPEN_S + 20.2, OPEN_S + 25.45)])
    start, end = bench.mark(OPEN_S), bench.mark(OPEN_S + MINUTE_S)
    unseen, unseen_true_wh = bench.meter.between(start, end), bench.true_wh(start, end)
    return [
        _within("energy, by counter", _error_j(with_counter.energy_wh, true_wh), 70, "J"),
        _has("gap", with_counter, "gap"),
        _has(f"coverage {with_counter.coverage:.3f}", with_counter, "low_coverage"),
        _is("burst inside the gap, integral alone: uncertainty holds it", _is_honest(unseen, unseen_true_wh), True),
        _has(f"coverage {unseen.coverage:.3f}", unseen, "low_coverage"),
    ]


def case_09_late_sampler() -> list[Finding]:
    """The sampler starts 2 s late, or ends 1 s early."""
    late = Bench(Board(has_counter=False), sampler_off=[(0, OPEN_S + 2)]).reading(OPEN_S, OPEN_S + 30)
    early = Bench(Board(has_counter=False), sampler_off=[(OPEN_S + 14, OPEN_S + 99)]).reading(OPEN_S, OPEN_S + 15)
    whole = Bench(Board(has_counter=False)).reading(OPEN_S, OPEN_S + 15)
    return [
        _has(f"2 s late of 30 s, coverage {late.coverage:.3f}", late, "low_coverage"),
        _has(f"1 s early of 15 s, coverage {early.coverage:.3f}", early, "low_coverage"),
        _is("neither: flags", whole.flags, ()),
    ]


def case_10_missing_readings() -> list[Finding]:
    """No power reading, no counter, neither."""
    findings = []
    for what, board, source in (
        ("no power", Board(has_instant=False, has_usage=False), EnergySource.NVML_COUNTER),
        ("no counter", Board(has_counter=False), EnergySource.NVML_POWER),
        ("no counter, 1 s average", Board(has_counter=False, has_instant=False, usage_average_s=1.0), "nvml_power"),
    ):
        bench = Bench(board)
        start, end = bench.mark(OPEN_S), bench.mark(OPEN_S + MINUTE_S)
        reading = bench.meter.between(start, end)
        findings.append(_within(what, _share(reading.energy_wh, bench.true_wh(start, end)), 0.2, "%"))
        findings.append(_is(f"{what}: source", reading.source, source))
    neither = Bench(Board(has_counter=False, has_instant=False, has_usage=False)).reading(OPEN_S, OPEN_S + MINUTE_S)
    findings.append(_is("neither: energy", neither.energy_wh, None))
    findings.append(_is("neither: says why", bool(neither.reason), True))
    return findings


def case_11_wall_clock() -> list[Finding]:
    """The wall clock jumps by an hour while metering."""
    offset_s = [0.0]
    wall = time.time
    try:
        time.time = lambda: wall() + offset_s[0]
        bench = Bench(Board())
        start = bench.mark(OPEN_S)
        offset_s[0] = 3600.0
        reading = bench.meter.between(start, bench.mark(OPEN_S + MINUTE_S))
    finally:
        time.time = wall
    instant_s = EnergyMeter(bench.source).mark().t_s
    return [
        _within("energy", _share(reading.average_power_w, 300), 0.1, "%"),
        _within("seconds", reading.seconds - MINUTE_S, 1e-6, "s"),
        _within("a meter's own clock less the monotonic one", instant_s - time.monotonic(), 5, "s"),
    ]


BOARDS = [
    Gpu(uuid="GPU-aaaa1111-0000", index=0, name="H100", memory_bytes=80 * 2**30, driver="580"),
    Gpu(uuid="GPU-bbbb2222-0000", index=1, name="H100", memory_bytes=80 * 2**30, driver="580"),
    Gpu(uuid="GPU-bbbb3333-0000", index=2, name="H100", memory_bytes=80 * 2**30, driver="580"),
]


def case_12_visible_devices() -> list[Finding]:
    """CUDA_VISIBLE_DEVICES in all its forms."""
    right = {
        None: [0, 1, 2],
        "1": [1],
        "1,0": [1, 0],
        "GPU-bbbb3333-0000": [2],
        "GPU-aaaa": [0],
        "": [],
        "-1": [],
        "0,-1,1": [0],
    }
    findings = [
        _is(repr(text), [gpu.index for gpu in visible_gpus(BOARDS, text)], indexes) for text, indexes in right.items()
    ]
    for text in ("MIG-1234", "GPU-bbbb", "GPU-cccc", "7", "0,0"):
        try:
            found = str(visible_gpus(BOARDS, text))
        except UsageError as error:
            found = str(error)
        findings.append(
            _is(f"{text!r} is refused by name", text.split(",")[0] in found and "CUDA_VISIBLE" in found, True)
        )
    return findings


def case_13_parts_and_devices() -> list[Finding]:
    """Two GPUs; epochs and the gaps between them in a run."""
    instants = [OPEN_S + 0.113 * k * (1 + k % 3) for k in range(40)]
    bench = Bench(Board(waveform=Square(100, 700, 1.0), resets_s=[OPEN_S + 5]))
    marks = bench.marks(sorted(instants))
    whole = bench.meter.between(marks[0], marks[-1])
    parts = [bench.meter.between(start, end).energy_wh or 0.0 for start, end in pairwise(marks)]
    first = Bench(Board(waveform=Constant(300))).reading(OPEN_S, OPEN_S + 30)
    second = Bench(Board(waveform=Constant(500))).reading(OPEN_S, OPEN_S + 30)
    both = sum_of_devices([first, second])
    return [
        _is("39 parts less the whole, in Wh", sum(parts) - (whole.energy_wh or math.nan), 0.0),
        _within("two GPUs", _share(both.energy_wh, 800 * 30 / 3600), 0.2, "%"),
        _is("two GPUs, one unread", sum_of_devices([first, EnergyReading.missing("lost")]).energy_wh, None),
    ]


def case_14_broken_off() -> list[Finding]:
    """The work in a window ends by an exception, Ctrl-C among them; a window is looked at while it is open."""
    findings = []
    for error in (MemoryError, KeyboardInterrupt, SystemExit):
        bench = Bench(Board())
        bench.run(OPEN_S)
        reading = None
        try:
            with bench.meter.window() as window:
                bench.run(OPEN_S + 12)
                reading = window.reading
                raise error
        except error:
            pass
        findings.append(_within(f"{error.__name__}: energy so far", _share(window.reading.energy_wh, 1.0), 0.2, "%"))
        findings.append(_has(f"{error.__name__}: marked", window.reading, "partial"))
        findings.append(_has("while open: marked", reading or EnergyReading.missing("none"), "partial"))
    return findings


def case_15_shared() -> list[Finding]:
    """Another process computes on the GPU for a while."""
    bench = Bench(Board())
    alone = bench.reading(OPEN_S, OPEN_S + 15)
    bench.board.processes = [(1, 2**30)]
    shared = bench.reading(OPEN_S + 15, OPEN_S + 30)
    return [_is("alone", alone.flags, ()), _has("with another process", shared, "shared_gpu")]


def case_16_net() -> list[Finding]:
    """80 W idle and 220 W of load; then a load below the baseline."""
    clock = VirtualClock()
    source = NvmlSource(Nvml(as_module(FakePynvml(clock, Board(waveform=Constant(80))))), Board().uuid)
    idle_w = measure_idle_w(source, 10, clock, clock.advance) or math.nan
    loaded = Bench(Board(waveform=Constant(300)), options={"idle_w": idle_w}).reading(OPEN_S, OPEN_S + MINUTE_S)
    below = Bench(Board(waveform=Constant(60)), options={"idle_w": idle_w}).reading(OPEN_S, OPEN_S + MINUTE_S)
    return [
        _within("idle baseline", _share(idle_w, 80), 1, "%"),
        _within("net energy", _share(loaded.net_wh, 220 * MINUTE_S / 3600), 1, "%"),
        _is("load below the baseline: net", below.net_wh, 0.0),
    ]


def case_17_work_in_flight() -> list[Finding]:
    """Work is still running on the device when its window closes; units, edges and steps of the integral.

    The four mutants (mJ taken for J, left Riemann sum, last sample dropped, sync skipped) each break a line of this.
    """
    bench = Bench(Board(waveform=Steps([(0, 100), (OPEN_S, 500), (OPEN_S + 4, 100)])))
    in_flight_until_s = [0.0]
    bench.meter = EnergyMeter(bench.source, clock=bench.clock, sync=lambda: bench.run(in_flight_until_s[0]))
    start = bench.mark(OPEN_S)
    in_flight_until_s[0] = OPEN_S + 4
    asynchronous = bench.meter.between(start, bench.meter.mark())
    exact = _ExactSource(bench.clock, Ramp(100, 700, 1.0, begin_s=bench.clock() + 0.5))
    meter = EnergyMeter(exact, clock=bench.clock)
    begun_s = bench.clock()
    first = meter.mark()
    for step in range(1, 23):
        bench.clock.advance_to(begun_s + 0.07 * step)
        meter.step()
    bench.clock.advance_to(begun_s + 1.6)
    ramp = meter.between(first, meter.mark())
    true_wh = (exact.waveform.energy_j(begun_s + 1.6) - exact.waveform.energy_j(begun_s)) / 3600
    steady = Bench(Board(waveform=Constant(300), has_counter=False)).reading(OPEN_S, OPEN_S + 1.05)
    return [
        _within("sync: 4 s of 500 W in flight", _error_j(asynchronous.energy_wh, 2000 / 3600), 100, "J"),
        _within("units: constant 300 W", _share(steady.average_power_w, 300), 0.1, "%"),
        _within("trapezoid on a ramp, exact sensor", _share(ramp.integral_wh, true_wh), 0.2, "%"),
    ]


class _ExactSource:
    """A power sensor without lag or averaging, and no counter."""

    name, kind = "exact", EnergySource.NVML_POWER
    power_limit_w: float | None = 1000.0
    counter_tick_s, power_lag_s = 0.1, 0.0

    def __init__(self, clock: VirtualClock, waveform: Waveform) -> None:
        self.clock, self.waveform = clock, waveform

    def energy_j(self) -> float | None:
        return None

    def power_w(self) -> float | None:
        now_s = self.clock()
        return (self.waveform.energy_j(now_s + 1e-6) - self.waveform.energy_j(now_s - 1e-6)) / 2e-6

    def device_stats(self) -> DeviceStats:
        return DeviceStats()

    def flags(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        pass


CASES: dict[int, Case] = {
    int(name.split("_")[1]): case for name, case in sorted(globals().items()) if name.startswith("case_")
}
