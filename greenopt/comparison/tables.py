"""A comparison as heads and rows of text, for the terminal and for the report."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from greenopt.analysis.results import Ranked
from greenopt.comparison.cautions import short_id
from greenopt.comparison.compare import Comparison, Side
from greenopt.comparison.equal_settings import Difference, Estimate
from greenopt.comparison.read import ComparedStudy
from greenopt.formatting import (
    MISSING,
    fixed_digits,
    format_budgets,
    format_energy_amount,
    format_figure,
    format_fraction,
    format_setting,
)

_BEST = {"accuracy": "most accurate", "energy": "least energy", "efficiency": "most efficient"}
_PERCENT_UP_TO = 10.0
"""Ratios beyond this, or below its inverse, are told as factors: `x 24.0` says more than `+2300 %`."""
_ENERGY_NAMES = {"energy_wh": "energy", "total_wh": "energy with set-up", "wh_per_epoch": "energy per epoch"}


@dataclass(frozen=True)
class TextTable:
    """A table of texts; `wide` is the column whose texts are long."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: int | None = None


def comparison_tables(comparison: Comparison) -> tuple[TextTable, ...]:
    """Return the tables of a comparison, in the order in which they are read."""
    return (_best(comparison), _fronts(comparison), _differences(comparison), _facts(comparison))


def headline(comparison: Comparison) -> list[str]:
    """Return sentences that say what is compared by what."""
    names = ", ".join(side.study.name for side in comparison.sides)
    lines = [f"Compared: {names}."]
    least_wh, reference_wh = comparison.least_energy_wh, comparison.reference_energy_wh
    if comparison.energy is not None and least_wh is not None and reference_wh is not None:
        lines.append(
            f"Energies are {comparison.energy}. Hypervolumes are the mean accuracy that a front has for "
            f"{format_budgets(least_wh, reference_wh)}: the least, and 1.1 x the most of any completed trial."
        )
    return [*lines, *(_told(one) for one in comparison.differences)]


def _told(one: Difference) -> str:
    if not one.settings:
        why = "no parameter in common" if not one.shared else "no completed setting in common"
        return f"{one.other} and {one.first} have {why}: nothing can be said of equal settings."
    energy, accuracy = format_ratio(one.log_energy), format_change(one.accuracy)
    what = f"{one.settings} setting{'s' if one.settings > 1 else ''}"
    beside = f"; {', '.join(one.unshared)}: in one of the spaces alone, and not looked at" if one.unshared else ""
    against = f"{one.other} against {one.first}"
    return f"Over {what} that both completed, {against}: energy {energy}, accuracy {accuracy}{beside}."


def _best(comparison: Comparison) -> TextTable:
    others = dict.fromkeys(name for side in comparison.sides for name in side.best if name not in _BEST)
    rows: list[tuple[str, ...]] = [
        (_best_title(name, side), side.study.name, *_trial(side, side.best.get(name), comparison.energy))
        for name in others
        for side in comparison.sides
        if name in side.best
    ]
    rows += [
        (title, side.study.name, *_trial(side, side.best.get(name), comparison.energy))
        for name, title in _BEST.items()
        for side in comparison.sides
    ]
    heads = ("best", "study", "trial", "accuracy", _energy_name(comparison.energy), "1/Wh", "setting")
    return TextTable("Best of each study", heads, tuple(rows), wide=6)


def _best_title(name: str, side: Side) -> str:
    return f"best {name}: {format_figure(name, side.best[name].value, side.best[name].energy_source)}"


def _energy_name(energy: str | None) -> str:
    return _ENERGY_NAMES.get(energy or "", "energy")


def _trial(side: Side, one: Ranked | None, energy: str | None) -> tuple[str, ...]:
    if one is None:
        return (MISSING,) * 5
    trials = side.study.trials
    known = [float(each) for each in trials.loc[trials["trial"] == one.trial, energy].dropna()] if energy else []
    energy_wh = known[0] if known else None
    return (
        f"{one.trial}" if one.version is None else f"{one.trial} {one.version}",
        format_fraction(one.accuracy),
        format_energy_amount(energy_wh, one.energy_source),
        MISSING if one.efficiency is None else fixed_digits(one.efficiency),
        format_setting(one.params),
    )


