"""Objective functions for tests."""

from typing import Any

from greenopt.trial.objective import Trial


def told(trial: Trial) -> dict[str, float]:
    """Sets up, then trains three epochs."""
    trial.begin()
    for epoch in range(1, trial.epochs + 1):
        trial.end_epoch(0.1 * epoch, loss=1 / epoch, train_accuracy=0.2 * epoch, lr=0.5)
    return {"accuracy": 0.1 * trial.epochs + float(trial.params["bonus"]), "test_accuracy": 0.25}


def silent(trial: Trial) -> float:
    return 0.75


def diverges(trial: Trial) -> float:
    return float("nan")


def breaks(trial: Trial) -> float:
    trial.end_epoch(0.5)
    raise MemoryError("no more")


def returns_nothing(trial: Trial) -> Any:
    return None


def returns_else(trial: Trial) -> dict[str, float]:
    return {"f1": 0.5}


def begins_twice(trial: Trial) -> float:
    trial.begin()
    trial.begin()
    return 0.5


GIVEN: dict[str, Any] = {}
"""What the next two functions give, set by a test."""


def gives(trial: Trial) -> Any:
    return GIVEN["result"]


def tells(trial: Trial) -> float:
    trial.end_epoch(0.25)
    trial.end_epoch(**GIVEN["figures"])
    return 0.5


not_a_function = 3
