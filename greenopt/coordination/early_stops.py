"""Early stops in a running study: what its stopping rule is told of the trials, and what it decides about them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from greenopt.coordination.verdict import Verdict
from greenopt.events import EpochEnded, Event, FailReason, Outcome, StopReason, TrialPrepared, read_epochs
from greenopt.runs.folder import RunFolder
from greenopt.search import PastTrial, Proposal, Search
from greenopt.spec import StoppingKind, StudySpec, Value
from greenopt.stopping import (
    Curve,
    Refusal,
    Stop,
    StoppingRule,
    build_rule,
    curve_from_epochs,
    stuck_at_chance,
)


@dataclass
class _Watched:
    setting: Mapping[str, Value]
    is_asked_for: bool
    facts: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    epochs: list[EpochEnded] = field(default_factory=list)
    decision: Stop | None = None


class EarlyStops:
    """Decides which trials of a study are stopped, and which are not even started. Used by one thread.

    A trial that the user asked for by its setting (the baseline, `study.enqueue`) is started and trained to its end
    whatever the rule says; only being stuck at chance stops it. A trial that runs again is started too.
    """

    def __init__(self, spec: StudySpec, rule: StoppingRule | None = None) -> None:
        """Start without trials; the rule is the study's unless given."""
        self._spec = spec
        self._rule = rule or build_rule(spec.stopping, spec.space, spec.seeds.sampler)
        self._watched: dict[int, _Watched] = {}

    @property
    def is_learning(self) -> bool:
        """Whether the rule uses earlier trials."""
        return self._spec.stopping.kind is not StoppingKind.NONE

    def learn(self, curves: Iterable[Curve]) -> None:
        """Learn from trials that had ended before this run."""
        for curve in curves:
            self._rule.add(curve)

    def refusal(self, proposal: Proposal) -> Refusal | None:
        """Decide whether a proposed trial is not even started; None where it is."""
        if proposal.is_asked_for or proposal.retry_of is not None:
            return None
        return self._rule.refuse(proposal.trial, proposal.values, self._spec.training.epochs)

    def trial_began(self, proposal: Proposal) -> None:
        """Watch a trial."""
        self._watched[proposal.trial] = _Watched(proposal.values, proposal.is_asked_for)

    def event_arrived(self, trial: int, event: Event) -> Stop | None:
        """Take a trial's next event; return the decision to stop it, once, and None where it goes on."""
        watched = self._watched[trial]
        match event:
            case TrialPrepared():
                watched.facts = event.facts
            case EpochEnded():
                watched.epochs.append(event)
                if watched.decision is None and event.epoch < event.epochs:
                    watched.decision = self._decide(trial, watched)
                    return watched.decision if watched.decision and not watched.decision.is_audited else None
            case _:
                pass
        return None

    def audit(self, trial: int) -> Stop | None:
        """Return the decision on a trial that was trained to its end to measure the rule's error; None for others."""
        decision = self._watched[trial].decision
        return decision if decision is not None and decision.is_audited else None

    def trial_ended(self, trial: int, verdict: Verdict) -> None:
        """Learn from a trial of this run."""
        watched = self._watched.pop(trial)
        ended = PastTrial(trial, watched.setting, verdict.outcome, str(verdict.reason or ""), None)
        curve = _ended_curve(ended, watched.epochs)
        if curve is not None:
            self._rule.add(curve)

    def _decide(self, trial: int, watched: _Watched) -> Stop | None:
        stuck = stuck_at_chance(watched.epochs, watched.facts, self._spec.stopping.chance_epochs)
        if stuck is not None or watched.is_asked_for:
            return stuck
        curve = curve_from_epochs(trial, watched.setting, watched.epochs)
        if curve is None:
            return None
        others = (
            curve_from_epochs(number, other.setting, other.epochs)
            for number, other in self._watched.items()
            if number != trial
        )
        return self._rule.judge(curve, [other for other in others if other is not None])


def past_curves(search: Search, folder: RunFolder) -> Iterable[Curve]:
    """Yield the curves of a study's ended trials, in the order of their numbers, as far as their events are there."""
    for trial in search.ended_trials():
        curve = _ended_curve(trial, read_epochs(folder.own_events(trial.number, trial.attempt_id)))
        if curve is not None:
            yield curve


def _ended_curve(trial: PastTrial, epochs: list[EpochEnded]) -> Curve | None:
    """Return what a rule learns from an ended trial; None where it says nothing about its setting."""
    is_result = trial.outcome is Outcome.COMPLETED
    if trial.outcome is Outcome.FAILED and trial.reason in _BY_CHANCE:
        return None
    curve = curve_from_epochs(trial.number, trial.setting, epochs)
    if curve is None:
        return None
    is_open = trial.outcome is Outcome.STOPPED and trial.reason != StopReason.AT_CHANCE
    return curve if is_result or is_open else replace(curve, is_lost=True)


_BY_CHANCE = tuple(reason for reason in FailReason if reason.is_worth_a_retry or reason is FailReason.DUPLICATE)
"""Failures that say nothing about the setting."""
