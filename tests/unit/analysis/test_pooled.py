"""Partial pooling against its definition, and what it is for: effects of few trials."""

import numpy as np
import pytest

from greenopt.analysis.pooled import (
    Contrasts,
    Groups,
    Variances,
    build_groups,
    contrasts,
    estimate_variances,
    shrink,
    tame,
)


def random_groups(trials: int, parameters: int, seed: int = 1) -> tuple[Groups, dict[str, np.ndarray]]:
    """Return columns of parameters with four values each."""
    generator = np.random.default_rng(seed)
    marks = {
        f"p{number}": (generator.integers(4, size=trials)[:, None] == np.arange(4)).astype(float)
        for number in range(parameters)
    }
    return build_groups(marks), marks


def test_contrasts_are_generalised_least_squares_with_all_other_effects_random() -> None:
    groups, marks = random_groups(40, 5)
    response = np.random.default_rng(2).standard_normal(40) + marks["p1"] @ [0, 1, 2, 3]
    of_parameter = {"p0": 0.5, "p1": 1.5, "p2": 0.01, "p3": 0.3, "p4": 0.1}
    found = contrasts(groups, response, "p0", marks["p0"][:, 1:], Variances(of_parameter, 0.8))
    assert found is not None
    covariance = 0.8 * np.eye(40) + sum(of_parameter[n] * marks[n] @ marks[n].T for n in marks if n != "p0")
    fixed = np.column_stack([np.ones(40), marks["p0"][:, 1:]])
    inverse = np.linalg.inv(covariance)
    whole = np.linalg.inv(fixed.T @ inverse @ fixed)
    assert found.estimate == pytest.approx((whole @ fixed.T @ inverse @ response)[1:], rel=1e-8)


def test_without_others_it_is_ordinary_least_squares_with_hc3() -> None:
    import statsmodels.api as sm

    groups, marks = random_groups(30, 1)
    response = np.random.default_rng(3).standard_normal(30) * (1 + marks["p0"][:, 1])
    found = contrasts(groups, response, "p0", marks["p0"][:, 1:], estimate_variances(groups, response))
    assert found is not None
    fitted = sm.OLS(response, sm.add_constant(marks["p0"][:, 1:])).fit()
    assert found.df == pytest.approx(26)
    assert found.estimate == pytest.approx(fitted.params[1:], rel=1e-9)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(fitted.bse[1:], rel=1e-9)
    assert found.robust_error == pytest.approx(fitted.HC3_se[1:], rel=1e-9)


def test_variances_are_found() -> None:
    groups, marks = random_groups(600, 4)
    generator = np.random.default_rng(4)
    response = marks["p0"] @ [-1.0, 1.0, -1.0, 1.0] + 0.5 * generator.standard_normal(600)
    found = estimate_variances(groups, response)
    assert found.noise == pytest.approx(0.25, rel=0.15)
    assert 0.3 < found.of_parameter["p0"] < 3
    assert max(found.of_parameter[name] for name in ("p1", "p2", "p3")) < 0.01


def test_intervals_hold_the_truth_with_fewer_trials_than_columns() -> None:
    """30 trials of 40 values: a large effect is found, and 95 % intervals hold nothing where there is nothing."""
    held, found_large = [], []
    for seed in range(40):
        groups, marks = random_groups(30, 10, seed)
        response = marks["p0"] @ [0, -1.2, -1.2, -1.2] + 0.2 * np.random.default_rng(seed).standard_normal(30)
        variances = estimate_variances(groups, response)
        for name in ("p0", "p1", "p2"):
            one = contrasts(groups, response, name, marks[name][:, 1:], variances)
            assert one is not None
            if name == "p0":
                found_large.append(bool((one.p < 0.01).all()))
            else:
                held += (one.p > 0.05).tolist()
    assert np.mean(found_large) > 0.9
    assert np.mean(held) > 0.9


def test_outliers_are_pulled_in_and_nothing_else() -> None:
    groups, _ = random_groups(60, 4)
    response = np.random.default_rng(5).standard_normal(60)
    response[7] = 40.0
    tamed, widen = tame(groups, response)
    assert tamed[7] < 8
    assert 1 < widen < 1.3
    assert np.mean(tamed == pytest.approx(response)) < 1
    assert np.sum(np.abs(tamed - response) < 1e-9) > 45


def test_shrinking_draws_small_effects_towards_none_and_leaves_large_ones() -> None:
    def measured(*estimate: float) -> Contrasts:
        return Contrasts(np.array(estimate), 0.01**2 * (np.eye(3) + 1), np.full(3, 0.01), 100.0)

    none = {f"p{number}": measured(0.005, -0.01, 0.008) for number in range(6)}
    found = shrink({**none, "large": measured(0.2, 0.25, 0.0)})
    assert found["large"].mean[:2] == pytest.approx([0.2, 0.25], rel=0.1)
    assert np.abs(found["p0"].mean).max() < 0.004
    assert np.all(found["p0"].low <= 0) and np.all(found["p0"].high >= 0)  # noqa: PT018
    assert np.all(found["large"].low[:2] > 0.1)
