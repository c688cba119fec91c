"""Samplers go on with ranges that became wider in the course of a study."""

from typing import Any

import optuna
import pytest

from greenopt.errors import UsageError
from greenopt.events import Outcome
from greenopt.search import Search
from greenopt.spec import StudySpec
from tests.builders import study

SAMPLERS: list[dict[str, Any]] = [
    {"name": "random"},
    {"name": "tpe", "n_startup_trials": 2},
    {"name": "tpe", "n_startup_trials": 2, "multivariate": False},
    {"name": "nsga2", "population_size": 4},
    {"name": "nsga3", "population_size": 4},
    {"name": "energy_aware", "n_startup_trials": 1, "n_candidates": 30},
    {"name": "brute_force"},
    {"name": "gp", "n_startup_trials": 2},
]
TRIALS = 12


def spec_of(sampler: dict[str, Any], high: int) -> StudySpec:
    space: dict[str, Any] = {"batch_size": {"low": 2, "high": high, "step": 2}, "optimizer": ["SGD", "Adam"]}
    if sampler["name"] != "brute_force":
        space["lr"] = {"low": 0.01, "high": high / 100, "log": True}
    return study(study={"trials": 30}, sampler=sampler, space=space)


def asked(search: Search) -> list[dict[str, Any]]:
    found = []
    for _ in range(TRIALS):
        if not search.has_more():
            break
        proposal = search.ask()
        # The more, the better, so that what learns goes up.
        size = float(proposal.values["batch_size"])
        search.tell(proposal.trial, Outcome.COMPLETED, {"epochs_done": 2}, [size / (size + 1), 10.0 / size])
        found.append(proposal.values)
    search.lease.release()
    return found


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_values_of_the_wider_range_are_proposed(sampler: dict[str, Any]) -> None:
    if sampler["name"] == "gp":
        pytest.importorskip("torch", reason="gp needs torch, which is not installed")
    storage = optuna.storages.InMemoryStorage()
    narrow, wide = spec_of(sampler, 8), spec_of(sampler, 64)
    before = asked(Search(narrow, storage))
    assert all(narrow.space.holds(values) for values in before)
    search = Search(wide, storage)
    assert search.spec.space == wide.space
    after = asked(search)
    assert all(wide.space.holds(values) for values in after)
    assert any(values["batch_size"] > 8 for values in after)
    assert len(after) == TRIALS
    if sampler["name"] == "brute_force":
        assert len({tuple(values.values()) for values in [*before, *after]}) == len(before) + len(after)


@pytest.mark.parametrize("sampler", [{"name": "qmc"}, {"name": "tpe", "group": True}], ids=str)
def test_samplers_that_keep_their_ranges_do_not_go_on_by_themselves(sampler: dict[str, Any]) -> None:
    storage = optuna.storages.InMemoryStorage()
    asked(Search(spec_of(sampler, 8), storage))
    with pytest.raises(UsageError, match=r"space\.batch_size\.high: 64: study tried was begun with 8"):
        Search(spec_of(sampler, 64), storage)
