"""Robust and censored fits: they find what OLS cannot."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, stats
from statsmodels.tools.numdiff import approx_hess

from greenopt.analysis.alternatives import at_worst, censored, robust
from greenopt.analysis.design import Column, Design
from greenopt.analysis.fit import Fit, build_coefficients, fit
from greenopt.analysis.results import Coding


def two_values(response: np.ndarray, marked: np.ndarray) -> Fit:
    columns = (Column("const", None, None, len(marked)), Column("a_1", "a", 1, int(marked.sum())))
    return fit(Design(np.column_stack([np.ones(len(marked)), marked]), columns, {"a": 0}), response)


def data(seed: int = 0, trials: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    marked = (np.arange(trials) % 2).astype(float)
    return 2.0 + 1.0 * marked + 0.5 * generator.standard_normal(trials), marked


def test_huber_is_statsmodels_own_and_outliers_do_not_move_it() -> None:
    response, marked = data()
    response[1] = 500.0
    fitted = two_values(response, marked)
    found = build_coefficients(fitted, Coding.TREATMENT)
    other = robust(fitted, found)
    theirs = sm.RLM(response, fitted.design.matrix, M=sm.robust.norms.HuberT()).fit()
    assert other is not None
    assert other.coefficients["a_1"][:2] == pytest.approx((theirs.params[1], theirs.bse[1]), abs=1e-6)
    assert other.coefficients["a_1"][0] == pytest.approx(1.0, abs=0.15)
    assert abs(found[1].coef - 1.0) > 1.0


def test_tobit_undoes_the_loss_of_long_trials() -> None:
    """Trials above a limit were ended there: OLS on the rest is biased, Tobit is not."""
    response, marked = data(trials=4000)
    late = response > 3.0
    fitted = two_values(response[~late], marked[~late])
    early = np.column_stack([np.ones(late.sum()), marked[late]])
    found = build_coefficients(fitted, Coding.TREATMENT)
    other = censored(fitted, found, early, np.full(int(late.sum()), 3.0))
    assert other is not None
    assert other.n == 4000
    assert abs(found[1].coef - 1.0) > 0.2
    assert other.coefficients["a_1"][0] == pytest.approx(1.0, abs=0.05)


def test_tobit_is_the_maximum_of_its_likelihood_and_its_errors_cover() -> None:
    response, marked = data(trials=60)
    late = response > 2.8
    matrix = np.column_stack([np.ones(60), marked])
    fitted = two_values(response[~late], marked[~late])
    other = censored(fitted, build_coefficients(fitted, Coding.TREATMENT), matrix[late], np.full(int(late.sum()), 2.8))
    assert other is not None

    def loss(theta: np.ndarray) -> float:
        sigma = np.exp(theta[2])
        z = (response - matrix @ theta[:2]) / sigma
        c = (2.8 - matrix @ theta[:2]) / sigma
        return float(-np.where(late, stats.norm.logsf(c), stats.norm.logpdf(z) - theta[2]).sum())

    best = optimize.minimize(loss, np.array([2.0, 1.0, -0.7]), method="BFGS", options={"gtol": 1e-8})
    covariance = np.linalg.inv(approx_hess(best.x, loss))
    assert other.coefficients["const"][0] == pytest.approx(best.x[0], abs=1e-4)
    assert other.coefficients["a_1"][0] == pytest.approx(best.x[1], abs=1e-4)
    assert other.coefficients["a_1"][1] == pytest.approx(covariance[1, 1] ** 0.5, rel=1e-3)


def test_an_effect_that_hangs_on_those_that_ended_is_named() -> None:
    response, marked = data()
    fitted = two_values(response, marked)
    found = build_coefficients(fitted, Coding.TREATMENT)
    found = tuple(row if row.parameter is None else row.__class__(**{**vars(row), "p_holm": row.p}) for row in found)
    many = np.column_stack([np.ones(300), np.ones(300)])
    assert at_worst(fitted, found, many[:1], 0.0).text == "confirms the one clear effect"
    assert "does not confirm a_1" in at_worst(fitted, found, many, 0.0).text
