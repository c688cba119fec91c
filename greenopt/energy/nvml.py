"""NVIDIA's management library, as much of it as greenopt needs.

The one place that touches pynvml and its units: millijoules and milliwatts end here. The module object is passed in,
so that tests hand in a fake; `load` finds the real one.

Invariant: whatever goes wrong inside of the library, for whatever reason, leaves here as a `ReadError` or, where the
library as a whole does not work, as a `DriverError`.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypeVar

from greenopt.energy.source import DeviceStats, DriverError, GpuLostError, NotSupportedError, ReadError

_MILLI = 1000.0
_MAX_LIMIT_W = 100_000.0
"""A higher power limit is a field that was never filled in (2^32 - 1 mW)."""

PCI_PREFIX = "PCI-"
INDEX_PREFIX = "INDEX-"
"""What a board is known by where its UUID cannot be read: its place on the PCI bus, else its index."""

_SHUTDOWN, _THERMAL_SLOWDOWN = 0, 0x40
_UNCORRECTED, _VOLATILE = 1, 0
_XID_EVENTS = 8
"""Numbers of NVML's header: a temperature threshold, a reason of slow clocks, errors of memory, a type of events."""

_MAX_XIDS = 100

_T = TypeVar("_T")


class NvmlStatus(IntEnum):
    """The statuses of NVML's C interface that greenopt tells apart."""

    SUCCESS = 0
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    DRIVER_NOT_LOADED = 9
    LIBRARY_NOT_FOUND = 12
    FUNCTION_NOT_FOUND = 13
    GPU_IS_LOST = 15
    LIB_RM_VERSION_MISMATCH = 18
    ARGUMENT_VERSION_MISMATCH = 25
    DEPRECATED = 26
    GPU_NOT_FOUND = 28


class PowerField(IntEnum):
    """NVML's field ids of power readings."""

    AVERAGE = 185
    INSTANT = 186


_NO_DRIVER = (NvmlStatus.DRIVER_NOT_LOADED, NvmlStatus.LIBRARY_NOT_FOUND, NvmlStatus.GPU_NOT_FOUND)
_CURES: dict[object, str] = {
    NvmlStatus.LIB_RM_VERSION_MISMATCH: " (the driver was updated: restart the machine)",
    NvmlStatus.NO_PERMISSION: " (this user may not open /dev/nvidiactl)",
}
_ABSENT = (
    NvmlStatus.NOT_SUPPORTED,
    NvmlStatus.FUNCTION_NOT_FOUND,
    NvmlStatus.ARGUMENT_VERSION_MISMATCH,
    NvmlStatus.DEPRECATED,
)


