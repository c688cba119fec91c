"""RAPL over a fake tree, and the estimate over a fake process tree."""

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenopt.energy import EnergyMeter
from greenopt.energy.host import CpuTimeEstimate
from greenopt.energy.rapl import RaplDomains
from greenopt.energy.source import ReadError
from greenopt.energy.source_choice import open_source
from greenopt.reading import EnergySource
from greenopt.spec import EnergySpec
from tests.unit.energy.fake_nvml import VirtualClock

RANGE_UJ = 1_000_000_000


def zone(root: Path, folder: str, name: str, energy_uj: int = 0) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(name + "\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path / "energy_uj"


@pytest.fixture
def powercap(tmp_path: Path) -> dict[str, Path]:
    return {
        "package 0": zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000),
        "core 0": zone(tmp_path, "intel-rapl:0:0", "core", 7_000_000),
        "dram 0": zone(tmp_path, "intel-rapl:0:1", "dram", 1_000_000),
        "package 1": zone(tmp_path, "intel-rapl:1", "package-1"),
        "psys": zone(tmp_path, "intel-rapl:2", "psys"),
        "copy": zone(tmp_path, "intel-rapl-mmio:0", "package-0"),
    }


def test_packages_are_summed_and_counted_once(powercap: dict[str, Path], tmp_path: Path) -> None:
    cpu = RaplDomains.find(tmp_path).cpu
    assert cpu is not None
    for name, energy_uj in (("package 0", 8_000_000), ("package 1", 4_000_000), ("core 0", 99_000_000)):
        powercap[name].write_text(str(energy_uj))
    powercap["psys"].write_text("500000000")
    assert cpu.energy_j() == pytest.approx(3 + 4)


def test_memory_is_a_figure_of_its_own(powercap: dict[str, Path], tmp_path: Path) -> None:
    domains = RaplDomains.find(tmp_path)
    powercap["dram 0"].write_text("3500000")
    assert domains.dram is not None
    assert domains.cpu is not None
    assert domains.dram.energy_j() == pytest.approx(2.5)
    assert domains.cpu.energy_j() == 0


def test_a_counter_that_starts_again_goes_on(powercap: dict[str, Path], tmp_path: Path) -> None:
    cpu = RaplDomains.find(tmp_path).cpu
    assert cpu is not None
    for energy_uj in (RANGE_UJ - 1_000_000, 1_000_000, RANGE_UJ - 5_000_000, 2_000_000):
        powercap["package 0"].write_text(str(energy_uj))
        energy_j = cpu.energy_j()
    assert energy_j == pytest.approx(2 * RANGE_UJ / 1e6 + 2 - 5)


def test_a_counter_that_vanishes_is_a_failed_reading(powercap: dict[str, Path], tmp_path: Path) -> None:
    cpu = RaplDomains.find(tmp_path).cpu
    powercap["package 0"].unlink()
    assert cpu is not None
    with pytest.raises(ReadError, match="energy_uj"):
        cpu.energy_j()


def test_a_host_without_readable_counters_has_none(tmp_path: Path) -> None:
    assert RaplDomains.find(tmp_path) == RaplDomains(cpu=None, dram=None)


def test_without_a_gpu_rapl_comes_before_the_estimate(powercap: dict[str, Path], tmp_path: Path) -> None:
    def draw(seconds: float) -> None:
        for name in ("package 0", "package 1"):
            powercap[name].write_text("6000000")

    assert open_source(None, EnergySpec(), rapl_root=tmp_path, sleep=draw).kind is EnergySource.RAPL
    assert open_source(None, EnergySpec(), rapl_root=tmp_path / "none").kind is EnergySource.ESTIMATE


