"""Regressions, importance and advice."""

from collections.abc import Iterable

import numpy as np

from greenopt.analysis.results import (
    Advice,
    Analysis,
    Coding,
    Coefficient,
    Explained,
    Regression,
    Response,
    ValueAdvice,
)
from greenopt.formatting import MISSING, format_energy, sentence
from greenopt.report.document import Block, Section, bullets, code, note, table, text
from greenopt.report.figures import Drawing
from greenopt.report.figures.effects import READ_FIRST
from greenopt.report.figures.interactions import interaction_slug
from greenopt.report.figures.residuals import residual_slug
from greenopt.report.inputs import ReportInputs
from greenopt.report.sections.formatting import format_p, format_value, number, signed, whole
from greenopt.report.sections.results import Pictures, drawn, matrices

_TITLES = {
    Response.LOG_ENERGY_WH: "log energy",
    Response.ACCURACY: "accuracy",
    Response.EFFICIENCY: "efficiency",
}
_INTERACTIONS = 6
_HOW_READ = (
    "Each value against the baseline's, all others kept. Trials: how many have the value; std. error: plain, and "
    "robust (HC3); interval and p are the plain ones, p (Holm) is adjusted over all values of a regression."
)


def effects(inputs: ReportInputs, pictures: Pictures) -> list[Section]:
    """Return the sections on what each value does to energy, accuracy and efficiency."""
    analysis = inputs.analysis
    first = Section(
        "Effects of the parameters",
        (
            text(
                "Each effect says what changing one value from the baseline's does, all others kept, if effects add "
                "up. For energy they add up on the log scale: energy is multiplied by a factor. A value that does "
                "nothing in a setting counts as what it amounts to there. All coefficients stand in the appendix."
            ),
            *drawn(pictures, "importance"),
        ),
    )
    return [first, *(_response(analysis, response, pictures) for response in analysis.explained(_TITLES))]


def _title(response: Explained) -> str:
    return _TITLES[response] if isinstance(response, Response) else str(response)


def appendix(inputs: ReportInputs, pictures: Pictures) -> list[Section]:
    """Return the sections with all coefficients and all settings, the paper's coding last."""
    analysis = inputs.analysis
    fits = [analysis.regressions.get(response, {}).get(READ_FIRST) for response in analysis.explained(_TITLES)]
    tables = tuple(_coefficients(fit) for fit in fits if fit is not None)
    explained = (text(_HOW_READ),) if tables else ()
    return [
        Section("Appendix: coefficients and settings", (*explained, *matrices(pictures), *tables)),
        *_paper(analysis),
    ]


def advice(inputs: ReportInputs) -> Section:
    """Return the section on which values to choose, and which trials would settle open questions."""
    advice_given = inputs.analysis.advice
    blocks: list[Block] = list(bullets(sentence(remark) for remark in advice_given.sentences))
    if advice_given.values:
        rows = [_advised(one) for one in advice_given.values]
        heads = ("parameter", "value", "baseline", "energy", "accuracy", "confidence")
        blocks.append(
            table("Advised values for least energy at no loss of accuracy; 95 % intervals.", heads, rows, wide=0)
        )
    if advice_given.toml:
        blocks += [
            text(
                "Trials that would tell most about the open questions, to append to the study file.",
                _in_sum(advice_given),
            ),
            code(advice_given.toml.strip().split("\n\n")),
        ]
    return Section("Advice", tuple(blocks) or (text("There is too little data for advice."),))


def _in_sum(advice_given: Advice) -> str:
    if not advice_given.next_forecasts:
        return ""
    total_wh = sum(one.energy_wh for one in advice_given.next_forecasts)
    return f"Together they are expected to take about {format_energy(total_wh, None)}."


def _response(analysis: Analysis, response: Explained, pictures: Pictures) -> Section:
    title = f"Regression of {_title(response)}"
    fit = analysis.regressions.get(response, {}).get(READ_FIRST)
    if fit is None:
        why = analysis.refused.get((response, READ_FIRST), "it was not fitted")
        return Section(title, (note(sentence(f"Not estimated: {why}")),), 2)
    return Section(
        title,
        (
            text(_quality(fit)),
            *bullets(sentence(remark) for remark in (*fit.notes, *fit.diagnostics.text)),
            *drawn(pictures, f"coefficients-{str(response).replace('_', '-')}"),
            *drawn(pictures, residual_slug(response)),
            *_anova(fit),
            *_interactions(fit),
            *_interaction_figures(pictures, response),
            *bullets([_lack_of_fit(fit), *(f"{one.method}, {one.n} trials: {one.text}." for one in fit.alternatives)]),
        ),
        2,
    )


def _quality(fit: Regression) -> str:
    return (
        f"{fit.n:,} trials, {fit.columns} columns of rank {fit.rank}. R2 {fit.r_squared:.3f}, adjusted "
        f"{number(fit.adj_r_squared)}, on trials left out of the fit {number(fit.cv_r_squared)}. "
        f"F({whole(fit.df_model)}, {whole(fit.df_resid)}) = {number(fit.f_value)}, p {format_p(fit.f_pvalue)}. "
        f"Condition number {number(fit.condition_number)}."
    )


