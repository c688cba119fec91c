"""From what the user chose to slots: whole GPUs by UUID, or the CPU."""

import os
from collections.abc import Callable, Mapping, Sequence

from greenopt.energy import Gpu, GpuProcess, gpu_processes, list_gpus, matching_gpus, shown_gpus
from greenopt.errors import UsageError
from greenopt.execution.contract import Slot

CPU = Slot("cpu")


def choose_slots(
    selection: str | None,
    *,
    share: bool = False,
    gpus: Callable[[], Sequence[Gpu]] = list_gpus,
    processes: Callable[[str], Sequence[GpuProcess]] = gpu_processes,
    environment: Mapping[str, str] = os.environ,
) -> list[Slot]:
    """The slots that a selection names.

    Args:
        selection: `all`, `none`, or NVML indexes and UUIDs (or their beginnings) with commas between; None for all
            GPUs there are, and the CPU where there are none.
        share: take GPUs on which other processes compute.
        gpus: lists the GPUs of this host.
        processes: lists the compute processes of a GPU.
        environment: CUDA_VISIBLE_DEVICES in it limits the choice; indexes in it count as CUDA_DEVICE_ORDER says.

    Raises:
        UsageError: a GPU is not there, is named twice, is busy, or CUDA would count the boards by speed.
    """
    if selection == "none":
        return [CPU]
    present = shown_gpus(list(gpus()), environment)
    if selection in (None, "all"):
        if not present and selection == "all":
            raise UsageError("--gpus all: no NVIDIA GPU is visible; `greenopt doctor` says why")
        chosen = list(present)
    else:
        chosen = [_named(word.strip(), present) for word in str(selection).split(",")]
    for index, gpu in enumerate(chosen):
        if gpu in chosen[:index]:
            raise UsageError(f"--gpus {selection}: names {gpu.uuid} twice")
        if not share:
            _refuse_busy(gpu, processes(gpu.uuid))
    return [Slot(f"gpu {gpu.index}", gpu.uuid, is_shared=share) for gpu in chosen] or [CPU]


def _named(word: str, present: Sequence[Gpu]) -> Gpu:
    matches = matching_gpus(present, word)
    if len(matches) == 1:
        return matches[0]
    there = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in present) or "none"
    raise UsageError(f"--gpus {word!r}: {'more than one' if matches else 'no'} visible GPU is meant; there are {there}")


def _refuse_busy(gpu: Gpu, processes: Sequence[GpuProcess]) -> None:
    if processes:
        who = ", ".join(f"{process.name} (pid {process.pid})" for process in processes[:3])
        raise UsageError(
            f"GPU {gpu.index} ({gpu.uuid}) is busy with {who}: its energy could not be told apart; "
            "choose others with --gpus, or --share-gpus to measure all the same, flagged"
        )
