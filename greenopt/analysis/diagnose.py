"""Diagnostics of a regression's residuals, as sentences."""

import numpy as np
from scipy import stats
from statsmodels.stats.stattools import jarque_bera

from greenopt.analysis.design import Matrix, orthonormal_basis
from greenopt.analysis.fit import LEVERAGE_OF_ONE, Fit
from greenopt.analysis.results import Diagnostics

DOUBT = 0.01
EXACT_WORDS = (
    "the settings explain every trial to the last digit: there is no chance in it for p and intervals to judge"
)
MIN_FOR_TESTS = 8
MIN_FOR_POWER = 100
"""Degrees of freedom below which the tests would miss much: then nothing is called normal or equally spread."""
SKEWED, HEAVY_TAILED = 0.5, 4.0
NOTHING = 1e-20
NAMED = 8


def diagnose(fitted: Fit, trials: tuple[int, ...]) -> Diagnostics:
    """Diagnose the residuals.

    Args:
        fitted: the regression.
        trials: numbers of its trials, in the order of the response.
    """
    if fitted.is_exact:
        told = (EXACT_WORDS, *_few(fitted), *_alone(fitted, trials))
        return Diagnostics(None, None, None, None, (), told, asks_for_robust=False)
    residual = fitted.response - fitted.result.fittedvalues
    _, normality_p, skewness, kurtosis = (float(figure) for figure in jarque_bera(residual))
    spread_p, white_p = _breusch_pagan_p(fitted, residual), _white_p(fitted, residual)
    influential = _influential(fitted, residual, trials)
    enough = len(residual) >= MIN_FOR_TESTS
    is_odd = enough and normality_p < DOUBT and (abs(skewness) > SKEWED or kurtosis > HEAVY_TAILED)
    texts = [*_few(fitted), *_alone(fitted, trials)]
    if is_odd:
        texts.append(
            f"the residuals are not normal (Jarque-Bera p = {normality_p:.2g}, skewness {skewness:.2g}, kurtosis "
            f"{kurtosis:.2g}): p and intervals are approximate; a robust fit stands beside"
        )
    tests = {"Breusch-Pagan": spread_p, "White": white_p}
    found = [f"{name} p = {p:.2g}" for name, p in tests.items() if p is not None and p < DOUBT]
    uneven = bool(found)
    if uneven:
        texts.append(f"the residuals spread unequally ({', '.join(found)}): read the robust (HC3) errors and p")
    if influential:
        named = ", ".join(map(str, influential[:NAMED]))
        more = f" and {len(influential) - NAMED} more" if len(influential) > NAMED else ""
        pull = f"trial {named} pulls" if len(influential) == 1 else f"trials {named}{more} pull"
        texts.append(f"{pull} the fit most (Cook's distance above 4/n)")
    if spread_p is None or not enough:
        texts.append("there are too few trials to test whether the residuals are normal and equally spread")
    elif not is_odd and not uneven and fitted.df_resid < MIN_FOR_POWER:
        texts.append(
            "tests find the residuals neither skewed nor unequally spread, but with "
            f"{fitted.df_resid:.0f} degrees of freedom they would find only gross cases: read the robust p as well"
        )
    elif not is_odd and not uneven:
        texts.append(
            "the residuals give no reason to distrust p and intervals: normal by Jarque-Bera's test, equally spread by "
            "Breusch and Pagan's and by White's"
        )
    return Diagnostics(
        normality_p=normality_p if enough else None,
        skewness=skewness if enough else None,
        kurtosis=kurtosis if enough else None,
        heteroscedasticity_p=spread_p,
        white_p=white_p,
        influential=influential,
        text=tuple(texts),
        asks_for_robust=is_odd or uneven,
    )


def _few(fitted: Fit) -> list[str]:
    if fitted.df_resid >= fitted.rank:
        return []
    return [
        f"{len(fitted.response)} trials for {fitted.rank} coefficients are few ({fitted.df_resid} degrees of freedom "
        "left): only large effects can be seen, and R2 looks better than it is"
    ]


def _alone(fitted: Fit, trials: tuple[int, ...]) -> list[str]:
    alone = np.flatnonzero(fitted.leverage >= LEVERAGE_OF_ONE)
    if not len(alone):
        return []
    named = ", ".join(str(trials[index]) for index in alone[:NAMED])
    which = f"trial {named} is" if len(alone) == 1 else f"trials {named} are each"
    return [f"{which} the only one with some value: its effect cannot be separated from that trial's chance"]


def _breusch_pagan_p(fitted: Fit, residual: Matrix) -> float | None:
    """Compute Koenker's studentised Breusch-Pagan test: n R2 of the squared residuals on the design."""
    if fitted.df_resid < MIN_FOR_TESTS:
        return None
    squares = residual**2 - np.mean(residual**2)
    total = float(squares @ squares)
    explained = fitted.basis.T @ squares
    if total <= NOTHING * float(residual @ residual) ** 2:
        # All residuals are of one size: nothing could be more equal.
        return 1.0
    return float(stats.chi2.sf(len(residual) * float(explained @ explained) / total, fitted.rank - 1))


def _white_p(fitted: Fit, residual: Matrix) -> float | None:
    """Compute White's test in its form with two degrees of freedom: n R2 of squares on the fit and its square.

    Its power does not drown in a column for every value, as Breusch and Pagan's does.
    """
    if fitted.df_resid < MIN_FOR_TESTS:
        return None
    squares = residual**2 - np.mean(residual**2)
    total = float(squares @ squares)
    if total <= NOTHING * float(residual @ residual) ** 2:
        return 1.0
    explained = np.asarray(fitted.result.fittedvalues)
    scaled = (explained - explained.mean()) / max(float(explained.std()), 1e-300)
    basis = orthonormal_basis(np.column_stack([np.ones(len(scaled)), scaled, scaled**2]))
    part = basis.T @ squares
    return float(stats.chi2.sf(len(residual) * float(part @ part) / total, basis.shape[1] - 1))


def _influential(fitted: Fit, residual: Matrix, trials: tuple[int, ...]) -> tuple[int, ...]:
    variance = fitted.residual_ss / fitted.df_resid
    if variance <= 0:
        return ()
    left = np.maximum(1 - fitted.leverage, 1e-9)
    cook = residual**2 * fitted.leverage / (fitted.rank * variance * left**2)
    cook[fitted.leverage >= LEVERAGE_OF_ONE] = 0
    worst = np.argsort(-cook)
    return tuple(trials[index] for index in worst if cook[index] > 4 / len(residual))
