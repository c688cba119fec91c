"""The notebook that is shipped, run from its first cell to its last, and a script whose own function trains."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.end_to_end

NOTEBOOK = Path(__file__).parents[2] / "studies" / "notebook.ipynb"


def test_the_notebook_runs_and_shows_what_it_found(tmp_path: Path) -> None:
    shutil.copy(NOTEBOOK, tmp_path)
    command = ("-m", "nbconvert", "--to", "notebook", "--inplace", "--execute", NOTEBOOK.name)
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    cells = [cell for cell in nbformat.read(tmp_path / NOTEBOOK.name, 4).cells if cell.cell_type == "code"]
    shown = [{kind for output in cell.outputs for kind in output.get("data", ())} for cell in cells]
    printed = ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]
    assert [output for cell in cells for output in cell.outputs if output.get("name") == "stderr"] == []
    assert "6 of 6 trials completed" in cells[2].outputs[-1].data["text/html"]
    assert printed[2].count(" started on ") == 6
    assert "epoch 1/6" not in printed[2]
    assert "text/html" in shown[3]
    assert "image/png" in shown[4]
    analysis = cells[5].outputs[-1].data["text/plain"]
    assert "6 completed" in analysis
    assert "\x1b" not in analysis
    assert (tmp_path / "notebook.html").stat().st_size > 10_000
    assert printed[7].startswith("score: ")
    assert "Wh" in printed[7]


SCRIPT = """
import time

from greenopt import run_study


def train(trial):
    end_s = time.process_time() + 0.1  # less than a tick of the clock of CPU time would not be measured
    while time.process_time() < end_s:
        pass
    trial.end_epoch(0.1 * trial.params["n"])
    return {"accuracy": 0.1 * trial.params["n"]}


if __name__ == "__main__":
    given = {"study": {"trials": 3}, "sampler": {"name": "grid"}, "space": {"n": [1, 2, 3]}}
    study = run_study(given, objective=train, name="mine", gpus="none", progress=False)
    print(study.trials.accuracy.round(6).to_json())
"""


def test_a_script_of_ones_own_runs_a_study_and_goes_on_with_it(tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text(SCRIPT, encoding="utf-8")
    for _ in range(2):  # the second time there is nothing left to do
        done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        assert sorted(json.loads(line).values()) == [0.1, 0.2, 0.3]
    script.write_text(SCRIPT.replace("0.1 *", "0.2 *").replace('"trials": 3', '"trials": 4'), encoding="utf-8")
    kept = (tmp_path / "runs" / "mine" / "notebook_objective.py").read_bytes()
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "notebook_objective changed since" in done.stderr
    assert "take another name, or go on with accept_changes=True" in done.stderr
    assert (tmp_path / "runs" / "mine" / "notebook_objective.py").read_bytes() == kept
