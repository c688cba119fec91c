"""Mends a study that has stopped: runs failed trials again, leaves trials out and takes them back in.

Invariant: what a trial measured stays in the storage; marks beside it say what is made of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenopt.errors import UsageError, one_line, shown
from greenopt.events import FailReason
from greenopt.formatting import counted
from greenopt.identity.place import StoredStudy
from greenopt.identity.taking import taken
from greenopt.runs.folder import RunFolder
from greenopt.search import Storage, enqueue_again, keep_marks, read_marks, read_rows, retries_of
from greenopt.storage.marks import TrialMarks
from greenopt.storage.trial_state import TrialState, failure_of, is_to_retry

MAX_WHY = 160
"""Letters of a reason."""


@dataclass(frozen=True)
class Retried:
    """What `retry_trials` enqueued.

    Attributes:
        trials: trial -> the waiting one that repeats it.
    """

    trials: Mapping[int, int]


def failed_trials(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the failed trials that nothing repeats: neither skipped, nor asked for again, nor retried by itself."""
    repeated = retries_of(rows)
    return [
        int(row["trial"])
        for row in rows
        if failure_of(row["state"], row) not in (None, FailReason.DUPLICATE)
        and not is_to_retry(row["state"], row)
        and int(row["trial"]) not in repeated
        and not row.get("retried")
    ]


def retry_trials(folder: RunFolder, storage: str | None, numbers: Sequence[int]) -> Retried:
    """Enqueue the settings of failed or excluded trials once more; the next run trains them first.

    Args:
        folder: the study's results.
        storage: URL of its storage; that of the folder unless given.
        numbers: the trials; all failed ones where there is none.

    Raises:
        UsageError: it is running, a trial did not fail or was repeated already, or none failed; nothing was written.
    """
    with taken(folder, storage, lambda stored, opened: _retry_plan(folder, stored, opened, numbers)) as (
        stored,
        opened,
    ):
        chosen, unmarked = _retry_plan(folder, stored, opened, numbers)
        marks = read_marks(stored.name, opened)
        enqueue_again(stored.name, opened, chosen)
        keep_marks(stored.name, opened, replace(marks, retried=marks.retried | {*chosen, *unmarked}))
        found = retries_of(read_rows(stored.name, opened))
        return Retried({number: found[number] for number in (*unmarked, *chosen)})


def _retry_plan(
    folder: RunFolder, stored: StoredStudy, opened: Storage, numbers: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return the trials to repeat, and those whose repetition is there and not marked."""
    rows = read_rows(stored.name, opened)
    marks = read_marks(stored.name, opened)
    repeated = retries_of(rows)
    chosen = list(dict.fromkeys(numbers)) or failed_trials(rows)
    _check_numbers(folder, rows, chosen)
    for number in chosen:
        _check_retry(folder, rows[number], repeated)
    # A retry that was broken off between the two has its trials, and no mark of them.
    unmarked = [number for number in repeated if number not in marks.retried and number not in chosen]
    unmarked = [number for number in unmarked if not is_to_retry(rows[number]["state"], rows[number])]
    if not chosen and not unmarked:
        raise UsageError(f"study {folder.name}: no trial failed that is not run again already")
    return chosen, unmarked


def exclude_trials(folder: RunFolder, storage: str | None, numbers: Sequence[int], why: str) -> None:
    """Leave trials out of front, analysis, report and sampling; they stay in the storage, with the reason.

    Raises:
        UsageError: the study is running, or a trial is unknown or has not ended; nothing was written.
    """
    reason = why.strip()
    if not reason or not reason.isprintable() or len(reason) > MAX_WHY:
        raise UsageError(f"--why {shown(why)}: a reason is one line of 1 to {MAX_WHY} letters")
    with taken(folder, storage, lambda stored, opened: _exclusion(folder, stored, opened, numbers, reason)) as (
        stored,
        opened,
    ):
        keep_marks(stored.name, opened, _exclusion(folder, stored, opened, numbers, reason))


def _exclusion(
    folder: RunFolder, stored: StoredStudy, opened: Storage, numbers: Sequence[int], reason: str
) -> TrialMarks:
    rows, marks = read_rows(stored.name, opened), read_marks(stored.name, opened)
    _check_numbers(folder, rows, numbers)
    for number in numbers:
        if not TrialState(rows[number]["state"]).is_finished:
            raise UsageError(f"trial {number} of study {folder.name} has not ended; only trials that have are excluded")
    excluded = {**marks.excluded, **dict.fromkeys(numbers, one_line(reason, MAX_WHY))}
    return replace(marks, excluded=dict(sorted(excluded.items())))


def include_trials(folder: RunFolder, storage: str | None, numbers: Sequence[int]) -> None:
    """Take excluded trials back in.

    Raises:
        UsageError: the study is running, or a trial is not excluded; nothing was written.
    """
    with taken(folder, storage, lambda stored, opened: _inclusion(folder, stored, opened, numbers)) as (stored, opened):
        keep_marks(stored.name, opened, _inclusion(folder, stored, opened, numbers))


def _inclusion(folder: RunFolder, stored: StoredStudy, opened: Storage, numbers: Sequence[int]) -> TrialMarks:
    rows, marks = read_rows(stored.name, opened), read_marks(stored.name, opened)
    _check_numbers(folder, rows, numbers)
    for number in numbers:
        if number not in marks.excluded:
            raise UsageError(f"trial {number} of study {folder.name} is not excluded")
    return replace(marks, excluded={n: why for n, why in marks.excluded.items() if n not in numbers})


def _check_numbers(folder: RunFolder, rows: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> None:
    unknown = [number for number in numbers if not 0 <= number < len(rows)]
    if unknown:
        there = f"it has {counted(len(rows))}, numbered from 0" if rows else "it has none"
        raise UsageError(f"trial {unknown[0]}: study {folder.name} has no such trial; {there}")


def _check_retry(folder: RunFolder, row: Mapping[str, Any], repeated: Mapping[int, int]) -> None:
    number = int(row["trial"])
    where = f"trial {number} of study {folder.name}"
    if number in repeated:
        raise UsageError(f"{where} is repeated by trial {repeated[number]} already; retry that one if it failed")
    if row["state"] == TrialState.EXCLUDED:
        return
    failure = failure_of(row["state"], row)
    if failure is None:
        state = "completed" if row["state"] == TrialState.COMPLETE else row["state"]
        raise UsageError(f"{where} did not fail ({state}); failed and excluded trials run again")
    if failure is FailReason.DUPLICATE:
        raise UsageError(f"{where} was skipped: its setting had run already; retry that trial if it failed")
    if is_to_retry(row["state"], row):
        raise UsageError(f"{where} was interrupted and runs again by itself: greenopt run goes on with the study")
