"""The caution of a validation accuracy that the test accuracy contradicts."""

from typing import Any

import pytest

from greenopt.spec import StudySpec
from greenopt.validation_gap import accuracy_caution, doubtful_trials, is_far_above_test, marked_accuracy, part_sizes
from tests.known_effects import paper_study

SPEC = paper_study(10)


def row(accuracy: float | None, test: float | None, **more: Any) -> dict[str, Any]:
    return {"trial": 3, "partitioning": "80-10-10", "accuracy": accuracy, "test_accuracy": test, **more}


@pytest.mark.parametrize(
    ("accuracy", "test", "sizes", "is_far"),
    [
        (0.928, 0.010, (6000, 6000), True),
        (0.053, 0.009, (12000, 12000), True),
        (0.90, 0.88, (60_000, 60_000), False),
        (0.60, 0.54, (6000, 6000), True),
        (0.60, 0.40, (40, 40), False),
        (0.010, 0.928, (6000, 6000), False),
        (0.60, 0.45, None, False),
        (0.928, 0.010, None, True),
        (1.0, 1.0, (100, 100), False),
        (0.0, 0.0, (100, 100), False),
    ],
)
def test_what_lies_beyond_chance_and_matters_is_far(
    accuracy: float, test: float, sizes: tuple[int, int] | None, is_far: bool
) -> None:
    assert is_far_above_test(accuracy, test, sizes) is is_far


def test_the_sizes_are_those_of_the_study() -> None:
    assert part_sizes(SPEC, row(0.5, 0.5)) == (6000, 6000)
    own = {"study": {"name": "x", "trials": 3, "objective": "a:b"}, "space": {"partitioning": ["80-10-10"]}}
    assert part_sizes(StudySpec.model_validate(own), row(0.5, 0.5)) is None


def test_the_caution_names_both_accuracies_and_is_silent_without_one() -> None:
    assert accuracy_caution(SPEC, row(0.928, 0.01)).startswith(
        "validation accuracy 0.928 is far above test accuracy 0.01"
    )
    for accuracy, test in ((0.9, None), (None, 0.9), (0.9, float("nan")), (0.9, 0.895)):
        assert accuracy_caution(SPEC, row(accuracy, test)) == ""
    assert doubtful_trials(SPEC, [row(0.928, 0.01), row(0.9, 0.9)]) == (3,)
    assert (marked_accuracy(SPEC, row(0.928, 0.01)), marked_accuracy(SPEC, row(0.9, 0.9))) == ("0.928!", "0.900")
