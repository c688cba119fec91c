"""Energy of GPUs and hosts: sources, the meter, idle baseline, carbon and cost."""

from greenopt.energy.carbon import carbon_g, cost, g_per_kwh
from greenopt.energy.gpu_choice import hides_all_gpus, matching_gpus, refuse_lost, shown_gpus, visible_gpus
from greenopt.energy.gpus import (
    Gpu,
    GpuInventory,
    GpuProcess,
    LostGpu,
    find_gpus,
    gpu_processes,
    list_gpus,
    read_processes,
)
from greenopt.energy.host import CpuTimeEstimate
from greenopt.energy.idle import Idle, IdleBaseline, IdleStore, find_idle, measure_idle_w
from greenopt.energy.keras_callback import EnergyCallback
from greenopt.energy.ledger import Mark
from greenopt.energy.meter import EnergyMeter, PowerSample, Window
from greenopt.energy.rapl import RaplDomains, RaplSource
from greenopt.energy.source import DeviceStats, DriverError, NotSupportedError, PowerSource, ReadError, UnreadableSource
from greenopt.energy.source_choice import open_device, open_source
from greenopt.energy.trial_meter import Marks, Readings, TrialMeter
from greenopt.reading import sum_of_devices

__all__ = [
    "CpuTimeEstimate",
    "DeviceStats",
    "DriverError",
    "EnergyCallback",
    "EnergyMeter",
    "Gpu",
    "GpuInventory",
    "GpuProcess",
    "Idle",
    "IdleBaseline",
    "IdleStore",
    "LostGpu",
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
    "Window",
    "carbon_g",
    "cost",
    "find_gpus",
    "find_idle",
    "g_per_kwh",
    "gpu_processes",
    "hides_all_gpus",
    "list_gpus",
    "matching_gpus",
    "measure_idle_w",
    "open_device",
    "open_source",
    "read_processes",
    "refuse_lost",
    "shown_gpus",
    "sum_of_devices",
    "visible_gpus",
]
