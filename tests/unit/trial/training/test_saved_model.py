"""The files of a trained model: they predict as the trained model did, and cost a trial neither energy nor its end."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from greenopt.events import Outcome, Phase
from greenopt.spec import TrialSpec
from greenopt.trial.journal import Journal
from greenopt.trial.run import run_trial
from tests.unit.trial.workbench import FakeMeter, Told, prepared, run, trial_spec


def kept(folder: Path, **setting: Any) -> tuple[TrialSpec, Told]:
    spec = trial_spec(training={"epochs": 3}, batch_size=32, **setting)
    spec = spec.model_copy(update={"model_folder": str(folder)})
    return spec, run(spec)


def about(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "model.json").read_text()))


def accuracy_as_described(spec: TrialSpec, folder: Path) -> float:
    """Validation accuracy of the kept Keras model, fed as model.json says."""
    _, images, split = prepared(spec)
    feed = about(folder)["input"]
    x = (images.x[split.validation].astype("float32") - feed["shift"]) / feed["scale"]
    right = keras.saving.load_model(folder / "model.keras").predict(x, verbose=0).argmax(axis=1)
    return float((right == images.y[split.validation]).mean())


@pytest.mark.parametrize("preprocessing", ["none", "standardization"])
def test_the_kept_model_has_the_accuracy_that_the_trial_told(tmp_path: Path, preprocessing: str) -> None:
    spec, told = kept(tmp_path, preprocessing=preprocessing)
    assert told.ended.outcome is Outcome.COMPLETED
    assert accuracy_as_described(spec, tmp_path) == pytest.approx(told.ended.accuracy, abs=0.02)
    assert 0 < about(tmp_path)["model.int8.tflite"]["validation_accuracy"] <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.int8.tflite", "model.json", "model.keras"]


def test_where_the_setting_quantizes_the_int8_model_is_the_one_that_was_judged(tmp_path: Path) -> None:
    _, told = kept(tmp_path, internal="post_quantization")
    assert about(tmp_path)["model.int8.tflite"]["validation_accuracy"] == told.ended.accuracy
    interpreter = Interpreter(str(tmp_path / "model.int8.tflite"))
    assert interpreter.get_input_details()[0]["shape"].tolist() == [1, 16, 16, 3]
    assert interpreter.get_output_details()[0]["dtype"] is np.float32


def test_a_quantization_aware_model_is_kept_and_the_missing_conversion_explained(tmp_path: Path) -> None:
    spec, told = kept(tmp_path, internal="pre_quantization", precision="global_policy_float16")
    assert accuracy_as_described(spec, tmp_path) == pytest.approx(told.ended.accuracy, abs=0.05)
    assert about(tmp_path)["model.keras"]["import_before_loading"] == "greenopt.trial.model.quantization_aware"
    assert "pre_quantization" in about(tmp_path)["model.int8.tflite"]["missing"]
    assert not (tmp_path / "model.int8.tflite").exists()


def test_the_module_that_older_saved_models_name_still_registers_their_layers() -> None:
    program = "import greenopt.trial.quantize, keras; print(len(keras.saving.get_custom_objects()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) >= 2


@pytest.mark.parametrize("internal", ["none", "post_quantization"])
def test_the_files_are_made_after_the_last_mark_of_the_meter(tmp_path: Path, internal: str) -> None:
    spec = trial_spec(internal=internal).model_copy(update={"model_folder": str(tmp_path)})
    there = {}
    journal = Journal(FakeMeter(), lambda event: there.update({getattr(event, "phase", event.kind): _kept(tmp_path)}))
    run_trial(spec, journal)
    assert not there[Phase.TEST]
    assert there["trial_ended"]


def _kept(folder: Path) -> bool:
    return any(folder.iterdir())


def test_a_folder_that_cannot_be_written_costs_the_trial_nothing(tmp_path: Path) -> None:
    _, told = kept(tmp_path / "nowhere")
    assert told.ended.outcome is Outcome.COMPLETED
    assert not (tmp_path / "nowhere").exists()
