"""An analysis in a terminal: tables that fit 80 columns where names and numbers allow, then the advice."""

import math
from collections.abc import Iterable, Sequence

from rich.console import Console

from greenopt.analysis.results import (
    Advice,
    Analysis,
    Coding,
    Exclusion,
    Hypervolume,
    Importance,
    Ranked,
    Response,
)
from greenopt.cli.regression_tables import is_estimated, print_regression, small_p
from greenopt.cli.tables import Table, print_head, print_lines, print_table
from greenopt.formatting import MISSING, format_budgets, format_energy, format_figure, format_setting, significant
from greenopt.front import plane_of
from greenopt.reading import EnergySource
from greenopt.spec import UNITS
from greenopt.validation_gap import MARK_TEXT, mark

LISTED = 8
FAILING = 5


def print_analysis(console: Console, analysis: Analysis, responses: Sequence[Response], coding: Coding) -> None:
    """Print everything that `greenopt analyze` says.

    Args:
        console: where to.
        analysis: what to.
        responses: the regressions to show in full.
        coding: the coding in which.
    """
    print_lines(console, _head(analysis))
    if not analysis.counts.complete:
        print_lines(console, ["", "No trial has been completed: there is nothing to analyse yet."])
        return
    print_table(console, _described(analysis))
    shown = {title: rows for title, rows in _rankings(analysis).items() if rows}
    for title, rows in shown.items():
        print_table(console, _trials(title, rows))
    if analysis.hypervolume.value is not None:
        source = EnergySource.ESTIMATE if is_estimated(analysis) else None
        print_lines(console, [_hypervolume(analysis.hypervolume, source)])
    print_lines(console, _settings(shown.values()))
    if analysis.failures:
        print_table(console, _failures(analysis))
    if analysis.correlations:
        print_table(console, _correlated(analysis))
    for response in analysis.explained(responses):
        print_regression(console, analysis, response, coding)
    print_table(console, _overview(analysis, coding))
    if any(shares.shares for shares in analysis.importance):
        print_table(console, _importance(analysis))
    elif analysis.importance:
        print_lines(console, ["", f"Importance of parameters: {analysis.importance[0].text}."])
    _print_advice(console, analysis)


def _hypervolume(volume: Hypervolume, source: str | None) -> str:
    if volume.box:
        sides = ", ".join(f"{name} {worse:.4g} to {better:.4g}" for name, (worse, better) in volume.box.items())
        return f"hypervolume {volume.value:.4f}: the share that the front dominates of {sides}"
    if volume.least_energy_wh is None or volume.reference_energy_wh is None:
        return f"hypervolume {volume.value:.4f}"
    budgets = format_budgets(volume.least_energy_wh, volume.reference_energy_wh, source)
    return f"hypervolume {volume.value:.4f}: the mean accuracy that the front has for {budgets}"


def _head(analysis: Analysis) -> list[str]:
    counts = analysis.counts
    lines = [
        f"study {analysis.study.name}: {counts.trials} trials: {counts.complete} completed, {counts.pruned} stopped "
        f"early, {counts.failed} failed, {counts.unfinished} not ended{_by_hand(counts.excluded)}; {counts.settings} "
        f"settings completed, {counts.replicated_settings} of them more than once"
    ]
    return [*lines, *(_excluded(exclusion) for exclusion in analysis.exclusions), *map(_sentence, analysis.footnotes)]


def _by_hand(excluded: int) -> str:
    return f", {excluded} excluded by you" if excluded else ""


def _excluded(exclusion: Exclusion) -> str:
    trials = ", ".join(map(str, exclusion.trials[:LISTED]))
    more = f" and {len(exclusion.trials) - LISTED} more" if len(exclusion.trials) > LISTED else ""
    word = "trial" if len(exclusion.trials) == 1 else "trials"
    return f"left out of {exclusion.left_out_of}: {word} {trials}{more}: {exclusion.reason}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _table(title: str, *heads: str) -> Table:
    return Table(*heads, title=title, left=("", "trial", "parameter"))


def _described(analysis: Analysis) -> Table:
    estimated = " est." if is_estimated(analysis) else ""
    table = _table("\nCompleted trials", "", "n", "min", "median", "mean", "max", "std")
    for name, column in analysis.descriptive.items():
        unit = f" {UNITS[name]}{estimated if 'W' in UNITS[name] else ''}" if name in UNITS else ""
        metrics = (column.minimum, column.median, column.mean, column.maximum)
        std = MISSING if column.std is None else significant(column.std)
        table.add_row(f"{name}{unit}", str(column.n), *(significant(figure) for figure in metrics), std)
    return table


def _rankings(analysis: Analysis) -> dict[str, Sequence[Ranked]]:
    ranking = analysis.ranking
    return {
        "Most accurate": ranking["accuracy"],
        "Least energy": ranking["energy"],
        "Most efficient": ranking["efficiency"],
        **{f"Best {name}": ranking[name] for name in plane_of(analysis.study).others if name in ranking},
        f"Pareto front of {plane_of(analysis.study).title}": analysis.pareto,
    }


def _settings(tables: Iterable[Sequence[Ranked]]) -> list[str]:
    """Return lines with the setting of each trial shown, once each."""
    rows = {row.trial: row for table in tables for row in table}
    return ["", *(f"{_name(row)}: {format_setting(row.params)}" for _, row in sorted(rows.items()))]


