"""The summary at the beginning of a report."""

from greenopt.analysis.recommend_text import format_recommendation
from greenopt.analysis.results import Analysis, Counts, Ranked, Response
from greenopt.confirmation import Confirmation, confirmation_lines
from greenopt.energy.footprint import Footprint
from greenopt.forecast import forecast_kept, format_amount
from greenopt.formatting import (
    fixed_digits,
    format_energy_amount,
    format_figure,
    format_fraction,
    format_percent,
    sentence,
)
from greenopt.front import plane_of
from greenopt.reading import EnergySource
from greenopt.report.document import Section, bullets, note, text
from greenopt.report.figures.effects import READ_FIRST
from greenopt.report.inputs import ReportInputs
from greenopt.report.sections.facts import imported_count, is_imported
from greenopt.report.sections.formatting import brief_setting, format_trial, plural, stopped
from greenopt.spec import Direction

_SAME = {"accuracy": "the most accurate", "energy": "the one with the least energy"}


def summary(inputs: ReportInputs) -> Section:
    """Return the summary section."""
    analysis = inputs.analysis
    if not analysis.counts.complete:
        items = [_ended_early(analysis), _spent(inputs), _forecast(inputs)]
        return Section("Summary", (note(_nothing(analysis)), *bullets(items)))
    best = {name: ranked[0] for name, ranked in analysis.ranking.items() if ranked}
    items = [
        _ended(analysis),
        _numbering(inputs),
        f"The most accurate is {_described(best['accuracy'])}." if "accuracy" in best else "",
        _least_energy(best),
        _most_efficient(best),
        _front(analysis),
        _what_matters(analysis),
        *(sentence(text) for text in analysis.advice.sentences[:1]),
        *(format_recommendation(found)[:1] if (found := analysis.advice.recommended) is not None else ()),
        *(_confirmed(one) for one in inputs.confirmations),
        _spent(inputs),
        _forecast(inputs),
        inputs.report_data.energy_note,
    ]
    only = text("There is one completed trial: nothing can be compared.") if analysis.counts.complete == 1 else None
    return Section("Summary", (*((only,) if only else ()), *bullets(items)))


def _nothing(analysis: Analysis) -> str:
    counts = analysis.counts
    if not counts.trials:
        return "This study has no trials yet; there is nothing to report."
    if counts.unfinished == counts.trials:
        return f"None of the study's {plural(counts.trials, 'trial')} has ended yet; there is nothing to report."
    return f"None of the study's {plural(counts.trials, 'trial')} completed: there is no result, only how they ended."


def _numbering(inputs: ReportInputs) -> str:
    if not imported_count(inputs.analysis.trials):
        return ""
    return "Trials are numbered as in this study; the appendix lists the runs that they were imported from."


def _ended(analysis: Analysis) -> str:
    counts = analysis.counts
    text = (
        f"{counts.complete:,} of {plural(counts.trials, 'trial')} completed, with {plural(counts.settings, 'setting')}"
    )
    early = format_ended_early(counts)
    text += f"; {early}" if early else ""
    return text + (f"; {counts.unfinished:,} have not ended." if counts.unfinished else ".")


def _ended_early(analysis: Analysis) -> str:
    early = format_ended_early(analysis.counts)
    return f"{sentence(early)}" if early else ""


def format_ended_early(counts: Counts) -> str:
    """Return how many trials stopped early and failed, in words; empty if none did."""
    parts = [
        f"{count:,} {what}"
        for count, what in (
            (counts.pruned, "stopped early"),
            (counts.failed, "failed"),
            (counts.excluded, "were excluded by hand"),
            (counts.duplicates_skipped, "were skipped, because their setting had run"),
        )
        if count
    ]
    return " and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _described(one: Ranked) -> str:
    energy = format_energy_amount(one.energy_wh, one.energy_source)
    accuracy = "" if one.accuracy is None else f"accuracy {format_fraction(one.accuracy)}, "
    text = f"trial {format_trial(one)}: {accuracy}{energy} ({brief_setting(one.params)})"
    return f"{text}; caution: {one.caution}" if one.caution else text


def _least_energy(best: dict[str, Ranked]) -> str:
    if "energy" not in best:
        return ""
    if "accuracy" in best and best["accuracy"].trial == best["energy"].trial:
        return "The same trial used the least energy."
    return f"The one with the least energy is {_described(best['energy'])}."


def _most_efficient(best: dict[str, Ranked]) -> str:
    if "efficiency" not in best:
        return ""
    one, accurate = best["efficiency"], best.get("accuracy", best["efficiency"])
    same = next((name for name, text in _SAME.items() if best.get(name, one).trial == one.trial and name in best), None)
    who = f"the same as {_SAME[same]}" if same is not None else _described(one)
    text = f"The most efficient, by accuracy over Wh per epoch, is {who}, with {fixed_digits(one.value)} 1/Wh."
    if one.trial == accurate.trial or not (one.energy_wh and accurate.energy_wh and one.accuracy and accurate.accuracy):
        return text
    share, loss = one.energy_wh / accurate.energy_wh, accurate.accuracy - one.accuracy
    return f"{text} It took {format_percent(share)} of the most accurate one's energy and is {loss:.3f} less accurate."


