"""One regression in a terminal."""

import math
from collections.abc import Callable

from rich.console import Console

from greenopt.analysis.results import Analysis, Coding, Coefficient, Explained, Regression, Response
from greenopt.cli.tables import Table, print_head, print_lines, print_table
from greenopt.formatting import MISSING, format_energy, significant
from greenopt.reading import EnergySource

FOUND = 0.05
PAIRS = 3


_MAX_LOG = 30.0
"""Logarithm of the most Wh that are printed as a number, ten thousand TWh: what few trials allow is no finding."""


def print_regression(console: Console, analysis: Analysis, response: Explained, coding: Coding) -> None:
    """Print one response in one coding, or why there is no such regression."""
    print_head(console, f"\nWhat explains {response}", f" ({coding} coding)")
    fitted = analysis.regressions.get(response, {}).get(coding)
    if fitted is None:
        print_lines(console, [f"not estimated: {analysis.refused.get((response, coding), 'not asked for')}"])
        return
    print_lines(console, _summary(fitted))
    if fitted.anova:
        print_table(console, _anova(fitted))
    print_table(console, _coefficients(fitted, is_estimated=is_estimated(analysis)))
    print_lines(console, (f"- {line}" for line in _remarks(fitted)))


def _summary(fitted: Regression) -> list[str]:
    unseen = MISSING if fitted.cv_r_squared is None else f"{fitted.cv_r_squared:.3f}"
    return [
        f"{fitted.n} trials, R2 {fitted.r_squared:.3f}, adjusted {fitted.adj_r_squared:.3f}, on unseen trials {unseen}",
        f"F({fitted.df_model:.0f}, {fitted.df_resid:.0f}) = {_f_words(fitted.f_value)}, "
        f"p = {small_p(fitted.f_pvalue)}; rank {fitted.rank} of {fitted.columns} columns, condition number "
        + (f"{fitted.condition_number:.3g}" if math.isfinite(fitted.condition_number) else "infinite"),
    ]


def _anova(fitted: Regression) -> Table:
    heads = ("parameter", "df", "F", "p", "p HC3", "p Holm", "HC3 Holm", "partial eta2")
    table = Table(*heads, title="by parameter (type II)", left=("parameter",))
    for row in sorted(fitted.anova, key=lambda row: (row.p or 0.0, -row.sum_sq)):
        ps = (format_p(p) for p in (row.p, row.hc3_p, row.p_holm, row.hc3_p_holm))
        table.add_row(row.parameter, str(row.df), _f_words(row.f), *ps, f"{row.partial_eta_squared:.3f}")
    return table


def is_estimated(analysis: Analysis) -> bool:
    """Return whether the energy of any trial is an estimate."""
    return EnergySource.ESTIMATE in set(analysis.trials["energy_source"])


def _coefficients(fitted: Regression, *, is_estimated: bool) -> Table:
    is_log = fitted.response is Response.LOG_ENERGY_WH
    title = "by value, as change of energy" if is_log else f"by value, in {fitted.response.unit}"
    is_paper = fitted.coding is Coding.PAPER
    ps = ("std err", "t", "p") if is_paper else ("p", "p HC3", "p Holm")
    table = Table("value", "n", "effect", "95 % interval", *ps, title=title, left=("value",))
    number = three_decimals if fitted.response is Response.ACCURACY else signed
    parameter = None
    for row in fitted.coefficients:
        if row.parameter is not None and row.parameter != parameter and row.value is not None:
            table.add_row(row.parameter)
            if row.parameter in fitted.reference:
                table.add_row(f"  {fitted.reference[row.parameter]}", "", "baseline")
        parameter = row.parameter
        tail = (
            (number(row.std_err).lstrip("+"), MISSING if row.t is None else f"{row.t:.2f}", format_p(row.p))
            if is_paper
            else _ps(row)
        )
        name = row.name if row.value is None else f"  {row.value}"
        table.add_row(
            name,
            str(row.trials),
            *_effect(row, number, is_log=is_log and not is_paper, is_estimated=is_estimated),
            *tail,
        )
    return table


def _ps(row: Coefficient) -> tuple[str, ...]:
    return tuple(format_p(p) for p in (row.p, row.hc3_p, row.p_holm))


def _effect(row: Coefficient, number: Callable[[float], str], *, is_log: bool, is_estimated: bool) -> tuple[str, str]:
    """Format an estimate and its interval: percent for a log energy, Wh for its constant."""
    if not is_log:
        return number(row.coef), f"{number(row.low)} to {number(row.high)}"
    if row.parameter is None:
        source = EnergySource.ESTIMATE if is_estimated else None
        energy = format_energy(math.exp(min(row.coef, _MAX_LOG)), source)
        return energy, f"{_bound(row.low)} to {_bound(row.high)}"
    return percent(row.coef), f"{percent(row.low)} to {percent(row.high)}"


def _bound(log_wh: float) -> str:
    """Format an end of an interval in Wh, given as a logarithm; one beyond all reason says so."""
    return significant(math.exp(log_wh)) if log_wh < _MAX_LOG else "unbounded"


def percent(log_ratio: float) -> str:
    """Format a log ratio as a change in percent."""
    change = 100 * math.expm1(min(log_ratio, 700.0))
    return f"{change:+.0f} %" if abs(change) < 100_000 else f"x {math.exp(min(log_ratio, 700.0)):.1e}"


def signed(number: float) -> str:
    """Format a number with its sign and three significant digits."""
    return f"{'-' if number < 0 else '+'}{significant(abs(number))}"


def three_decimals(number: float) -> str:
    """Format a number with its sign and three decimals."""
    return f"{number:+.3f}"


def format_p(p: float | None) -> str:
    """Format a p value; below a thousandth as `< 0.001`."""
    if p is None:
        return MISSING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _f_words(f: float | None) -> str:
    return MISSING if f is None or not math.isfinite(f) else f"{f:.4g}"


def small_p(p: float | None) -> str:
    """Format a p value with its power of ten."""
    if p is None or math.isnan(p):
        return MISSING
    return f"{p:.2g}" if p > 0 else "<1e-300"


def _remarks(fitted: Regression) -> list[str]:
    lines = [*fitted.notes, *fitted.diagnostics.text]
    strong = [pair for pair in fitted.interactions if pair.is_clear]
    if strong:
        named = "; ".join(f"{pair.first} x {pair.second} (Holm p {format_p(pair.p_holm)})" for pair in strong[:PAIRS])
        more = f" and {len(strong) - PAIRS} more" if len(strong) > PAIRS else ""
        lines.append(f"effects depend on one another: {named}{more}")
    elif fitted.interactions:
        lines.append(
            f"none of {len(fitted.interactions)} pairs of parameters interacts clearly (Holm, plain and robust p)"
        )
    if fitted.lack_of_fit is not None:
        pure = fitted.lack_of_fit
        misfit = "" if pure.p is None else f"; lack of fit: p = {format_p(pure.p)}"
        if pure.pure_error_std == 0 and pure.lack_of_fit_df and not fitted.is_exact:
            misfit = "; what the model misses is misfit, not chance"
        spread = significant(pure.pure_error_std)
        lines.append(f"repeated settings spread by {spread} {fitted.response.unit} ({pure.pure_error_df} df){misfit}")
    lines += [f"{other.method}: {other.text}" for other in fitted.alternatives]
    return lines
