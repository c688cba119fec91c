"""Energy of GPUs and hosts: sources, the meter, idle baseline, carbon and cost."""

from greenopt.energy.gpus import Gpu, GpuProcess, gpu_processes, list_gpus, visible_gpus
from greenopt.energy.host import CpuTimeEstimate, RaplDomains, RaplSource
from greenopt.energy.ledger import Mark
from greenopt.energy.meter import EnergyMeter, PowerSample, Window
from greenopt.energy.opening import open_source
from greenopt.energy.reading import sum_of_devices
from greenopt.energy.source import NotSupportedError, PowerSource, ReadError, UnreadableSource, Vitals

__all__ = [
    "CpuTimeEstimate",
    "EnergyMeter",
    "Gpu",
    "GpuProcess",
    "Mark",
    "NotSupportedError",
    "PowerSample",
    "PowerSource",
    "RaplDomains",
    "RaplSource",
    "ReadError",
    "UnreadableSource",
    "Vitals",
    "Window",
    "gpu_processes",
    "list_gpus",
    "open_source",
    "sum_of_devices",
    "visible_gpus",
]