def _fronts(comparison: Comparison) -> TextTable:
    rows = tuple(_front(side) for side in comparison.sides)
    heads = (
        "study",
        "trials",
        "completed",
        "on the front",
        "least energy",
        "at accuracy",
        "most accurate",
        "hypervolume",
    )
    return TextTable("Pareto fronts", heads, rows)


def _front(side: Side) -> tuple[str, ...]:
    counts = side.study.counts
    if not side.front:
        return side.study.name, str(counts.trials), str(counts.complete), "0", *(MISSING,) * 4
    first, last = side.front[0], side.front[-1]
    return (
        side.study.name,
        str(counts.trials),
        str(counts.complete),
        str(len(side.front)),
        format_energy_amount(first.value, first.energy_source),
        format_fraction(first.accuracy),
        f"{format_fraction(last.accuracy)} at {format_energy_amount(last.value, last.energy_source)}",
        MISSING if side.hypervolume is None else f"{side.hypervolume:.4f}",
    )


def _differences(comparison: Comparison) -> TextTable:
    rows = tuple(
        (
            f"{one.other} against {one.first}",
            f"{one.settings}",
            format_ratio(one.log_energy),
            format_change(one.accuracy),
        )
        for one in comparison.differences
    )
    heads = ("studies", "equal settings", "energy (95 % interval)", "accuracy (95 % interval)")
    return TextTable("Equal settings: paired means over those that both completed", heads, rows, wide=0)


def format_ratio(estimate: Estimate | None) -> str:
    """Format a log ratio with its interval: `-12 % (-15 % to -9.0 %)`; large ones as factors."""
    if estimate is None:
        return MISSING
    bounds = [value for value in (estimate.mean, estimate.low, estimate.high) if value is not None]
    as_factor = any(abs(value) > math.log(_PERCENT_UP_TO) for value in bounds)
    return _interval(estimate, [_factor(value) if as_factor else _percent(value) for value in bounds])


def format_change(estimate: Estimate | None) -> str:
    """Format a difference of accuracies with its interval: `+0.012 (-0.003 to +0.027)`."""
    if estimate is None:
        return MISSING
    bounds = [value for value in (estimate.mean, estimate.low, estimate.high) if value is not None]
    return _interval(estimate, [f"{value:+.3f}" for value in bounds])


def _interval(estimate: Estimate, shown: Sequence[str]) -> str:
    if len(shown) == 1:
        return f"{shown[0]} (one pair: no interval)"
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def _factor(log_ratio: float) -> str:
    return f"x {fixed_digits(math.exp(log_ratio))}" if log_ratio < 700 else "x infinite"


def _percent(log_ratio: float) -> str:
    change = 100 * (math.exp(log_ratio) - 1)
    if change == 0:
        return "0 %"
    return f"{change:+.0f} %" if abs(change) >= 10 else f"{change:+.1f} %"


def _facts(comparison: Comparison) -> TextTable:
    recorded = {side.study.name: _recorded(side.study) for side in comparison.sides}
    rows = [(what, *(_joined(one[what]) for one in recorded.values())) for what in next(iter(recorded.values()))]
    known = tuple(row for row in rows if any(cell != MISSING for cell in row[1:]))
    return TextTable("Where and with what", ("", *recorded), known, wide=1)


def _joined(values: Iterable[str]) -> str:
    return ", ".join(values) or MISSING


def _recorded(study: ComparedStudy) -> dict[str, Iterable[str]]:
    """Return what is known of a study's protocol, machine and versions, by name."""
    spec = study.spec
    imported = len(study.values("run"))
    goals = " and ".join(f"{way} {metric}" for metric, way in spec.objectives.items())
    return {
        "trained": [spec.study.objective or spec.training.model],
        "data": [spec.data.label] if spec.data is not None else [],
        "epochs": [spec.epochs_text],
        "goals": [goals],
        "sampler": ["imported"] if imported else [str(spec.sampler.name)],
        "GPU": study.values("gpu_name") or study.environment.gpus,
        "driver": study.environment.drivers,
        "energy from": study.values("energy_source"),
        "host": study.values("host") or study.environment.hosts,
        "greenopt": [study.code["greenopt"]] if "greenopt" in study.code else [],
        "TensorFlow": study.facts("tensorflow"),
        "Keras": study.facts("keras"),
        "Python": study.facts("python"),
        "code fingerprint": [short_id(each) for each in study.values("code_id")],
        "data fingerprint": [short_id(each) for each in study.values("data_id")],
    }