def test_rapl_is_metered_like_a_gpu(powercap: dict[str, Path], tmp_path: Path) -> None:
    clock = VirtualClock(100.0)
    meter = EnergyMeter(RaplDomains.find(tmp_path).cpu, clock=clock)  # type: ignore[arg-type]
    start = meter.mark()
    while clock() < 110:
        clock.advance_to(meter.step())
        powercap["package 0"].write_text(str(5_000_000 + int((clock() - 100) * 40e6)))
    reading = meter.between(start, meter.mark())
    assert (reading.source, reading.integral_wh) == (EnergySource.RAPL, None)
    assert reading.average_power_w == pytest.approx(40, rel=0.01)
    assert reading.coverage == 1.0


class FakeProcess:
    def __init__(self, user_s: float = 0.0, children: "list[FakeProcess] | None" = None) -> None:
        self.user_s, self.reaped_s, self.below = user_s, 0.0, children or []
        self.gone = False

    def children(self, recursive: bool) -> "list[FakeProcess]":
        assert recursive
        return self.below

    def cpu_times(self) -> tuple[float, ...]:
        if self.gone:
            raise psutil.NoSuchProcess(1)
        return (self.user_s, 0.0, self.reaped_s, 0.0, 12345.0)


def estimate_of(process: Any, w_per_core: float = 10.0) -> CpuTimeEstimate:
    return CpuTimeEstimate(w_per_core, process)


def test_cpu_time_of_the_process_and_its_children_counts() -> None:
    child = FakeProcess(1.0)
    process = FakeProcess(2.0, [child])
    estimate = estimate_of(process)
    process.user_s, child.user_s = 5.0, 2.5
    assert estimate.energy_j() == pytest.approx((3 + 1.5) * 10)


def test_a_child_that_ends_takes_no_energy_back() -> None:
    child = FakeProcess(0.0)
    process = FakeProcess(0.0, [child])
    estimate = estimate_of(process)
    child.user_s = 4.0
    assert estimate.energy_j() == pytest.approx(40)
    child.gone = True
    assert estimate.energy_j() == pytest.approx(40)
    process.below, process.reaped_s = [], 4.0
    process.user_s = 1.0
    assert estimate.energy_j() == pytest.approx(50)


def test_a_device_that_never_tells_power_has_no_gaps_in_it(powercap: dict[str, Path], tmp_path: Path) -> None:
    source = RaplDomains.find(tmp_path).cpu
    assert source is not None
    meter = EnergyMeter(source)
    start = meter.mark()
    time.sleep(0.6)
    powercap["package 0"].write_text("9000000\n")
    assert "gap" not in meter.between(start, meter.mark()).flags


def test_a_window_without_cpu_time_is_missing_and_never_zero() -> None:
    clock, process = VirtualClock(100.0), FakeProcess()
    meter = EnergyMeter(estimate_of(process), clock=clock)
    start = meter.mark()
    while clock() < 103:
        clock.advance_to(meter.step())
    idle = meter.mark()
    process.user_s = 2.0
    clock.advance(2.0)
    busy = meter.mark()
    assert (meter.between(start, idle).energy_wh, meter.between(start, idle).reason) == (
        None,
        "no CPU time was counted; it is counted in steps of 0.01 s",
    )
    worked = meter.between(idle, busy)
    assert (worked.source, worked.counter_wh) == (EnergySource.ESTIMATE, None)
    assert worked.uncertainty_wh is None, "how wrong the assumed power a core is, nobody knows"
    assert (worked.energy_wh or 0) * 3600 == pytest.approx(20, rel=0.02)
    assert "stuck_counter" not in worked.flags


def test_the_real_process_uses_time() -> None:
    estimate = CpuTimeEstimate(10.0)
    while not estimate.energy_j():
        sum(range(100_000))
    assert estimate.power_w() is None


def test_a_process_that_cannot_be_read_is_a_failed_reading() -> None:
    process = FakeProcess()
    estimate = estimate_of(process)
    process.children = lambda recursive: (_ for _ in ()).throw(psutil.AccessDenied(1))  # type: ignore[method-assign]
    with pytest.raises(ReadError, match="CPU time"):
        estimate.energy_j()
