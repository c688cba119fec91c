"""Alternative fits of a regression: robust against outliers, and with the trials that ended early.

A trial that ended early would have taken more energy than it did: its energy is a lower bound, so that the regression
of log energy is fitted with it as a censored value (Tobin 1958, in Olsen's 1978 form, whose likelihood is concave).
"""

import warnings

import numpy as np
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.robust.norms import HuberT
from statsmodels.robust.robust_linear_model import RLM

from greenopt.analysis.design import Matrix
from greenopt.analysis.fit import Fit
from greenopt.analysis.results import FOUND, Alternative, Coefficient
from greenopt.formatting import counted

HUBER_BEND = 1.345
"""Residuals beyond this many robust standard deviations lose weight; statsmodels' own default."""
_STEPS = 100


def robust(fitted: Fit, found: tuple[Coefficient, ...]) -> Alternative | None:
    """Fit by Huber's M-estimation, which outliers influence less; None if it does not converge."""
    with warnings.catch_warnings():
        # Where most residuals are 0 its scale is 0 and its result no number, which is looked at below.
        warnings.simplefilter("ignore")
        try:
            start = _huber(fitted)
            result = RLM(fitted.response, fitted.design.matrix, M=HuberT()).fit(start_params=start)
            is_sound = bool(np.all(np.isfinite(result.params)) and np.all(result.bse > 0))
        except (np.linalg.LinAlgError, ZeroDivisionError, ValueError):
            return None
    if not is_sound:
        return None
    p = 2 * stats.t.sf(np.abs(result.params / result.bse), fitted.df_resid)
    return _compared("Huber's M-estimation", fitted, found, len(fitted.response), result.params, result.bse, p)


def _huber(fitted: Fit) -> Matrix:
    """Close to Huber's estimate, by weighted normal equations; statsmodels, whose steps take longer, ends it.

    Returns:
        Coefficients of minimum norm, one a column.
    """
    basis, response = fitted.basis, fitted.response
    solution = basis.T @ response
    for _ in range(_STEPS):
        residual = response - basis @ solution
        scale = float(np.median(np.abs(residual))) / stats.norm.ppf(0.75)
        if scale <= 0:
            break
        weights = np.minimum(1.0, HUBER_BEND * scale / np.maximum(np.abs(residual), 1e-300))
        weighted = basis * weights[:, None]
        before, solution = solution, np.linalg.solve(weighted.T @ basis, weighted.T @ response)
        if np.max(np.abs(solution - before)) < 1e-10 * (1 + np.max(np.abs(solution))):
            break
    return np.asarray(fitted.result.model.pinv_wexog @ (basis @ solution))


def censored(fitted: Fit, found: tuple[Coefficient, ...], early: Matrix, bounds: Matrix) -> Alternative | None:
    """Fit a Tobit model with the trials that ended early as lower bounds; None if it does not converge.

    Args:
        fitted: the regression of the completed trials.
        found: its coefficients.
        early: the trials that ended early, in the same columns.
        bounds: their responses as far as they came.
    """
    keep = [index for index in range(len(fitted.design.columns)) if fitted.is_estimable(index)]
    solved = _tobit(fitted.design.matrix[:, keep], fitted.response, early[:, keep], bounds)
    if solved is None:
        return None
    coefs, errors = np.full(len(fitted.design.columns), np.nan), np.full(len(fitted.design.columns), np.nan)
    coefs[keep], errors[keep] = solved
    p = 2 * stats.norm.sf(np.abs(coefs / errors))
    method = f"censored (Tobit), with {counted(len(bounds))} that ended early as lower bounds"
    return _compared(method, fitted, found, len(fitted.response) + len(bounds), coefs, errors, p)


def at_worst(fitted: Fit, found: tuple[Coefficient, ...], early: Matrix, worst: float) -> Alternative:
    """Fit OLS with the trials that ended early at their worst possible value."""
    method = f"OLS with {counted(len(early))} that ended early at {worst:g}"
    return _with_more(fitted, found, early, np.full(len(early), worst), method)


def at_forecast(fitted: Fit, found: tuple[Coefficient, ...], stopped: Matrix, forecasts: Matrix) -> Alternative:
    """Fit OLS with the trials that a rule stopped at the value that was forecast for them."""
    method = f"OLS with {counted(len(stopped))} that a rule stopped at their forecast"
    return _with_more(fitted, found, stopped, forecasts, method)


