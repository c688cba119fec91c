"""Tables of trials: rankings, the front, distributions, exclusions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from greenopt.analysis.results import Analysis, Ranked
from greenopt.formatting import MISSING, fixed_digits, format_energy_amount, format_figure, format_fraction, sentence
from greenopt.front import plane_of
from greenopt.report.document import Block, Section, bullets, figure, note, table, text
from greenopt.report.figures import Drawing, Picture, SkippedFigure
from greenopt.report.inputs import ReportInputs
from greenopt.report.report_data import STATE_TEXTS
from greenopt.report.sections.formatting import (
    brief_setting,
    format_p,
    format_trial,
    format_trial_numbers,
    format_value,
    number,
    plural,
    whole,
)
from greenopt.storage.trial_state import TrialState
from greenopt.validation_gap import MARK_TEXT, mark

_RANKINGS = {"accuracy": "Highest accuracy", "energy": "Least energy", "efficiency": "Highest efficiency"}
_NAMES = {
    "accuracy": "accuracy",
    "test_accuracy": "test accuracy",
    "train_accuracy": "training accuracy",
    "energy_wh": "energy (Wh)",
    "total_wh": "energy with set-up (Wh)",
    "wh_per_epoch": "power draw (Wh per epoch)",
    "efficiency": "efficiency (1/Wh)",
    "avg_power_w": "average power (W)",
    "seconds": "time (s)",
    "epochs_done": "epochs",
}
_WHOLE = ("epochs_done",)
_FRONT_SHOWN = 25
_FAILURES_SHOWN = 15
_FAILING = 5
"""How many of the values, and of the pairs, that failed most are named."""
_RUNS_BESIDE, _SHORT_RUN = 5, 12
"""So many trials with their runs stand in one row, if the runs' names are no longer than so many letters."""
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
        broken = trials[trials["state"].isin([TrialState.FAIL, TrialState.PRUNED, TrialState.EXCLUDED])]
        reasons = [_ending(row) for row in broken.head(_FAILURES_SHOWN).to_dict("records")]
        if reasons:
            more = len(broken) - len(reasons)
            caption = f"Trials that did not complete{f'; {more:,} more are in the export' if more > 0 else ''}."
            blocks.append(table(caption, ("trial", "ended", "reason", "spent", "message"), reasons, wide=4))
    if analysis.failures:
        blocks.append(_failures(analysis))
    blocks += bullets(
        f"Left out of {one.left_out_of}: "
        f"{plural(len(one.trials), 'trial')} ({format_trial_numbers(one.trials)}), {one.reason}."
        for one in analysis.exclusions
    )
    return Section("What was left out, and why", tuple(blocks)) if blocks else None


def _failures(analysis: Analysis) -> Block:
    """Return the table of the values and pairs that failed most."""
    values = [one for one in analysis.failures if one.second is None and one.failed][:_FAILING]
    pairs = [one for one in analysis.failures if one.second is not None][:_FAILING]
    rows = [
        (
            " with ".join(f"{name} {format_value(value)}" for name, value in one.items),
            f"{one.failed:,} of {one.trials:,}",
            f"{100 * one.share:.0f} %",
            f"{100 * one.low:.0f} to {100 * one.high:.0f} %",
        )
        for one in (*values, *pairs)
    ]
    caption = (
        "Values, and pairs of values, whose trials failed because of their setting most often; Wilson's intervals."
    )
    return table(caption, ("values", "failed", "share", "95 % interval"), rows, wide=0)


def distributions(inputs: ReportInputs, pictures: Pictures) -> Section:
    """Return the section with the paper's figures of how trials are distributed."""
    names = (
        *("accuracy-curves", "loss-curves", "distributions", "accuracy-histogram", "power-histogram"),
        *("accuracy-seconds", "accuracy-power", "test-training", "counter-integral"),
    )
    drawings = [one for name in names if isinstance(one := pictures[name], Drawing)]
    if inputs.analysis.counts.complete < FEW:
        drawings = [one for one in drawings if one.slug in names[:2]]
    blocks = [block for one in drawings for block in drawn(pictures, one.slug, floats=False)]
    without = [f"{one.title}: {one.reason}." for name in names if isinstance(one := pictures[name], SkippedFigure)]
    if not inputs.analysis.counts.complete:
        blocks.append(text("Figures of completed trials are left out, for there are none."))
    elif without:
        blocks += [text("Not drawn for lack of data:"), *bullets(without)]
    return Section("Figures of all trials", tuple(blocks))


def parallels(pictures: Pictures) -> Section:
    """Return the section with the values of all trials beside one another."""
    names = ("parallel-accuracy", "parallel-energy")
    return Section("Values of all trials", tuple(b for name in names for b in drawn(pictures, name, floats=False)))


