"""Studies as their storage would give them, written by hand."""

from typing import Any

from greenopt.search import StudySnapshot
from greenopt.spec import StudySpec
from tests.builders import study

SETTING = study().space.baseline


def row(trial: int, accuracy: float, energy_wh: float, epochs: int = 2, **rest: Any) -> dict[str, Any]:
    """A completed trial of the baseline's setting, on one GPU."""
    return {
        **SETTING,
        "trial": trial,
        "state": "complete",
        "accuracy": accuracy,
        "test_accuracy": accuracy - 0.01,
        "energy_wh": energy_wh,
        "wh_per_epoch": energy_wh / epochs,
        "efficiency": accuracy * epochs / energy_wh,
        "epochs_done": epochs,
        "energy_source": "nvml_counter",
        "gpu_name": "H200",
        "host": "here",
        "training_seed": 7,
        **rest,
    }


def failed(trial: int, state: str = "fail", **rest: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("accuracy", "test_accuracy", "energy_wh", "wh_per_epoch", "efficiency"))
    return {**row(trial, 0.1, 1.0), **nothing, "state": state, **rest}


def snapshot(*rows: dict[str, Any], spec: StudySpec | None = None) -> StudySnapshot:
    return StudySnapshot(spec or study(), rows)
