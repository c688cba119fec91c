"""NVML's readings arrive in SI units, and its failures as words."""

import sys
from types import SimpleNamespace

import pytest

from greenopt.energy import EnergyMeter
from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.nvml import Nvml
from greenopt.energy.source import NotSupportedError, ReadError
from greenopt.energy.source_choice import open_source
from greenopt.reading import EnergySource
from greenopt.spec import EnergySpec
from tests.unit.energy.fake_nvml import Board, FakePynvml, NVMLError, VirtualClock, as_module
from tests.unit.energy.waveforms import Constant


def source_of(board: Board, clock: VirtualClock | None = None) -> NvmlSource:
    return NvmlSource(Nvml(as_module(FakePynvml(clock or VirtualClock(10.0), board))), board.uuid)


def test_millijoules_and_milliwatts_become_joules_and_watts() -> None:
    source = source_of(Board(waveform=Constant(250.0), counter_start_j=0))
    assert source.energy_j() == pytest.approx(2500)
    assert source.power_w() == pytest.approx(250)
    assert source.power_limit_w == 700


def test_what_a_board_has_is_found_by_asking() -> None:
    assert source_of(Board()).kind is EnergySource.NVML_COUNTER
    without = source_of(Board(has_counter=False, has_instant=False))
    assert without.kind is EnergySource.NVML_POWER
    assert without.energy_j() is None
    assert without.power_lag_s == 1.0
    assert source_of(Board(has_instant=False, has_usage=False)).power_w() is None


def test_instant_power_is_preferred_to_the_average() -> None:
    source = source_of(Board(waveform=Constant(300), usage_average_s=1.0))
    assert source.power_lag_s == 0.125


def test_a_counter_that_fails_when_opened_is_asked_again() -> None:
    clock = VirtualClock(0.5)
    source = source_of(Board(counter_lost=[(0, 1)]), clock)
    with pytest.raises(ReadError, match="TotalEnergyConsumption: Unknown Error"):
        source.energy_j()
    clock.advance(1)
    assert source.energy_j()


def test_a_field_value_with_a_status_of_its_own_is_not_taken_for_power() -> None:
    source = source_of(Board(power_lost=[(0, 99)]))
    with pytest.raises(ReadError, match="status 999"):
        source.power_w()
    with pytest.raises(NotSupportedError):
        Nvml(as_module(FakePynvml(VirtualClock(), Board(has_instant=False)))).instant_power_w(Board(has_instant=False))


def test_the_highest_limit_counts_and_an_unknown_one_is_none() -> None:
    assert source_of(Board(limit_w=None)).power_limit_w is None


def test_an_unknown_limit_still_gives_energy() -> None:
    clock = VirtualClock()
    meter = EnergyMeter(source_of(Board(limit_w=None), clock), clock=clock)
    start = meter.mark()
    while clock() < 10:
        clock.advance_to(meter.step())
    assert meter.between(start, meter.mark()).average_power_w == pytest.approx(300, rel=0.01)


def test_closing_gives_the_library_back() -> None:
    fake = FakePynvml(VirtualClock(), Board())
    NvmlSource(Nvml(as_module(fake)), Board().uuid).close()
    assert fake.shutdowns == 1


def test_no_driver_is_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise NVMLError(9)

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(nvmlInit=no_driver, NVMLError=NVMLError))
    assert Nvml.load() is None


def test_the_gpu_asked_for_is_opened_and_no_other() -> None:
    boards = [Board(uuid="GPU-a", waveform=Constant(100)), Board(uuid="GPU-b", waveform=Constant(500))]
    nvml = Nvml(as_module(FakePynvml(VirtualClock(10.0), *boards)))
    assert open_source("GPU-b", EnergySpec(), nvml=nvml).power_w() == pytest.approx(500)


def test_a_gpu_that_is_not_there_gives_a_reason_and_not_another_device() -> None:
    fake = FakePynvml(VirtualClock(), Board())
    source = open_source("GPU-gone", EnergySpec(), nvml=Nvml(as_module(fake)))
    with pytest.raises(ReadError, match=r"GPU-gone.*Not Found"):
        source.energy_j()
    assert fake.shutdowns == 1