def matrices(pictures: Pictures) -> tuple[Block, ...]:
    """Return the figures with every value of every trial, for the appendix."""
    names = ("settings-accuracy", "settings-power-draw", "settings-efficiency")
    return tuple(block for name in names for block in drawn(pictures, name))


def runs(inputs: ReportInputs) -> Section | None:
    """Return the appendix with the runs that trials were imported from; None where none was."""
    trials = inputs.analysis.trials
    known = trials[trials["run"].notna()] if "run" in trials else trials[:0]
    if not len(known):
        return None
    pairs = [(f"{trial}", f"{run}") for trial, run in zip(known["trial"], known["run"], strict=True)]
    if all(trial == run for trial, run in pairs):
        return None
    beside = _RUNS_BESIDE if max(len(run) for _, run in pairs) <= _SHORT_RUN else 1
    rows = -(-len(pairs) // beside)
    cells = [[cell for at in range(row, len(pairs), rows) for cell in pairs[at]] for row in range(rows)]
    filled = [line + [""] * (2 * beside - len(line)) for line in cells]
    caption = "The trials of this study, and the runs that they were imported from."
    return Section("Appendix: imported runs", (table(caption, ("trial", "run") * beside, filled),))


def drawn(pictures: Pictures, slug: str, *, floats: bool = True) -> tuple[Block, ...]:
    """Return a figure, or the reason why it is missing; it may float where text stands around it."""
    picture = pictures.get(slug)
    if picture is None:
        return ()
    if isinstance(picture, Drawing):
        return (figure(slug, f"{picture.title}. {picture.caption}", floats=floats),)
    return (note(f"Not drawn: {picture.title}: {picture.reason}."),)


def _rankings(analysis: Analysis) -> Iterable[Block]:
    others = {name: f"Best {name}" for name in plane_of(analysis.study).others}
    for name, title in (_RANKINGS | others).items():
        ranked = analysis.ranking.get(name, ())
        if ranked:
            yield table(f"{title}, best first.{_marked(ranked)}", *_ranked(ranked, analysis), wide=_wide(analysis))


def _front(analysis: Analysis) -> Iterable[Block]:
    front = analysis.pareto[:_FRONT_SHOWN]
    if front:
        more = len(analysis.pareto) - len(front)
        plane = plane_of(analysis.study)
        which = "least energy first"
        if not plane.is_accuracy_for_energy:
            which = f"of {plane.title}, best {next(iter(plane.objectives))} first"
        text = f"The Pareto front, {which}{f'; {more} more' if more else ''}."
        yield table(text + _marked(front), *_ranked(front, analysis), wide=_wide(analysis))


def _wide(analysis: Analysis) -> int:
    """Return which column of a table of trials is the setting."""
    return 6 + len(plane_of(analysis.study).others)


def _marked(ranked: Iterable[Ranked]) -> str:
    return f" {MARK_TEXT}." if any(one.caution for one in ranked) else ""


def _ranked(ranked: Iterable[Ranked], analysis: Analysis) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    trials = analysis.trials
    others = plane_of(analysis.study).others
    tests = dict(zip(trials["trial"], trials["test_accuracy"], strict=True))
    rows = [
        (
            format_trial(one),
            *(format_figure(name, one.figures.get(name), one.energy_source) for name in others),
            mark(one.accuracy, is_doubtful=one.caution is not None),
            format_fraction(None if pd.isna(tests[one.trial]) else float(tests[one.trial])),
            format_energy_amount(one.energy_wh, one.energy_source),
            fixed_digits(one.efficiency) if one.efficiency is not None else MISSING,
            one.energy_source or MISSING,
            brief_setting(one.params),
        )
        for one in ranked
    ]
    return ("trial", *others, "accuracy", "test", "energy", "1/Wh", "source", "setting"), rows


def _descriptive(analysis: Analysis) -> Iterable[Block]:
    rows = [
        (
            _NAMES.get(name, name),
            f"{one.n:,}",
            *((whole if name in _WHOLE else number)(value) for value in (one.minimum, one.median)),
            number(one.mean),
            (whole if name in _WHOLE else number)(one.maximum),
            number(one.std),
        )
        for name, one in analysis.descriptive.items()
    ]
    if rows:
        heads = ("figure", "trials", "least", "median", "mean", "most", "std. deviation")
        yield table("Descriptive statistics over the completed trials.", heads, rows, wide=0)


def _correlations(analysis: Analysis) -> Iterable[Block]:
    rows = [
        (
            f"{_unitless(one.first)}, {_unitless(one.second)}",
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
        heads = ("figures", "trials", "Pearson", "95 % interval", "p", "Spearman", "p")
        yield table("Correlations over the completed trials.", heads, rows, wide=0)


def _unitless(name: str) -> str:
    return _NAMES.get(name, name).partition(" (")[0]


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
        format_energy_amount(known, source if isinstance(source, str) else None),
        text("message"),
    )
