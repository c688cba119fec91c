"""The meter's test as a whole: loads in a process, figures as they come, a verdict in words."""

import sys
import time
from pathlib import Path

import pytest

from greenopt.doctor.meter import MeterCheck, Trust, assess_meter, check_meter, format_comparison, format_reading_stats
from greenopt.energy.check import Comparison, Overhead, ReadingStats, Repeats
from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.host import CpuTimeEstimate
from greenopt.energy.nvml import Nvml
from greenopt.energy.source import PowerSource
from greenopt.reading import EnergyReading, EnergySource
from tests.unit.energy.fake_nvml import Board, FakePynvml, as_module

LOADS = """
import sys
print("a library says hello")
print('{"overhead": {"work_s": 1.0, "share": 0.001, "noise": 0.0005, "pairs": 4}}')
print("x" * 100_000, file=sys.stderr)
print("RuntimeError: the GPU is gone" if sys.argv[-1] == "GPU-bad" else "", file=sys.stderr)
sys.exit(sys.argv[-1] == "GPU-bad")
"""


def board() -> PowerSource:
    return NvmlSource(Nvml(as_module(FakePynvml(time.monotonic, Board()))), Board().uuid)


def loads(tmp_path: Path) -> list[str]:
    script = tmp_path / "loads.py"
    script.write_text(LOADS)
    return [sys.executable, str(script)]


def last_check(tmp_path: Path, uuid: str) -> MeterCheck:
    *_, last = check_meter(board(), uuid, loads(tmp_path), lambda: time.sleep(1), reading_stats_s=0.5)
    return last


def test_figures_come_from_here_and_from_the_loads(tmp_path: Path) -> None:
    check = last_check(tmp_path, "GPU-good")
    assert check.counter is not None
    assert check.counter.period_s == pytest.approx(0.1, abs=0.03)
    assert [agreement.load for agreement in check.agreements] == ["idle"]
    assert check.overhead == Overhead(work_s=1.0, share=0.001, noise=0.0005, pairs=4)
    assert check.failure is None


def test_loads_that_fail_leave_the_answer_open(tmp_path: Path) -> None:
    check = last_check(tmp_path, "GPU-bad")
    assert check.failure == "RuntimeError: the GPU is gone"
    assert assess_meter(check) == (
        Trust.NO,
        ["Not known: the loads did not run to their end: RuntimeError: the GPU is gone"],
    )


def test_the_real_loads_run_on_this_machine() -> None:
    """On the CPU and a tiny model; every kind of figure arrives."""
    command = [sys.executable, "-m", "greenopt.trial.meter_check", "--seconds", "1", "--matrix", "256"]
    command += ["--model", "tests.unit.trial.tiny:build", "--batch-size", "16", "--steps", "8"]
    command += ["--pairs", "3", "--pair-seconds", "0.2", "--repeats", "3"]
    source = CpuTimeEstimate(10.0)
    *_, check = check_meter(source, None, command, lambda: sum(range(3_000_000)), reading_stats_s=0.1)
    assert check.failure is None
    assert len(check.agreements) == 3
    steady, switched = (agreement.reading for agreement in check.agreements[1:])
    assert steady.energy_wh is not None
    assert switched.energy_wh is not None
    assert switched.energy_wh < 0.8 * steady.energy_wh
    assert check.overhead is not None
    assert check.overhead.work_s > 0
    assert check.repeats is not None
    assert len(check.repeats.energies_wh) == 3


def test_a_gpu_that_tensorflow_does_not_see_is_said_in_a_line() -> None:
    command = [sys.executable, "-m", "greenopt.trial.meter_check"]
    *_, check = check_meter(CpuTimeEstimate(10.0), "GPU-1234", command, lambda: None, reading_stats_s=0.1)
    assert check.failure is not None
    assert "sees no GPU though this trial was given GPU-1234" in check.failure
    assert assess_meter(check)[0] is Trust.NO


def agreement(load: str, counter_wh: float | None, integral_wh: float | None) -> Comparison:
    reading = EnergyReading(
        energy_wh=1.0, source=EnergySource.NVML_COUNTER, seconds=15.0, counter_wh=counter_wh, integral_wh=integral_wh
    )
    return Comparison(load=load, reading=reading, core_share=0.004 if load == "idle" else None)


def check_of(*agreements: Comparison, energies_wh: tuple[float, ...] = (1.0, 1.001, 0.999)) -> MeterCheck:
    readings = tuple(
        EnergyReading(energy_wh=energy, source=EnergySource.NVML_COUNTER, seconds=5.0) for energy in energies_wh
    )
    overhead = Overhead(work_s=1.0, share=0.0004, noise=0.0002, pairs=12)
    return MeterCheck("a GPU", agreements=list(agreements), overhead=overhead, repeats=Repeats(readings=readings))


def test_a_meter_whose_two_ways_agree_is_trusted() -> None:
    trust, sentences = assess_meter(check_of(agreement("idle", 1.0, 1.04), agreement("steady load", 1.0, 0.99)))
    assert trust is Trust.YES
    assert "agree to 4.0 % in every load" in sentences[0]
    assert "0.4 % of a CPU core." in sentences[1]
    assert any("less than 0.6 % may be equal" in sentence for sentence in sentences)


@pytest.mark.parametrize(("load", "integral_wh"), [("idle", 1.06), ("steady load", 0.97)])
def test_a_meter_whose_two_ways_differ_is_not_trusted_and_the_load_is_named(load: str, integral_wh: float) -> None:
    trust, sentences = assess_meter(check_of(agreement(load, 1.0, integral_wh)))
    assert trust is Trust.NO
    assert f"({load})" in sentences[0]


def test_one_way_alone_is_trusted_with_care() -> None:
    trust, sentences = assess_meter(check_of(agreement("idle", None, 1.0)))
    assert trust is Trust.LIMITED
    assert "nothing confirms it" in sentences[0]


def test_what_was_not_measured_is_not_trusted() -> None:
    missing = Comparison(load="idle", reading=EnergyReading.missing("the GPU tells nothing"))
    assert assess_meter(check_of(missing)) == (Trust.NO, ["Do not trust it: idle: not measured: the GPU tells nothing"])


def test_a_wide_spread_is_pointed_out() -> None:
    _, sentences = assess_meter(check_of(agreement("idle", 1.0, 1.0), energies_wh=(1.0, 1.1, 0.9)))
    assert any("That is a lot" in sentence for sentence in sentences)


def test_a_machine_too_noisy_for_the_overhead_says_so() -> None:
    check = check_of(agreement("idle", 1.0, 1.0))
    check.overhead = Overhead(work_s=0.6, share=-0.03, noise=0.046, pairs=12)
    _, sentences = assess_meter(check)
    assert any("a slowdown of less than 4.6 % cannot be seen" in sentence for sentence in sentences)


def test_figures_in_words() -> None:
    assert format_reading_stats("power", ReadingStats(cost_s=5e-6, period_s=0.1, reads=9)) == (
        "power: changes every 100 ms, a reading takes 5 us"
    )
    assert (
        format_reading_stats("power", ReadingStats(cost_s=None, period_s=None, reads=0))
        == "power: not reported by this GPU"
    )
    assert "240 W for 15 s, 1000.0 mWh; integral -1.00 % from the counter" in format_comparison(
        agreement("steady load", 1.0, 0.99)
    )
