"""What a meter writes to the log: each kind of trouble as a warning once, and nothing that could hurt the work."""

import logging
import subprocess
import sys

import pytest

from greenopt.energy.source import ReadError
from tests.unit.energy.bench import Bench
from tests.unit.energy.fake_nvml import Board

NAME = "greenopt.energy.meter_log"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def failing() -> float:
    raise ReadError("the driver said no")


def test_readings_that_fail_are_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Board())
    bench.source.energy_j = bench.source.power_w = failing  # type: ignore[method-assign]
    with caplog.at_level(logging.DEBUG, NAME):
        bench.run(20.0)
    energy, power = warnings(caplog)
    assert "energy cannot be read: the driver said no" in energy
    assert "power cannot be read: the driver said no" in power
    assert energy.startswith(bench.source.name)


def test_resets_are_told_each_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Board(resets_s=[10.0, 20.0]))
    with caplog.at_level(logging.DEBUG, NAME):
        bench.run(40.0)
    told = [record for record in caplog.records if "was reset or jumped" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.WARNING, logging.DEBUG]


def test_a_counter_that_stands_still_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Board())
    value_j = bench.source.energy_j()
    bench.source.energy_j = lambda: value_j  # type: ignore[method-assign]
    with caplog.at_level(logging.DEBUG, NAME):
        bench.run(60.0)
    (stall,) = warnings(caplog)
    assert "the energy counter stands still" in stall


def test_a_device_that_cannot_be_waited_for_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Board(), options={"sync": failing})
    with caplog.at_level(logging.DEBUG, NAME):
        bench.marks([1.0, 2.0, 3.0])
    (found,) = warnings(caplog)
    assert "cannot be waited for" in found


def test_a_sound_device_gives_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Board())
    with caplog.at_level(logging.DEBUG, NAME):
        bench.run(30.0)
    assert warnings(caplog) == []


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("a listener that fails")


def test_a_listener_that_fails_does_not_reach_the_work() -> None:
    bench = Bench(Board(resets_s=[10.0]))
    logger, handler = logging.getLogger(NAME), Broken()
    logger.addHandler(handler)
    try:
        bench.run(30.0)
    finally:
        logger.removeHandler(handler)
    assert bench.meter.so_far().energy_wh is not None


def test_nothing_is_printed_unless_somebody_listens() -> None:
    code = (
        "from greenopt.energy.meter_log import MeterLog\n"
        "from greenopt.spec import EnergySpec\nfrom greenopt.energy.source_choice import open_source\n"
        "MeterLog(open_source(None, EnergySpec()), 10.0).read_failed('power', OSError('gone'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
