"""GPUs that fail while a study runs, on boards that a stand-in for the driver makes up."""

import pytest

from greenopt.energy.gpu_health import FATAL_XIDS, GpuWatch
from greenopt.energy.nvml import Nvml
from tests.unit.energy.fake_nvml import Board, VirtualClock
from tests.unit.energy.faulty_nvml import DISCOVERY, ERRORS, LOST, READINGS, UNKNOWN, FaultyPynvml

A, B = "GPU-a", "GPU-b"


class Bench:
    def __init__(self) -> None:
        self.module = FaultyPynvml(Board(uuid=A), Board(uuid=B), faults={}, sick=(A,))
        self.clock = VirtualClock()
        self.watch = GpuWatch(load=lambda: Nvml(self.module), clock=self.clock)

    def failure(self, uuid: str = A) -> str | None:
        return self.watch.look(uuid).failure


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    assert (bench.failure(A), bench.failure(B)) == (None, None)
    return bench


@pytest.mark.parametrize("function", ["nvmlDeviceGetHandleByUUID", "nvmlDeviceGetUUID", "nvmlDeviceGetTemperature"])
def test_a_lost_board_has_failed_at_once_and_for_good(bench: Bench, function: str) -> None:
    bench.module.faults[function] = LOST
    assert bench.failure() == "it has fallen off the bus"
    assert bench.failure(B) is None
    bench.module.faults.clear()
    assert bench.failure() == "it has fallen off the bus"


def test_a_silent_board_is_in_doubt_and_fails_after_a_while(bench: Bench) -> None:
    bench.module.faults["nvmlDeviceGetUUID"] = UNKNOWN
    found = bench.watch.look(A)
    assert (found.failure, found.is_in_doubt) == (None, True)
    bench.clock.advance(4)
    bench.module.faults.clear()
    assert not bench.watch.look(A).is_in_doubt
    bench.module.faults["nvmlDeviceGetUUID"] = UNKNOWN
    assert bench.watch.look(A).is_in_doubt, "the silence begins anew"
    bench.clock.advance(5)
    found = bench.watch.look(A)
    assert (found.failure, found.is_in_doubt) == ("it does not answer (UUID: Unknown Error)", False)


def test_an_xid_of_the_board_is_told_from_one_of_a_program(bench: Bench) -> None:
    bench.module.xids[A] = [13, 31, 43, 45]
    assert bench.failure() is None
    bench.module.xids[A] = [31, 79]
    assert bench.failure() == "it has fallen off the bus (XID 79)"
    assert bench.failure(B) is None
    assert not {13, 31, 43, 45} & set(FATAL_XIDS)


def test_memory_errors_count_from_the_first_look_on() -> None:
    bench = Bench()
    bench.module.memory_errors[A] = 7
    assert (bench.failure(), bench.failure()) == (None, None)
    bench.module.memory_errors[A] = 9
    assert bench.failure() == "its memory had 2 uncorrectable errors"


def test_a_board_that_is_too_hot(bench: Bench) -> None:
    bench.module.temperatures_c[A] = 94
    assert bench.failure() is None
    bench.module.temperatures_c[A] = 95
    assert bench.failure() == "it is too hot: 95 °C, and it shuts down at 95 °C"


def test_clocks_that_are_cut_for_heat_for_long_are_a_failure_and_for_power_never(bench: Bench) -> None:
    bench.module.slow_for = {A: 0x40, B: 0x80 | 0x04}
    assert bench.failure() is None
    bench.clock.advance(29)
    bench.module.slow_for[A] = 0
    assert bench.failure() is None
    bench.module.slow_for[A] = 0x60
    assert bench.failure() is None
    bench.clock.advance(30)
    assert bench.failure() == "it is too hot: its clocks have been cut for heat for 30 s at 41 °C"
    assert bench.failure(B) is None


def test_a_driver_that_is_gone_is_a_failure_of_all_its_boards() -> None:
    clock = VirtualClock()
    watch = GpuWatch(load=lambda: None, clock=clock)
    assert watch.look(A).is_in_doubt
    clock.advance(5)
    assert watch.look(A).failure == "it does not answer (there is no NVIDIA driver any more)"


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_a_board_does_not_tell_no_look_raises_and_the_other_board_is_sound(error: int) -> None:
    for function in (*DISCOVERY, *READINGS, "nvmlDeviceGetTemperatureThreshold", "nvmlEventSetCreate"):
        bench = Bench()
        bench.module.faults[function] = error
        bench.watch.look(A)
        bench.clock.advance(60)
        bench.watch.look(A)
        if function != "nvmlEventSetCreate":
            assert bench.failure(B) is None
