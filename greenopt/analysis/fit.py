"""Ordinary least squares of one response, with all tests of its residuals.

The fit is statsmodels' own, by the pseudo-inverse: where columns depend on one another it has minimum norm, and what
cannot be told apart is left out of the coefficients and named.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.tools.sm_exceptions import SingularMatrixWarning

from greenopt.analysis.design import NOTHING_NEW, Column, Design, Matrix, Pair, left_out_words, orthonormal_basis
from greenopt.analysis.results import AnovaRow, Coding, Coefficient, Interaction, LackOfFit
from greenopt.errors import UsageError
from greenopt.formatting import counted

LEVERAGE_OF_ONE = 1 - 1e-9
EXACT = 1e-12
"""Share of the spread that rounding may leave in residuals; figures are recorded with nine digits."""
ROUNDING = 1e-9
"""Share of a response's range below which a coefficient of an exact fit is none."""
MIN_RESIDUAL_DF = 5
FOLDS = 10
LEAVE_ONE_OUT_BELOW = 200


class RefusedError(UsageError):
    """A regression cannot be estimated from these trials; the text says why.

    Attributes:
        needed: how many trials are enough, where there are too few.
    """

    def __init__(self, reason: str, needed: int | None = None) -> None:
        super().__init__(reason)
        self.needed = needed


@dataclass(frozen=True)
class Fit:
    """A fitted regression, with intermediate results that several statistics share.

    Attributes:
        result: statsmodels' results.
    """

    design: Design
    response: Matrix
    result: Any

    @property
    def basis(self) -> Matrix:
        """Orthonormal columns that span the design, `(trials, rank)`."""
        return self.design.basis

    @property
    def rank(self) -> int:
        """Rank of the design."""
        return int(self.basis.shape[1])

    @property
    def df_resid(self) -> int:
        """Degrees of freedom that are left."""
        return len(self.response) - self.rank

    @cached_property
    def has_constant(self) -> bool:
        """Whether the design can express a constant, with a column of its own or by others together."""
        ones = np.ones(len(self.response))
        beyond = ones - self.basis @ (self.basis.T @ ones)
        return bool(beyond @ beyond < NOTHING_NEW * len(ones))

    @cached_property
    def leverage(self) -> Matrix:
        """How far each trial's fitted value follows its own response, 0..1."""
        leverage: Matrix = np.minimum(np.einsum("ij,ij->i", self.basis, self.basis), 1.0)
        return leverage

    @cached_property
    def residual_ss(self) -> float:
        """Sum of squared residuals."""
        return float(self.result.ssr)

    @cached_property
    def is_exact(self) -> bool:
        """Whether the settings explain every trial but for rounding, so that nothing is left to judge chance by."""
        spread = self.response - self.response.mean()
        return self.residual_ss <= EXACT * float(spread @ spread)

    def is_estimable(self, index: int) -> bool:
        """Return whether a column's coefficient is determined by the trials."""
        return bool(np.all(np.abs(self.design.null_space[index]) < 1e-8))


def fit(design: Design, response: Matrix) -> Fit:
    """Fit by ordinary least squares.

    Raises:
        RefusedError: there are too few trials, or nothing varies.
    """
    trials = len(response)
    if trials == 0:
        raise RefusedError("no completed trial can be used: it is not known, or not of the study's length")
    if not design.of_parameter and design.left_out:
        raise RefusedError("; ".join(left_out_words(name, count, trials) for name, count in design.left_out.items()))
    if not design.of_parameter:
        raise RefusedError(f"no parameter has two values in {counted(trials, 'completed trial')}", 2 * design.possible)
    if np.ptp(response) <= 1e-12 * float(np.abs(response).max()):
        raise RefusedError(f"it has the same value in all {trials} trials")
    rank = design.basis.shape[1]
    if trials <= rank:
        # Values that have not occurred yet will bring coefficients of their own.
        all_values = max(rank, design.possible)
        what = f"{all_values} coefficients of the whole space" if all_values > rank else "that"
        raise RefusedError(
            f"{trials} trials for {rank} coefficients leave nothing to judge them by; for {what} at least "
            f"{all_values + 1} are needed, {2 * all_values} are better",
            2 * all_values,
        )
    with warnings.catch_warnings():
        # A deficient rank is said in words, and what it leaves undetermined is left out.
        warnings.simplefilter("ignore", SingularMatrixWarning)
        result = OLS(response, design.matrix).fit()
    fitted = Fit(design, response, result)
    if not fitted.has_constant:
        raise RefusedError("without a constant it needs a parameter with a list of values; all are ranges")
    return fitted


