"""A stand-in for pynvml whose every function can be made to fail, with any error, on all boards or on one."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tests.unit.energy.fake_nvml import Board, FakePynvml, NVMLError, VirtualClock

ERRORS = (*range(1, 31), 999)
"""Every error that NVML's header defines."""

NO_DRIVER = (9, 12, 28)
"""Driver not loaded, library not found, no GPU found."""

NOT_SUPPORTED, LOST, VERSION_MISMATCH, UNKNOWN = 3, 15, 18, 999

DISCOVERY = (
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetPciInfo",
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetProcessName",
    "nvmlShutdown",
)
READINGS = (
    "nvmlDeviceGetHandleByUUID",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetPowerManagementLimitConstraints",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetPowerManagementLimit",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetFieldValues",
)


class FaultyPynvml(FakePynvml):
    """Boards whose functions fail as told.

    `faults` holds, by function, the error to raise; `sick` the UUIDs of the boards that they hit, all unless given.
    `field_faults` holds, by field id, the status that it returns; `lost` the UUIDs of boards that have no handle.
    """

    def __init__(self, *boards: Board, faults: dict[str, int | Exception], sick: tuple[str, ...] = ()) -> None:
        super().__init__(VirtualClock(10.0), *boards)
        self.faults, self.sick = faults, sick
        self.field_faults: dict[int, int] = {}
        self.lost: tuple[str, ...] = ()
        self.temperatures_c: dict[str, int] = {}
        self.slow_for: dict[str, int] = {}
        self.memory_errors: dict[str, int] = {}
        self.xids: dict[str, list[int]] = {}

    def nvmlInit(self) -> None:  # noqa: N802
        """There is a driver."""

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Board:  # noqa: N802
        if self.boards[index].uuid in self.lost:
            raise NVMLError(LOST)
        return super().nvmlDeviceGetHandleByIndex(index)

    def nvmlDeviceGetTemperature(self, board: Board, sensor: int) -> int:  # noqa: N802
        return self.temperatures_c.get(board.uuid, 41)

    def nvmlDeviceGetTemperatureThreshold(self, board: Board, threshold: int) -> int:  # noqa: N802
        return {0: 95, 1: 90}[threshold]

    def nvmlDeviceGetCurrentClocksEventReasons(self, board: Board) -> int:  # noqa: N802
        return self.slow_for.get(board.uuid, 0)

    def nvmlDeviceGetTotalEccErrors(self, board: Board, kind: int, counter: int) -> int:  # noqa: N802
        return self.memory_errors.get(board.uuid, 0) if (kind, counter) == (1, 0) else 0

    def nvmlEventSetCreate(self) -> list[Board]:  # noqa: N802
        return []

    def nvmlDeviceRegisterEvents(self, board: Board, kinds: int, events: list[Board]) -> None:  # noqa: N802
        assert kinds == 8
        events.append(board)

    def nvmlEventSetWait_v2(self, events: list[Board], timeout_ms: int) -> SimpleNamespace:  # noqa: N802
        for board in events:
            if self.xids.get(board.uuid):
                return SimpleNamespace(eventData=self.xids[board.uuid].pop(0))
        raise NVMLError(10)

    def nvmlDeviceGetPciInfo(self, board: Board) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(busId=f"00000000:0{self.boards.index(board)}:00.0".encode())

    def nvmlDeviceGetHandleByPciBusId(self, place: str) -> Board:  # noqa: N802
        return self.boards[int(place[10])]

    def nvmlDeviceGetPowerManagementLimit(self, board: Board) -> int:  # noqa: N802
        return int((board.limit_w or 0) * 1000)

    def nvmlDeviceGetFieldValues(self, board: Board, fields: list[int]) -> list[SimpleNamespace]:  # noqa: N802
        (field,) = fields
        status = self.field_faults.get(field, 0)
        power_mw = self._power_mw(board, 0.025 if field == 186 else 1.0)
        return [SimpleNamespace(nvmlReturn=status, value=SimpleNamespace(uiVal=4_000_000_000 if status else power_mw))]

    def __getattribute__(self, name: str) -> Any:
        function = super().__getattribute__(name)
        return self._faulty(name, function) if name.startswith("nvml") else function

    def _faulty(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            fault = self.faults.get(name)
            if fault is not None and self._hits(arguments):
                raise NVMLError(fault) if isinstance(fault, int) else fault
            return function(*arguments)

        return call

    def _hits(self, arguments: tuple[Any, ...]) -> bool:
        if not self.sick or not arguments:
            return True
        first = arguments[0]
        board = self.boards[first] if isinstance(first, int) and first < len(self.boards) else first
        return getattr(board, "uuid", board) in self.sick
