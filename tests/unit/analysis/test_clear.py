"""The robust tests behind what is called clear, and when residuals are called normal."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from greenopt.analysis.design import build_design
from greenopt.analysis.diagnose import diagnose
from greenopt.analysis.fit import anova, fit
from greenopt.analysis.results import Coding, Response
from greenopt.analysis.trials import analysed_trials, build_sample
from tests.known_effects import known_rows, paper_study


@pytest.mark.parametrize("seed", range(3))
def test_the_robust_test_of_a_parameter_is_statsmodels_wald_test_with_hc3(seed: int) -> None:
    spec = paper_study(120)
    rows = known_rows(spec, 120, seed)
    sample = build_sample(Response.LOG_ENERGY_WH, analysed_trials(spec, rows), spec)
    fitted = fit(build_design(sample.trials, spec, Coding.EFFECTIVE), sample.response.to_numpy().astype(float))
    robust = fitted.result.get_robustcov_results("HC3", use_t=True)
    for row in anova(fitted):
        columns = fitted.design.of_parameter[row.parameter]
        wanted = robust.wald_test(np.eye(len(fitted.design.columns))[columns], use_f=True, scalar=True)
        assert row.hc3_f == pytest.approx(float(wanted.statistic), rel=1e-6)
        assert row.hc3_p == pytest.approx(float(wanted.pvalue), rel=1e-6)


def test_a_rare_noisy_value_is_not_what_energy_depends_on_clearly() -> None:
    """Without an effect and with one value whose trials scatter eight times as much, F alone finds one too often."""
    plain, both = 0, 0
    spec = paper_study(100)
    for seed in range(40):
        rows = known_rows(spec, 100, seed, {}, {})
        generator = np.random.default_rng(seed)
        for row in rows:
            is_rare = row["optimizer"] == "SGD" and row["lr"] == 0.01
            row["energy_wh"] *= float(np.exp(1.6 * generator.standard_normal())) if is_rare else 1.0
        sample = build_sample(Response.LOG_ENERGY_WH, analysed_trials(spec, rows), spec)
        fitted = fit(build_design(sample.trials, spec, Coding.EFFECTIVE), sample.response.to_numpy().astype(float))
        found = anova(fitted)
        plain += any(row.p_holm is not None and row.p_holm < 0.05 for row in found)
        both += any(row.is_clear for row in found)
    assert both <= 4
    assert plain > both


def test_white_finds_a_spread_that_grows_with_the_fit() -> None:
    spec = paper_study(150)
    rows = known_rows(spec, 150, 1, {("batch_size", 128): -2.0}, {})
    generator = np.random.default_rng(1)
    for row in rows:
        row["energy_wh"] *= float(np.exp((0.8 if row["batch_size"] != 128 else 0.0) * generator.standard_normal()))
    sample = build_sample(Response.LOG_ENERGY_WH, analysed_trials(spec, rows), spec)
    fitted = fit(build_design(sample.trials, spec, Coding.EFFECTIVE), sample.response.to_numpy().astype(float))
    found = diagnose(fitted, tuple(range(150)))
    explained = fitted.result.fittedvalues
    helper = sm.OLS(fitted.result.resid**2, sm.add_constant(np.column_stack([explained, explained**2]))).fit()
    assert found.white_p == pytest.approx(float(stats.chi2.sf(150 * helper.rsquared, 2)), rel=1e-5)
    assert found.white_p is not None
    assert found.white_p < 0.01
    assert any("spread unequally" in text for text in found.text)


@pytest.mark.parametrize(("trials", "is_said"), [(60, False), (300, True)])
def test_residuals_are_called_normal_only_where_tests_have_power(trials: int, is_said: bool) -> None:
    spec = paper_study(trials)
    sample = build_sample(Response.LOG_ENERGY_WH, analysed_trials(spec, known_rows(spec, trials, 2)), spec)
    fitted = fit(build_design(sample.trials, spec, Coding.EFFECTIVE), sample.response.to_numpy().astype(float))
    text = " ".join(diagnose(fitted, tuple(range(trials))).text)
    assert ("no reason to distrust" in text) is is_said
    assert ("only gross cases" in text) is (not is_said)
