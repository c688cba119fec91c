"""Where trials run: the contract with the coordinator, local child processes, GPUs and their leases."""

from greenopt.execution.contract import Engine, EventArrived, Message, ProcessEnded, Slot
from greenopt.execution.leases import GpuLeases
from greenopt.execution.local import LocalEngine, child_environment

__all__ = [
    "Engine",
    "EventArrived",
    "GpuLeases",
    "LocalEngine",
    "Message",
    "ProcessEnded",
    "Slot",
    "child_environment",
]
