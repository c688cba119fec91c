"""Choosing GPUs of a host that exists on paper only."""

from dataclasses import replace

import pytest

from greenopt.energy.gpus import Gpu, GpuInventory, GpuProcess
from greenopt.errors import UsageError
from greenopt.execution.gpus import choose_slots


def gpu(index: int, uuid: str) -> Gpu:
    return Gpu(uuid=uuid, index=index, name="H100", memory_bytes=80 << 30, driver="580", mig=False)


HOST = [gpu(0, "GPU-1111"), gpu(1, "GPU-2222"), gpu(2, "GPU-2333")]


def chosen(
    selection: str | None, *, visible: str | None = None, busy: str = "", share: bool = False
) -> list[str | None]:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}

    def processes(uuid: str) -> list[GpuProcess]:
        return [GpuProcess(pid=42, name="python", memory_bytes=1)] if uuid == busy else []

    slots = choose_slots(
        selection, share=share, gpus=lambda: GpuInventory(tuple(HOST)), processes=processes, environment=environment
    )
    return [slot.gpu_uuid for slot in slots]


@pytest.mark.parametrize(
    ("selection", "uuids"),
    [
        (None, ["GPU-1111", "GPU-2222", "GPU-2333"]),
        ("all", ["GPU-1111", "GPU-2222", "GPU-2333"]),
        ("0,2", ["GPU-1111", "GPU-2333"]),
        ("2,0", ["GPU-2333", "GPU-1111"]),
        ("GPU-2222", ["GPU-2222"]),
        ("GPU-1", ["GPU-1111"]),
        ("none", [None]),
    ],
)
def test_a_selection_names_gpus(selection: str | None, uuids: list[str | None]) -> None:
    assert chosen(selection) == uuids


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("3", "no visible GPU is meant; there are 0 .GPU-1111"),
        ("GPU-2", "more than one visible GPU"),
        ("0,0", "names GPU-1111 twice"),
        ("", "no visible GPU"),
        ("MIG-1", "no visible GPU"),
    ],
)
def test_a_wrong_selection_is_refused_with_what_there_is(selection: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chosen(selection)


def test_the_environment_limits_the_choice() -> None:
    assert chosen(None, visible="GPU-2222") == ["GPU-2222"]
    assert chosen("all", visible="1,0") == ["GPU-2222", "GPU-1111"]
    with pytest.raises(UsageError):
        chosen("0", visible="1")


def test_an_index_that_cuda_would_count_by_speed_is_refused() -> None:
    host = [gpu(0, "GPU-1111"), replace(gpu(1, "GPU-2222"), name="A40")]

    def first(**environment: str) -> str | None:
        (slot,) = choose_slots(
            None, gpus=lambda: GpuInventory(tuple(host)), processes=lambda uuid: [], environment=environment
        )
        return slot.gpu_uuid

    with pytest.raises(UsageError, match="set CUDA_DEVICE_ORDER=PCI_BUS_ID or give UUIDs"):
        first(CUDA_VISIBLE_DEVICES="1")
    assert first(CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER="PCI_BUS_ID") == "GPU-2222"
    assert first(CUDA_VISIBLE_DEVICES="GPU-2222") == "GPU-2222"


def test_a_hidden_gpu_means_the_cpu() -> None:
    assert chosen(None, visible="-1") == [None]


A100, H100, H200 = "NVIDIA A100-SXM4-40GB", "NVIDIA H100 80GB HBM3", "NVIDIA H200"
MIXED = [
    replace(gpu(index, f"GPU-{index}"), name=name)
    for index, name in enumerate((A100, H100, H200, H100, None, "NVIDIA H100 80GB HBM3 NVL"))
]


def chosen_of(
    model: str | None, selection: str | None = None, host: "list[Gpu]" = MIXED, visible: str | None = None
) -> tuple[list[str | None], list[str]]:
    """The GPUs chosen on a host with boards of several models, and what was said of it."""
    said: list[str] = []
    slots = choose_slots(
        selection,
        model=model,
        gpus=lambda: GpuInventory(tuple(host)),
        processes=lambda _: [],
        environment={} if visible is None else {"CUDA_VISIBLE_DEVICES": visible},
        say=said.append,
    )
    return [slot.gpu_uuid for slot in slots], said


@pytest.mark.parametrize("selection", [None, "all"])
def test_a_study_runs_on_the_model_of_most_boards_and_says_so_in_a_line(selection: str | None) -> None:
    uuids, (line,) = chosen_of(None, selection)
    assert uuids == ["GPU-1", "GPU-3"]
    assert line.startswith(f"trials run on 2 x {H100}; there are 1 x {A100}, 2 x {H100}, 1 x {H200}")
    assert "--gpu-model" in line


def test_of_as_many_boards_the_first_model_is_taken_and_one_model_needs_no_line() -> None:
    assert chosen_of(None, host=MIXED[:2])[0] == ["GPU-0"]
    assert chosen_of(None, host=[MIXED[1], MIXED[3]]) == (["GPU-1", "GPU-3"], [])
    assert chosen_of(None, host=[MIXED[4]]) == (["GPU-4"], [])
    assert chosen_of(None, visible="GPU-2,GPU-0")[0] == ["GPU-2"]


@pytest.mark.parametrize(
    ("model", "uuids"),
    [("a100", ["GPU-0"]), ("H200", ["GPU-2"]), (H100, ["GPU-1", "GPU-3"]), ("NVL", ["GPU-5"])],
)
def test_a_model_is_chosen_by_a_part_of_its_name(model: str, uuids: list[str]) -> None:
    assert chosen_of(model) == (uuids, [])


def test_all_models_are_mixed_only_where_that_is_asked_for() -> None:
    assert chosen_of("all") == ([f"GPU-{index}" for index in range(6)], [])
    assert chosen_of("all", "0,1") == (["GPU-0", "GPU-1"], [])
    with pytest.raises(UsageError, match=f"1 x {A100}, 1 x {H100} are different models.*--gpu-model all"):
        chosen_of(None, "0,1")
    assert chosen_of(None, "1,3") == (["GPU-1", "GPU-3"], [])


@pytest.mark.parametrize(
    ("model", "selection", "message"),
    [
        ("H100", None, f"fits {H100} and {H100} NVL; give more of the name; there are 1 x {A100}"),
        ("V100", None, "'V100': no GPU is of this model; there are 1 x "),
        ("", None, "no GPU is of this model"),
        ("A100", "0,1", "some of the boards that --gpus names are of another model"),
        ("A100", "none", "trials would run on the CPU"),
    ],
)
def test_a_wrong_model_is_refused_with_what_there_is(model: str, selection: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chosen_of(model, selection)


def test_a_model_on_a_host_without_gpus_is_refused() -> None:
    with pytest.raises(UsageError, match="'H100': no GPU is of this model; there are none"):
        chosen_of("H100", host=[])


def test_a_busy_gpu_is_refused_unless_told_otherwise() -> None:
    with pytest.raises(UsageError, match=r"GPU 1 .* busy with python .pid 42."):
        chosen("1", busy="GPU-2222")
    assert chosen("1", busy="GPU-2222", share=True) == ["GPU-2222"]
    assert chosen("0", busy="GPU-2222") == ["GPU-1111"]


@pytest.mark.parametrize("share", [False, True])
def test_a_slot_says_whether_it_is_shared(share: bool) -> None:
    slots = choose_slots(
        "all", share=share, gpus=lambda: GpuInventory(tuple(HOST)), processes=lambda uuid: [], environment={}
    )
    assert [slot.is_shared for slot in slots] == [share] * 3
