"""Compares the trainings of a confirming study with the confirmed trial and reaches a verdict.

Compared is what trainings had come to after the same number of epochs: the new ones, the study's winner, and the best
of its other settings after that many epochs. The runner-up is a single training, so its distance is judged by the
interval in which one more training falls, and not by that of the mean. The win held if the runner-up lies behind that
interval. It did not hold if the runner-up is ahead by more than the luckiest of as many trainings as there are other
settings would be (Bonferroni). In between, and where the new trainings do not vary at all, these trainings cannot tell.
A trial that was named by its number, and one without a runner-up, held if one of the new trainings is about as good as
the study said, and did not if the study said more than a training of this setting gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from greenopt.confirmation.interval import Interval
from greenopt.confirmation.metrics import COMPARED, accuracies_differ, energies_differ
from greenopt.confirmation.pick import LESS_IS_BETTER, Picked
from greenopt.confirmation.rival import Epochs, Rival, figures_after, find_rival
from greenopt.formatting import counted
from greenopt.front import plane_of
from greenopt.search import StudySnapshot
from greenopt.spec import Metric
from greenopt.storage.trial_state import FINISHED_STATES, TrialState

_OF_ENERGY = (Metric.WH_PER_EPOCH, Metric.ENERGY_WH, Metric.EFFICIENCY)
_OF_ACCURACY = (Metric.ACCURACY, Metric.EFFICIENCY)
ABOUT = 0.01
"""Share of a figure by which a training may be worse and is still as good as the study said."""


class Held(StrEnum):
    """Whether the win held."""

    YES = "held"
    NO = "did not hold"
    OPEN = "open"


@dataclass(frozen=True)
class Comparison:
    """One metric of the new trainings against the study's, after the same number of epochs.

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

    def ahead_of(self, value: float, others: int = 1) -> Held:
        """Return whether trainings of the setting are beyond doubt better, or worse, than another setting's.

        Args:
            value: of one training of the other setting.
            others: how many other settings it is the best of; chance alone puts the best of many ahead.
        """
        assert self.interval is not None
        width, far = self.interval.single_half_width, self.interval.reach_of_best(others)
        if width is None or far is None or not self.interval.varies:
            return Held.OPEN
        lead = self.sign * (self.interval.mean - value)
        return Held.YES if lead > width else Held.NO if lead < -far else Held.OPEN

    @property
    def is_reached(self) -> bool:
        """Whether one of the new trainings is about as good as the study's."""
        assert self.interval is not None
        assert self.study_value is not None
        best = max(self.sign * value for value in self.interval.values)
        return best >= self.sign * self.study_value - ABOUT * abs(self.study_value)

    @property
    def against_study(self) -> str | None:
        """Where the study's value is: `within` what a single training gives, `better` or `worse`; None: not known."""
        if self.incomparable or self.interval is None or self.study_value is None:
            return None
        if self.interval.single_half_width is None:
            return None
        lead = self.sign * (self.study_value - self.interval.mean)
        if not self.interval.varies:
            return "within" if abs(lead) <= ABOUT * abs(self.interval.mean) else None
        width = self.interval.single_half_width
        return "better" if lead > width else "worse" if lead < -width else "within"


@dataclass(frozen=True)
class Confirmation:
    """The result of confirming a study's trial.

    Attributes:
        compared_epochs: after how many epochs figures are compared; `study_epochs` and `epochs` are the lengths.
        at_the_end: of the new trainings as they ended, by figure; `test_accuracy` among them.
        ended: number of new trainings by state (`complete`, `pruned`, `fail`).
        others: objectives of the study that are not judged, but stand in `at_the_end`.
    """

    study: str
    picked: Picked
    study_epochs: int
    epochs: int
    compared_epochs: int
    ended: Mapping[TrialState, int]
    comparisons: Mapping[Metric, Comparison]
    at_the_end: Mapping[str, Interval]
    held: Held
    why: str
    energy_source: str | None = None
    seeds: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


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
    complete = [row for row in confirming.rows if row["state"] == TrialState.COMPLETE]
    lengths = int(picked.row.get("epochs_done") or study.spec.training.epochs), confirming.spec.training.epochs
    epochs, at_the_end = min(lengths), lengths[0] == lengths[1]
    rival = Rival()
    if picked.by is not None:
        rival = find_rival(study, picked.row, picked.by, epochs_of, epochs, at_the_end=at_the_end)
    new = [figures_after(row, new_epochs_of, epochs, at_the_end=at_the_end) for row in complete]
    old = figures_after(picked.row, epochs_of, epochs, at_the_end=at_the_end)
    comparisons = {
        metric: Comparison(
            metric,
            getattr(old, metric),
            getattr(rival.metrics, metric),
            _interval([getattr(one, metric) for one in new]),
            _incomparable(metric, study, picked.row, complete, lengths),
        )
        for metric in COMPARED
    }
    is_apart = None
    if rival.row is not None and picked.by is not None:
        is_apart = _incomparable(picked.by, study, rival.row, complete, lengths)
    picked = replace(picked, runner_up=rival.row)
    ended = {state: confirming.count(state) for state in FINISHED_STATES}
    held, why = _verdict(picked, comparisons, ended, _Against(rival, is_apart, lengths))
    names = (*map(str, COMPARED), "test_accuracy", *plane_of(study.spec).others)
    ends = {name: _interval([row.get(name) for row in complete]) for name in names}
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
        others=plane_of(study.spec).others,
    )


def _interval(values: list[float | None]) -> Interval | None:
    known = tuple(value for value in values if value is not None)
    return Interval.from_values(known) if known and len(known) == len(values) else None


