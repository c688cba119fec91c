"""Takes the place of NVIDIA's module where its folder is first on the path: two boards of 300 W in real time.

A trial that was given a board holds it as a process; to itself a board is busy. What fails stands as JSON in an
environment variable: `{"faults": {"nvmlInit": 18}, "sick": ["GPU-0a"], "in": "trial"}`, the last two if not everywhere.
With `"file"` it all holds from when that file is there, which names the boards that are lost from then on.
Another environment variable has other boards than the two, by their UUIDs with commas between.
"""

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil

from tests.unit.energy.fake_nvml import Board, NVMLError
from tests.unit.energy.faulty_nvml import LOST, FaultyPynvml

IS_TRIAL = "--events-fd" in sys.argv
BOARDS = [
    Board(uuid=uuid, name="Made-up board", utilisation_percent=50 if IS_TRIAL else 0)
    for uuid in os.environ.get("GREENOPT_TEST_BOARDS", "GPU-0a,GPU-1b").split(",")
]


class TwoBoards(FaultyPynvml):
    def nvmlDeviceGetUUID(self, board: Board) -> str:  # noqa: N802
        if board.uuid in _lost_by_now():
            raise NVMLError(LOST)
        return super().nvmlDeviceGetUUID(board)

    def nvmlDeviceGetComputeRunningProcesses(self, board: Board) -> list[SimpleNamespace]:  # noqa: N802
        board.processes = [(pid, None) for pid in _trials_on(board.uuid)]
        return super().nvmlDeviceGetComputeRunningProcesses(board)


def _lost_by_now() -> list[str]:
    file = Path(_told.get("file", "/nowhere"))
    return file.read_text().split() if file.exists() else []


def _trials_on(uuid: str) -> list[int]:
    """The trials that were given a board; the one that asks has not begun to compute."""
    found = []
    for process in psutil.process_iter():
        try:
            is_trial = "--events-fd" in process.cmdline() and process.pid != os.getpid()
            if is_trial and process.environ().get("CUDA_VISIBLE_DEVICES") == uuid:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


_told = json.loads(os.environ.get("GREENOPT_TEST_NVML", "{}"))
_is_hit = _told.get("in", "trial" if IS_TRIAL else "command") == ("trial" if IS_TRIAL else "command")
_module = TwoBoards(*BOARDS, faults=_told.get("faults", {}) if _is_hit else {}, sick=tuple(_told.get("sick", ())))
_module.clock = time.monotonic
globals().update({name: getattr(_module, name) for name in dir(_module) if name.startswith(("nvml", "NVML"))})
