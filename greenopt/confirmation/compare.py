"""From the trainings of a confirming study to a verdict.

Compared is what both trainings had come to after the same number of epochs, the smaller of the two. The win held if the
whole 95 % interval of the new mean is ahead of the study's runner-up, and did not hold if all of it is behind; in
between, these trainings cannot tell. A trial that was named by its number, and one without a runner-up, held if a
single training of the setting may well be as good as the study said.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from greenopt.confirmation.figures import COMPARED, Figures, accuracies_differ, energies_differ
from greenopt.confirmation.interval import Interval
from greenopt.confirmation.pick import LESS_IS_BETTER, Picked
from greenopt.events import EpochEnded
from greenopt.search import StudySnapshot
from greenopt.spec import Metric

Epochs = Callable[[int], Sequence[EpochEnded]]
"""Gives the finished epochs of a trial by its number."""

_OF_ENERGY = (Metric.WH_PER_EPOCH, Metric.ENERGY_WH, Metric.EFFICIENCY)
_OF_ACCURACY = (Metric.ACCURACY, Metric.EFFICIENCY)


class Held(StrEnum):
    """Whether the win held."""

    YES = "held"
    NO = "did not hold"
    OPEN = "open"


@dataclass(frozen=True)
class Comparison:
    """One figure of the new trainings against the study's, after the same number of epochs.

    Attributes:
        study_value: of the trial that is confirmed.
        runner_up_value: of the runner-up; None where there is none.
        interval: of the new trainings; None where none has the figure.
        incomparable: why the figure must not be compared; None where it may.
    """

    metric: Metric
    study_value: float | None
    runner_up_value: float | None
    interval: Interval | None
    incomparable: str | None = None

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return -1 if self.metric in LESS_IS_BETTER else 1

    def ahead_of(self, value: float) -> Held:
        """Whether the mean's interval lies wholly on the better side of a value."""
        assert self.interval is not None
        if self.interval.half_width is None:
            return Held.OPEN
        lead = self.sign * (self.interval.mean - value)
        return (
            Held.YES if lead > self.interval.half_width else Held.NO if lead < -self.interval.half_width else Held.OPEN
        )

    @property
    def against_study(self) -> str | None:
        """Where the study's value is: `within` what a single training gives, `better` or `worse`; None: not known."""
        if self.incomparable or self.interval is None or self.study_value is None:
            return None
        if self.interval.single_half_width is None:
            return None
        lead = self.sign * (self.study_value - self.interval.mean)
        width = self.interval.single_half_width
        return "better" if lead > width else "worse" if lead < -width else "within"


@dataclass(frozen=True)
class Confirmation:
    """What the new trainings say of a study's trial.

    Attributes:
        compared_epochs: after how many epochs figures are compared; `study_epochs` and `epochs` are the lengths.
        at_the_end: of the new trainings as they ended, by figure; `test_accuracy` among them.
        ended: number of new trainings by state (`complete`, `pruned`, `fail`).
    """

    study: str
    picked: Picked
    study_epochs: int
    epochs: int
    compared_epochs: int
    ended: Mapping[str, int]
    comparisons: Mapping[Metric, Comparison]
    at_the_end: Mapping[str, Interval]
    held: Held
    why: str
    energy_source: str | None = None
    seeds: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()


def confirmation(
    study: StudySnapshot, picked: Picked, epochs_of: Epochs, confirming: StudySnapshot, new_epochs_of: Epochs
) -> Confirmation:
    """Compare a confirming study with the trial that it confirms.

    Args:
        study: the study.
        picked: its trial.
        epochs_of: the epochs of its trials.
        confirming: the study that trained the setting again.
        new_epochs_of: the epochs of its trials.
    """
    complete = [row for row in confirming.rows if row["state"] == "complete"]
    lengths = int(picked.row.get("epochs_done") or study.spec.training.epochs), confirming.spec.training.epochs
    comparisons = _comparisons(study, picked, (epochs_of, new_epochs_of), complete, lengths)
    ended = {state: confirming.count(state) for state in ("complete", "pruned", "fail")}
    held, why = _verdict(picked, comparisons, ended)
    ends = {name: _interval([row.get(name) for row in complete]) for name in (*map(str, COMPARED), "test_accuracy")}
    return Confirmation(
        study=study.spec.name,
        picked=picked,
        study_epochs=lengths[0],
        epochs=lengths[1],
        compared_epochs=min(lengths),
        ended=ended,
        comparisons=comparisons,
        at_the_end={name: interval for name, interval in ends.items() if interval is not None},
        held=held,
        why=why,
        energy_source=next((row["energy_source"] for row in complete), None),
        seeds=tuple(row["training_seed"] for row in complete if row.get("training_seed") is not None),
        parameters=tuple(study.spec.space.distributions),
    )