class Nvml:
    """NVML's readings in SI units. A failed call is `ReadError`, one that this device lacks `NotSupportedError`."""

    def __init__(self, module: Any) -> None:
        """Take a module with the functions of pynvml, already initialised."""
        self._module = module

    @classmethod
    def load(cls) -> "Nvml | None":
        """Return the library of the installed driver; None where there is no NVIDIA driver or no GPU.

        Raises:
            DriverError: there is a driver and it does not work.
        """
        try:
            import pynvml

            pynvml.nvmlInit()
        except Exception as error:
            if getattr(error, "value", None) in _NO_DRIVER:
                return None
            raise DriverError(_text_of(error) + _CURES.get(getattr(error, "value", None), "")) from error
        return cls(pynvml)

    def count(self) -> int:
        """Return the number of boards, lost ones included.

        Raises:
            DriverError: the library does not tell.
        """
        try:
            return self._ask(int, "nvmlDeviceGetCount")
        except ReadError as error:
            raise DriverError(str(error)) from error

    def handle_at(self, index: int) -> Any:
        """Return the board at this place of NVML's order, which is that of the PCI bus."""
        return self._ask(_as_is, "nvmlDeviceGetHandleByIndex", index)

    def handle(self, uuid: str) -> Any:
        """Return the board with this UUID, or with the stand-in for one that `greenopt.energy.gpus` gave it."""
        if uuid.startswith(PCI_PREFIX):
            return self._ask(_as_is, "nvmlDeviceGetHandleByPciBusId", uuid.removeprefix(PCI_PREFIX))
        if uuid.startswith(INDEX_PREFIX):
            return self.handle_at(int(uuid.removeprefix(INDEX_PREFIX)))
        try:
            return self._ask(_as_is, "nvmlDeviceGetHandleByUUID", uuid)
        except GpuLostError:
            raise
        except ReadError:
            found = self._search(uuid)
            if found is None:
                raise
            return found

    def _search(self, uuid: str) -> Any:
        """Return the board with this UUID by looking at each; None where none has it."""
        for index in range(self._known(int, "nvmlDeviceGetCount") or 0):
            handle = self._known(_as_is, "nvmlDeviceGetHandleByIndex", index)
            if handle is not None and self._known(_text, "nvmlDeviceGetUUID", handle) == uuid:
                return handle
        return None

    def pci_bus_id(self, handle: Any) -> str:
        """Return where the board sits on the PCI bus, such as `00000000:01:00.0`."""
        return self._ask(lambda place: _text(place.busId), "nvmlDeviceGetPciInfo", handle)

    def uuid(self, handle: Any) -> str:
        """Return the board's UUID, `GPU-...`."""
        return self._ask(_text, "nvmlDeviceGetUUID", handle)

    def name(self, handle: Any) -> str:
        """Return the board's product name."""
        return self._ask(_text, "nvmlDeviceGetName", handle)

    def driver(self) -> str:
        """Return the driver's version."""
        return self._ask(_text, "nvmlSystemGetDriverVersion")

    def memory_bytes(self, handle: Any) -> int:
        """Return the board's memory in bytes."""
        return self._ask(lambda memory: int(memory.total), "nvmlDeviceGetMemoryInfo", handle)

    def is_mig(self, handle: Any) -> bool:
        """Return whether the board is split into MIG slices now; False where it does not tell."""
        return bool(self._known(lambda modes: bool(modes[0]), "nvmlDeviceGetMigMode", handle))

    def counter_j(self, handle: Any) -> float:
        """Return the energy in J since the driver was loaded. Takes about 4 ms and changes every 100 ms."""
        return self._ask(_from_milli, "nvmlDeviceGetTotalEnergyConsumption", handle)

    def instant_power_w(self, handle: Any) -> float:
        """Return the power in W over the sensor's latest 25 ms."""
        return self._field_w(PowerField.INSTANT, handle)

    def average_power_w(self, handle: Any) -> float:
        """Return the power in W averaged over 1 s."""
        return self._field_w(PowerField.AVERAGE, handle)

    def power_usage_w(self, handle: Any) -> float:
        """Return the power in W; averaged over 1 s by newer boards, instantaneous on older ones."""
        return self._ask(_from_milli, "nvmlDeviceGetPowerUsage", handle)

    def power_limit_w(self, handle: Any) -> float | None:
        """Return the highest limit in W that the board accepts; else the one in force; None where neither is known.

        The highest, because the limit in force can be changed while a training runs. Laptops tell 0 where they have no
        limit to tell.
        """
        limits_w = (
            self._known(lambda ends: _from_milli(ends[1]), "nvmlDeviceGetPowerManagementLimitConstraints", handle),
            self._known(_from_milli, "nvmlDeviceGetEnforcedPowerLimit", handle),
            self._known(_from_milli, "nvmlDeviceGetPowerManagementLimit", handle),
        )
        return next((limit_w for limit_w in limits_w if limit_w is not None and 0 < limit_w < _MAX_LIMIT_W), None)

    def device_stats(self, handle: Any) -> DeviceStats:
        """Return temperature, utilisation and memory in use; each is None where it cannot be read."""
        sensor = getattr(self._module, "NVML_TEMPERATURE_GPU", 0)
        return DeviceStats(
            temperature_c=self._known(float, "nvmlDeviceGetTemperature", handle, sensor),
            utilisation=self._known(lambda rates: rates.gpu / 100, "nvmlDeviceGetUtilizationRates", handle),
            memory_bytes=self._known(lambda memory: int(memory.used), "nvmlDeviceGetMemoryInfo", handle),
        )

    def temperature_c(self, handle: Any) -> float:
        """Return the temperature in degrees Celsius."""
        return self._ask(float, "nvmlDeviceGetTemperature", handle, getattr(self._module, "NVML_TEMPERATURE_GPU", 0))

    def shutdown_temperature_c(self, handle: Any) -> float | None:
        """Return the temperature in degrees Celsius at which the board shuts down; None where it does not tell."""
        found_c = self._known(float, "nvmlDeviceGetTemperatureThreshold", handle, _SHUTDOWN)
        return found_c if found_c else None

    def is_slowed_by_heat(self, handle: Any) -> bool:
        """Return whether the board has at least halved its clocks because it is too hot; False where unknown."""
        for function in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            reasons = self._known(int, function, handle)
            if reasons is not None:
                return bool(reasons & _THERMAL_SLOWDOWN)
        return False

    def uncorrected_errors(self, handle: Any) -> int | None:
        """Return the uncorrectable memory errors since the driver was loaded; None where they are not counted."""
        return self._known(int, "nvmlDeviceGetTotalEccErrors", handle, _UNCORRECTED, _VOLATILE)

    def watch_xids(self, handle: Any) -> Any:
        """Return a set that collects the board's XIDs, the driver's numbers of errors; None where it gives none."""
        events = self._known(_as_is, "nvmlEventSetCreate")
        if events is None:
            return None
        try:
            self._ask(_as_is, "nvmlDeviceRegisterEvents", handle, _XID_EVENTS, events)
        except ReadError:
            return None
        return events

    def xids(self, events: Any) -> list[int]:
        """Return the XIDs that a set has collected since the last call."""
        found: list[int] = []
        while len(found) < _MAX_XIDS:
            xid = self._known(lambda event: int(event.eventData), "nvmlEventSetWait_v2", events, 0)
            if xid is None:
                break
            found.append(xid)
        return found

    def processes(self, handle: Any) -> list[tuple[int, int | None]]:
        """Return process id and memory in bytes of each process that holds a compute context on the board."""
        return self._ask(
            lambda running: [(int(process.pid), process.usedGpuMemory) for process in running],
            "nvmlDeviceGetComputeRunningProcesses",
            handle,
        )

    def process_name(self, pid: int) -> str:
        """Return the program of a process; `?` where it cannot be seen from here."""
        return self._known(_text, "nvmlSystemGetProcessName", pid) or "?"

    def close(self) -> None:
        """Release the library, which counts calls to `load` and `close`."""
        self._known(_as_is, "nvmlShutdown")

    def _field_w(self, field: PowerField, handle: Any) -> float:
        """Return a power field in W; field values carry a status of their own."""
        what = f"power ({field.name.lower()})"
        value = self._ask(lambda values: values[0], "nvmlDeviceGetFieldValues", handle, [int(field)])
        try:
            status, power_w = int(value.nvmlReturn), _from_milli(value.value.uiVal)
        except Exception as error:
            raise ReadError(f"{what}: {_text_of(error)}") from error
        if status != NvmlStatus.SUCCESS:
            raise _read_error(status)(f"{what}: NVML status {status}")
        return power_w

    def _known(self, convert: Callable[[Any], _T], function: str, *arguments: Any) -> _T | None:
        try:
            return self._ask(convert, function, *arguments)
        except ReadError:
            return None

    def _ask(self, convert: Callable[[Any], _T], function: str, *arguments: Any) -> _T:
        """Call a function by its name, which an older library may lack, and convert what it returns."""
        what = function.removeprefix("nvmlDeviceGet")
        call = getattr(self._module, function, None)
        if call is None:
            raise NotSupportedError(f"{what}: not known to this version of NVML")
        # Not NVMLError alone: pynvml decodes text and follows pointers, and garbage makes it raise other errors.
        try:
            return convert(call(*arguments))
        except Exception as error:
            raise _read_error(getattr(error, "value", None))(f"{what}: {_text_of(error)}") from error


def _read_error(status: object) -> type[ReadError]:
    if status == NvmlStatus.GPU_IS_LOST:
        return GpuLostError
    return NotSupportedError if status in _ABSENT else ReadError


def _as_is(value: Any) -> Any:
    return value


def _from_milli(value: Any) -> float:
    return float(value) / _MILLI


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _text_of(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
