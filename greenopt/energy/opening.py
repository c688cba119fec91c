"""Chooses what a trial's energy is read from."""

import os
from pathlib import Path

from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.gpus import list_gpus, named_gpu, shown_gpus
from greenopt.energy.host import POWERCAP, CpuTimeEstimate, RaplDomains
from greenopt.energy.nvml import Nvml
from greenopt.energy.source import PowerSource, ReadError, UnreadableSource
from greenopt.spec import EnergySpec


def open_device(gpu: str | None = None, *, cpu_w_per_core: float = EnergySpec().cpu_w_per_core) -> PowerSource:
    """The device that a program of one's own computes on, to be metered.

    Args:
        gpu: UUID or NVML index; the first GPU that CUDA shows to this process unless given, and the CPU without one.
        cpu_w_per_core: what to assume where the CPU's energy cannot be read, in W a busy core.

    Raises:
        UsageError: there is no such GPU.
    """
    chosen = shown_gpus(list_gpus(), os.environ) if gpu is None else [named_gpu(list_gpus(), gpu)]
    return open_source(chosen[0].uuid if chosen else None, EnergySpec(cpu_w_per_core=cpu_w_per_core))


def open_source(
    gpu_uuid: str | None, spec: EnergySpec, *, nvml: Nvml | None = None, rapl_root: Path = POWERCAP
) -> PowerSource:
    """The best power source for a trial.

    Args:
        gpu_uuid: the GPU that it trains on; None for the CPU.
        spec: what to assume where nothing can be measured.
        nvml: NVIDIA's library; the installed driver's unless given.
        rapl_root: the powercap folder.

    Returns:
        The GPU; one that cannot be metered gives a source whose readings say why, never another device's. Without a
        GPU: RAPL of the CPU packages where readable, else the estimate from CPU time.
    """
    if gpu_uuid is not None:
        return _open_gpu(gpu_uuid, nvml)
    return RaplDomains.find(rapl_root).cpu or CpuTimeEstimate(spec.cpu_w_per_core)


def _open_gpu(uuid: str, nvml: Nvml | None) -> PowerSource:
    library = nvml or Nvml.load()
    if library is None:
        return UnreadableSource(uuid, f"{uuid}: there is no NVIDIA driver")
    try:
        return NvmlSource(library, uuid)
    except ReadError as error:
        library.close()
        return UnreadableSource(uuid, f"{uuid}: {error}")
