"""What every power source keeps to, the real ones of this machine among them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from greenopt.energy import EnergyMeter
from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.gpus import list_gpus
from greenopt.energy.host import CpuTimeEstimate
from greenopt.energy.nvml import Nvml
from greenopt.energy.rapl import RaplDomains
from greenopt.energy.source import DeviceStats, PowerSource, ReadError, UnreadableSource
from greenopt.energy.source_choice import open_source
from greenopt.reading import EnergySource
from greenopt.spec import EnergySpec
from tests.unit.energy.fake_nvml import Board, FakePynvml, VirtualClock, as_module
from tests.unit.energy.test_host import zone

Make = Callable[[Path], PowerSource]


def fake_gpu(folder: Path) -> PowerSource:
    return NvmlSource(Nvml(as_module(FakePynvml(VirtualClock(10.0), Board()))), Board().uuid)


def fake_gpu_without_anything(folder: Path) -> PowerSource:
    board = Board(has_counter=False, has_instant=False, has_usage=False)
    return NvmlSource(Nvml(as_module(FakePynvml(VirtualClock(10.0), board))), board.uuid)


def fake_rapl(folder: Path) -> PowerSource:
    zone(folder, "intel-rapl:0", "package-0")
    source = RaplDomains.find(folder).cpu
    assert source is not None
    return source


def estimate(folder: Path) -> PowerSource:
    return CpuTimeEstimate(10.0)


def unreadable(folder: Path) -> PowerSource:
    return UnreadableSource("GPU-x", "there is no NVIDIA driver")


def this_machine(folder: Path) -> PowerSource:
    return open_source(None, EnergySpec())


def this_machines_gpu(folder: Path) -> PowerSource:
    gpus = list_gpus()
    if not gpus:
        pytest.skip("no NVIDIA GPU on this machine")
    return open_source(gpus[0].uuid, EnergySpec())


SOURCES = [
    fake_gpu,
    fake_gpu_without_anything,
    fake_rapl,
    estimate,
    unreadable,
    this_machine,
    pytest.param(this_machines_gpu, marks=pytest.mark.gpu),
]


@pytest.mark.parametrize("make", SOURCES)
class TestPowerSource:
    def test_it_says_what_it_is(self, make: Make, tmp_path: Path) -> None:
        source = make(tmp_path)
        assert source.name
        assert source.kind in EnergySource
        assert source.counter_tick_s > 0
        assert source.power_lag_s >= 0
        assert source.power_limit_w is None or source.power_limit_w > 0

    def test_readings_are_numbers_none_or_a_failed_reading(self, make: Make, tmp_path: Path) -> None:
        source = make(tmp_path)
        for read in (source.energy_j, source.power_w):
            try:
                value = read()
            except ReadError:
                continue
            assert value is None or value >= 0

    def test_energy_never_falls(self, make: Make, tmp_path: Path) -> None:
        source = make(tmp_path)
        try:
            values = [source.energy_j() for _ in range(5)]
        except ReadError:
            return
        known = [value for value in values if value is not None]
        assert known == sorted(known)

    def test_vitals_flags_and_closing_never_fail(self, make: Make, tmp_path: Path) -> None:
        source = make(tmp_path)
        assert isinstance(source.device_stats(), DeviceStats)
        assert all(isinstance(flag, str) for flag in source.flags())
        source.close()

    def test_a_meter_can_use_it(self, make: Make, tmp_path: Path) -> None:
        with EnergyMeter(make(tmp_path)) as meter, meter.window() as window:
            sum(range(1_000_000))
        assert (window.reading.energy_wh is None) == (window.reading.reason is not None)
