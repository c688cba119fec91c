"""What importing the room costs."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["greenopt.energy", "greenopt.energy.keras_callback"])
def test_importing_the_meter_brings_in_nothing_heavy(module: str) -> None:
    heavy = {"tensorflow", "keras", "pynvml", "psutil", "platformdirs", "numpy", "optuna"}
    code = f"import sys, {module}; print(*sorted({heavy!r} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
