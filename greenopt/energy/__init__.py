"""Energy of GPUs and hosts: sources, the meter, idle baseline, carbon and cost.

The names below are public, and documented on the page `api`; rooms of greenopt import others from their modules.
"""

from greenopt.energy.keras_callback import EnergyCallback
from greenopt.energy.meter import EnergyMeter, Window
from greenopt.energy.metered import metered
from greenopt.energy.source_choice import open_device
from greenopt.reading import sum_of_devices

__all__ = ["EnergyCallback", "EnergyMeter", "Window", "metered", "open_device", "sum_of_devices"]
