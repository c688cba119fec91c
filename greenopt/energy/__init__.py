"""Energy of GPUs and hosts: sources, the meter, idle baseline, carbon and cost."""

from greenopt.energy.carbon import carbon_g, cost, g_per_kwh
from greenopt.energy.gpus import Gpu, GpuProcess, gpu_processes, list_gpus, matching_gpus, shown_gpus, visible_gpus
from greenopt.energy.host import CpuTimeEstimate, RaplDomains, RaplSource
from greenopt.energy.idle import Idle, IdleBaseline, IdleStore, find_idle, measure_idle_w
from greenopt.energy.keras_callback import EnergyCallback
from greenopt.energy.ledger import Mark
from greenopt.energy.meter import EnergyMeter, PowerSample, Window
from greenopt.energy.opening import open_device, open_source
from greenopt.energy.reading import sum_of_devices
from greenopt.energy.source import NotSupportedError, PowerSource, ReadError, UnreadableSource, Vitals
from greenopt.energy.trial_meter import Marks, Readings, TrialMeter

__all__ = [
    "CpuTimeEstimate",
    "EnergyCallback",
    "EnergyMeter",
    "Gpu",
    "GpuProcess",
    "Idle",
    "IdleBaseline",
    "IdleStore",
    "Mark",
    "Marks",
    "NotSupportedError",
    "PowerSample",
    "PowerSource",
    "RaplDomains",
    "RaplSource",
    "ReadError",
    "Readings",
    "TrialMeter",
    "UnreadableSource",
    "Vitals",
    "Window",
    "carbon_g",
    "cost",
    "find_idle",
    "g_per_kwh",
    "gpu_processes",
    "list_gpus",
    "matching_gpus",
    "measure_idle_w",
    "open_device",
    "open_source",
    "shown_gpus",
    "sum_of_devices",
    "visible_gpus",
]
