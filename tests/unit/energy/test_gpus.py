"""Finding GPUs, and who computes on them."""

import pytest

from greenopt.energy.gpu_choice import visible_gpus
from greenopt.energy.gpus import Gpu, foreign_pids, gpu_processes, list_gpus
from greenopt.energy.nvml import Nvml
from greenopt.errors import UsageError
from tests.unit.energy.fake_nvml import Board, FakePynvml, NVMLError, VirtualClock, as_module


def nvml_of(*boards: Board) -> Nvml:
    return Nvml(as_module(FakePynvml(VirtualClock(), *boards)))


def test_every_board_is_listed_with_its_facts() -> None:
    gpus = list_gpus(nvml_of(Board(uuid="GPU-a", mig=True), Board(uuid="GPU-b")))
    assert gpus[0] == Gpu(uuid="GPU-a", index=0, name="Fake H100", memory_bytes=80 * 2**30, driver="580.159", mig=True)
    assert (gpus[1].uuid, gpus[1].index, gpus[1].mig) == ("GPU-b", 1, False)


def test_a_board_that_fell_off_the_bus_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakePynvml(VirtualClock(), Board(uuid="GPU-lost"), Board(uuid="GPU-b"))

    def uuid(board: Board) -> str:
        if board.uuid == "GPU-lost":
            raise NVMLError(15)
        return board.uuid

    monkeypatch.setattr(fake, "nvmlDeviceGetUUID", uuid)
    assert [(gpu.uuid, gpu.index) for gpu in list_gpus(Nvml(as_module(fake)))] == [("GPU-b", 1)]


def test_processes_are_listed_by_name_where_it_can_be_seen() -> None:
    nvml = nvml_of(Board(uuid="GPU-a", processes=[(7, 2**30), (90_001, None)]))
    seen = [(process.pid, process.name, process.memory_bytes) for process in gpu_processes("GPU-a", nvml)]
    assert seen == [(7, "program-7", 2**30), (90_001, "?", None)]
    assert gpu_processes("GPU-none", nvml) == []


@pytest.mark.parametrize(
    ("pids", "visible", "foreign"),
    [
        ([10], {10}, []),
        ([10, 20], {10, 20}, [20]),
        ([20], {10, 20}, [20]),
        ([777], {10}, []),
        ([777, 888], {10}, [888]),
        ([10, 777], {10}, [777]),
    ],
)
def test_own_process_is_told_from_others_in_a_container_too(
    pids: list[int], visible: set[int], foreign: list[int]
) -> None:
    assert foreign_pids(pids, own=[10], is_visible=visible.__contains__) == foreign


def two_kinds() -> list[Gpu]:
    return [
        Gpu(uuid=f"GPU-{k}", index=k, name=name, memory_bytes=1, driver="1") for k, name in enumerate(["H100", "A40"])
    ]


def test_indexes_that_count_by_speed_are_refused_where_boards_differ() -> None:
    with pytest.raises(UsageError, match="CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        visible_gpus(two_kinds(), "0", device_order="FASTEST_FIRST")
    assert visible_gpus(two_kinds(), "GPU-1", device_order="FASTEST_FIRST")[0].name == "A40"


def test_a_wrong_entry_names_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"CUDA_VISIBLE_DEVICES: 5: there is no such GPU; known: 0 \(GPU-0\), 1"):
        visible_gpus(two_kinds(), "5")
    with pytest.raises(UsageError, match="no NVIDIA GPU was found"):
        visible_gpus([], "0")


def test_a_mig_slice_says_what_can_be_measured() -> None:
    with pytest.raises(UsageError, match="only the whole board's energy can be measured"):
        visible_gpus(two_kinds(), "MIG-GPU-0/1/0")
