"""Which GPUs there are, which of them CUDA would show, and who computes on them.

Invariant: a GPU is known by its UUID; an index means something only together with the list that it points into.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenopt.energy.nvml import Nvml
from greenopt.energy.source import ReadError
from greenopt.errors import UsageError


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA board.

    Attributes:
        uuid: `GPU-...`, the same in NVML, CUDA and nvidia-smi.
        index: NVML's index, in the order of the PCI bus.
        name: product name.
        memory_bytes: size of its memory.
        driver: version of the driver.
        mig: whether it is split into MIG slices now.
    """

    uuid: str
    index: int
    name: str
    memory_bytes: int
    driver: str
    mig: bool = False


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds a compute context on a GPU; `memory_bytes` is None where the driver does not tell."""

    pid: int
    name: str
    memory_bytes: int | None


def list_gpus(nvml: Nvml | None = None) -> list[Gpu]:
    """All boards of this host in NVML's order; empty where there is no NVIDIA driver."""
    library = nvml or Nvml.load()
    if library is None:
        return []
    try:
        return [gpu for index, handle in enumerate(library.handles()) if (gpu := _gpu(library, index, handle))]
    except ReadError:
        return []
    finally:
        if nvml is None:
            library.close()


def _gpu(library: Nvml, index: int, handle: Any) -> Gpu | None:
    """A board's facts; None where it has fallen off the bus."""
    try:
        return Gpu(
            uuid=library.uuid(handle),
            index=index,
            name=library.name(handle),
            memory_bytes=library.memory_bytes(handle),
            driver=library.driver(),
            mig=library.is_mig(handle),
        )
    except ReadError:
        return None


def gpu_processes(uuid: str, nvml: Nvml | None = None) -> list[GpuProcess]:
    """The processes that hold a compute context on a GPU; empty where the driver does not tell."""
    library = nvml or Nvml.load()
    if library is None:
        return []
    try:
        running = library.processes(library.handle(uuid))
        return [GpuProcess(pid, library.process_name(pid), memory_bytes) for pid, memory_bytes in running]
    except ReadError:
        return []
    finally:
        if nvml is None:
            library.close()


def foreign_pids(
    pids: Iterable[int], own: Iterable[int] | None = None, is_visible: Callable[[int], bool] | None = None
) -> list[int]:
    """Those process ids that are neither this process nor its parents.

    In a container the driver reports ids of the host, which cannot be matched to one's own. Where this process is not
    in the list, one id that does not exist here is therefore taken to be this process.

    Args:
        pids: ids as the driver reports them.
        own: ids that count as ours; this process and its parent unless given.
        is_visible: whether an id exists here; looks in /proc unless given.
    """
    ours = set(own) if own is not None else {os.getpid(), os.getppid()}
    exists = is_visible or (lambda pid: Path(f"/proc/{pid}").exists())
    reported = list(pids)
    others = [pid for pid in reported if pid not in ours]
    hidden = [pid for pid in others if not exists(pid)]
    if len(others) == len(reported) and hidden:
        others.remove(hidden[0])
    return others


def shown_gpus(gpus: list[Gpu], environment: Mapping[str, str]) -> list[Gpu]:
    """The GPUs that CUDA shows to a process with this environment, in its order.

    Args:
        gpus: all boards, in NVML's order.
        environment: holds CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, or neither.

    Raises:
        UsageError: as `visible_gpus`.
    """
    order = environment.get("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    return visible_gpus(gpus, environment.get("CUDA_VISIBLE_DEVICES"), order)


def visible_gpus(gpus: list[Gpu], cuda_visible_devices: str | None, device_order: str = "PCI_BUS_ID") -> list[Gpu]:
    """The GPUs that CUDA would show, in its order.

    Args:
        gpus: all boards, in NVML's order.
        cuda_visible_devices: the variable's text: None for all boards; else indexes, UUIDs or unique beginnings of
            UUIDs. As in CUDA, an index below 0 ends the list, and an empty text shows none.
        device_order: what indexes count: `PCI_BUS_ID` (NVML's order) or CUDA's default `FASTEST_FIRST`.

    Raises:
        UsageError: an entry names no board, several, one twice, or a MIG slice; or indexes count boards by speed.
    """
    if cuda_visible_devices is None:
        return list(gpus)
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in cuda_visible_devices.split(",")):
        if not entry or _is_negative(entry):
            break
        gpu = _by_index(gpus, entry, device_order) if entry.isdigit() else _by_uuid(gpus, entry)
        if gpu in chosen:
            raise UsageError(
                f"CUDA_VISIBLE_DEVICES={cuda_visible_devices}: {entry} names GPU {gpu.index} a second time"
            )
        chosen.append(gpu)
    return chosen


def matching_gpus(gpus: Sequence[Gpu], name: str) -> list[Gpu]:
    """The GPUs with this NVML index, or whose UUID begins so."""
    if name.isdigit():
        return [gpu for gpu in gpus if gpu.index == int(name)]
    return [gpu for gpu in gpus if name and gpu.uuid.lower().startswith(name.lower())]


def named_gpu(gpus: list[Gpu], name: str) -> Gpu:
    """The one GPU with this NVML index, or whose UUID begins so.

    Raises:
        UsageError: there is none, or more than one.
    """
    matches = matching_gpus(gpus, name)
    if len(matches) != 1:
        raise UsageError(f"gpu {name!r}: {'fits several GPUs' if matches else 'there is no such GPU'}; {_known(gpus)}")
    return matches[0]


def _is_negative(entry: str) -> bool:
    return entry.startswith("-") and entry[1:].isdigit()


def _by_index(gpus: list[Gpu], entry: str, device_order: str) -> Gpu:
    if int(entry) >= len(gpus):
        raise UsageError(f"CUDA_VISIBLE_DEVICES: {entry}: there is no such GPU; {_known(gpus)}")
    if device_order != "PCI_BUS_ID" and len({gpu.name for gpu in gpus}) > 1:
        raise UsageError(
            f"CUDA_VISIBLE_DEVICES: {entry}: CUDA counts different GPUs by speed; "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID or give UUIDs"
        )
    return gpus[int(entry)]


def _by_uuid(gpus: list[Gpu], entry: str) -> Gpu:
    if entry.upper().startswith("MIG"):
        raise UsageError(
            f"CUDA_VISIBLE_DEVICES: {entry}: is a MIG slice; only the whole board's energy can be measured, "
            "so give the board's UUID and let nothing else run on it, or turn MIG off"
        )
    matches = [gpu for gpu in gpus if gpu.uuid.lower().startswith(entry.lower())]
    if len(matches) != 1:
        problem = "fits several GPUs" if matches else "there is no such GPU"
        raise UsageError(f"CUDA_VISIBLE_DEVICES: {entry}: {problem}; {_known(matches or gpus)}")
    return matches[0]


def _known(gpus: list[Gpu]) -> str:
    return "known: " + ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in gpus) if gpus else "no NVIDIA GPU was found"
