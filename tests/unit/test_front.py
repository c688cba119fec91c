"""The front of any objectives: who is on it, what is drawn, and its hypervolume against a count of cells."""

import random
from typing import Any

import pytest

from greenopt.formatting import format_figure
from greenopt.front import StudyFront, dominated_share, plane_of
from greenopt.pareto import HypervolumeTrace, Point
from greenopt.spec import StudySpec
from tests.builders import study


def own(**objectives: Any) -> StudySpec:
    table = {"name": "own", "trials": 9, "objective": "mine:train"}
    return StudySpec.model_validate({"study": table, "objectives": objectives, "space": {"depth": [1, 2]}})


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_dominated_share_is_that_of_a_count_of_cells(count: int) -> None:
    draw, cells = random.Random(count), 12
    points = [tuple(draw.randint(0, cells) / cells for _ in range(count)) for _ in range(7)]
    grid: list[tuple[float, ...]] = [()]
    for _ in range(count):
        grid = [(*cell, (at + 0.5) / cells) for cell in grid for at in range(cells)]
    inside = sum(any(all(p >= c for p, c in zip(point, cell, strict=True)) for point in points) for cell in grid)
    assert dominated_share(points) == pytest.approx(inside / len(grid))


def test_accuracy_for_energy_keeps_its_front_and_hypervolume() -> None:
    front, before = StudyFront(study()), HypervolumeTrace()
    for trial, (energy, accuracy) in enumerate([(2.0, 0.5), (1.0, 0.25), (4.0, 0.5), (3.0, 0.75)]):
        assert front.add({"trial": trial, "energy_wh": energy, "accuracy": accuracy}) is before.add(
            Point(energy, accuracy, trial)
        )
    assert front.trials == (1, 0, 3)
    assert front.values() == before.values()


@pytest.mark.parametrize(
    ("objectives", "up", "across", "is_old"),
    [
        ({"accuracy": "maximize", "energy_wh": "minimize"}, "accuracy", "energy_wh", True),
        ({"accuracy": "maximize"}, "accuracy", "energy_wh", True),
        ({"total_wh": "minimize", "accuracy": "maximize"}, "accuracy", "total_wh", True),
        ({"accuracy": "maximize", "efficiency": "maximize"}, "accuracy", "efficiency", False),
        ({"f1_macro": "maximize", "latency_ms": "minimize"}, "f1_macro", "latency_ms", False),
        ({"mae": "minimize", "energy_wh": "minimize"}, "mae", "energy_wh", False),
        ({"mae": "minimize"}, "mae", "energy_wh", False),
        ({"accuracy": "maximize", "energy_wh": "minimize", "size_bytes": "minimize"}, "accuracy", "energy_wh", False),
    ],
    ids=str,
)
def test_the_axes_follow_the_objectives(objectives: dict[str, str], up: str, across: str, is_old: bool) -> None:
    plane = plane_of(own(**objectives))
    assert (plane.up, plane.across, plane.is_accuracy_for_energy) == (up, across, is_old)


def test_three_objectives_have_a_front_that_two_of_them_have_not() -> None:
    front = StudyFront(own(accuracy="maximize", energy_wh="minimize", size_bytes="minimize"))
    rows = [(0.5, 2.0, 100.0), (0.5, 2.0, 10.0), (0.4, 3.0, 1.0), (0.4, 3.0, 50.0), (0.9, 9.0, 99.0)]
    added = [
        front.add({"trial": trial, "accuracy": a, "energy_wh": e, "size_bytes": s})
        for trial, (a, e, s) in enumerate(rows)
    ]
    assert added == [True, True, True, False, True]
    assert front.trials == (4, 1, 2)
    volumes = [volume for _, volume in front.values()]
    assert volumes == sorted(volumes)
    assert 0 < volumes[0] < volumes[-1] < 1
    assert [count for count, _ in front.values()] == [1, 2, 3, 5]


def test_a_figure_with_a_range_fills_it() -> None:
    front = StudyFront(own(mae={"direction": "minimize", "range": [0, 10]}, r2="maximize"))
    assert front.value is None
    front.add({"trial": 0, "mae": 4.0, "r2": 0.0})
    front.add({"trial": 1, "mae": 9.0, "r2": -1.0})
    front.add({"trial": 2, "mae": None, "r2": 5.0})
    # Of mae 6 of 10; of r2 all of its own spread and the tenth below.
    assert front.trials == (0,)
    assert front.value == pytest.approx(0.6)
    assert front.words() == "mae 10 to 0, r2 -1.1 to 0"


def test_more_than_three_objectives_have_a_front_and_no_hypervolume() -> None:
    front = StudyFront(own(a="maximize", b="maximize", c="maximize", d="minimize"))
    assert front.add({"trial": 0, "a": 1, "b": 1, "c": 1, "d": 1})
    assert (front.trials, front.values(), front.value) == ((0,), [], None)


def test_an_estimated_energy_of_a_prediction_is_marked() -> None:
    assert format_figure("inference_mj", 7.03, "estimate") == "~7.03 mJ est."
    assert format_figure("inference_mj", 7.03, "rapl") == "7.03 mJ"
    assert format_figure("latency_ms", 7.03, "estimate") == "7.03 ms"
