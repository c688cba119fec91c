"""scripts/several_gpus: on two GPUs that a stand-in for the driver makes up, and on the CPU with real trainings."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TWO_GPUS = Path(__file__).parent / "two_gpus"
STUDY = """
[study]
trials = 6
seed = 3
objective = "tests.end_to_end.two_gpus.objective:waits"
[training]
epochs = 2
[space]
epoch_s = { low = 0.4, high = 0.6 }
"""

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Two GPUs whose idle power is known."""
    caches = tmp_path / "caches"
    (caches / "greenopt").mkdir(parents=True)
    idle = {uuid: {"idle_w": 72.0, "measured": f"{datetime.now(UTC):%Y-%m-%d}"} for uuid in ("GPU-0a", "GPU-1b")}
    (caches / "greenopt" / "idle.json").write_text(json.dumps(idle))
    kept = {name: text for name, text in os.environ.items() if name not in ("CUDA_VISIBLE_DEVICES", "GREENOPT_RUNS")}
    return {**kept, "XDG_CACHE_HOME": str(caches), "PYTHONPATH": f"{TWO_GPUS}:{ROOT}"}


def several_gpus(folder: Path, environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "scripts" / "several_gpus"), "--folder", str(folder / "runs")]
    command += ["--output", str(folder / "figures.json"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def figures_in(folder: Path) -> dict[str, Any]:
    figures = json.loads((folder / "figures.json").read_text())
    assert isinstance(figures, dict)
    return figures


def test_two_gpus_are_compared_in_parts_and_each_trial_has_its_own(tmp_path: Path, environment: dict[str, str]) -> None:
    study = tmp_path / "waits.toml"
    study.write_text(STUDY)
    given = ("--study", str(study))
    first = several_gpus(tmp_path, environment, *given, "--only-one", "--limit-s", "3")
    assert first.returncode == 3, first.stdout + first.stderr
    assert figures_in(tmp_path)["one"]["trials"] < 6
    assert "the run 'one' is not done" in first.stdout
    second = several_gpus(tmp_path, environment, *given, "--only-one")
    assert second.returncode == 0, second.stdout + second.stderr
    third = several_gpus(tmp_path, environment, *given)
    assert third.returncode == 0, third.stdout + third.stderr
    figures = figures_in(tmp_path)
    assert figures["violations"] == []
    one, several = figures["one"], figures["all"]
    assert (one["parts"], one["trials"], one["cut_off"], one["gpus"]) == (2, 6, 0, 1)
    assert (several["parts"], several["trials"], several["gpus"]) == (1, 6, 2)
    assert [gpu["trials"] for gpu in one["by_gpu"]] == [6, 0]
    assert all(gpu["trials"] > 0 for gpu in several["by_gpu"])
    assert len(figures["pairs"]) == 6
    assert {pair["is_same_gpu"] for pair in figures["pairs"]} == {True, False}
    for run in (one, several):
        for gpu in run["by_gpu"]:
            assert gpu["counter_wh"] == pytest.approx(300 * run["wall_s"] / 3600, rel=0.1)
            assert gpu["rest_wh"] == pytest.approx(300 * gpu["unmetered_s"] / 3600, rel=0.1)
            assert gpu["idle_wh"] == pytest.approx(72 * gpu["unmetered_s"] / 3600)
            assert gpu["most_processes"] == min(1, gpu["trials"])
            assert gpu["busy_share"] in (None, 0.5)
    assert "2 x Made-up board, driver 580.159" in third.stdout.splitlines()[-1]
    assert "at most one process at a time was listed on each" in third.stdout


def test_wrong_use_gets_one_line(tmp_path: Path, environment: dict[str, str]) -> None:
    study = tmp_path / "waits.toml"
    study.write_text(STUDY)
    for arguments, words in (
        (("--gpus", "3"), "there are 2 visible NVIDIA GPUs"),
        (("--study", str(tmp_path / "none.toml")), "none.toml: No such file"),
        (("--study", str(study), "--images", "5"), "--images: the study file has no line of its own for it"),
        (("--study", str(study), "--trials", "0"), "study.trials"),
    ):
        done = several_gpus(tmp_path, environment, *arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_folder_of_another_study_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "study.toml").write_text("[study]\ntrials = 3\n")
    done = several_gpus(tmp_path, environment)
    assert done.returncode == 2
    assert "holds runs of another study; name another --folder" in done.stderr


def test_without_gpus_both_runs_train_on_the_cpu(tmp_path: Path) -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = several_gpus(
        tmp_path, environment, *("--model", "tiny", "--images", "300", "--trials", "1", "--epochs", "1")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = figures_in(tmp_path)
    assert [figures[label]["outcomes"] for label in ("one", "all")] == [{"complete": 1}] * 2
    assert figures["pairs"]
    assert figures["one"]["is_estimate"]
    assert all(pair["is_same_gpu"] and pair["total_wh_percent"] is not None for pair in figures["pairs"])
    assert "~" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 x CPU; ")