def _comparisons(
    study: StudySnapshot,
    picked: Picked,
    epochs_of: tuple[Epochs, Epochs],
    complete: list[dict[str, Any]],
    lengths: tuple[int, int],
) -> dict[Metric, Comparison]:
    """Every figure after as many epochs as the shorter trainings have; first the study's, then the new ones."""

    def figures(row: Mapping[str, Any], of: Epochs) -> Figures:
        return Figures.at_the_end(row) if lengths[0] == lengths[1] else Figures.after(of(row["trial"]), min(lengths))

    new = [figures(row, epochs_of[1]) for row in complete]
    old = figures(picked.row, epochs_of[0])
    other = figures(picked.runner_up, epochs_of[0]) if picked.runner_up is not None else Figures()
    return {
        metric: Comparison(
            metric,
            getattr(old, metric),
            getattr(other, metric),
            _interval([getattr(one, metric) for one in new]),
            _incomparable(metric, study, picked, complete, lengths),
        )
        for metric in COMPARED
    }


def _interval(values: list[float | None]) -> Interval | None:
    known = tuple(value for value in values if value is not None)
    return Interval.of(known) if known and len(known) == len(values) else None


def _incomparable(
    metric: Metric, study: StudySnapshot, picked: Picked, complete: list[dict[str, Any]], lengths: tuple[int, int]
) -> str | None:
    reason = accuracies_differ(study.spec, picked.row, *lengths) if metric in _OF_ACCURACY else None
    if reason is None and metric in _OF_ENERGY and complete:
        reason = next(filter(None, (energies_differ(picked.row, row) for row in complete)), None)
    return reason


def _verdict(picked: Picked, comparisons: Mapping[Metric, Comparison], ended: Mapping[str, int]) -> tuple[Held, str]:
    if ended["pruned"]:
        return Held.NO, f"{ended['pruned']} of {sum(ended.values())} trainings diverged"
    if not ended["complete"]:
        return Held.OPEN, "no training completed"
    if ended["complete"] < 2:
        return Held.OPEN, "a single training gives no interval; more seeds do"
    if picked.by is not None and picked.runner_up is not None:
        return _against_runner_up(comparisons[picked.by], picked)
    metrics = (picked.by,) if picked.by is not None else (Metric.ACCURACY, Metric.ENERGY_WH)
    return _reproduced([comparisons[metric] for metric in metrics])


def _against_runner_up(comparison: Comparison, picked: Picked) -> tuple[Held, str]:
    assert picked.runner_up is not None
    if (missing := _missing(comparison)) is not None:
        return Held.OPEN, missing
    if comparison.runner_up_value is None:
        return Held.OPEN, f"{comparison.metric} of the runner-up after as many epochs is not on file"
    held = comparison.ahead_of(comparison.runner_up_value)
    place = {
        Held.YES: "the whole interval of the mean is ahead of",
        Held.NO: "the whole interval of the mean is behind",
        Held.OPEN: "the interval of the mean holds that of",
    }
    return held, f"in {comparison.metric}, {place[held]} the runner-up, trial {picked.runner_up['trial']}"


def _reproduced(comparisons: list[Comparison]) -> tuple[Held, str]:
    for comparison in comparisons:
        if (missing := _missing(comparison)) is not None:
            return Held.OPEN, missing
    lucky = [str(comparison.metric) for comparison in comparisons if comparison.against_study == "better"]
    if lucky:
        return Held.NO, f"the study's {' and '.join(lucky)} is better than a training of this setting gives"
    names = " and ".join(str(comparison.metric) for comparison in comparisons)
    return Held.YES, f"the study's {names} is what a training of this setting may well give"


def _missing(comparison: Comparison) -> str | None:
    """Why a figure says nothing; None where it says something."""
    if comparison.incomparable is not None:
        return f"{comparison.metric} cannot be compared: {comparison.incomparable}"
    if comparison.interval is None or comparison.study_value is None:
        return f"{comparison.metric} after as many epochs is not on file"
    return None
