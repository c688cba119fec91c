"""NVIDIA's management library, as much of it as greenopt needs.

The one place that touches pynvml and its units: millijoules and milliwatts end here. The module object is passed in,
so that tests hand in a fake; `load` finds the real one.
"""

from collections.abc import Callable, Iterator
from typing import Any

from greenopt.energy.source import NotSupportedError, ReadError, Vitals

_MILLI = 1000.0


class Nvml:
    """NVML's readings in SI units. A failed call is `ReadError`, one that this device lacks `NotSupportedError`."""

    def __init__(self, module: Any) -> None:
        """Take a module with the functions of pynvml, already initialised."""
        self._module = module

    @classmethod
    def load(cls) -> "Nvml | None":
        """The library of the installed driver; None where there is no NVIDIA driver."""
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return None
        return cls(pynvml)

    def handles(self) -> Iterator[Any]:
        """Every board, in NVML's order (that of the PCI bus)."""
        for index in range(int(self._call(self._module.nvmlDeviceGetCount))):
            yield self._call(self._module.nvmlDeviceGetHandleByIndex, index)

    def handle(self, uuid: str) -> Any:
        """The board with this UUID."""
        return self._call(self._module.nvmlDeviceGetHandleByUUID, uuid)

    def uuid(self, handle: Any) -> str:
        """The board's UUID, `GPU-...`."""
        return _text(self._call(self._module.nvmlDeviceGetUUID, handle))

    def name(self, handle: Any) -> str:
        """The board's product name."""
        return _text(self._call(self._module.nvmlDeviceGetName, handle))

    def driver(self) -> str:
        """The driver's version."""
        return _text(self._call(self._module.nvmlSystemGetDriverVersion))

    def memory_bytes(self, handle: Any) -> int:
        """The board's memory in bytes."""
        return int(self._call(self._module.nvmlDeviceGetMemoryInfo, handle).total)

    def is_mig(self, handle: Any) -> bool:
        """Whether the board is split into MIG slices now."""
        try:
            return bool(self._call(self._module.nvmlDeviceGetMigMode, handle)[0])
        except ReadError:
            return False

    def counter_j(self, handle: Any) -> float:
        """Energy in J since the driver was loaded. Takes about 4 ms and changes every 100 ms."""
        return float(self._call(self._module.nvmlDeviceGetTotalEnergyConsumption, handle)) / _MILLI

    def instant_power_w(self, handle: Any) -> float:
        """Power in W over the sensor's latest 25 ms; field values carry a status of their own."""
        field = self._call(self._module.nvmlDeviceGetFieldValues, handle, [self._module.NVML_FI_DEV_POWER_INSTANT])[0]
        status = int(field.nvmlReturn)
        if status == self._module.NVML_ERROR_NOT_SUPPORTED:
            raise NotSupportedError("instant power: not supported by this GPU")
        if status != self._module.NVML_SUCCESS:
            raise ReadError(f"instant power: NVML status {status}")
        return float(field.value.uiVal) / _MILLI

    def average_power_w(self, handle: Any) -> float:
        """Power in W; averaged over 1 s by newer boards, instantaneous on older ones."""
        return float(self._call(self._module.nvmlDeviceGetPowerUsage, handle)) / _MILLI

    def power_limit_w(self, handle: Any) -> float | None:
        """The highest limit in W that the board accepts; else the one in force; None where neither is known.

        The highest, because the limit in force can be changed while a training runs.
        """
        try:
            return float(self._call(self._module.nvmlDeviceGetPowerManagementLimitConstraints, handle)[1]) / _MILLI
        except ReadError:
            pass
        try:
            return float(self._call(self._module.nvmlDeviceGetEnforcedPowerLimit, handle)) / _MILLI
        except ReadError:
            return None

    def vitals(self, handle: Any) -> Vitals:
        """Temperature, utilisation and memory in use."""
        module = self._module
        temperature_c = self._known(module.nvmlDeviceGetTemperature, handle, module.NVML_TEMPERATURE_GPU)
        rates = self._known(module.nvmlDeviceGetUtilizationRates, handle)
        memory = self._known(module.nvmlDeviceGetMemoryInfo, handle)
        return Vitals(
            temperature_c=None if temperature_c is None else float(temperature_c),
            utilisation=None if rates is None else rates.gpu / 100,
            memory_bytes=None if memory is None else int(memory.used),
        )

    def processes(self, handle: Any) -> list[tuple[int, int | None]]:
        """Process id and memory in bytes of each process that holds a compute context on the board."""
        running = self._call(self._module.nvmlDeviceGetComputeRunningProcesses, handle)
        return [(int(process.pid), process.usedGpuMemory) for process in running]

    def process_name(self, pid: int) -> str:
        """The program of a process; `?` where it cannot be seen from here."""
        name = self._known(self._module.nvmlSystemGetProcessName, pid)
        return "?" if name is None else _text(name)

    def close(self) -> None:
        """Give the library back; calls to `load` and `close` are counted by it."""
        self._known(self._module.nvmlShutdown)

    def _known(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return self._call(function, *arguments)
        except ReadError:
            return None

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._module.NVMLError as error:
            what = f"{function.__name__.removeprefix('nvmlDeviceGet')}: {error}"
            absent = getattr(error, "value", None) == self._module.NVML_ERROR_NOT_SUPPORTED
            raise (NotSupportedError if absent else ReadError)(what) from error


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