def _with_more(fitted: Fit, found: tuple[Coefficient, ...], more: Matrix, values: Matrix, method: str) -> Alternative:
    response = np.concatenate([fitted.response, values])
    with warnings.catch_warnings():
        # An exact fit has no p, and a value without one is left out below.
        warnings.simplefilter("ignore")
        result = OLS(response, np.vstack([fitted.design.matrix, more])).fit()
        errors, ps = result.bse, result.pvalues
    return _compared(method, fitted, found, len(response), result.params, errors, ps)


def _tobit(matrix: Matrix, response: Matrix, early: Matrix, bounds: Matrix) -> tuple[Matrix, Matrix] | None:
    """Coefficients and standard errors by Newton's method in (coefficient / sigma, 1 / sigma)."""
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return None
    start = np.asarray(np.linalg.lstsq(matrix, response, rcond=None)[0], dtype=np.float64)
    sigma = float(np.std(response - matrix @ start)) or 1.0
    theta: Matrix = np.append(start / sigma, 1 / sigma)
    exact, late = np.column_stack([-matrix, response]), np.column_stack([early, -bounds])
    value = _log_likelihood(theta, exact, late)
    for _ in range(_STEPS):
        gradient, hessian = _slopes(theta, exact, late)
        try:
            step = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return None
        length = 1.0
        while (moved := _log_likelihood(theta - length * step, exact, late)) < value and length > 1e-8:
            length /= 2
        theta, gain, value = theta - length * step, moved - value, moved
        if abs(gain) < 1e-10 * (1 + abs(value)):
            covariance = np.asarray(np.linalg.inv(-_slopes(theta, exact, late)[1]), dtype=np.float64)
            return _unscaled(theta, covariance)
    return None


def _log_likelihood(theta: Matrix, exact: Matrix, late: Matrix) -> float:
    if theta[-1] <= 0:
        return -np.inf
    residual = exact @ theta
    return float(len(exact) * np.log(theta[-1]) - 0.5 * residual @ residual + stats.norm.logcdf(late @ theta).sum())


def _slopes(theta: Matrix, exact: Matrix, late: Matrix) -> tuple[Matrix, Matrix]:
    beyond = late @ theta
    ratio = np.exp(stats.norm.logpdf(beyond) - stats.norm.logcdf(beyond))
    gradient = -exact.T @ (exact @ theta) + late.T @ ratio
    hessian = -exact.T @ exact - (late * (ratio * (beyond + ratio))[:, None]).T @ late
    gradient[-1] += len(exact) / theta[-1]
    hessian[-1, -1] -= len(exact) / theta[-1] ** 2
    return gradient, hessian


def _unscaled(theta: Matrix, covariance: Matrix) -> tuple[Matrix, Matrix]:
    """Convert (coefficient / sigma, 1 / sigma) to coefficients and standard errors by the delta method."""
    count = len(theta) - 1
    jacobian = np.column_stack([np.eye(count) / theta[-1], -theta[:-1] / theta[-1] ** 2])
    return theta[:-1] / theta[-1], np.sqrt(np.diag(jacobian @ covariance @ jacobian.T))


def _compared(
    method: str, fitted: Fit, found: tuple[Coefficient, ...], n: int, coefs: Matrix, errors: Matrix, p: Matrix
) -> Alternative:
    index = {column.name: position for position, column in enumerate(fitted.design.columns)}
    by_name = {}
    for row in found:
        i = index[row.name]
        if np.isfinite(coefs[i]) and np.isfinite(p[i]):
            by_name[row.name] = (float(coefs[i]), float(errors[i]), float(p[i]))
    return Alternative(method, n, by_name, _format_change(found, by_name))


def _format_change(found: tuple[Coefficient, ...], other: dict[str, tuple[float, float, float]]) -> str:
    """Format whether the findings after Holm's correction are confirmed."""
    clear = [row for row in found if row.is_clear and row.name in other]
    if not clear:
        return "there was no clear effect to confirm"
    lost = [row.name for row in clear if other[row.name][2] >= FOUND or other[row.name][0] * row.coef < 0]
    if not lost:
        return f"confirms {'the one clear effect' if len(clear) == 1 else f'all {len(clear)} clear effects'}"
    return f"does not confirm {', '.join(lost)} ({len(lost)} of {counted(len(clear), 'clear effect')})"