def _incomparable(
    metric: Metric,
    study: StudySnapshot,
    trial: Mapping[str, Any],
    complete: list[dict[str, Any]],
    lengths: tuple[int, int],
) -> str | None:
    """Why a figure of one of the study's trials cannot be compared with the new trainings'."""
    reason = accuracies_differ(study.spec, trial, *lengths) if metric in _OF_ACCURACY else None
    if reason is None and metric in _OF_ENERGY and complete:
        reason = next(filter(None, (energies_differ(trial, row) for row in complete)), None)
    return reason


@dataclass(frozen=True)
class _Against:
    """What the winner is compared with: the rival, why its figure must not be compared, and both studies' epochs."""

    rival: Rival
    incomparable: str | None
    lengths: tuple[int, int]


def _verdict(
    picked: Picked, comparisons: Mapping[Metric, Comparison], ended: Mapping[TrialState, int], against: _Against
) -> tuple[Held, str]:
    if ended[TrialState.PRUNED]:
        return Held.NO, f"{ended[TrialState.PRUNED]} of {sum(ended.values())} trainings diverged"
    if not ended[TrialState.COMPLETE]:
        return Held.OPEN, "no training completed"
    if ended[TrialState.COMPLETE] < 2:
        return Held.OPEN, "a single training gives no interval; more seeds do"
    if picked.by is not None and (picked.runner_up is not None or against.rival.unknown):
        return _against_runner_up(comparisons[picked.by], picked, against)
    metrics = (picked.by,) if picked.by is not None else (Metric.ACCURACY, Metric.ENERGY_WH)
    return _reproduced([comparisons[metric] for metric in metrics])


def _against_runner_up(comparison: Comparison, picked: Picked, against: _Against) -> tuple[Held, str]:
    if (missing := _missing(comparison)) is not None:
        return Held.OPEN, missing
    if picked.runner_up is None or comparison.runner_up_value is None:
        return Held.OPEN, f"{comparison.metric} of the other settings after as many epochs is not on file"
    runner_up = f"the runner-up, trial {picked.runner_up['trial']}"
    if against.incomparable is not None:
        return Held.OPEN, f"{comparison.metric} of {runner_up} cannot be compared: {against.incomparable}"
    assert comparison.interval is not None
    if not comparison.interval.varies:
        return Held.OPEN, _alike(comparison)
    held = comparison.ahead_of(comparison.runner_up_value, against.rival.others)
    return _doubted(held, comparison, runner_up, picked.trial, against)


def _doubted(held: Held, comparison: Comparison, runner_up: str, trial: int, against: _Against) -> tuple[Held, str]:
    """Return the verdict, unless something that is not known or not meant stands against it."""
    metric, count = comparison.metric, len(comparison.interval.values if comparison.interval else ())
    if held is Held.YES and against.rival.unknown:
        return Held.OPEN, (
            f"{metric} after as many epochs is not on file for {against.rival.unknown} completed trials of other "
            "settings, which may have been better"
        )
    if held is Held.NO and against.lengths[0] != against.lengths[1] and _was_behind(comparison):
        epochs, other = min(against.lengths), against.lengths[0]
        return Held.OPEN, (
            f"after {epochs} epochs trial {trial} was not ahead of {runner_up} in the study either: that says nothing "
            f"about a win after {other}"
        )
    more = "; two trainings tell little, more seeds tell more" if count == 2 else ""
    place = {
        Held.YES: f"trainings of this setting are ahead of {runner_up}, by more than a single training varies",
        Held.NO: f"trainings of this setting are behind {runner_up}, by more than luck among "
        f"{counted(against.rival.others, 'other setting')} gives",
        Held.OPEN: f"{runner_up} is no farther off than trainings may vary by chance{more}",
    }
    return held, f"in {metric}, {place[held]}"


def _was_behind(comparison: Comparison) -> bool:
    """Return whether the study's own winner was no better than the runner-up after as many epochs."""
    if comparison.study_value is None or comparison.runner_up_value is None:
        return False
    return comparison.sign * (comparison.study_value - comparison.runner_up_value) <= 0


def _alike(comparison: Comparison) -> str:
    count = len(comparison.interval.values if comparison.interval else ())
    return f"{comparison.metric} is the same in all {count} trainings: without spread nothing can be judged by it"


def _reproduced(comparisons: list[Comparison]) -> tuple[Held, str]:
    for comparison in comparisons:
        if (missing := _missing(comparison)) is not None:
            return Held.OPEN, missing
    lucky = [str(comparison.metric) for comparison in comparisons if comparison.against_study == "better"]
    if lucky:
        return Held.NO, f"the study's {' and '.join(lucky)} is better than a training of this setting gives"
    apart = [comparison for comparison in comparisons if not comparison.is_reached]
    if apart:
        assert apart[0].interval is not None
        if not apart[0].interval.varies:
            return Held.OPEN, _alike(apart[0])
        count = len(apart[0].interval.values)
        return Held.OPEN, (
            f"none of {count} trainings came to the study's {' and '.join(str(one.metric) for one in apart)}, and "
            f"{count} vary too much to say more; more seeds do"
        )
    names = " and ".join(str(comparison.metric) for comparison in comparisons)
    return Held.YES, f"the study's {names} is what a training of this setting may well give"


def _missing(comparison: Comparison) -> str | None:
    """Return why a metric cannot be compared; None if it can."""
    if comparison.incomparable is not None:
        return f"{comparison.metric} cannot be compared: {comparison.incomparable}"
    if comparison.interval is None or comparison.study_value is None:
        return f"{comparison.metric} after as many epochs is not on file"
    return None
