"""Partial pooling: the effects of one parameter's values, with all other parameters' effects as random.

Ordinary least squares spends a column on every value of every parameter, as many as a short study has trials. Here the
values of each *other* parameter are drawn from a normal distribution whose variance the trials give (restricted
maximum likelihood, by MacKay's fixed point): a parameter without effect costs next to nothing. The effects of the
parameter in question are fixed and not shrunk: they are Henderson's (1975) estimates, unbiased, and their errors hold
what is not known of the others. Invariant: nothing here depends on the order of trials or of parameters.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import ndtr

from greenopt.analysis.design import Matrix

STEPS = 60
CLOSE = 1e-3
SMALLEST = 1e-7
"""Variance of a parameter's effects, as a share of the response's, below which it has none."""
PRIOR_TRIALS, PRIOR_NOISE = 2.0, 0.05
"""Weight, in trials, and size, as a share of the response's variance, of what is assumed of the noise beforehand.

Fewer trials than columns could be explained without any noise, which is never true."""
BEND, HUBER_STEPS = 2.0, 8
GRID = (np.arange(24) + 0.5) / 24
"""Shares of shrinkage, over which the prior is uniform (Daniels 1999)."""
ALONE = 1e-6


@dataclass(frozen=True)
class Groups:
    """The columns of every parameter, centred.

    Attributes:
        matrix: `(trials, columns)`.
        columns: parameter -> its columns.
    """

    matrix: Matrix
    columns: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Variances:
    """Variances of the random effects of each parameter, and of the noise."""

    of_parameter: Mapping[str, float]
    noise: float


@dataclass(frozen=True)
class Contrasts:
    """Effects of a parameter's columns.

    Attributes:
        estimate: `(columns,)`, in the response's unit.
        covariance: of the estimates, `(columns, columns)`.
        robust_error: standard errors that hold under unequal variances; NaN where a single trial decides.
        df: effective degrees of freedom that are left.
    """

    estimate: Matrix
    covariance: Matrix
    robust_error: Matrix
    df: float

    @property
    def error(self) -> Matrix:
        """Return the larger of the plain and the robust standard errors."""
        plain = np.sqrt(np.diag(self.covariance))
        return np.asarray(np.fmax(plain, self.robust_error))

    @property
    def p(self) -> Matrix:
        """Return the larger of the plain and the robust p, two-sided, of each effect."""
        error = np.maximum(self.error, 1e-300)
        return np.asarray(2 * stats.t.sf(np.abs(self.estimate) / error, self.df))


def build_groups(indicators: Mapping[str, Matrix]) -> Groups:
    """Return all columns centred.

    Args:
        indicators: parameter -> its columns, `(trials, values)`: a mark for every value, or the slope of a range.
    """
    columns, made, first = {}, [], 0
    for parameter, matrix in indicators.items():
        columns[parameter] = range(first, first + matrix.shape[1])
        first += matrix.shape[1]
        made.append(matrix - matrix.mean(axis=0))
    return Groups(np.column_stack(made), columns)


def estimate_variances(groups: Groups, response: Matrix, start: Variances | None = None) -> Variances:
    """Estimate how much the effects of each parameter's values vary.

    Args:
        groups: the columns.
        response: `(trials,)`.
        start: of a similar response, to begin with.
    """
    centred = response - response.mean()
    total = float(centred @ centred) / max(len(response) - 1, 1)
    products, along = groups.matrix.T @ groups.matrix, groups.matrix.T @ centred
    size = np.array([max(np.trace(products[np.ix_(c, c)]) / len(response), 1e-12) for c in groups.columns.values()])
    variance, noise = total / len(size) / size, 0.5 * total
    if start is not None:
        variance, noise = np.array([start.of_parameter[name] for name in groups.columns]), start.noise
    groups_of = np.repeat(np.arange(len(size)), [len(c) for c in groups.columns.values()])
    least = SMALLEST * total / size
    for _ in range(STEPS):
        scale = np.sqrt(variance[groups_of])
        inner = np.eye(len(scale)) + scale[:, None] * products * scale / noise
        inverse = np.linalg.inv(inner)
        effects = scale * (inverse @ (scale * along)) / noise
        known = np.bincount(groups_of, 1 - np.diag(inverse))
        squares = np.bincount(groups_of, effects**2)
        before = variance
        variance = np.maximum(squares / np.maximum(known, 1e-300), least)
        residual_ss = float(centred @ centred) - 2 * float(effects @ along) + float(effects @ products @ effects)
        left = max(len(response) - 1 - float(known.sum()), 0.0)
        noise = (max(residual_ss, 0.0) + PRIOR_TRIALS * PRIOR_NOISE * total) / (left + PRIOR_TRIALS)
        if np.all(np.abs(variance - before) <= CLOSE * np.maximum(before, 1e-3 * total / size)):
            break
    return Variances(dict(zip(groups.columns, variance.tolist(), strict=True)), noise)


def tame(groups: Groups, response: Matrix) -> tuple[Matrix, float]:
    """Pull outliers in to `BEND` robust standard deviations from what the others say (Huber's M-estimation).

    Args:
        groups: the columns of all parameters.
        response: `(trials,)`.

    Returns:
        Huber's pseudo-values, `(trials,)`, whose least squares are the M-estimate, and the factor by which its standard
        errors exceed those of the pseudo-values' least squares.
    """
    tamed, inside = response, np.ones(len(response), dtype=bool)
    variances: Variances | None = None
    for _ in range(HUBER_STEPS):
        variances = estimate_variances(groups, tamed, variances)
        spread = np.sqrt([variances.of_parameter[n] for n, columns in groups.columns.items() for _ in columns])
        matrix = groups.matrix * spread
        inverse = np.linalg.inv(np.eye(len(spread)) + matrix.T @ matrix / variances.noise)
        solve = inverse @ matrix.T / variances.noise
        fitted = tamed.mean() + matrix @ (solve @ tamed)
        left = np.maximum(1 - 1 / len(response) - np.einsum("ij,ji->i", matrix, solve), 0.05)
        residual = response - fitted
        scale = np.median(np.abs(residual) / np.sqrt(left)) / stats.norm.ppf(0.75)
        reach = BEND * scale * np.sqrt(left)
        inside, before = np.abs(residual) <= reach, tamed
        tamed = fitted + np.clip(residual, -reach, reach)
        if np.max(np.abs(tamed - before)) < 0.02 * scale:
            break
    return tamed, 1 / max(float(inside.mean()), 0.5)


def contrasts(
    groups: Groups, response: Matrix, parameter: str, fixed: Matrix, variances: Variances, widen: float = 1.0
) -> Contrasts | None:
    """Estimate the effects of one parameter's columns; None where the trials leave nothing to judge them by.

    Args:
        groups: the columns of all parameters.
        response: `(trials,)`.
        parameter: the one in question.
        fixed: its columns without the reference's, `(trials, columns)`.
        variances: of all parameters.
        widen: factor of the noise's part of standard errors.
    """
    count, trials = fixed.shape[1], len(response)
    others = [i for name, columns in groups.columns.items() if name != parameter for i in columns]
    spread = [variances.of_parameter[n] for n, columns in groups.columns.items() if n != parameter for _ in columns]
    matrix = np.column_stack([fixed - fixed.mean(axis=0), groups.matrix[:, others] * np.sqrt(spread)])
    products = matrix.T @ matrix / variances.noise
    products[np.arange(count, len(products)), np.arange(count, len(products))] += 1
    try:
        inverse = np.linalg.inv(products)
    except np.linalg.LinAlgError:
        return None
    solve = inverse @ matrix.T / variances.noise
    centred = response - response.mean()
    fitted = matrix @ (solve @ centred)
    leverage = 1 / trials + np.einsum("ij,ji->i", matrix, solve)
    df = trials - float(leverage.sum())
    if df < 1:
        return None
    residual = centred - fitted
    residual = residual * widen
    noise = float(residual @ residual) / df
    # The estimates' covariance but for the noise is what is not known of the other parameters' effects.
    shares = solve[:count]
    unknown = inverse[:count, :count] - variances.noise * shares @ shares.T
    alone = leverage >= 1 - ALONE
    weights = np.where(alone, 0.0, residual / np.where(alone, 1.0, 1 - leverage)) ** 2
    robust = np.sqrt(np.maximum(np.einsum("ij,j->i", shares**2, weights) + np.diag(unknown), 0.0))
    decided = (np.abs(shares[:, alone]) > ALONE).any(axis=1)
    return Contrasts(
        estimate=solve[:count] @ centred,
        covariance=noise * shares @ shares.T + unknown,
        robust_error=np.where(decided | (fixed.sum(axis=0) == 1), np.nan, robust),
        df=df,
    )


@dataclass(frozen=True)
class Shrunk:
    """Effects of a parameter's columns a posteriori: their means and 95 % intervals, `(columns,)` each."""

    mean: Matrix
    low: Matrix
    high: Matrix


@dataclass(frozen=True)
class _Slab:
    """A posteriori, if the parameter has an effect: mixtures of normals, and the log evidence against having none."""

    means: Matrix
    deviations: Matrix
    chances: Matrix
    evidence: float


def shrink(found: Mapping[str, Contrasts], slopes: Collection[str] = ()) -> dict[str, Shrunk]:
    """Pool all effects towards none, as far as the trials leave it open.

    A parameter has no effect at all, or normal effects of its values whose shrinkage is uniform a priori (Daniels
    1999). The share of parameters without effect comes from the trials (George and Foster 2000), half of them a priori.

    Args:
        found: the estimates by parameter.
        slopes: parameters whose estimate is a range's slope, not values against a common reference.
    """
    slabs = {name: _slab(one, is_slope=name in slopes) for name, one in found.items()}
    without = 0.5
    for _ in range(STEPS):
        idle = {name: without / (without + (1 - without) * np.exp(min(s.evidence, 500.0))) for name, s in slabs.items()}
        before, without = without, (sum(idle.values()) + 1) / (len(slabs) + 2)
        if abs(without - before) < CLOSE:
            break
    return {name: _mixed(slab, float(idle[name])) for name, slab in slabs.items()}


def _slab(found: Contrasts, *, is_slope: bool) -> _Slab:
    widened = found.error * stats.t.ppf(0.975, found.df) / stats.norm.ppf(0.975)
    plain = np.sqrt(np.diag(found.covariance))
    covariance = found.covariance / np.outer(plain, plain) * np.outer(widened, widened)
    prior = np.eye(len(plain)) + (0.0 if is_slope else 1.0)
    scale = np.mean(np.diag(covariance)) / np.mean(np.diag(prior))
    means, deviations, logs = [], [], []
    for share in GRID:
        around = scale * (1 - share) / share * prior
        whole = np.linalg.inv(covariance + around)
        means.append(around @ whole @ found.estimate)
        deviations.append(np.sqrt(np.maximum(np.diag(around - around @ whole @ around), 1e-300)))
        logs.append(_log_density(whole, found.estimate))
    chances = np.exp(np.array(logs) - max(logs))
    evidence = max(logs) + np.log(chances.mean()) - _log_density(np.linalg.inv(covariance), found.estimate)
    return _Slab(np.array(means), np.array(deviations), chances / chances.sum(), float(evidence))


def _log_density(precision: Matrix, estimate: Matrix) -> float:
    return float(0.5 * np.linalg.slogdet(precision)[1] - 0.5 * estimate @ precision @ estimate)


def _mixed(slab: _Slab, idle: float) -> Shrunk:
    none = np.zeros((1, slab.means.shape[1]))
    means, deviations = np.vstack([none, slab.means]), np.vstack([none + 1e-300, slab.deviations])
    chances = np.append(idle, (1 - idle) * slab.chances)
    low, high = (_quantile(share, means, deviations, chances) for share in (0.025, 0.975))
    return Shrunk(chances @ means, low, high)


def _quantile(share: float, means: Matrix, deviations: Matrix, chances: Matrix) -> Matrix:
    """Return a quantile of mixtures of normals by bisection, one a column."""
    low, high = (means - 12 * deviations).min(axis=0), (means + 12 * deviations).max(axis=0)
    for _ in range(32):
        middle = (low + high) / 2
        is_below = chances @ ndtr((middle - means) / deviations) < share
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return np.asarray((low + high) / 2)