def _anova(fit: Regression) -> Iterable[Block]:
    rows = [
        (
            one.parameter,
            f"{one.df}",
            number(one.f),
            format_p(one.p),
            format_p(one.p_holm),
            format_p(one.hc3_p_holm),
            f"{one.partial_eta_squared:.2f}",
        )
        for one in sorted(fit.anova, key=lambda row: (row.p or 0.0, -row.sum_sq))
    ]
    if rows:
        heads = ("parameter", "df", "F", "p", "p (Holm)", "robust p (Holm)", "partial eta squared")
        yield table(
            "Type II analysis of variance, the clearest first; robust: Wald's test with HC3.", heads, rows, wide=0
        )


def _coefficients(fit: Regression) -> Block:
    is_log = fit.response is Response.LOG_ENERGY_WH
    heads = ("value", "trials", "coefficient", "std. error", "robust", "95 % interval", "p", "p (Holm)")
    rows = [_coefficient(one, is_log) for one in fit.coefficients]
    if is_log:
        heads = ("value", "trials", "factor", *heads[3:])
    unit = fit.response.unit
    remark = (
        "as factors of energy; the standard errors are those of log energy."
        if is_log
        else f"{'as a fraction' if unit == 'fraction' else f'in {unit}'}."
    )
    return table(f"Coefficients of {_title(fit.response)}, {remark}", heads, rows, wide=0)


def _coefficient(one: Coefficient, is_log: bool) -> tuple[str, ...]:
    def shown(value: float) -> str:
        return number(float(np.exp(np.clip(value, -50, 50)))) if is_log else signed(value)

    return (
        one.name
        if one.parameter is None
        else f"{one.parameter} {'slope' if one.value is None else format_value(one.value)}",
        f"{one.trials:,}",
        shown(one.coef),
        number(one.std_err),
        number(one.hc3_std_err),
        f"{shown(one.low)} to {shown(one.high)}",
        format_p(one.p),
        format_p(one.p_holm),
    )


def _interactions(fit: Regression) -> Iterable[Block]:
    rows = [
        (
            f"{one.first} x {one.second}",
            f"{one.df}",
            number(one.f),
            format_p(one.p),
            format_p(one.p_holm),
            format_p(one.hc3_p_holm),
        )
        for one in fit.interactions[:_INTERACTIONS]
    ]
    if rows:
        remark = f"The {len(rows)} clearest of {len(fit.interactions)} interactions of two parameters."
        yield table(remark, ("parameters", "df", "F", "p", "p (Holm)", "robust p (Holm)"), rows, wide=0)


def _interaction_figures(pictures: Pictures, response: Explained) -> Iterable[Block]:
    """Return the figures of the interactions that stand out; none where no pair does."""
    slug = interaction_slug(response)
    return drawn(pictures, slug) if isinstance(pictures.get(slug), Drawing) else ()


def _lack_of_fit(fit: Regression) -> str:
    found = fit.lack_of_fit
    if found is None:
        return ""
    spread = (
        f"Trials of one setting spread by {number(found.pure_error_std)} {fit.response.unit} "
        f"({found.pure_error_df} degrees of freedom)"
    )
    if found.pure_error_std == 0 and found.lack_of_fit_df and not fit.is_exact:
        return f"{spread}: what the model misses is misfit, not chance."
    return (
        f"{spread}; the model misses more than that with p {format_p(found.p)} (lack of fit)."
        if found.p is not None
        else f"{spread}."
    )


def _paper(analysis: Analysis) -> Iterable[Section]:
    fit = analysis.regressions.get(Response.WH_PER_EPOCH, {}).get(Coding.PAPER)
    if fit is None:
        return
    heads = ("name", "coefficient", "std. error", "t", "p", "2.5 %", "97.5 %")
    rows = [
        (
            one.name,
            *(number(value, 4) for value in (one.coef, one.std_err, one.t)),
            format_p(one.p),
            number(one.low, 4),
            number(one.high, 4),
        )
        for one in fit.coefficients
    ]
    yield Section(
        "Appendix: the paper's regression",
        (
            text(
                "Power draw (Wh per epoch) on a column for every value without a constant, of minimum norm, as in the "
                "paper's table.",
                _quality(fit),
            ),
            *bullets(sentence(remark) for remark in fit.notes),
            table("Coefficients in the paper's coding, Wh per epoch.", heads, rows, wide=0),
        ),
    )


def _advised(one: ValueAdvice) -> tuple[str, ...]:
    names = one.parameter, format_value(one.value), format_value(one.baseline)
    if one.value == one.baseline:
        return *names, MISSING, MISSING, "keep the baseline's"
    energy = f"x {number(one.energy_ratio)} ({number(one.energy_low)} to {number(one.energy_high)})"
    confidence = one.confidence.replace("_", " ")
    return *names, energy, _change(one.accuracy_change, one.accuracy_low, one.accuracy_high), confidence


def _change(change: float | None, low: float | None, high: float | None) -> str:
    if change is None or low is None or high is None:
        return MISSING
    return f"{signed(change)} ({signed(low)} to {signed(high)})"