def build_coefficients(fitted: Fit, coding: Coding) -> tuple[Coefficient, ...]:
    """Return the coefficients that the trials determine; in the paper's coding all, of minimum norm."""
    errors = _robust_errors(fitted)
    chosen = [i for i in range(len(fitted.design.columns)) if coding is Coding.PAPER or fitted.is_estimable(i)]
    if fitted.is_exact:
        return tuple(_exact_coefficient(fitted, fitted.design.columns[i], i) for i in chosen)
    bounds = fitted.result.conf_int()
    rows = [_coefficient(fitted, fitted.design.columns[i], i, bounds[i], errors[i]) for i in chosen]
    return tuple(rows) if coding is Coding.PAPER else _adjusted(rows)


def _coefficient(fitted: Fit, column: Column, index: int, bounds: Matrix, error: float) -> Coefficient:
    result = fitted.result
    plain = Coefficient(
        name=column.name,
        parameter=column.parameter,
        value=column.value,
        trials=column.trials,
        coef=float(result.params[index]),
        std_err=float(result.bse[index]),
        t=float(result.tvalues[index]),
        p=float(result.pvalues[index]),
        low=float(bounds[0]),
        high=float(bounds[1]),
    )
    if not np.isfinite(error) or error <= 0:
        return plain
    reach = float(stats.t.ppf(0.975, fitted.df_resid)) * error
    p = float(2 * stats.t.sf(abs(plain.coef) / error, fitted.df_resid))
    return replace(plain, hc3_std_err=error, hc3_p=p, hc3_low=plain.coef - reach, hc3_high=plain.coef + reach)


def _exact_coefficient(fitted: Fit, column: Column, index: int) -> Coefficient:
    """Return a coefficient that the trials give to the last digit: an interval without width, and no test."""
    coef = float(fitted.result.params[index])
    if abs(coef) <= ROUNDING * float(np.ptp(fitted.response)):
        coef = 0.0
    return Coefficient(column.name, column.parameter, column.value, column.trials, coef, 0.0, None, None, coef, coef)


def _robust_errors(fitted: Fit) -> Matrix:
    """Compute MacKinnon and White's HC3 errors; NaN where a single trial determines a coefficient."""
    alone = fitted.leverage >= LEVERAGE_OF_ONE
    weights = np.where(alone, 0.0, fitted.response - fitted.result.fittedvalues) / np.where(
        alone, 1.0, 1 - fitted.leverage
    )
    inverse = fitted.result.model.pinv_wexog
    errors: Matrix = np.sqrt(np.einsum("ij,j->i", inverse**2, weights**2))
    decided = np.any(np.abs(inverse[:, alone]) > 1e-9, axis=1)
    return np.where(decided, np.nan, errors)


def _adjusted(rows: Sequence[Coefficient]) -> tuple[Coefficient, ...]:
    family = [row for row in rows if row.parameter is not None]
    plain = [1.0 if row.p is None else row.p for row in family]
    holm, bh = adjusted_p(plain)
    robust, _ = adjusted_p([p if row.hc3_p is None else row.hc3_p for row, p in zip(family, plain, strict=True)])
    by_name = {
        row.name: replace(row, p_holm=h, p_bh=b, hc3_p_holm=None if row.hc3_p is None else r)
        for row, h, b, r in zip(family, holm, bh, robust, strict=True)
    }
    return tuple(by_name.get(row.name, row) for row in rows)


def adjusted_p(ps: Sequence[float]) -> tuple[list[float], list[float]]:
    """Adjust p values by Holm (family-wise) and by Benjamini and Hochberg (false discoveries).

    statsmodels' multipletests gives the same and collects garbage at each call, 60 ms in a process of this size.
    """
    if not ps:
        return [], []
    order = np.argsort(ps)
    steps = np.maximum.accumulate(np.asarray(ps)[order] * np.arange(len(ps), 0, -1))
    holm = np.empty(len(ps))
    holm[order] = np.minimum(steps, 1.0)
    return [float(p) for p in holm], [float(p) for p in stats.false_discovery_control(ps, method="bh")]


