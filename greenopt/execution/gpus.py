"""Converts the user's selection of devices to slots: whole GPUs by UUID, or the CPU."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from greenopt.energy.gpu_choice import hides_all_gpus, matching_gpus, refuse_lost, shown_gpus
from greenopt.energy.gpus import Gpu, GpuInventory, GpuProcess, find_gpus, gpu_processes
from greenopt.energy.source import DriverError
from greenopt.errors import UsageError
from greenopt.execution.contract import Slot
from greenopt.execution.gpu_models import check_on_cpu, of_one_model
from greenopt.plain_text import printable

CPU = Slot("cpu")
_NONE = "none"
_ON_PURPOSE = "--gpus none trains on the CPU"


def _say(line: str) -> None:
    print(printable(f"greenopt: {line}"), file=sys.stderr)


def choose_slots(
    selection: str | None,
    *,
    share: bool = False,
    model: str | None = None,
    gpus: Callable[[], GpuInventory] = find_gpus,
    processes: Callable[[str], Sequence[GpuProcess]] = gpu_processes,
    environment: Mapping[str, str] = os.environ,
    say: Callable[[str], None] = _say,
) -> list[Slot]:
    """Return the slots for a selection of devices.

    The CPU is chosen only on purpose (`none`, or a CUDA_VISIBLE_DEVICES that shows nothing) or where there is no
    NVIDIA GPU; never in place of one that cannot be used.

    Args:
        selection: `all`, `none`, or NVML indexes and UUIDs (or their beginnings) with commas between; None for all
            GPUs there are, and the CPU where there are none.
        share: take GPUs on which other processes compute.
        model: a part of the GPUs' model, or `all` for GPUs of different models; the model of most of them unless given.
        gpus: finds the GPUs of this host.
        processes: lists the compute processes of a GPU.
        environment: CUDA_VISIBLE_DEVICES in it limits the choice; indexes in it count as CUDA_DEVICE_ORDER says.
        say: told in a line which GPUs are left out because they are lost or of another model.

    Raises:
        UsageError: a GPU is not there, is lost, is named twice, is busy, is of another model than others, CUDA would
            count the boards by speed, or the driver does not work.
    """
    if selection == _NONE or (selection is None and hides_all_gpus(environment)):
        check_on_cpu(model)
        return [CPU]
    found = _found(gpus)
    present = shown_gpus(list(found.gpus), environment, found.lost)
    chosen = _all(present, found, selection, say) if selection in (None, "all") else _named(present, found, selection)
    chosen = of_one_model(chosen, model, lambda gpu: gpu.name, say, are_named=selection not in (None, "all"))
    for gpu in chosen if not share else ():
        _refuse_busy(gpu, processes(gpu.uuid))
    return [_slot(gpu, share) for gpu in chosen] or [CPU]


def _slot(gpu: Gpu, share: bool) -> Slot:
    name = None if gpu.cuda_name == gpu.uuid else gpu.cuda_name
    return Slot(f"gpu {gpu.index}", gpu.uuid, is_shared=share, cuda_name=name)


def _found(gpus: Callable[[], GpuInventory]) -> GpuInventory:
    try:
        return gpus()
    except DriverError as error:
        raise UsageError(
            f"NVIDIA's driver is installed and does not work: {error}; see that nvidia-smi works, or {_ON_PURPOSE}"
        ) from error


def _all(present: list[Gpu], found: GpuInventory, selection: str | None, say: Callable[[str], None]) -> list[Gpu]:
    lost = "; ".join(map(str, found.lost))
    if not present and lost:
        raise UsageError(f"{lost}; no other GPU is visible: restart the machine, or {_ON_PURPOSE}")
    if not present and selection is not None:
        raise UsageError(f"--gpus {selection}: no NVIDIA GPU is visible; `greenopt doctor` says why")
    if lost:
        say(f"{lost}; going on with {', '.join(f'GPU {gpu.index}' for gpu in present)}")
    return present


def _named(present: Sequence[Gpu], found: GpuInventory, selection: str | None) -> list[Gpu]:
    chosen: list[Gpu] = []
    for word in (part.strip() for part in str(selection).split(",")):
        gpu = _one(word, present, found)
        if gpu in chosen:
            raise UsageError(f"--gpus {selection}: names {gpu.uuid} twice")
        chosen.append(gpu)
    return chosen


def _one(word: str, present: Sequence[Gpu], found: GpuInventory) -> Gpu:
    matches = matching_gpus(present, word)
    if len(matches) == 1:
        return matches[0]
    refuse_lost(f"--gpus {word!r}", word, matches, found.lost)
    there = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in present) or "none"
    raise UsageError(f"--gpus {word!r}: {'more than one' if matches else 'no'} visible GPU is meant; there are {there}")


def _refuse_busy(gpu: Gpu, processes: Sequence[GpuProcess]) -> None:
    if processes:
        who = ", ".join(f"{process.name} (pid {process.pid})" for process in processes[:3])
        raise UsageError(
            f"GPU {gpu.index} ({gpu.uuid}) is busy with {who}: its energy could not be separated; "
            "choose others with --gpus, or measure anyway with --share-gpus (flagged)"
        )
