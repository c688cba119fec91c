"""Leases of GPUs between processes of one host."""

import subprocess
import sys
from pathlib import Path

import pytest

from greenopt.errors import UsageError
from greenopt.execution import GpuLeases


def test_two_studies_cannot_hold_one_gpu(tmp_path: Path) -> None:
    with GpuLeases(["GPU-a", "GPU-b"], tmp_path), pytest.raises(UsageError, match=r"GPU GPU-b is in use by .*pid \d+"):
        GpuLeases(["GPU-c", "GPU-b"], tmp_path).__enter__()


def test_a_refused_study_keeps_no_lease(tmp_path: Path) -> None:
    with GpuLeases(["GPU-b"], tmp_path):
        with pytest.raises(UsageError):
            GpuLeases(["GPU-c", "GPU-b"], tmp_path).__enter__()
        with GpuLeases(["GPU-c"], tmp_path):
            pass


def test_a_lease_ends_with_its_context(tmp_path: Path) -> None:
    with GpuLeases(["GPU-a"], tmp_path):
        pass
    with GpuLeases(["GPU-a"], tmp_path):
        pass


def test_a_killed_process_gives_its_lease_back(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from greenopt.execution import GpuLeases
with GpuLeases(["GPU-a"], Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=f"pid {holder.pid}"):
        GpuLeases(["GPU-a"], tmp_path).__enter__()
    holder.kill()
    holder.wait()
    with GpuLeases(["GPU-a"], tmp_path):
        pass