def anova(fitted: Fit) -> tuple[AnovaRow, ...]:
    """Compute type II sums of squares: each parameter against a model with all others."""
    inside, explained = fitted.basis.T @ fitted.design.matrix, fitted.basis.T @ fitted.response
    found, exact, walds = [], [], []
    for parameter, columns in fitted.design.of_parameter.items():
        # In the coordinates of the design's own basis, where everything is small.
        rest = orthonormal_basis(np.delete(inside, columns, axis=1))
        df = fitted.rank - rest.shape[1]
        if df == 0:
            continue
        beyond = explained - rest @ (rest.T @ explained)
        sum_sq = float(beyond @ beyond)
        if fitted.is_exact:
            exact.append(_exact_row(fitted, parameter, df, sum_sq))
            continue
        f = sum_sq / df / (fitted.residual_ss / fitted.df_resid)
        share = sum_sq / (sum_sq + fitted.residual_ss)
        found.append((parameter, df, sum_sq, f, float(stats.f.sf(f, df, fitted.df_resid)), share))
        own = inside[:, columns] - rest @ (rest.T @ inside[:, columns])
        residual = fitted.response - fitted.result.fittedvalues
        walds.append(_wald(fitted.basis @ orthonormal_basis(own), along=None, fitted=fitted, residual=residual))
    if exact:
        return tuple(exact)
    holm, bh = adjusted_p([row[4] for row in found])
    robust = _robust_holm([row[4] for row in found], [p for _, p in walds])
    return tuple(
        AnovaRow(*row, p_holm=h, p_bh=b, hc3_f=wald[0], hc3_p=wald[1], hc3_p_holm=r)
        for row, h, b, wald, r in zip(found, holm, bh, walds, robust, strict=True)
    )


def _robust_holm(plain: Sequence[float], robust: Sequence[float | None]) -> list[float | None]:
    """Adjust robust p; where there is none the plain one stands in for the family's size, and none is returned."""
    adjusted, _ = adjusted_p([p if r is None else r for p, r in zip(plain, robust, strict=True)])
    return [None if r is None else p for p, r in zip(adjusted, robust, strict=True)]


def _wald(
    directions: Matrix, along: Matrix | None, fitted: Fit, residual: Matrix, leverage: Matrix | None = None
) -> tuple[float | None, float | None]:
    """Test directions jointly by Wald's F with the HC3 covariance (MacKinnon and White 1985).

    Args:
        directions: orthonormal and in the model, `(trials, df)`; at right angles to all other columns.
        along: the response along them; computed where None.
        fitted: the regression.
        residual: of the model that has them.
        leverage: of that model; the regression's own where None.

    Returns:
        F and p; None where a single trial decides.
    """
    leverage = fitted.leverage if leverage is None else leverage
    alone, df = leverage >= LEVERAGE_OF_ONE, directions.shape[1]
    rest = fitted.df_resid if along is None else fitted.df_resid - df
    if np.any(np.abs(directions[alone]) > 1e-9) or not df or rest < 1:
        return None, None
    along = directions.T @ fitted.response if along is None else along
    weights = np.where(alone, 0.0, residual / np.where(alone, 1.0, 1 - leverage)) ** 2
    covariance = (directions * weights[:, None]).T @ directions
    try:
        f = float(along @ np.linalg.solve(covariance, along)) / df
    except np.linalg.LinAlgError:
        return None, None
    return (f, float(stats.f.sf(f, df, rest))) if math.isfinite(f) and f >= 0 else (None, None)


def _exact_row(fitted: Fit, parameter: str, df: int, sum_sq: float) -> AnovaRow:
    """Return a parameter of an exact fit: it explains all that is left without it, or nothing."""
    spread = fitted.response - fitted.response.mean()
    explains = sum_sq > EXACT * float(spread @ spread)
    return AnovaRow(parameter, df, sum_sq if explains else 0.0, None, None, float(explains), None, None)


def interactions(fitted: Fit) -> tuple[Interaction, ...]:
    """Test every pair of parameters, one at a time beside all main effects; sorted by p.

    A pair is tested where at least `MIN_RESIDUAL_DF` degrees of freedom are left, on the combinations of values that
    three or more trials have. There is none in an exact fit, which leaves nothing to explain.
    """
    if fitted.is_exact:
        return ()
    residual = fitted.response - fitted.result.fittedvalues
    tested = [
        (row, _robust_pair_p(fitted, residual, pair))
        for pair in fitted.design.pairs
        if (row := _interaction(fitted, residual, pair)) is not None
    ]
    holm, bh = adjusted_p([row[4] for row, _ in tested])
    robust = _robust_holm([row[4] for row, _ in tested], [p for _, p in tested])
    rows = [
        Interaction(*row, p_holm=h, p_bh=b, hc3_p=p, hc3_p_holm=r)
        for (row, p), h, b, r in zip(tested, holm, bh, robust, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: row.p))


