"""Energy of GPUs and hosts: sources, the meter, idle baseline, carbon and cost."""

from greenopt.energy.carbon import carbon_g, cost, g_per_kwh
from greenopt.energy.gpus import Gpu, GpuProcess, gpu_processes, list_gpus, visible_gpus
from greenopt.energy.host import CpuTimeEstimate, RaplDomains, RaplSource
from greenopt.energy.idle import IdleBaseline, IdleStore, known_idle_w, measure_idle_w
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
    "IdleBaseline",
    "IdleStore",
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
    "carbon_g",
    "cost",
    "g_per_kwh",
    "gpu_processes",
    "known_idle_w",
    "list_gpus",
    "measure_idle_w",
    "open_source",
    "sum_of_devices",
    "visible_gpus",
]
