"""What trials start ends with them, however they end, and with their coordinator."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.unit.execution.leaving import LEFT_BY_EACH, WAYS, left_in


def running(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("kind", ["fresh", "copy"])
def test_nothing_outlives_a_trial_or_its_coordinator(kind: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.unit.execution.leaving", kind, str(tmp_path)]
    bystander = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(300)"], start_new_session=True)
    coordinator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert coordinator.stdout is not None
    try:
        ends = coordinator.stdout.readline()
        assert ends == "[(0, 0, None), (1, 0, None), (2, None, 'SIGKILL'), (3, None, 'SIGKILL')]\n"
        for way in WAYS[:-1]:
            assert len(left_in(tmp_path / way)) == LEFT_BY_EACH
            assert not running(left_in(tmp_path / way)), way
        hanging = left_in(tmp_path / "hangs")
        assert running(hanging) == hanging, "another trial's end is not this one's"
        assert "ended what the trial left running: " in (tmp_path / "returns" / "log.txt").read_text()
        assert {(tmp_path / way / "stdin").read_text() for way in WAYS} == {"/dev/null b''"}
        below = psutil.Process(coordinator.pid).children(recursive=True)
        coordinator.kill()
        coordinator.wait()
        until_s = time.monotonic() + 20
        while (left := running([*hanging, *(process.pid for process in below)])) and time.monotonic() < until_s:
            time.sleep(0.05)
        assert not left
        assert bystander.poll() is None
    finally:
        coordinator.kill()
        coordinator.wait()
        coordinator.stdout.close()
        bystander.kill()
        bystander.wait()
