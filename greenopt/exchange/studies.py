"""The study that imported trials belong to: from a study file, or from what is known of them."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from greenopt.errors import UsageError
from greenopt.events import Outcome
from greenopt.exchange.imported import ELSEWHERE, ImportedTrial
from greenopt.spec import (
    MAX_LISTED,
    PARAMETERS,
    Augmentation,
    Internal,
    LrSchedule,
    Optimizer,
    Precision,
    Preprocessing,
    StudySpec,
    Value,
    describe,
)

PAPER_SPACE: dict[str, list[Value]] = {
    "preprocessing": [str(value) for value in Preprocessing],
    "augmentation": [str(value) for value in Augmentation],
    "precision": [str(value) for value in Precision],
    "batch_size": [4, 32, 64, 128],
    "partitioning": ["60-20-20", "70-15-15", "80-10-10", "90-5-5"],
    "lr": [0.01, 1.5e-4, 8e-4, 6.25e-3],
    "lr_schedule": [str(value) for value in LrSchedule],
    "optimizer": [str(value) for value in Optimizer],
    "optimizer_momentum": [0.0, 0.5, 0.9, 0.99],
    "internal": [str(value) for value in Internal],
}
"""The paper's forty values, as in `studies/paper.toml`, the baseline's first."""


FEW, DECADES = 4, 2


def paper_study(name: str, trials: Sequence[ImportedTrial], epochs: int) -> StudySpec:
    """Build the study of runs in the paper's layout.

    Args:
        name: of the study.
        trials: its trials.
        epochs: how many epochs it trains.
    """
    raw: dict[str, Any] = {
        "study": {"name": name, "description": "Imported runs in the paper's layout", "trials": len(trials)},
        "data": {"name": "cifar100"},
        "training": {"model": "ResNet50", "epochs": epochs, "decay_steps": 1000},
        "space": PAPER_SPACE,
    }
    return _validated(raw)


def table_study(name: str, trials: Sequence[ImportedTrial], objectives: dict[str, str]) -> StudySpec:
    """Build the study of a table's rows; its training is unknown, its space is the values that occur.

    Values that the paper has come in its order, others by size; the first counts as the baseline's. A parameter of many
    different numbers is a range from the least to the largest: more than `MAX_LISTED`, or more than `FEW` of which most
    rows have one of their own. The range is logarithmic where it spans `DECADES` and the middle value says so.
    """
    space = {parameter: _occurring(parameter, trials) for parameter in trials[0].values}
    epochs = Counter(int(trial.metrics.get("epochs_done") or 1) for trial in trials if _is_complete(trial))
    raw = {
        "study": {"name": name, "description": "Imported", "trials": len(trials), "objective": ELSEWHERE},
        "objectives": objectives,
        "training": {"epochs": max(epochs, key=lambda e: (epochs[e], e), default=1)},
        "space": space,
    }
    return _validated(raw)


def _is_complete(trial: ImportedTrial) -> bool:
    return trial.verdict.outcome is Outcome.COMPLETED


def _spanned(values: Sequence[Value]) -> dict[str, Value] | None:
    """Return the range of a column of many different numbers; None where it is a list."""
    numbers = sorted(value for value in values if isinstance(value, int | float) and not isinstance(value, bool))
    different = len(set(numbers))
    if len(numbers) < len(values) or not (different > MAX_LISTED or (different > FEW and 2 * different > len(values))):
        return None
    low, middle, high = numbers[0], numbers[len(numbers) // 2], numbers[-1]
    if all(isinstance(number, int) for number in numbers):
        found: dict[str, Value] = {"low": low, "high": high}
    else:
        found = {"low": float(low), "high": float(high)}
    if low > 0 and high / low >= 10**DECADES:
        place, log_place = (middle - low) / (high - low), math.log(middle / low) / math.log(high / low)
        found["log"] = abs(log_place - 0.5) < abs(place - 0.5)
    return found


def _occurring(parameter: str, trials: Sequence[ImportedTrial]) -> list[Value] | dict[str, Value]:
    values = {trial.values[parameter] for trial in trials}
    known = [value for value in PAPER_SPACE.get(parameter, ()) if value in values]
    if len(known) < len(values) and (span := _spanned([trial.values[parameter] for trial in trials])) is not None:
        return span
    return [*known, *sorted(values.difference(known), key=lambda value: (isinstance(value, str), value))]


def _validated(raw: dict[str, Any]) -> StudySpec:
    try:
        return StudySpec.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"cannot be a study: {describe(error)}") from None


def fitted_to(spec: StudySpec, name: str, trials: Sequence[ImportedTrial]) -> StudySpec:
    """Return a study file's study under this name, with as many trials as were imported.

    Raises:
        UsageError: the trials have other parameters.
    """
    for trial in trials:
        left_out = spec.space.left_out(trial.values)
        unlike = set(trial.values).symmetric_difference(spec.space.distributions).difference(left_out)
        if unlike and not (
            unlike <= set(PARAMETERS) and set(trial.values) <= set(spec.space.distributions) and not spec.space.own
        ):
            raise UsageError(
                f"{trial.run}: does not fit the study file: {', '.join(sorted(unlike))} only in one of both"
            )
    return spec.model_copy(update={"study": spec.study.model_copy(update={"name": name, "trials": len(trials)})})
