"""Every function of NVML x every error: a board is kept with what can be read, and never becomes the CPU."""

import sys

import pytest

from greenopt.energy import EnergyMeter, open_device
from greenopt.energy.gpu_source import AVERAGE_LAG_S, INSTANT_LAG_S, NvmlSource
from greenopt.energy.gpus import find_gpus, list_gpus
from greenopt.energy.nvml import Nvml
from greenopt.energy.source import DriverError
from greenopt.energy.source_choice import open_source
from greenopt.errors import UsageError
from greenopt.execution import Slot
from greenopt.execution.gpus import CPU, choose_slots
from greenopt.execution.local import child_environment
from greenopt.reading import EnergySource
from greenopt.spec import EnergySpec
from tests.unit.energy.fake_nvml import Board, VirtualClock, as_module
from tests.unit.energy.faulty_nvml import (
    DISCOVERY,
    ERRORS,
    LOST,
    NO_DRIVER,
    NOT_SUPPORTED,
    READINGS,
    UNKNOWN,
    VERSION_MISMATCH,
    FaultyPynvml,
)
from tests.unit.energy.waveforms import Constant

UUIDS = ("GPU-a", "GPU-b", "GPU-c")
FATAL_WHERE_LOST = ("nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo")


class Host:
    """A host with three boards, in place of this machine's driver."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.said: list[str] = []

    def has(self, function: str, error: int | Exception, *sick: str) -> FaultyPynvml:
        boards = [Board(uuid=uuid, waveform=Constant(100.0)) for uuid in UUIDS]
        fake = FaultyPynvml(*boards, faults={function: error}, sick=sick)
        self._monkeypatch.setitem(sys.modules, "pynvml", as_module(fake))
        return fake

    def slots(self, selection: str | None = None, **environment: str) -> list[Slot]:
        return choose_slots(selection, environment=environment, say=self.said.append)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


@pytest.mark.parametrize("error", ERRORS)
def test_no_driver_means_the_cpu_and_a_broken_one_is_refused(host: Host, error: int) -> None:
    host.has("nvmlInit", error)
    if error in NO_DRIVER:
        assert host.slots() == [CPU]
        with pytest.raises(UsageError, match="no NVIDIA GPU is visible"):
            host.slots("all")
    else:
        for selection in (None, "all", "0", "GPU-a"):
            with pytest.raises(UsageError, match=r"does not work: .*--gpus none"):
                host.slots(selection)
        with pytest.raises(DriverError):
            list_gpus()
    assert host.slots("none") == [CPU]
    assert host.slots(None, CUDA_VISIBLE_DEVICES="-1") == [CPU]


@pytest.mark.parametrize("error", [OSError("libnvidia-ml.so: wrong ELF class"), AttributeError("nvmlInit_v2")])
def test_a_library_that_cannot_be_used_at_all_is_a_broken_driver(host: Host, error: Exception) -> None:
    host.has("nvmlInit", error)
    with pytest.raises(UsageError, match="--gpus none"):
        host.slots()


def test_a_version_mismatch_says_what_helps(host: Host) -> None:
    host.has("nvmlInit", VERSION_MISMATCH)
    with pytest.raises(UsageError, match="restart the machine"):
        host.slots()


@pytest.mark.parametrize("error", ERRORS)
def test_a_count_that_fails_is_a_broken_driver(host: Host, error: int) -> None:
    host.has("nvmlDeviceGetCount", error)
    with pytest.raises(UsageError, match="--gpus none"):
        host.slots()


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("function", DISCOVERY)
def test_a_query_that_fails_costs_one_fact_and_no_board(host: Host, function: str, error: int) -> None:
    host.has(function, error)
    if error == LOST and function in FATAL_WHERE_LOST:
        with pytest.raises(UsageError, match=r"GPU 0.* is lost.*--gpus none"):
            host.slots()
        return
    slots = host.slots()
    assert [slot.name for slot in slots] == ["gpu 0", "gpu 1", "gpu 2"]
    assert all(slot.gpu_uuid for slot in slots)
    assert host.said == []


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("function", [*DISCOVERY, "nvmlDeviceGetHandleByIndex"])
def test_one_sick_board_leaves_the_others_and_is_kept_or_named(host: Host, function: str, error: int) -> None:
    host.has(function, error, "GPU-b")
    slots = host.slots()
    names = [slot.name for slot in slots]
    assert [name for name in names if name != "gpu 1"] == ["gpu 0", "gpu 2"]
    # A board whose model is not told is none of the others' model.
    told = ("GPU 1", "trials run on 2 x") if function == "nvmlDeviceGetName" else ("GPU 1",)
    assert ("gpu 1" in names) != any(line.startswith(told) for line in host.said)
    if error == LOST and (function in FATAL_WHERE_LOST or function == "nvmlDeviceGetHandleByIndex"):
        assert "gpu 1" not in names


@pytest.mark.parametrize("error", [None, ValueError("not UTF-8"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")])
@pytest.mark.parametrize("function", DISCOVERY)
def test_an_error_that_is_not_nvmls_costs_no_board_either(
    host: Host, monkeypatch: pytest.MonkeyPatch, function: str, error: Exception | None
) -> None:
    """`None`: a library so old that it has no such function."""
    fake = host.has(function, error) if error is not None else host.has("none", UNKNOWN)
    if error is None:
        monkeypatch.setattr(fake, function, None)
        monkeypatch.setattr(FaultyPynvml, "_faulty", lambda self, name, call: call)
    assert len(host.slots()) == 3


def test_a_lost_board_that_is_asked_for_is_named_as_lost(host: Host) -> None:
    host.has("nvmlDeviceGetHandleByIndex", LOST, "GPU-b")
    with pytest.raises(UsageError, match=r"--gpus '1': GPU 1 is lost"):
        host.slots("0,1")
    with pytest.raises(UsageError, match=r"CUDA_VISIBLE_DEVICES: 1: GPU 1 is lost"):
        host.slots(None, CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER="PCI_BUS_ID")


def test_a_lost_board_whose_uuid_is_known_can_be_named_by_it(host: Host) -> None:
    host.has("nvmlDeviceGetName", LOST, "GPU-b")
    with pytest.raises(UsageError, match=r"GPU 1 \(GPU-b\) is lost"):
        host.slots("GPU-b")


def test_indexes_are_nvmls_where_a_board_before_is_lost(host: Host) -> None:
    host.has("nvmlDeviceGetHandleByIndex", LOST, "GPU-a")
    assert [slot.gpu_uuid for slot in host.slots("2")] == ["GPU-c"]
    assert [slot.gpu_uuid for slot in host.slots(None, CUDA_VISIBLE_DEVICES="2,1")] == ["GPU-c", "GPU-b"]


def test_only_lost_boards_are_not_the_cpu(host: Host) -> None:
    host.has("nvmlDeviceGetHandleByIndex", LOST)
    for selection in (None, "all"):
        with pytest.raises(UsageError, match=r"GPU 0 is lost: .*; GPU 1 is lost: .*--gpus none"):
            host.slots(selection)
    with pytest.raises(UsageError, match="is lost"):
        open_device()
    assert open_device("none").kind in (EnergySource.RAPL, EnergySource.ESTIMATE)


def test_a_board_that_shares_the_hosts_memory_is_kept_without_its_size(host: Host) -> None:
    host.has("nvmlDeviceGetMemoryInfo", NOT_SUPPORTED)
    assert [(gpu.uuid, gpu.name, gpu.memory_bytes) for gpu in list_gpus()] == [
        (uuid, "Fake H100", None) for uuid in UUIDS
    ]


@pytest.mark.parametrize("place", ["bus", "index"])
def test_a_board_without_a_readable_uuid_is_found_again_and_shown_to_cuda_by_index(host: Host, place: str) -> None:
    fake = host.has("nvmlDeviceGetUUID", NOT_SUPPORTED, "GPU-b")
    if place == "index":
        fake.faults["nvmlDeviceGetPciInfo"] = UNKNOWN
    slot = host.slots("1")[0]
    assert slot.gpu_uuid == ("PCI-00000000:01:00.0" if place == "bus" else "INDEX-1")
    shown = child_environment({}, slot)
    assert (shown["CUDA_VISIBLE_DEVICES"], shown["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")
    fake.boards[1].waveform = Constant(555.0)
    assert open_source(slot.gpu_uuid, EnergySpec()).power_w() == pytest.approx(555)


def test_without_a_uuid_and_behind_a_lost_board_nobody_knows_cudas_index(host: Host) -> None:
    fake = host.has("nvmlDeviceGetUUID", NOT_SUPPORTED, "GPU-c")
    fake.lost = ("GPU-b",)
    found = find_gpus()
    assert [gpu.uuid for gpu in found.gpus] == ["GPU-a"]
    assert [board.index for board in found.lost] == [1, 2]
    fake.lost = ()
    assert [gpu.cuda_name for gpu in find_gpus().gpus] == ["GPU-a", "GPU-b", "2"]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("function", [*READINGS, *DISCOVERY])
def test_in_a_trial_a_gpu_is_metered_with_what_is_left_and_never_estimated(
    host: Host, function: str, error: int
) -> None:
    fake = host.has(function, error)
    source = open_source("GPU-b", EnergySpec())
    assert source.kind in (EnergySource.NVML_COUNTER, EnergySource.NVML_POWER)
    clock = fake.clock
    assert isinstance(clock, VirtualClock)
    meter = EnergyMeter(source, clock=clock)
    start = meter.mark()
    while clock() < 12:
        clock.advance_to(meter.step())
    reading = meter.between(start, meter.mark())
    has_counter = function != "nvmlDeviceGetTotalEnergyConsumption"
    if function == "nvmlDeviceGetHandleByUUID" and error == LOST:
        assert (reading.energy_wh, "lost" in (reading.reason or "") or reading.reason) == (None, reading.reason)
        return
    assert reading.source is (EnergySource.NVML_COUNTER if has_counter else EnergySource.NVML_POWER)
    assert reading.average_power_w == pytest.approx(100, rel=0.02)
    assert source.device_stats().temperature_c == (None if function == "nvmlDeviceGetTemperature" else 41)


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
@pytest.mark.parametrize("error", ERRORS)
def test_in_a_trial_a_driver_that_fails_is_a_reason_and_not_the_cpu(host: Host, function: str, error: int) -> None:
    fake = host.has(function, error)
    fake.faults["nvmlDeviceGetHandleByIndex"] = error
    source = open_source("GPU-b", EnergySpec())
    meter = EnergyMeter(source, clock=(clock := VirtualClock()))
    start = meter.mark()
    clock.advance(5)
    reading = meter.between(start, meter.mark())
    assert (reading.energy_wh, source.kind.is_measured) == (None, True)
    assert "GPU-b" in (reading.reason or "")


def source_of(board: Board, **faults: int) -> tuple[NvmlSource, FaultyPynvml]:
    fake = FaultyPynvml(board, faults=dict(faults))
    return NvmlSource(Nvml(as_module(fake)), board.uuid), fake


@pytest.mark.parametrize("error", ERRORS)
def test_a_power_reading_that_fails_at_first_gives_way_to_the_next(error: int) -> None:
    fake = FaultyPynvml(Board(waveform=Constant(250)), faults={})
    fake.field_faults = {186: error}
    average = NvmlSource(Nvml(as_module(fake)), Board().uuid)
    assert (average.power_w(), average.power_reading, average.power_lag_s) == (250, "average", AVERAGE_LAG_S)
    fake.field_faults = {186: error, 185: error}
    usage = NvmlSource(Nvml(as_module(fake)), Board().uuid)
    assert (usage.power_w(), usage.power_reading, usage.power_lag_s) == (250, "usage", AVERAGE_LAG_S)


@pytest.mark.parametrize("error", ERRORS)
def test_a_power_reading_that_fails_later_gives_way_too_and_its_lag_with_it(error: int) -> None:
    source, fake = source_of(Board(waveform=Constant(250)))
    assert (source.power_reading, source.power_lag_s) == ("instant", INSTANT_LAG_S)
    fake.field_faults = {186: error}
    assert (source.power_w(), source.power_reading, source.power_lag_s) == (250, "average", AVERAGE_LAG_S)
    fake.faults["nvmlDeviceGetFieldValues"] = error
    assert (source.power_w(), source.power_reading) == (250, "usage")
    fake.faults["nvmlDeviceGetPowerUsage"] = error
    with pytest.raises(Exception, match="PowerUsage"):
        source.power_w()
    del fake.faults["nvmlDeviceGetPowerUsage"]
    assert source.power_w() == 250


def test_a_reading_that_all_fail_for_a_moment_comes_back_as_it_was() -> None:
    board = Board(waveform=Constant(250))
    source, _ = source_of(board)
    board.power_lost = [(0, 11)]
    with pytest.raises(Exception, match="FieldValues"):
        source.power_w()
    board.power_lost = []
    assert (source.power_w(), source.power_reading) == (250, "instant")


@pytest.mark.parametrize("limit_w", [0.0, 4_294_967.295, None])
def test_a_limit_that_is_none_is_unknown(limit_w: float | None) -> None:
    assert source_of(Board(limit_w=limit_w))[0].power_limit_w is None


@pytest.mark.parametrize("error", ERRORS)
def test_a_limit_that_cannot_be_read_gives_way_to_the_next(error: int) -> None:
    functions = ("PowerManagementLimitConstraints", "EnforcedPowerLimit", "PowerManagementLimit")
    faults: dict[str, int] = {}
    for function in functions:
        assert source_of(Board(limit_w=450.0), **faults)[0].power_limit_w == 450
        faults[f"nvmlDeviceGet{function}"] = error
    assert source_of(Board(limit_w=450.0), **faults)[0].power_limit_w is None
