"""Formatting of a confirmation as sentences and as a table, for the terminal and the report."""

from greenopt.confirmation.compare import Comparison, Confirmation, Held
from greenopt.formatting import MISSING, format_energy, format_figure, format_fraction
from greenopt.spec import Metric
from greenopt.storage.trial_state import TrialState

_VERDICTS = {Held.YES: "The win held", Held.NO: "The win did not hold", Held.OPEN: "Open: no verdict"}
_PLACES = {
    "within": "within what a single training gives",
    "better": "better than a single training gives: it was lucky, or picked for its luck",
    "worse": "worse than a single training gives",
}


def confirmation_lines(confirmation: Confirmation) -> list[str]:
    """Return the verdict, its criterion and its caveats, one or two sentences per item."""
    metric = confirmation.picked.by or Metric.ACCURACY
    lines = [f"{_VERDICTS[confirmation.held]}: {confirmation.why}."]
    place = confirmation.comparisons[metric].against_study
    if place is not None:
        lines.append(f"The study's {metric} is {_PLACES[place]}.")
    lines.append(_basis(confirmation))
    if confirmation.others:
        names = ", ".join(confirmation.others)
        lines.append(
            f"A confirmation judges accuracy and energy; of {names} it gives the figures of the new trainings."
        )
    lines += _endings(confirmation)
    reasons = {one.incomparable: None for one in confirmation.comparisons.values() if one.incomparable}
    lines += [f"Not like with like: {reason}." for reason in reasons]
    return lines


def comparison_table(confirmation: Confirmation) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the figures after the same number of epochs: a column a figure, in brackets if incomparable."""
    old, new = confirmation.picked.row.get("energy_source"), confirmation.energy_source
    columns = [_column(one, old, new) for one in confirmation.comparisons.values()]
    again = "again" if confirmation.ended[TrialState.COMPLETE] == 1 else "again, mean"
    names = ("the study", again, "95 %, mean", "95 %, single", "runner-up")
    rows = [[name, *cells] for name, cells in zip(names, zip(*columns, strict=True), strict=True)]
    heads = [f"({one.metric})" if one.incomparable else str(one.metric) for one in confirmation.comparisons.values()]
    return ["", *heads], [row for row in rows if any(cell != MISSING for cell in row[1:])]


def end_lines(confirmation: Confirmation) -> list[str]:
    """Return one line per metric on the new trainings' final results, where those are not what is compared."""
    source, is_compared = confirmation.energy_source, confirmation.study_epochs == confirmation.epochs
    return [
        f"{name} at the end: {_value(name, interval.mean, source)}{_half_width(name, interval.half_width)}"
        for name, interval in confirmation.at_the_end.items()
        if name in ("test_accuracy", *confirmation.others) or not is_compared
    ]


def _column(one: Comparison, old_source: str | None, new_source: str | None) -> tuple[str, ...]:
    interval, metric = one.interval, one.metric
    return (
        _value(metric, one.study_value, old_source),
        _value(metric, interval.mean, new_source) if interval is not None else MISSING,
        _half_width(metric, interval.half_width).strip() or MISSING if interval is not None else MISSING,
        _half_width(metric, interval.single_half_width).strip() or MISSING if interval is not None else MISSING,
        _value(metric, one.runner_up_value, old_source),
    )


def _half_width(metric: str, half_width: float | None) -> str:
    return "" if half_width is None else f" ±{_figure(metric, half_width)}"


def _value(metric: str, value: float | None, source: str | None) -> str:
    if metric in (Metric.ENERGY_WH, Metric.WH_PER_EPOCH):
        return format_energy(value, source)
    return _figure(metric, value)


def _figure(metric: str, value: float | None) -> str:
    if value is None:
        return MISSING
    if metric in (Metric.ACCURACY, "test_accuracy"):
        return format_fraction(value)
    return format_figure(metric, value)


def _basis(confirmation: Confirmation) -> str:
    compared = confirmation.compared_epochs
    if confirmation.study_epochs == confirmation.epochs:
        return (
            f"Compared are trainings of {compared} epochs, as they ended, on the same split with other training seeds."
        )
    return (
        f"Compared is what trainings had come to after {compared} epochs: the study's had {confirmation.study_epochs}, "
        f"these {confirmation.epochs}; before any quantization after training."
    )


def _endings(confirmation: Confirmation) -> list[str]:
    text = {TrialState.PRUNED: "diverged", TrialState.FAIL: "failed", TrialState.EXCLUDED: "excluded by hand"}
    return [
        f"{count} training{'s' if count > 1 else ''} {text[state]}."
        for state, count in confirmation.ended.items()
        if state in text and count
    ]
