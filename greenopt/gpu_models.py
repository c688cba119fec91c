"""Trials on GPUs of different models in one study: which there are, and what is said of them wherever they are shown.

Energies of different models do not compare: a front of both is marked, and an analysis has the model as a factor.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenopt.spec import Choice, StudySpec
from greenopt.storage.trial_state import TrialState

GPU_MODEL = "gpu_model"
"""The factor of an analysis, and the column of tables: the model of a trial's GPU."""

UNKNOWN_MODEL = "unknown"
_DONE = TrialState.COMPLETE


def gpu_models(rows: Iterable[Mapping[Any, Any]]) -> dict[str, int]:
    """Return the models of completed trials' GPUs with the number of trials, the most frequent first.

    One model, or none, where nothing is mixed. A trial that does not say its model counts as `unknown` beside others.
    """
    completed = [row for row in rows if row.get("gpu_uuid") and row.get("state", _DONE) == _DONE]
    counts = Counter(model_of(row) for row in completed)
    if counts.keys() <= {UNKNOWN_MODEL}:
        return {}
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def model_of(row: Mapping[Any, Any]) -> str:
    """Return the model of a trial's GPU."""
    name = row.get("gpu_name")
    return name if isinstance(name, str) and name else UNKNOWN_MODEL


def mixed_models(rows: Iterable[Mapping[Any, Any]]) -> list[str]:
    """Return the models where there are several, the most frequent first; none where energies are of one model."""
    models = list(gpu_models(rows))
    return models if len(models) > 1 else []


def format_mixed(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Return a sentence on a study whose trials ran on several models; empty where they did not."""
    models = gpu_models(rows)
    if len(models) < 2:
        return ""
    counts = ", ".join(f"{count} on {model}" for model, count in models.items())
    return f"trials ran on GPUs of different models ({counts}): their energies do not compare, and one front has both"


def with_model_factor(spec: StudySpec, rows: Iterable[Mapping[Any, Any]]) -> tuple[StudySpec, list[Mapping[Any, Any]]]:
    """Return a study and its rows with the model as one more parameter; themselves where there is one model.

    Args:
        spec: the study.
        rows: a trial each.
    """
    rows = list(rows)
    models = mixed_models(rows)
    if not models or GPU_MODEL in spec.space.distributions:
        return spec, rows
    distributions = {**spec.space.distributions, GPU_MODEL: Choice(values=tuple(models))}
    space = spec.space.model_copy(update={"distributions": distributions})
    return spec.model_copy(update={"space": space}), [{**row, GPU_MODEL: model_of(row)} for row in rows]


def without_model(setting: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a setting as a study file can have it: the model is chosen by `--gpu-model`."""
    return {name: value for name, value in setting.items() if name != GPU_MODEL}
