"""Ranges with a step: which values they have, to the digit."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenopt.search import Search, open_storage, read_study
from greenopt.search.search import as_optuna
from greenopt.spec import Range
from greenopt.spec.steps import last_value, on_step, steps_between
from greenopt.storage.live_rows import LiveRows
from tests.builders import study


@pytest.mark.parametrize(
    ("low", "high", "step", "last"),
    [
        (0.1, 0.5, 0.1, 0.5),
        (0.1, 0.95, 0.2, 0.9),
        (0, 1.0, 0.3, 0.9),
        (1, 10, 4, 9),
        (0.1, 0.2, 5.0, 0.1),
        (1e-4, 1e-3, 3e-4, 1e-3),
    ],
)
def test_the_last_value_is_the_largest_that_the_step_reaches(low: Any, high: Any, step: Any, last: Any) -> None:
    assert last_value(low, high, step) == last
    assert type(last_value(low, high, step)) is type(last)


@given(st.integers(-1000, 1000), st.integers(1, 500), st.integers(0, 300), st.sampled_from([1, 10, 1000, 10**6]))
def test_a_value_that_was_drawn_in_binary_is_the_decimal_one(low: int, step: int, k: int, scale: int) -> None:
    a, b = low / scale, step / scale
    wanted = (low + k * step) / scale
    assert on_step(a + k * b, a, b) == wanted
    assert steps_between(a, wanted + b / 2, b) == k


def test_a_range_that_its_step_does_not_divide_warns_once_in_greenopts_own_words() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = as_optuna(Range(low=0.1, high=0.95, step=0.2))
    assert (drawn.low, drawn.high) == (0.1, 0.9)  # type: ignore[attr-defined]
    space = study(space={"lr": {"low": 0.1, "high": 0.95, "step": 0.2}, "batch_size": {"low": 4, "high": 9}}).space
    assert space.notes == ("space.lr: 0.1 to 0.95 in steps of 0.2: the last value is 0.9",)


def test_values_have_the_study_files_digits_wherever_they_are_read(tmp_path: Path) -> None:
    spec = study(space={"lr": {"low": 0.1, "high": 0.9, "step": 0.1}})
    url = f"sqlite:///{tmp_path / 'x.db'}"
    storage = open_storage(url)
    search = Search(spec, storage)
    asked = [search.ask().values["lr"] for _ in range(20)]
    assert {len(repr(value)) for value in asked} == {3}
    assert [row["lr"] for row in read_study(spec.name, storage).rows] == asked
    assert [row["lr"] for row in LiveRows(spec.name, url).changed(tuple(spec.space.distributions))] == asked


def test_a_setting_that_was_enqueued_is_known_when_it_is_drawn() -> None:
    spec = study(
        space={"lr": {"low": 0.1, "high": 0.4, "step": 0.1}, "batch_size": 4},
        study={"enqueue": [{"lr": 0.3}], "trials": 30},
    )
    search = Search(spec, None)
    search.enqueue_listed()
    first = search.ask()
    assert first.values["lr"] == 0.3
    again = [proposal for proposal in (search.ask() for _ in range(20)) if proposal.values["lr"] == 0.3]
    assert again
    assert all(0 in proposal.same_as for proposal in again)
