"""The tutorial's drawn shapes, its model and its callback, as they stand there, in one trial of fewer epochs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greenopt.coordination.preflight import check_study
from greenopt.events import Outcome
from greenopt.spec import load_study
from tests.pages import block
from tests.unit.trial.workbench import run, trial_spec


def test_drawn_shapes_are_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shapes.py").write_text(block("python", "regular_polygon"))
    (tmp_path / "mymodel.py").write_text(block("python", "def build("))
    (tmp_path / "early.py").write_text(block("python", "EarlyStopping("))
    drawn = subprocess.run([sys.executable, "shapes.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert drawn.stdout == "720 images in circle square triangle\n"
    file, callbacks = tmp_path / "shapes.toml", block("toml", "early:stop").splitlines()[-1]
    file.write_text(block("toml", 'path = "shapes"').replace("epochs = 12", f"epochs = 4\n{callbacks}"))
    study = load_study(file)
    check_study(study, file)
    assert study.data is not None
    monkeypatch.syspath_prepend(str(tmp_path))
    setting: dict[str, Any] = {"batch_size": 16, "lr": 0.01, "optimizer": "Adam", "preprocessing": "minmax"}
    told = run(trial_spec(study.data.model_dump(), study.training.model_dump(), **setting))
    assert told.ended.outcome is Outcome.COMPLETED, told.ended.message
    assert told.facts["own_parts"] == "validation and test"
    assert told.facts["callbacks"] == "early:stop"
    assert told.ended.test_accuracy is not None
    assert told.ended.test_accuracy > 0.4