def _name(row: Ranked) -> str:
    """Return a trial's number, its version where there are several, and the run that it was imported from."""
    number = str(row.trial) if row.version is None else f"{row.trial} {row.version}"
    return number if row.run in (None, str(row.trial)) else f"{number} ({row.run})"


def _trials(title: str, rows: Sequence[Ranked]) -> Table:
    others = list(rows[0].figures)
    table = _table(f"\n{title}", "trial", *others, "accuracy", "energy", "Wh/epoch", "1/Wh")
    for row in rows:
        table.add_row(
            _name(row),
            *(format_figure(name, row.figures.get(name), row.energy_source, 4) for name in others),
            mark(row.accuracy, is_doubtful=row.caution is not None),
            format_energy(row.energy_wh, row.energy_source),
            MISSING if row.wh_per_epoch is None else significant(row.wh_per_epoch, 4),
            MISSING if row.efficiency is None else significant(row.efficiency, 4),
        )
    table.drop_empty("accuracy", "1/Wh")
    if any(row.caution for row in rows):
        table.caption = MARK_TEXT
    return table


def _correlated(analysis: Analysis) -> Table:
    table = _table("\nCorrelations", "", "n", "Pearson", "95 % interval", "p", "Spearman")
    for row in analysis.correlations:
        table.add_row(
            f"{row.first}, {row.second}",
            str(row.n),
            f"{row.pearson:+.3f}",
            f"{row.low:+.3f} to {row.high:+.3f}",
            small_p(row.p),
            f"{row.spearman:+.3f}",
        )
    return table


def _overview(analysis: Analysis, coding: Coding) -> Table:
    """All responses in one coding, a line each."""
    table = _table(f"\nAll regressions, {coding} coding", "", "n", "rank", "R2", "adjusted", "R2 unseen", "F", "p")
    for response in analysis.explained(Response):
        fitted = analysis.regressions.get(response, {}).get(coding)
        if fitted is None:
            continue
        unseen = MISSING if fitted.cv_r_squared is None else f"{fitted.cv_r_squared:.3f}"
        table.add_row(
            response,
            str(fitted.n),
            str(fitted.rank),
            f"{fitted.r_squared:.3f}",
            f"{fitted.adj_r_squared:.3f}",
            unseen,
            MISSING if fitted.f_value is None or not math.isfinite(fitted.f_value) else f"{fitted.f_value:.4g}",
            small_p(fitted.f_pvalue),
        )
    return table


def _importance(analysis: Analysis) -> Table:
    shown = [shares for shares in analysis.importance if shares.shares]
    table = _table("\nImportance of parameters", "parameter", *(f"{s.objective}, {s.method}" for s in shown))
    total = {name: sum(shares.shares.get(name, 0.0) for shares in shown) for shares in shown for name in shares.shares}
    for name in sorted(total, key=lambda parameter: -total[parameter]):
        table.add_row(name, *(_share(shares, name) for shares in shown))
    text = dict.fromkeys(f"{shares.method}: {shares.text}" for shares in analysis.importance if shares.text)
    if any(shares.chance for shares in shown):
        text["chance: not above the share that 95 of 100 permutations of the results stay below"] = None
    table.caption = "; ".join(text)
    return table


def _failures(analysis: Analysis) -> Table:
    """Return the values and pairs that failed most; values that hardly differ are left to the JSON."""
    table = Table("values", "failed", "of", "share", "95 % interval", title="trials that failed", left=("values",))
    values = [one for one in analysis.failures if one.second is None and one.failed][:FAILING]
    pairs = [one for one in analysis.failures if one.second is not None][:FAILING]
    for one in (*values, *pairs):
        names = " with ".join(f"{name} {value}" for name, value in one.items)
        table.add_row(names, str(one.failed), str(one.trials), f"{one.share:.0%}", f"{one.low:.0%} to {one.high:.0%}")
    return table


def _share(shares: Importance, name: str) -> str:
    share = shares.shares.get(name, 0.0)
    is_chance = name in shares.chance and share <= shares.chance[name]
    return f"{'chance ' if is_chance else ''}{100 * share:.0f} %"


def next_lines(advice: Advice) -> list[str]:
    """Return a line for each of the next trials, and their energy in sum, where it is known."""
    settings = [format_setting(setting) for setting in advice.next_settings]
    if not advice.next_forecasts:
        return [f"- {setting}" for setting in settings]
    pairs = zip(settings, advice.next_forecasts, strict=True)
    lines = [f"- {setting}: about {significant(one.energy_wh)} Wh" for setting, one in pairs]
    return [*lines, f"In sum about {significant(sum(one.energy_wh for one in advice.next_forecasts))} Wh."]


def _print_advice(console: Console, analysis: Analysis) -> None:
    advice = analysis.advice
    print_head(console, "\nAdvice")
    print_lines(console, (f"- {sentence}" for sentence in advice.sentences))
    if not advice.next_settings:
        return
    print_head(console, "\nTrials that would settle it next")
    print_lines(console, next_lines(advice))
    print_lines(
        console,
        [
            f"`greenopt analyze {analysis.study.name} --next next.toml` writes them as [[study.enqueue]] tables: "
            f"append them to the study file and raise study.trials by {len(advice.next_settings)}."
        ],
    )
