"""`greenopt run` on GPUs that NVML cannot fully read: never another device's energy in their place."""

import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.energy.faulty_nvml import LOST, NOT_SUPPORTED, UNKNOWN, VERSION_MISMATCH

ROOT = Path(__file__).parents[2]
TWO_GPUS = Path(__file__).parent / "two_gpus"
STUDY = """
[study]
name = "faulty"
trials = 2
seed = 3
objective = "tests.end_to_end.two_gpus.objective:waits"
[training]
epochs = 1
[space]
epoch_s = { low = 0.4, high = 0.6 }
"""

pytestmark = pytest.mark.end_to_end


class Bench:
    """A folder with a study, on a host with two boards that fail as told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "faulty.toml").write_text(STUDY)
        caches = folder / "caches"
        (caches / "greenopt").mkdir(parents=True)
        idle = {uuid: {"idle_w": 72.0, "measured": f"{datetime.now(UTC):%Y-%m-%d}"} for uuid in ("GPU-0a", "GPU-1b")}
        (caches / "greenopt" / "idle.json").write_text(json.dumps(idle))
        hidden = ("CUDA_VISIBLE_DEVICES", "GREENOPT_RUNS", "GREENOPT_STORAGE")
        kept = {name: text for name, text in os.environ.items() if name not in hidden}
        self._environment = {**kept, "XDG_CACHE_HOME": str(caches), "PYTHONPATH": f"{TWO_GPUS}:{ROOT}"}

    def run(self, *arguments: str, told: dict[str, Any] | None = None) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "greenopt", *arguments]
        environment = {**self._environment, "GREENOPT_TEST_NVML": json.dumps(told or {})}
        return subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300
        )

    def trials(self) -> list[dict[str, str]]:
        """The trials as a user exports them; empty is what was not measured."""
        done = self.run("export", "faulty", "--output", "trials.csv")
        assert done.returncode == 0, done.stderr
        with (self.folder / "trials.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"faults": {"nvmlInit": VERSION_MISMATCH}}, "does not work"),
        ({"faults": {"nvmlDeviceGetCount": UNKNOWN}}, "does not work"),
        ({"faults": {"nvmlDeviceGetHandleByIndex": LOST}}, "GPU 0 is lost"),
    ],
)
def test_gpus_that_cannot_be_used_are_refused_in_a_line(bench: Bench, told: dict[str, Any], words: str) -> None:
    for arguments in (("run", "faulty.toml"), ("run", "faulty.toml", "--dry-run")):
        done = bench.run(*arguments, told=told)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1
        assert words in done.stderr
        assert "--gpus none" in done.stderr
    assert not (bench.folder / "runs").exists()


def test_the_cpu_on_purpose(bench: Bench) -> None:
    done = bench.run("run", "faulty.toml", "--gpus", "none", told={"faults": {"nvmlInit": VERSION_MISMATCH}})
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(row.get("gpu_uuid") for row in bench.trials())


def test_boards_that_tell_little_are_used_and_a_lost_one_is_named(bench: Bench) -> None:
    told = {"faults": {"nvmlDeviceGetHandleByIndex": LOST}, "sick": ["GPU-0a"]}
    done = bench.run("run", "faulty.toml", told=told)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "GPU 0 is lost" in done.stderr
    assert [(row["gpu_uuid"], row["energy_source"]) for row in bench.trials()] == [("GPU-1b", "nvml_counter")] * 2


def test_a_host_whose_boards_share_its_memory(bench: Bench) -> None:
    done = bench.run("run", "faulty.toml", told={"faults": {"nvmlDeviceGetMemoryInfo": NOT_SUPPORTED}})
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["energy_source"] for row in bench.trials()] == ["nvml_counter"] * 2


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetTotalEnergyConsumption"])
def test_what_fails_inside_of_a_trial_never_becomes_an_estimate(bench: Bench, function: str) -> None:
    bench.run("run", "faulty.toml", told={"faults": {function: UNKNOWN}, "in": "trial"})
    rows = bench.trials()
    assert rows
    if function == "nvmlInit":
        assert {(row["fail_reason"], row.get("energy_wh", "")) for row in rows} == {("not_measured", "")}
        assert all("driver does not work" in row["energy_missing"] for row in rows)
    else:
        source = "nvml_power" if "Energy" in function else "nvml_counter"
        assert {row["energy_source"] for row in rows} == {source}


def test_doctor_names_what_fails_and_goes_on(bench: Bench) -> None:
    told = {"faults": {"nvmlDeviceGetHandleByIndex": LOST}, "sick": ["GPU-0a"]}
    done = bench.run("doctor", "--json", told=told)
    findings = {finding["topic"]: finding for finding in json.loads(done.stdout)}
    assert (done.returncode, findings["GPU 0"]["health"], findings["GPU 1"]["health"]) == (1, "bad", "good")
    assert "tensorflow" in findings


def test_gpus_that_fail_while_a_study_runs(bench: Bench) -> None:
    """One is lost and the study goes on on the other; that one too, and the study ends; it resumes later."""
    study = STUDY.replace("objective:waits", "objective:breaks_gpus").replace("trials = 2", "trials = 4")
    (bench.folder / "faulty.toml").write_text(study)
    told = {"file": str(bench.folder / "lost")}
    (bench.folder / "to-lose").write_text("GPU-0a GPU-1b")
    done = bench.run("run", "faulty.toml", told=told)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "set aside: it has fallen off the bus; the study goes on on gpu" in done.stdout
    assert "set aside: it has fallen off the bus; none is left" in done.stdout
    assert "no GPU is left that works" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert {row["fail_reason"] for row in bench.trials() if row["state"] == "fail"} == {"gpu_failed"}
    (bench.folder / "lost").unlink()
    (bench.folder / "to-lose").write_text("GPU-1b")
    done = bench.run("run", "faulty.toml", told=told)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gpu 1 is set aside: it has fallen off the bus; the study goes on on gpu 0" in done.stdout
    complete = [row for row in bench.trials() if row["state"] == "complete"]
    assert [(row["gpu_uuid"], row["energy_source"]) for row in complete] == [("GPU-0a", "nvml_counter")] * 4
