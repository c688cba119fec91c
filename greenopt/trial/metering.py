"""Prepares a trial's meters: waits for a free GPU, measures the idle baseline, opens the readable sources."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from greenopt.energy.gpus import GpuProcess, gpu_processes
from greenopt.energy.idle import find_idle, measure_idle_w
from greenopt.energy.meter import PowerSample
from greenopt.energy.rapl import RaplDomains
from greenopt.energy.source_choice import open_source
from greenopt.energy.synchronise import sync_devices
from greenopt.energy.trial_meter import TrialMeter
from greenopt.events import Event, MeterOpened
from greenopt.spec import TrialSpec
from greenopt.trial.failures import GpuBusyError

BUSY_WAIT_S = 20.0
"""The process before may need a moment to let go of the GPU."""

_POLL_S = 0.5


def open_meters(spec: TrialSpec, emit: Callable[[Event], None], on_sample: Callable[[PowerSample], None]) -> TrialMeter:
    """Build a trial's meters, not yet started, and write the event that says what they read.

    Call it before anything uses the GPU. Takes ten seconds where the idle baseline of the GPU is not known.

    Raises:
        GpuBusyError: another process computes on the trial's GPU and `share_gpu` is not set.
    """
    busy = partial(_computing, spec.gpu_uuid)
    if spec.gpu_uuid is not None and not spec.share_gpu:
        await_free(busy)
    source = open_source(spec.gpu_uuid, spec.energy)
    idle = find_idle(source, spec.gpu_uuid, spec.energy, measure=partial(measure_idle_w, is_busy=lambda: bool(busy())))
    host = RaplDomains.find().moving()
    emit(
        MeterOpened(
            t_s=time.monotonic(),
            device=source.name,
            source=source.kind,
            idle_w=idle.idle_w,
            idle_origin=idle.origin,
            cpu=host.cpu and host.cpu.name,
            dram=host.dram and host.dram.name,
        )
    )
    return TrialMeter(
        source,
        host,
        sample_hz=spec.energy.sample_hz,
        idle_w=idle.idle_w,
        sync=sync_devices,
        on_sample=on_sample,
    )


def await_free(
    processes: Callable[[], Sequence[GpuProcess]],
    wait_s: float = BUSY_WAIT_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until no process computes on a GPU; this process must not have started computing.

    Raises:
        GpuBusyError: one still does after `wait_s` seconds.
    """
    until_s = clock() + wait_s
    while found := processes():
        if clock() >= until_s:
            who = ", ".join(f"{process.name} (pid {process.pid})" for process in found[:3])
            raise GpuBusyError(f"the GPU is in use by {who}; --share-gpus measures anyway (flagged)")
        sleep(_POLL_S)


def _computing(gpu_uuid: str | None) -> Sequence[GpuProcess]:
    return gpu_processes(gpu_uuid) if gpu_uuid is not None else ()