def _front(analysis: Analysis) -> str:
    front = analysis.pareto
    if not front:
        return ""
    plane = plane_of(analysis.study)
    if not plane.is_accuracy_for_energy:
        best = (f"{name} {_best_value(analysis, name)}" for name in plane.objectives)
        return f"The Pareto front of {plane.title} has {plural(len(front), 'trial')}; the best are {', '.join(best)}."
    if len(front) == 1:
        return f"Trial {format_trial(front[0])} alone is on the Pareto front: no other is more accurate or cheaper."
    first, last = front[0], front[-1]
    return (
        f"The Pareto front has {len(front)} trials, from "
        f"{format_energy_amount(first.energy_wh, first.energy_source)} at "
        f"{format_fraction(first.accuracy)} to {format_energy_amount(last.energy_wh, last.energy_source)} at "
        f"{format_fraction(last.accuracy)}."
    )


def _best_value(analysis: Analysis, name: str) -> str:
    """Return the best value of an objective on the front, which holds the best of each."""
    rows = analysis.trials[analysis.trials["on_front"]].to_dict(orient="records")
    row = (max if is_maximised(analysis, name) else min)(rows, key=lambda each: each[name])
    source = row["energy_source"]
    return (
        f"{format_figure(name, float(row[name]), source if isinstance(source, str) else None)} (trial {row['trial']})"
    )


def is_maximised(analysis: Analysis, name: str) -> bool:
    """Return whether more of an objective is better."""
    return analysis.study.objectives[name] is Direction.MAXIMIZE


def _what_matters(analysis: Analysis) -> str:
    fit = analysis.regressions.get(Response.LOG_ENERGY_WH, {}).get(READ_FIRST)
    if fit is None or not fit.anova:
        return ""
    clear = sorted(
        (row for row in fit.anova if row.is_clear),
        key=lambda row: -row.partial_eta_squared,
    )
    if fit.is_exact:
        names = ", ".join(row.parameter for row in fit.anova if row.sum_sq > 0)
        return f"Energy follows from {names} to the last digit, in every trial."
    if not clear:
        return "No parameter's effect on energy stands out from the spread of the trials."
    names = ", ".join(f"{row.parameter} (partial eta squared {row.partial_eta_squared:.2f})" for row in clear[:4])
    return (
        f"Energy depends clearly on {names}, by type II ANOVA of log energy and by Wald's robust test (HC3), with p "
        "adjusted by Holm."
    )


def _confirmed(one: Confirmation) -> str:
    again = f"{plural(len(one.seeds), 'training')} of {plural(one.epochs, 'epoch')}"
    return f"Trial {one.picked.trial} trained again, {again}. {confirmation_lines(one)[0]}"


def _spent(inputs: ReportInputs) -> str:
    trials = inputs.analysis.trials
    if "total_wh" not in trials or trials["total_wh"].isna().all():
        return ""
    known = trials[trials["total_wh"].notna()]
    without = len(trials) - len(known) - inputs.analysis.counts.unfinished
    total_wh = float(known["total_wh"].sum())
    is_estimate = "total_source" in known and (known["total_source"] == EnergySource.ESTIMATE).any()
    energy = format_energy_amount(total_wh, EnergySource.ESTIMATE if is_estimate else None)
    footprint = Footprint.from_spec(inputs.analysis.study.energy)
    beside = f", {footprint.format(total_wh)}" if footprint.is_known else ""
    what = "All imported runs together, as far as their files say," if is_imported(trials) else _whole(inputs, without)
    return stopped(f"{what} took {energy}{beside}")


def _forecast(inputs: ReportInputs) -> str:
    """Return what the study was forecast to take after a tenth of its trials, or will take if it has not ended."""
    trials = inputs.analysis.study.study.trials
    known = [each for each in inputs.forecasts if each.energy_wh is not None]
    tenth = next((each for each in known if 10 * each.settled >= trials), None)
    if tenth is None or tenth.energy_wh is None:
        return ""
    latest = known[-1]
    told = latest if latest.left else tenth
    energy_wh = forecast_kept(told).energy_wh
    foreseen = "" if energy_wh is None else format_amount(energy_wh)
    if latest.left:
        return f"After {latest.settled} of {trials} trials the study is forecast to take {foreseen} in all."
    actual = format_energy_amount(latest.used_wh, EnergySource.ESTIMATE if latest.is_estimate else None)
    inside = "inside" if tenth.energy_wh.low <= latest.used_wh <= tenth.energy_wh.high else "outside"
    return (
        f"After {plural(tenth.settled, 'trial')} of {trials} the study was forecast to take {foreseen}; it "
        f"took {actual}, {inside} the interval of 90 %."
    )


def _whole(inputs: ReportInputs, without: int) -> str:
    counts = inputs.analysis.counts
    ended = " and trials that did not complete" if counts.pruned or counts.failed else ""
    lacking = f" ({plural(without, 'trial')} without a known energy left out)" if without > 0 else ""
    return f"All trials together, set-up{ended} included{lacking},"
