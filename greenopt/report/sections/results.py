"""Tables of trials: rankings, the front, distributions, exclusions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from greenopt.analysis.results import Analysis, Ranked
from greenopt.formatting import MISSING, format_energy, format_fraction, significant
from greenopt.report.document import Block, Section, bullets, figure, note, table, text
from greenopt.report.figures import Drawing, Picture, SkippedFigure
from greenopt.report.inputs import ReportInputs
from greenopt.report.report_data import STATE_TEXTS
from greenopt.report.sections.formatting import (
    brief_setting,
    format_p,
    format_trial,
    format_trial_numbers,
    number,
    plural,
    sentence,
)
from greenopt.storage.trial_state import TrialState
from greenopt.validation_gap import MARK_TEXT, mark

_RANKINGS = {"accuracy": "Highest accuracy", "energy": "Least energy", "efficiency": "Highest efficiency"}
_UNITS = {
    "energy_wh": "Wh",
    "total_wh": "Wh",
    "wh_per_epoch": "Wh",
    "efficiency": "1/Wh",
    "avg_power_w": "W",
    "seconds": "s",
}
_FRONT_SHOWN = 25
_FAILURES_SHOWN = 15
FEW = 2
"""Of fewer completed trials there is nothing to compare, and no distribution."""
Pictures = Mapping[str, Picture]


def trials_section(inputs: ReportInputs, pictures: Pictures) -> Section:
    """Return the section on the best trials, the front and descriptive statistics."""
    analysis = inputs.analysis
    return Section(
        "Trials",
        (
            *_rankings(analysis),
            *drawn(pictures, "pareto-front"),
            *_front(analysis),
            *drawn(pictures, "energy-accuracy-curves"),
            *_descriptive(analysis),
            *_correlations(analysis),
        ),
    )


def endings(inputs: ReportInputs) -> Section | None:
    """Return the section on trials that did not complete or are excluded; None if there are none."""
    analysis = inputs.analysis
    trials = analysis.trials
    blocks: list[Block] = []
    if len(trials):
        broken = trials[trials["state"].isin([TrialState.FAIL, TrialState.PRUNED])]
        reasons = [_ending(row) for row in broken.head(_FAILURES_SHOWN).to_dict("records")]
        if reasons:
            more = len(broken) - len(reasons)
            caption = f"Trials that did not complete{f'; {more:,} more are in the export' if more > 0 else ''}."
            blocks.append(table(caption, ("trial", "ended", "reason", "spent", "message"), reasons, wide=4))
    blocks += bullets(
        f"Left out of {one.left_out_of}: "
        f"{plural(len(one.trials), 'trial')} ({format_trial_numbers(one.trials)}), {one.reason}."
        for one in analysis.exclusions
    )
    return Section("What was left out, and why", tuple(blocks)) if blocks else None


def distributions(inputs: ReportInputs, pictures: Pictures) -> Section:
    """Return the section with the paper's figures of how trials are distributed."""
    names = (
        *("accuracy-curves", "loss-curves", "distributions", "accuracy-histogram", "power-histogram"),
        *("accuracy-seconds", "accuracy-power", "test-training", "counter-integral"),
    )
    drawings = [one for name in names if isinstance(one := pictures[name], Drawing)]
    if inputs.analysis.counts.complete < FEW:
        drawings = [one for one in drawings if one.slug in names[:2]]
    blocks = [block for one in drawings for block in drawn(pictures, one.slug)]
    without = [f"{one.title}: {one.reason}." for name in names if isinstance(one := pictures[name], SkippedFigure)]
    if without:
        blocks += [text("Not drawn for lack of data:"), *bullets(without)]
    return Section("Figures of all trials", tuple(blocks))


def matrices(pictures: Pictures) -> Section:
    """Return the section with the values of the best trials."""
    names = ("settings-accuracy", "settings-power-draw", "settings-efficiency")
    blocks = [block for name in names for block in drawn(pictures, name)]
    return Section("Settings", tuple(blocks))


def drawn(pictures: Pictures, slug: str) -> tuple[Block, ...]:
    """Return a figure, or the reason why it is missing."""
    picture = pictures.get(slug)
    if picture is None:
        return ()
    if isinstance(picture, Drawing):
        return (figure(slug, f"{picture.title}. {picture.caption}"),)
    return (note(f"Not drawn: {picture.title}: {picture.reason}."),)


def _rankings(analysis: Analysis) -> Iterable[Block]:
    for name, title in _RANKINGS.items():
        ranked = analysis.ranking.get(name, ())
        if ranked:
            yield table(f"{title}, best first.{_marked(ranked)}", *_ranked(ranked, analysis), wide=6)


def _front(analysis: Analysis) -> Iterable[Block]:
    front = analysis.pareto[:_FRONT_SHOWN]
    if front:
        more = len(analysis.pareto) - len(front)
        text = f"The Pareto front, least energy first{f'; {more} more' if more else ''}."
        yield table(text + _marked(front), *_ranked(front, analysis), wide=6)


def _marked(ranked: Iterable[Ranked]) -> str:
    return f" {MARK_TEXT}." if any(one.caution for one in ranked) else ""


def _ranked(ranked: Iterable[Ranked], analysis: Analysis) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    trials = analysis.trials
    tests = dict(zip(trials["trial"], trials["test_accuracy"], strict=True))
    rows = [
        (
            format_trial(one),
            mark(one.accuracy, is_doubtful=one.caution is not None),
            format_fraction(None if pd.isna(tests[one.trial]) else float(tests[one.trial])),
            format_energy(one.energy_wh, one.energy_source),
            significant(one.efficiency) if one.efficiency is not None else MISSING,
            one.energy_source or MISSING,
            brief_setting(one.params),
        )
        for one in ranked
    ]
    return ("trial", "accuracy", "test", "energy", "1/Wh", "source", "setting"), rows


def _descriptive(analysis: Analysis) -> Iterable[Block]:
    rows = [
        (
            f"{name} ({_UNITS[name]})" if name in _UNITS else name,
            f"{one.n:,}",
            *(number(value) for value in (one.minimum, one.median, one.mean, one.maximum, one.std)),
        )
        for name, one in analysis.descriptive.items()
    ]
    if rows:
        heads = ("figure", "trials", "least", "median", "mean", "most", "std. deviation")
        yield table("Descriptive statistics over the completed trials.", heads, rows, wide=0)


def _correlations(analysis: Analysis) -> Iterable[Block]:
    rows = [
        (
            f"{one.first}, {one.second}",
            f"{one.n:,}",
            f"{one.pearson:.2f}",
            f"{one.low:.2f} to {one.high:.2f}",
            format_p(one.p),
            f"{one.spearman:.2f}",
            format_p(one.spearman_p),
        )
        for one in analysis.correlations
    ]
    if rows:
        heads = ("figures", "trials", "Pearson", "95 %", "p", "Spearman", "p")
        yield table("Correlations over the completed trials.", heads, rows, wide=0)


def _ending(row: Mapping[Any, Any]) -> tuple[str, ...]:
    def text(name: str) -> str:
        value = row.get(name)
        return sentence(str(value)) if isinstance(value, str) else ""

    spent = row.get("total_wh")
    known = float(spent) if isinstance(spent, int | float) and spent == spent else None
    source = row.get("total_source")
    reason = row.get("fail_reason") or row.get("stop_reason")
    return (
        str(row["trial"]),
        STATE_TEXTS[TrialState(row["state"])],
        reason if isinstance(reason, str) else MISSING,
        format_energy(known, source if isinstance(source, str) else None),
        text("message"),
    )
