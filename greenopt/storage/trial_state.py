"""The states of a trial, and the one rule for which trials count towards a study's size.

Members equal the words that rows, exports and reports hold; their names are Optuna's.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from greenopt.events import FailReason, Outcome, StopReason

MAX_RETRIES = 2
"""How often a setting that was interrupted is run again."""


class TrialState(StrEnum):
    """The state of a trial in a study's storage."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAIL = "fail"
    RUNNING = "running"
    WAITING = "waiting"
    EXCLUDED = "excluded"
    """Ended, and left out by the user; of rows only, for Optuna keeps the state in which the trial ended."""

    @property
    def is_finished(self) -> bool:
        """Whether the trial has ended, in whatever way."""
        return self in FINISHED_STATES


STATE_BY_OUTCOME = {
    Outcome.COMPLETED: TrialState.COMPLETE,
    Outcome.DIVERGED: TrialState.PRUNED,
    Outcome.STOPPED: TrialState.PRUNED,
    Outcome.FAILED: TrialState.FAIL,
}
"""The state in which a trial of each outcome is stored."""

FINISHED_STATES = (*dict.fromkeys(STATE_BY_OUTCOME.values()), TrialState.EXCLUDED)

STOPPED = frozenset(StopReason) - {StopReason.DIVERGED}
"""Reasons by which a trial was stopped, or not started, although nothing had failed."""


def outcome_of(state: str, attributes: Mapping[str, Any]) -> Outcome | None:
    """Return how a trial ended; None where it has not. One that ended early for an unknown reason counts as diverged.

    Args:
        state: the trial's `TrialState`.
        attributes: its attributes in the storage, or its row.
    """
    if state == TrialState.PRUNED:
        return Outcome.STOPPED if attributes.get("stop_reason") in STOPPED else Outcome.DIVERGED
    return next((outcome for outcome, its_state in STATE_BY_OUTCOME.items() if its_state == state), None)


def failure_of(state: str, attributes: Mapping[str, Any]) -> FailReason | None:
    """Return why a trial failed; None where it did not. A failure without a reason was an interruption.

    Args:
        state: the trial's `TrialState`.
        attributes: its attributes in the storage, or its row.
    """
    if state != TrialState.FAIL:
        return None
    reason = attributes.get("fail_reason") or FailReason.INTERRUPTED
    # A reason that this version does not know says at least that it was not an interruption.
    return FailReason(reason) if reason in tuple(FailReason) else FailReason.CRASH


def is_to_retry(state: str, attributes: Mapping[str, Any]) -> bool:
    """Return whether a trial's setting is to run again: it was interrupted and has attempts left."""
    reason = failure_of(state, attributes)
    return reason is not None and reason.is_worth_a_retry and (attributes.get("attempt") or 0) < MAX_RETRIES


def is_settled(state: str, attributes: Mapping[str, Any]) -> bool:
    """Return whether a trial counts towards the study's size: ended, not run again, not skipped."""
    is_skipped = failure_of(state, attributes) is FailReason.DUPLICATE
    is_again = bool(attributes.get("retried")) or is_to_retry(state, attributes)
    return state in FINISHED_STATES and not is_skipped and not is_again
