"""The real command in a fresh folder, on the CPU."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage, read_study
from tests.end_to_end.programs import postgresql

ROOT = Path(__file__).parents[2]
TINY = """
[study]
trials = 2
seed = 3
[data]
name = "synthetic"
images = 400
classes = 4
[training]
model = "tests.unit.trial.tiny:build"
epochs = {epochs}
batchnorm_momentum = 0.8
[space]
batch_size = [16, 32]
lr = [1e-2, 1e-3]
optimizer = "Adam"
"""
FUNCTION = """
import time

def run(trial):
    for _ in range({epochs}):
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        trial.end_epoch(0.5)
    return 0.5
"""


class Bench:
    """A folder with a study file, and greenopt commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.study_file = folder / "tiny.toml"
        self.running: list[subprocess.Popen[str]] = []

    def write_study(self, epochs: int = 2, **replaced: str) -> None:
        text = TINY.format(epochs=epochs)
        for old, new in replaced.items():
            text = text.replace(old, new)
        self.study_file.write_text(text, encoding="utf-8")

    def write_function(self, epochs: int = 4) -> None:
        """A study of a function that computes and trains nothing, for tests of what is not training."""
        (self.folder / "computes.py").write_text(FUNCTION.format(epochs=epochs))
        self.study_file.write_text('[study]\ntrials = 2\nobjective = "computes:run"\n[space]\nx = [1, 2, 3]\n')

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
        environment.pop("GREENOPT_RUNS", None)
        process = subprocess.Popen(
            [sys.executable, "-c", "from greenopt.cli import main; main()", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def run(self, *arguments: str, timeout_s: float = 300) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, err = process.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run_folder(self, name: str = "tiny") -> RunFolder:
        return RunFolder(self.folder / "runs" / name)

    def rows(self, name: str = "tiny") -> list[dict[str, Any]]:
        folder = self.run_folder(name)
        return list(read_study(name, open_storage(folder.default_storage)).rows)

    def wait_for(self, condition: Callable[[], Any], limit_s: float = 120.0) -> Any:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {limit_s} s")

    def tidy(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.communicate()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    bench.write_study()
    yield bench
    bench.tidy()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgresql() as url:
        yield url