def _interaction(fitted: Fit, residual: Matrix, pair: Pair) -> tuple[str, str, int, float | None, float, float] | None:
    df = pair.products.shape[1]
    rest = fitted.df_resid - df
    # The residual has no part inside the design, so the products need not be freed of theirs.
    along = pair.products.T @ residual
    sum_sq = float(along @ along)
    residual_ss = fitted.residual_ss - sum_sq
    if rest < MIN_RESIDUAL_DF:
        return None
    if residual_ss <= EXACT * fitted.residual_ss:
        return pair.first, pair.second, df, None, 0.0, 1.0
    f = sum_sq / df / (residual_ss / rest)
    return pair.first, pair.second, df, f, float(stats.f.sf(f, df, rest)), sum_sq / fitted.residual_ss


def _robust_pair_p(fitted: Fit, residual: Matrix, pair: Pair) -> float | None:
    """Test a pair by Wald's F with the HC3 covariance; None where a single trial decides."""
    own = pair.products - fitted.basis @ (fitted.basis.T @ pair.products)
    along = own.T @ residual
    leverage = np.minimum(fitted.leverage + np.einsum("ij,ij->i", own, own), 1.0)
    return _wald(own, along, fitted, residual - own @ along, leverage)[1]


def lack_of_fit(fitted: Fit, group: npt.NDArray[np.int64]) -> LackOfFit | None:
    """Test the model's misfit against the spread of repeated settings; None without repeated settings.

    Args:
        fitted: the regression.
        group: numbers from 0 without a gap, the same for trials that repeat one another, in the trials' order.
    """
    sizes = np.bincount(group)
    pure_df = int(len(group) - len(sizes))
    if pure_df == 0:
        return None
    means = np.bincount(group, fitted.response) / sizes
    pure_ss = float(((fitted.response - means[group]) ** 2).sum())
    lack_df = fitted.df_resid - pure_df
    if fitted.is_exact or pure_ss <= EXACT * fitted.residual_ss:
        return LackOfFit(pure_df, 0.0, max(lack_df, 0), None, None)
    std = float(np.sqrt(pure_ss / pure_df))
    if lack_df < 1:
        return LackOfFit(pure_df, std, max(lack_df, 0), None, None)
    f = max(0.0, fitted.residual_ss - pure_ss) / lack_df / (pure_ss / pure_df)
    return LackOfFit(pure_df, std, lack_df, float(f), float(stats.f.sf(f, lack_df, pure_df)))


def cross_validated_r_squared(fitted: Fit, seed: int = 0) -> float | None:
    """Compute the cross-validated R2: leave-one-out for few trials, else in ten folds.

    A trial that alone has some value cannot be predicted from the others and is passed over.

    Returns:
        None where hardly any trial can be predicted.
    """
    trials = len(fitted.response)
    squares = (fitted.response - fitted.response.mean()) ** 2
    if trials < LEAVE_ONE_OUT_BELOW:
        predictable = fitted.leverage < LEVERAGE_OF_ONE
        if predictable.sum() < trials / 2 or not squares[predictable].any():
            return None
        errors = (fitted.response - fitted.result.fittedvalues)[predictable] / (1 - fitted.leverage[predictable])
        return 1 - float((errors**2).sum()) / float(squares[predictable].sum())
    fold = np.random.default_rng(seed).permutation(trials) % FOLDS
    explained, error_ss = fitted.basis.T @ fitted.response, 0.0
    for number in range(FOLDS):
        left_out, response = fitted.basis[fold == number], fitted.response[fold == number]
        # The basis is orthonormal: without a fold its products are the identity less the fold's own.
        products = np.eye(fitted.rank) - left_out.T @ left_out
        if np.linalg.eigvalsh(products)[0] < NOTHING_NEW:
            return None
        solution = np.linalg.solve(products, explained - left_out.T @ response)
        error_ss += float(((response - left_out @ solution) ** 2).sum())
    return 1 - error_ss / float(squares.sum())
