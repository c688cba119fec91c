"""Chooses what a trial's energy is read from."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from greenopt.energy.gpu_choice import hides_all_gpus, named_gpu, shown_gpus
from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.gpus import find_gpus
from greenopt.energy.host import CpuTimeEstimate
from greenopt.energy.nvml import Nvml
from greenopt.energy.rapl import POWERCAP, RaplDomains
from greenopt.energy.source import DriverError, PowerSource, ReadError, UnreadableSource
from greenopt.errors import UsageError
from greenopt.spec import EnergySpec


def open_device(gpu: str | None = None, *, cpu_w_per_core: float = EnergySpec().cpu_w_per_core) -> PowerSource:
    """Open the device that the caller's program computes on, for metering.

    Args:
        gpu: UUID or NVML index; the first GPU that CUDA shows to this process unless given, and the CPU without one;
            `none` for the CPU in any case.
        cpu_w_per_core: what to assume where the CPU's energy cannot be read, in W a busy core.

    Raises:
        UsageError: there is no such GPU, or every GPU is lost.
        DriverError: NVIDIA's driver is there and does not work.
    """
    spec = EnergySpec(cpu_w_per_core=cpu_w_per_core)
    if gpu == "none" or (gpu is None and hides_all_gpus(os.environ)):
        return open_source(None, spec)
    found = find_gpus()
    if gpu is not None:
        return open_source(named_gpu(list(found.gpus), gpu, found.lost).uuid, spec)
    shown = shown_gpus(list(found.gpus), os.environ, found.lost)
    if not shown and found.lost:
        raise UsageError(f"{'; '.join(map(str, found.lost))}; open_device('none') meters the CPU")
    return open_source(shown[0].uuid if shown else None, spec)


def open_source(
    gpu_uuid: str | None,
    spec: EnergySpec,
    *,
    nvml: Nvml | None = None,
    rapl_root: Path = POWERCAP,
    sleep: Callable[[float], None] = time.sleep,
) -> PowerSource:
    """Open the best power source for a trial.

    Args:
        gpu_uuid: the GPU that it trains on; None for the CPU.
        spec: what to assume where nothing can be measured.
        nvml: NVIDIA's library; the installed driver's unless given.
        rapl_root: the powercap folder.
        sleep: waits that many seconds for RAPL's counters to move.

    Returns:
        The GPU; one that cannot be metered gives a source whose readings say why, never another device's. Without a
        GPU: RAPL of the CPU packages where its counters can be read and move, else the estimate from CPU time.
    """
    if gpu_uuid is not None:
        return _open_gpu(gpu_uuid, nvml)
    return RaplDomains.find(rapl_root).moving(sleep=sleep).cpu or CpuTimeEstimate(spec.cpu_w_per_core)


def _open_gpu(uuid: str, nvml: Nvml | None) -> PowerSource:
    try:
        library = nvml or Nvml.load()
    except DriverError as error:
        return UnreadableSource(uuid, f"{uuid}: NVIDIA's driver does not work: {error}")
    if library is None:
        return UnreadableSource(uuid, f"{uuid}: there is no NVIDIA driver")
    try:
        return NvmlSource(library, uuid)
    except ReadError as error:
        library.close()
        return UnreadableSource(uuid, f"{uuid}: {error}")
