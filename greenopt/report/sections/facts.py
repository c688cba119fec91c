"""What the trials of a study say of where they come from, so that no sentence claims more than they do."""

from collections import Counter

import pandas as pd

from greenopt.report.inputs import ReportInputs
from greenopt.spec import Choice


def is_imported(trials: pd.DataFrame) -> bool:
    """Return whether all trials were imported."""
    return imported_count(trials) == len(trials) > 0


def imported_count(trials: pd.DataFrame) -> int:
    """Return how many trials were imported."""
    return int(trials["run"].notna().sum()) if "run" in trials else 0


def lengths(inputs: ReportInputs) -> dict[int, int]:
    """Return how many completed trials trained for each number of epochs, the study's own number first."""
    epochs = inputs.report_data.complete.get("epochs_done", pd.Series(dtype=float)).dropna().astype(int)
    planned = inputs.analysis.study.training.epochs
    counted = Counter(int(each) for each in epochs if each > 0)
    return dict(sorted(counted.items(), key=lambda each: (each[0] != planned, each[0])))


def partitionings(inputs: ReportInputs) -> tuple[str, ...]:
    """Return the shares of training, validation and test images that trials may have; empty where none are known."""
    spec = inputs.analysis.study
    if spec.study.objective:
        return ()
    found = spec.space.distributions.get("partitioning")
    return tuple(str(value) for value in found.values) if isinstance(found, Choice) else ()


def has_tests(inputs: ReportInputs) -> bool:
    """Return whether any completed trial has a test accuracy."""
    return bool(len(inputs.report_data.column("test_accuracy"))) and not bool(
        pd.isna(inputs.report_data.column("test_accuracy")).all()
    )
