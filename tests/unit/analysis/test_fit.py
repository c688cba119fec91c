"""Least squares and its tests, against statsmodels' own and against what is worked out by hand."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.diagnostic import het_breuschpagan
from statsmodels.stats.multitest import multipletests

from greenopt.analysis.design import build_design
from greenopt.analysis.diagnose import diagnose
from greenopt.analysis.fit import (
    Fit,
    RefusedError,
    adjusted_p,
    anova,
    build_coefficients,
    cross_validated_r_squared,
    fit,
    interactions,
    lack_of_fit,
)
from greenopt.analysis.results import Coding
from greenopt.analysis.trials import analysed_trials
from greenopt.spec import StudySpec
from tests.known_effects import known_rows, paper_study


def small(trials: int = 60, seed: int = 3, coding: Coding = Coding.TREATMENT) -> tuple[Fit, pd.DataFrame]:
    """A study of three parameters, and its table."""
    spec = StudySpec.model_validate(
        {
            "study": {"name": "small", "trials": trials},
            "data": {"name": "cifar100"},
            "training": {"epochs": 2},
            "space": {"batch_size": [4, 32, 64], "augmentation": ["none", "mixup"], "optimizer": ["SGD", "RMSProp"]},
        }
    )
    table = analysed_trials(spec, known_rows(spec, trials, seed))
    return fit(build_design(table, spec, coding), np.log(table["energy_wh"].to_numpy(dtype=float))), table


def formula(table: pd.DataFrame) -> "smf.ols":
    plain = pd.DataFrame({name: table[name].astype(str) for name in ("batch_size", "augmentation", "optimizer")})
    plain["y"] = np.log(table["energy_wh"].astype(float))
    text = "y ~ C(batch_size, Treatment('4')) + C(augmentation, Treatment('none')) + C(optimizer, Treatment('SGD'))"
    return smf.ols(text, plain)


def test_treatment_coding_is_statsmodels_own() -> None:
    fitted, table = small()
    theirs = formula(table).fit()
    ours = {row.name: row for row in build_coefficients(fitted, Coding.TREATMENT)}
    names = {
        "Intercept": "const",
        "C(batch_size, Treatment('4'))[T.32]": "batch_size_32",
        "C(batch_size, Treatment('4'))[T.64]": "batch_size_64",
        "C(augmentation, Treatment('none'))[T.mixup]": "augmentation_mixup",
        "C(optimizer, Treatment('SGD'))[T.RMSProp]": "optimizer_RMSProp",
    }
    assert set(ours) == set(names.values())
    robust = formula(table).fit(cov_type="HC3", use_t=True)
    for their, our in names.items():
        assert ours[our].coef == pytest.approx(theirs.params[their], abs=1e-9)
        assert ours[our].std_err == pytest.approx(theirs.bse[their], abs=1e-9)
        assert ours[our].p == pytest.approx(theirs.pvalues[their], abs=1e-9)
        assert (ours[our].low, ours[our].high) == pytest.approx(tuple(theirs.conf_int().loc[their]), abs=1e-9)
        assert ours[our].hc3_std_err == pytest.approx(robust.bse[their], abs=1e-9)
        assert ours[our].hc3_p == pytest.approx(robust.pvalues[their], abs=1e-9)
        assert (ours[our].hc3_low, ours[our].hc3_high) == pytest.approx(tuple(robust.conf_int().loc[their]), abs=1e-9)


def test_anova_is_statsmodels_type_two() -> None:
    fitted, table = small()
    theirs = anova_lm(formula(table).fit(), typ=2)
    for row, (_, their) in zip(anova(fitted), theirs.drop(index="Residual").iterrows(), strict=False):
        names = dict(zip(("batch_size", "augmentation", "optimizer"), theirs.index, strict=False))
        their = theirs.loc[names[row.parameter]]
        assert (row.df, row.sum_sq, row.f, row.p) == pytest.approx(
            (their["df"], their["sum_sq"], their["F"], their["PR(>F)"]), abs=1e-9
        )
        residual = theirs.loc["Residual", "sum_sq"]
        assert row.partial_eta_squared == pytest.approx(their["sum_sq"] / (their["sum_sq"] + residual))


def test_an_interaction_is_the_f_test_between_two_models() -> None:
    fitted, table = small(200)
    plain = formula(table)
    (found,) = [row for row in interactions(fitted) if {row.first, row.second} == {"batch_size", "optimizer"}]
    both = smf.ols(plain.formula + " + C(batch_size):C(optimizer)", plain.data.frame).fit()
    f, p, df = both.compare_f_test(plain.fit())
    assert (found.df, found.f, found.p) == pytest.approx((df, f, p), abs=1e-9)


def test_adjusted_p_is_statsmodels_own() -> None:
    ps = [0.04, 0.001, 0.2, 0.03, 0.03, 0.9]
    holm, bh = adjusted_p(ps)
    assert holm == pytest.approx(multipletests(ps, method="holm")[1])
    assert bh == pytest.approx(multipletests(ps, method="fdr_bh")[1])
    assert adjusted_p([]) == ([], [])


def test_breusch_pagan_is_statsmodels_own() -> None:
    fitted, table = small()
    _, p, _, _ = het_breuschpagan(fitted.result.resid, formula(table).exog)
    assert diagnose(fitted, tuple(range(60))).heteroscedasticity_p == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize("trials", [60, 400])
def test_cross_validation_is_refitting_without_what_is_predicted(trials: int) -> None:
    fitted, _ = small(trials)
    matrix, response = fitted.design.matrix, fitted.response
    folds = np.arange(trials) if trials < 200 else np.random.default_rng(0).permutation(trials) % 10
    predicted = np.empty(trials)
    for fold in np.unique(folds):
        inside = folds != fold
        predicted[~inside] = matrix[~inside] @ np.linalg.lstsq(matrix[inside], response[inside], rcond=None)[0]
    expected = 1 - ((response - predicted) ** 2).sum() / ((response - response.mean()) ** 2).sum()
    assert cross_validated_r_squared(fitted) == pytest.approx(expected, abs=1e-9)


def numbered(settings: list[tuple[object, ...]]) -> np.ndarray:
    return np.array([list(dict.fromkeys(settings)).index(setting) for setting in settings])


def test_lack_of_fit_by_hand() -> None:
    fitted, table = small(60)
    settings = [tuple(row) for row in table[["batch_size", "augmentation", "optimizer"]].itertuples(index=False)]
    found = lack_of_fit(fitted, numbered(settings))
    assert found is not None
    groups = pd.Series(fitted.response).groupby([str(setting) for setting in settings])
    pure_ss, df = float(groups.apply(lambda g: ((g - g.mean()) ** 2).sum()).sum()), 60 - groups.ngroups
    assert (found.pure_error_df, found.pure_error_std) == (df, pytest.approx((pure_ss / df) ** 0.5))
    lack = (fitted.residual_ss - pure_ss) / found.lack_of_fit_df
    assert found.lack_of_fit_df == groups.ngroups - fitted.rank
    assert found.f == pytest.approx(lack / (pure_ss / df))


def test_a_bent_truth_shows_as_lack_of_fit() -> None:
    fitted, table = small(200)
    bent = fitted.response + 1.0 * ((table["batch_size"] == 32) & (table["optimizer"] == "SGD")).to_numpy()
    settings = [tuple(row) for row in table[["batch_size", "augmentation", "optimizer"]].itertuples(index=False)]
    straight, misfit = (lack_of_fit(fit(fitted.design, y), numbered(settings)) for y in (fitted.response, bent))
    assert straight is not None
    assert straight.p is not None
    assert straight.p > 0.01
    assert misfit is not None
    assert misfit.p is not None
    assert misfit.p < 1e-6


def test_without_repetitions_there_is_no_pure_error() -> None:
    fitted, _ = small()
    assert lack_of_fit(fitted, np.arange(60)) is None


def confounded() -> tuple[Fit, StudySpec]:
    """Optimizer and batch size always change together."""
    spec = paper_study(40)
    rows = known_rows(spec, 40, 1)
    for row in rows:
        row.update({name: spec.space.baseline[name] for name in spec.space.distributions if name != "lr"})
        row["optimizer"], row["batch_size"] = ("SGD", 32) if row["trial"] % 2 else ("RMSProp", 4)
    table = analysed_trials(spec, rows)
    return fit(build_design(table, spec, Coding.TREATMENT), table["accuracy"].to_numpy(dtype=float)), spec


def test_what_cannot_be_told_apart_is_left_out() -> None:
    fitted, _ = confounded()
    names = [row.name for row in build_coefficients(fitted, Coding.TREATMENT)]
    assert "lr_0.0008" in names
    assert "batch_size_32" not in names
    assert "optimizer_SGD" not in names
    assert {row.parameter for row in anova(fitted)} == {"lr"}


def test_a_value_of_a_single_trial_has_no_robust_error_and_the_others_have() -> None:
    spec = paper_study(30)
    rows = known_rows(spec, 30, 1)
    for row in rows:
        row.update({name: spec.space.baseline[name] for name in spec.space.distributions if name != "lr"})
        row["internal"] = "pre_quantization" if row["trial"] == 7 else "none"
    table = analysed_trials(spec, rows)
    fitted = fit(build_design(table, spec, Coding.TREATMENT), table["accuracy"].to_numpy(dtype=float))
    by_name = {row.name: row for row in build_coefficients(fitted, Coding.TREATMENT)}
    assert by_name["internal_pre_quantization"].hc3_p is None
    assert by_name["lr_0.0008"].hc3_p is not None
    assert "trial 7 is the only one with some value" in " ".join(diagnose(fitted, tuple(table["trial"])).text)


@pytest.mark.parametrize(
    ("trials", "constant", "message"),
    [
        (0, False, "no completed trial"),
        (3, False, "3 trials for 3 coefficients"),
        (40, True, "the same value in all 40"),
    ],
)
def test_what_cannot_be_estimated_is_refused_with_the_reason(trials: int, constant: bool, message: str) -> None:
    spec = StudySpec.model_validate(
        {
            "study": {"name": "few", "trials": 9},
            "data": {"name": "cifar100"},
            "training": {"epochs": 2},
            "space": {"batch_size": [4, 32, 64]},
        }
    )
    rows = known_rows(spec, trials, 4)
    for row in rows:
        row["batch_size"] = (4, 32, 64)[row["trial"] % 3]
    table = analysed_trials(spec, rows)
    response = np.ones(trials) if constant else table["accuracy"].to_numpy(dtype=float)
    with pytest.raises(RefusedError, match=message):
        fit(build_design(table, spec, Coding.TREATMENT), response)


def test_the_papers_coding_of_ranges_alone_is_refused() -> None:
    spec = StudySpec.model_validate(
        {
            "study": {"name": "ranged", "trials": 9, "objective": "elsewhere:trained"},
            "training": {"epochs": 1},
            "space": {"width": {"low": 1, "high": 9}},
        }
    )
    table = analysed_trials(
        spec, [{"trial": n, "state": "complete", "width": n, "accuracy": n % 3} for n in range(1, 9)]
    )
    response = table["accuracy"].to_numpy(dtype=float)
    assert fit(build_design(table, spec, Coding.TREATMENT), response).rank == 2
    with pytest.raises(RefusedError, match="all are ranges"):
        fit(build_design(table, spec, Coding.PAPER), response)
