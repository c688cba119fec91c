"""Saves the trained model of a trial: `model.keras`, `model.int8.tflite`, and `model.json`, which describes them.

Called after the last figure is taken, so that nothing of it is in any energy. A file that cannot be made never costs
the trial: `model.json` says why it is not there.
"""

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from greenopt.files import whole_file, write_whole
from greenopt.spec import Internal
from greenopt.trial.model.applications import IMAGENET, takes_imagenet_scaling
from greenopt.trial.model.quantization_aware import quantized_layers
from greenopt.trial.training.int8_conversion import Int8Model, calibration_ids, converted, int8_accuracy
from greenopt.trial.training.setup import PreparedTrial, float32_copy

KERAS_FILE = "model.keras"
INT8_FILE = "model.int8.tflite"
ABOUT_FILE = "model.json"
QUANTIZED_LAYERS = "greenopt.trial.model.quantization_aware"


def keep_model(trial: PreparedTrial, int8_content: bytes | None = None) -> None:
    """Write the model's files into the trial's `model_folder`; does nothing where it has none.

    Args:
        trial: with the trained model.
        int8_content: the int8 model, where the setting has quantized already; else it is converted here.
    """
    if trial.spec.model_folder is None:
        return
    folder = Path(trial.spec.model_folder)
    about: dict[str, Any] = {"input": _input(trial), "classes": trial.images.classes}
    about[KERAS_FILE] = _made(lambda: _keep_keras(folder, trial))
    about[INT8_FILE] = _made(lambda: _keep_int8(folder, trial, int8_content))
    _made(lambda: _write(folder / ABOUT_FILE, (json.dumps(about, indent=1) + "\n").encode()))


def _made(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return make()
    except Exception as error:
        traceback.print_exc()
        return {"missing": f"{type(error).__name__}: {error}"}


def _keep_keras(folder: Path, trial: PreparedTrial) -> dict[str, Any]:
    with whole_file(folder / KERAS_FILE) as scratch:
        trial.model.save(scratch)
    needs = {"import_before_loading": QUANTIZED_LAYERS} if quantized_layers(trial.model) else {}
    return {"policy": trial.formats.policy, **needs}


def _keep_int8(folder: Path, trial: PreparedTrial, content: bytes | None) -> dict[str, Any]:
    spec, trainer, split = trial.spec, trial.trainer, trial.split
    setting = spec.image_setting
    if setting.internal is Internal.PRE_QUANTIZATION:
        return {"missing": "internal = pre_quantization: its layers are greenopt's own and cannot be converted"}
    if content is None:
        calibration = trainer.pipeline.prepared(calibration_ids(split.train, spec.training.calibration_images))
        content = converted(float32_copy(trial), calibration)
    batch_size = spec.training.evaluation_batch_size
    accuracy = int8_accuracy(Int8Model(content, batch_size), trainer, split.validation, batch_size)
    return {"validation_accuracy": accuracy, **_write(folder / INT8_FILE, content)}


def _write(target: Path, content: bytes) -> dict[str, Any]:
    write_whole(target, content)
    return {"bytes": len(content)}


def _input(trial: PreparedTrial) -> dict[str, Any]:
    """Describe the model's input: (x - shift) / scale of images 0..255, for each channel in the order that is named."""
    setting, training = trial.spec.image_setting, trial.spec.training
    scaling = trial.trainer.pipeline.scaling
    height, width, channels = trial.images.shape
    return {
        "shape": [height, width, channels],
        "preprocessing": IMAGENET if takes_imagenet_scaling(training) else str(setting.preprocessing),
        "channels": "bgr" if scaling is not None and scaling.is_bgr else "rgb",
        "shift": list(scaling.shift) if scaling is not None else [0.0] * channels,
        "scale": list(scaling.scale) if scaling is not None else [1.0] * channels,
    }
