"""Importances: the parameters that matter, in the direction that matters."""

import pytest

from greenopt.search import Shares, importances
from greenopt.spec import StudySpec
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
        assert found.text == ""


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
    found = importances(SPEC, known_rows(SPEC, 199, 1))
    (text,) = {one.text for one in found}
    assert text.startswith("not shown under 200 completed trials, of which there are 199")
    assert all(not one.shares and not one.chance for one in found)


def test_shares_of_permuted_results_are_the_band_of_chance(shares: dict[tuple[str, str], Shares]) -> None:
    for objective, parameter in (("accuracy", "optimizer"), ("energy_wh", "batch_size")):
        found = shares[objective, "ped_anova"]
        above = {name for name, share in found.shares.items() if share > found.chance[name]}
        assert parameter in above
        assert len(above) <= 3
    nothing = {one.objective: one for one in importances(SPEC, known_rows(SPEC, 200, 9, {}, {}))}
    for one in nothing.values():
        assert sum(share > one.chance.get(name, 1.0) for name, share in one.shares.items()) <= 2


def test_of_many_trials_a_sample_is_taken_and_said() -> None:
    found = {one.method: one.text for one in importances(SPEC, known_rows(SPEC, 310, 1))}
    assert found == {"ped_anova": "", "fanova": "on 300 of 310 trials, drawn at random"}


def varied(values: list[object], space: object, **rest: object) -> list[Shares]:
    spec = StudySpec.model_validate(
        {
            "study": {"name": "made", "trials": 300, "objective": "made:up"},
            "training": {"epochs": 1},
            "space": {"a": space, **rest},
        }
    )
    rows = [
        {"a": value, "b": "xyz"[n % 3], "accuracy": 0.1 + n % 3 / 5 + n % 7 / 100, "energy_wh": 1.0 + n % 11 / 10}
        for n, value in enumerate(values)
    ]
    return importances(spec, rows)


def test_a_list_of_many_values_ends() -> None:
    """Each value that fANOVA takes for a feature of its own doubles its time: 25 of them never ended."""
    values: list[object] = [n * 7 % 25 for n in range(200)]
    for found in varied(values, sorted(set(values)), b=["x", "y", "z"]):  # type: ignore[type-var]
        assert set(found.shares) == {"a", "b"}
        if found.objective == "accuracy":
            assert found.shares["b"] > found.shares["a"]


def test_names_of_trials_are_left_out_and_said() -> None:
    values: list[object] = [f"job-{n}" for n in range(200)]
    text = "without a, of which most trials have a value of their own"
    for found in varied(values, values, b=["x", "y", "z"]):
        assert (set(found.shares), found.text) == ({"b"}, text)
    for found in varied(values, values):
        assert (found.shares, found.text) == ({}, text)
