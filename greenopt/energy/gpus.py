"""Which GPUs there are, and who computes on them.

Invariant: a GPU is known by its UUID; an index means something only together with the list that it points into.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from greenopt.energy.nvml import INDEX_PREFIX, PCI_PREFIX, Nvml
from greenopt.energy.source import DriverError, GpuLostError, ReadError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA board that answers; a fact that the driver does not tell is None.

    Attributes:
        uuid: `GPU-...`, the same in NVML, CUDA and nvidia-smi; where it cannot be read, `PCI-` with its place on the
            bus, else `INDEX-` with its index.
        index: NVML's index, in the order of the PCI bus; lost boards are counted.
        name: product name.
        memory_bytes: size of its memory; None too of boards that share the host's.
        driver: version of the driver.
        mig: whether it is split into MIG slices now.
    """

    uuid: str
    index: int
    name: str | None
    memory_bytes: int | None
    driver: str | None
    mig: bool = False

    @property
    def cuda_name(self) -> str:
        """The board in CUDA_VISIBLE_DEVICES where CUDA_DEVICE_ORDER is PCI_BUS_ID."""
        return str(self.index) if self.uuid.startswith((PCI_PREFIX, INDEX_PREFIX)) else self.uuid


@dataclass(frozen=True, slots=True)
class LostGpu:
    """A board that NVML counts and that cannot be used.

    Attributes:
        index: NVML's index.
        reason: what NVML says of it.
        uuid: None where it could not be read any more.
    """

    index: int
    reason: str
    uuid: str | None = None

    def __str__(self) -> str:
        """Name the board and say what is wrong with it."""
        return f"GPU {self.index}{f' ({self.uuid})' if self.uuid else ''} is lost: {self.reason}"


@dataclass(frozen=True, slots=True)
class GpuInventory:
    """All boards of a host in NVML's order: those that answer, and those that are lost."""

    gpus: tuple[Gpu, ...] = ()
    lost: tuple[LostGpu, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds a compute context on a GPU; `memory_bytes` is None where the driver does not tell."""

    pid: int
    name: str
    memory_bytes: int | None


def find_gpus(nvml: Nvml | None = None) -> GpuInventory:
    """Return all boards of this host; none where there is no NVIDIA driver.

    A query that fails costs the one fact that was asked for, never the board.

    Raises:
        DriverError: there is a driver and it does not work.
    """
    library = nvml or Nvml.load()
    if library is None:
        return GpuInventory()
    try:
        driver = _driver(library)
        found = [_board(library, index, driver) for index in range(library.count())]
    finally:
        if nvml is None:
            library.close()
    lost = [board for board in found if isinstance(board, LostGpu)]
    gpus = [board for board in found if isinstance(board, Gpu)]
    nameless = [gpu for gpu in gpus if not _is_told_from_lost(gpu, lost)]
    lost += [
        LostGpu(gpu.index, "its UUID cannot be read, and CUDA's index is unsure beside lost GPUs") for gpu in nameless
    ]
    return GpuInventory(
        tuple(gpu for gpu in gpus if gpu not in nameless), tuple(sorted(lost, key=lambda board: board.index))
    )


def list_gpus(nvml: Nvml | None = None) -> list[Gpu]:
    """Return the boards of this host that answer, in NVML's order; none where there is no NVIDIA driver.

    Raises:
        DriverError: there is a driver and it does not work.
    """
    return list(find_gpus(nvml).gpus)


def _is_told_from_lost(gpu: Gpu, lost: Sequence[LostGpu]) -> bool:
    """Whether CUDA can be told which board this is: by UUID, or by an index that no lost board before it shifts."""
    return gpu.cuda_name == gpu.uuid or all(board.index > gpu.index for board in lost)


def _driver(library: Nvml) -> str | None:
    try:
        return library.driver()
    except ReadError:
        return None


def _board(library: Nvml, index: int, driver: str | None) -> Gpu | LostGpu:
    uuid = None
    try:
        handle = library.handle_at(index)
        uuid = _known(library.uuid, handle)
        place = _known(library.pci_bus_id, handle) if uuid is None else None
        return Gpu(
            uuid=uuid or (f"{PCI_PREFIX}{place}" if place else f"{INDEX_PREFIX}{index}"),
            index=index,
            name=_known(library.name, handle),
            memory_bytes=_known(library.memory_bytes, handle),
            driver=driver,
            mig=library.is_mig(handle),
        )
    except ReadError as error:
        return LostGpu(index, str(error), uuid)


def _known(read: Callable[..., _T], *arguments: Any) -> _T | None:
    """Return a fact, None where it cannot be read; a lost board is not passed over.

    Raises:
        GpuLostError: the board is lost.
    """
    try:
        return read(*arguments)
    except GpuLostError:
        raise
    except ReadError:
        return None


def gpu_processes(uuid: str, nvml: Nvml | None = None) -> list[GpuProcess]:
    """Return the processes that hold a compute context on a GPU; none where the driver does not tell."""
    try:
        return read_processes(uuid, nvml)
    except (ReadError, DriverError):
        return []


def read_processes(uuid: str, nvml: Nvml | None = None) -> list[GpuProcess]:
    """Return the processes that hold a compute context on a GPU.

    Raises:
        ReadError: the driver does not tell.
        DriverError: it does not work at all.
    """
    library = nvml or Nvml.load()
    if library is None:
        raise ReadError("there is no NVIDIA driver")
    try:
        running = library.processes(library.handle(uuid))
        return [GpuProcess(pid, library.process_name(pid), memory_bytes) for pid, memory_bytes in running]
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
