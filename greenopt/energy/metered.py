"""The meter as a decorator, for any function of any script."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from greenopt.energy.meter import EnergyMeter
from greenopt.energy.source import PowerSource
from greenopt.energy.source_choice import open_device
from greenopt.energy.synchronise import sync_devices
from greenopt.formatting import MISSING, format_reading, format_seconds
from greenopt.reading import EnergyReading

P = ParamSpec("P")
R = TypeVar("R")
Report = Callable[[str], object]


class Metered(Generic[P, R]):
    """A function each of whose calls is metered.

    Attributes:
        readings: the energy of each call so far, the latest last; of one that raised, flagged `partial`.
    """

    def __init__(self, function: Callable[P, R], device: Callable[[], PowerSource], report: Report | None) -> None:
        if not callable(function):
            raise TypeError(f"metered: {function!r} is no function")
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"metered: {function.__name__} returns before its work is done; meter a block instead")
        functools.update_wrapper(self, function)
        self.readings: list[EnergyReading] = []
        self._function, self._device, self._report = function, device, report

    def __call__(self, *arguments: P.args, **options: P.kwargs) -> R:
        """Call the function and meter it."""
        with EnergyMeter(self._device(), sync=sync_devices) as meter:
            device = meter.source.name
            try:
                with meter.window() as window:
                    return self._function(*arguments, **options)
            finally:
                self.readings.append(window.reading)
                if self._report is not None:
                    self._report(_line(self._function.__name__, window.reading, device))

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., R]:
        """Bind a method, as functions do."""
        return self if instance is None else functools.partial(self.__call__, instance)


def _line(name: str, reading: EnergyReading, device: str) -> str:
    known = f", {reading.reason}" if reading.source is None else ""
    power = MISSING if reading.average_power_w is None else f"{reading.average_power_w:.0f} W"
    return f"{name}: {format_reading(reading)} in {format_seconds(reading.seconds)} ({power} on {device}{known})"


@overload
def metered(function: Callable[P, R]) -> Metered[P, R]: ...


@overload
def metered(*, gpu: str | None = None, report: Report | None = print) -> Callable[[Callable[P, R]], Metered[P, R]]: ...


def metered(function: Any = None, *, gpu: str | None = None, report: Report | None = print) -> Any:
    """Meter each call of a function: `@metered`, or `@metered(gpu="1", report=None)`.

    What TensorFlow or PyTorch have queued on the GPU is waited for before and after a call.

    Args:
        function: the function; None where options are given.
        gpu: UUID or NVML index, `"none"` for the CPU; unless given, the first GPU that CUDA shows, else the CPU.
        report: given one line after each call; None for none.

    Returns:
        A function whose attribute `readings` holds the energy of each call.
    """

    def decorate(given: Callable[P, R]) -> Metered[P, R]:
        return Metered(given, functools.partial(open_device, gpu), report)

    return decorate if function is None else decorate(function)
