"""Importances: the parameters that matter, in the direction that matters."""

import pytest

from greenopt.search import Shares, importances
from tests.known_effects import known_rows, paper_study

SPEC = paper_study(200)


@pytest.fixture(scope="module")
def shares() -> dict[tuple[str, str], Shares]:
    rows = known_rows(SPEC, 200, 1, {("batch_size", 128): -2.0}, {("optimizer", "SGD"): 0.3})
    return {(one.objective, one.method): one for one in importances(SPEC, rows)}


@pytest.mark.parametrize("method", ["ped_anova", "fanova"])
def test_each_objective_has_its_parameter(shares: dict[tuple[str, str], Shares], method: str) -> None:
    for objective, parameter in (("accuracy", "optimizer"), ("energy_wh", "batch_size")):
        found = shares[objective, method]
        assert max(found.shares, key=lambda name: found.shares[name]) == parameter
        assert sum(found.shares.values()) == pytest.approx(1.0)
        assert set(found.shares) == set(SPEC.space.free)
        assert found.words == ""


def test_ped_anova_looks_at_the_most_accurate_trials() -> None:
    """One value lifts a few trials to the top: the best tenth depends on it, the worst tenth hardly does."""
    rows = known_rows(SPEC, 400, 3, {}, {})
    for row in rows:
        row["accuracy"] = 0.5 + row["trial"] / 1e4
        if row["lr"] == 8e-4 and row["optimizer"] == "SGD":
            row["accuracy"] += 0.4
        if row["internal"] == "jit_compilation" and row["augmentation"] == "mixup":
            row["accuracy"] -= 0.4
    (found,) = [one for one in importances(SPEC, rows) if (one.objective, one.method) == ("accuracy", "ped_anova")]
    assert {*sorted(found.shares, key=lambda name: -found.shares[name])[:2]} == {"lr", "optimizer"}


def test_too_few_trials_say_so() -> None:
    found = importances(SPEC, known_rows(SPEC, 9, 1))
    assert {one.words for one in found} == {"needs 10 completed trials; there are 9"}
    assert all(not one.shares for one in found)


def test_of_many_trials_a_sample_is_taken_and_said() -> None:
    found = {one.method: one.words for one in importances(SPEC, known_rows(SPEC, 310, 1))}
    assert found == {"ped_anova": "", "fanova": "on 300 of 310 trials, drawn at random"}
