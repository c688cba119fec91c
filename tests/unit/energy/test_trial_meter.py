"""A trial's device and its host, metered over the same windows and never added up."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.host import CpuTimeEstimate
from greenopt.energy.nvml import Nvml
from greenopt.energy.rapl import RaplDomains
from greenopt.energy.source import UnreadableSource
from greenopt.energy.source_choice import open_source
from greenopt.energy.trial_meter import TrialMeter
from greenopt.reading import EnergySource
from greenopt.spec import EnergySpec
from tests.unit.energy.fake_nvml import Board, FakePynvml, as_module
from tests.unit.energy.waveforms import Constant


@contextmanager
def drawing(**powers_w: Path) -> Iterator[None]:
    """Counters that rise all the time, as real ones do: name `w180` for 180 W."""
    began_s, over = time.monotonic(), threading.Event()

    def count() -> None:
        while not over.wait(0.0005):
            elapsed_s = time.monotonic() - began_s
            for name, counter in powers_w.items():
                scratch = counter.with_suffix(".new")
                scratch.write_text(f"{round(int(name[1:]) * elapsed_s * 1e6)}\n")
                scratch.replace(counter)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def powercap(root: Path, *names: str) -> dict[str, Path]:
    """A powercap folder with these domains; returns each one's counter file."""
    counters = {}
    for index, name in enumerate(names):
        folder = root / f"intel-rapl:{index}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
        counters[name] = folder / "energy_uj"
        counters[name].write_text("0\n")
    return counters


def unreadable() -> UnreadableSource:
    return UnreadableSource("GPU-0", "no reading in this test")


def test_cpu_and_memory_stand_beside_the_device(tmp_path: Path) -> None:
    counters = powercap(tmp_path, "package-0", "dram")
    with (
        drawing(w180=counters["package-0"], w20=counters["dram"]),
        TrialMeter(unreadable(), RaplDomains.find(tmp_path)) as meter,
    ):
        start = meter.mark()
        time.sleep(0.5)
        readings = meter.between(start, meter.mark())
    assert readings.device.energy_wh is None
    assert readings.device.reason == "no reading in this test"
    for reading, power_w in ((readings.cpu, 180), (readings.dram, 20)):
        assert reading is not None
        assert reading.source is EnergySource.RAPL
        assert reading.average_power_w == pytest.approx(power_w, rel=0.1)


def test_a_host_without_counters_has_no_figures(tmp_path: Path) -> None:
    with TrialMeter(unreadable(), RaplDomains.find(tmp_path)) as meter:
        start = meter.mark()
        readings = meter.between(start, meter.mark())
        assert (readings.cpu, readings.dram) == (None, None)
        assert (meter.so_far().cpu, meter.so_far().dram) == (None, None)


def test_a_trial_on_the_cpu_is_metered_once(tmp_path: Path) -> None:
    counters = powercap(tmp_path, "package-0")
    with (
        drawing(w90=counters["package-0"]),
        TrialMeter(open_source(None, EnergySpec(), rapl_root=tmp_path), RaplDomains.find(tmp_path)) as meter,
    ):
        start = meter.mark()
        time.sleep(0.5)
        readings = meter.between(start, meter.mark())
    assert readings.cpu == readings.device
    assert readings.device.average_power_w == pytest.approx(90, rel=0.1)


def test_the_idle_baseline_gives_net_energy(tmp_path: Path) -> None:
    board = Board(waveform=Constant(300))
    source = NvmlSource(Nvml(as_module(FakePynvml(time.monotonic, board))), board.uuid)
    with TrialMeter(source, RaplDomains.find(tmp_path), idle_w=80) as meter:
        start = meter.mark()
        time.sleep(0.5)
        reading = meter.between(start, meter.mark()).device
    assert reading.energy_wh is not None
    assert reading.net_wh == pytest.approx(reading.energy_wh - 80 * reading.seconds / 3600)


def test_flags_reach_every_reading(tmp_path: Path) -> None:
    powercap(tmp_path, "package-0", "dram")
    with TrialMeter(unreadable(), RaplDomains.find(tmp_path)) as meter:
        readings = meter.so_far().flagged("partial")
    assert readings.cpu is not None
    assert readings.dram is not None
    assert all("partial" in reading.flags for reading in (readings.device, readings.cpu, readings.dram))


def test_the_idle_power_of_a_gpu_is_not_taken_off_a_cpu(tmp_path: Path) -> None:
    counters = powercap(tmp_path, "package-0")
    with drawing(w90=counters["package-0"]):
        sources = (open_source(None, EnergySpec(), rapl_root=tmp_path), CpuTimeEstimate(10.0))
        for source in sources:
            with TrialMeter(source, RaplDomains(None, None), idle_w=70.0) as meter:
                start, until_s = meter.mark(), time.monotonic() + 0.3
                while time.monotonic() < until_s:
                    sum(range(1000))
                reading = meter.between(start, meter.mark()).device
            assert reading.source is source.kind
            assert reading.energy_wh is not None
            assert reading.net_wh is None
