"""The only reader of a study for the live view: its storage, its events, its study log.

Invariants: nothing is ever written; each file is read from where the last reading stopped; a reading that fails is an
error in words beside what is known, never the end of the view. One thread at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from greenopt.errors import GreenoptError
from greenopt.files import LogTail, last_lines
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.identity.place import locate
from greenopt.plain_text import uncoloured
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import CoordinatorStarted, LogEntry, decode_entry
from greenopt.spec import StudySpec
from greenopt.storage.live_rows import LiveRows
from greenopt.storage.trial_state import TrialState
from greenopt.tui.state.live_trial import LiveTrial

Row = dict[str, Any]
LOG_LINES = 200


@dataclass(frozen=True)
class Batch:
    """The changes since the last reading.

    Attributes:
        rows: trials that are new, unfinished or newly finished.
        lines: lines of events that each running trial has added.
        study_log: new entries of the study log.
        holder: who runs the study; None if nobody does.
        problem: why the storage could not be read this time; None where it could.
    """

    rows: tuple[Row, ...] = ()
    lines: dict[int, list[bytes]] = field(default_factory=dict)
    study_log: tuple[LogEntry, ...] = ()
    holder: dict[str, Any] | None = None
    problem: str | None = None


class Reader(Protocol):
    """What the view reads; tests pass a fake."""

    spec: StudySpec

    def read(self) -> Batch:
        """Return what changed since the last call."""
        ...

    def trial(self, number: int) -> LiveTrial:
        """Return a trial's state from all its events."""
        ...

    def log(self, number: int) -> list[str]:
        """Return the last lines printed by a trial's process."""
        ...


class StudyReader:
    """A reader of a study's storage and, if it is on this machine, its run folder."""

    def __init__(self, folder: RunFolder, url: str, rows: Callable[[str, str], LiveRows] = LiveRows) -> None:
        """Find the study.

        Args:
            folder: the run folder, which need not exist: then only what the storage knows is shown.
            url: the storage's.
            rows: opens the storage.

        Raises:
            UsageError: there is no such study.
        """
        self._folder = folder
        found = locate(folder, url)
        self._rows = rows(found.name, url)
        self.spec = _renamed(self._rows.spec(), folder.name)
        self._study_id, self._is_own_course = found.study_id, True
        self._attempts: dict[int, str | None] = {}
        self._parameters = tuple(self.spec.space.distributions)
        self._study_log = LogTail(folder.study_log)
        self._events: dict[int, LogTail] = {}

    def read(self) -> Batch:
        """Return what changed since the last call."""
        try:
            rows, holder, problem = self._rows.changed(self._parameters), self._rows.holder(), None
        except GreenoptError as error:
            rows, holder, problem = [], None, str(error)
        self._attempts.update({row["trial"]: row.get(ATTEMPT_ATTRIBUTE) for row in rows})
        study_log = self._new_entries()
        running = [row["trial"] for row in rows if row["state"] == TrialState.RUNNING]
        for number in set(self._events) - set(running) if problem is None else ():
            del self._events[number]
        return Batch(
            rows=tuple(rows),
            lines={number: self._new_lines(number) for number in running},
            study_log=study_log,
            holder=holder,
            problem=problem,
        )

    def trial(self, number: int) -> LiveTrial:
        """Return a trial's state from all its events; empty if they are not on this machine."""
        live = LiveTrial(number, self.spec.training.epochs)
        events = self._folder.own_events(number, self._attempts.get(number))
        live.take_lines(LogTail(events).new_lines() if events is not None else ())
        return live

    def log(self, number: int) -> list[str]:
        """Return the last lines printed by a trial's process."""
        log = self._folder.own_log(number, self._attempts.get(number))
        return [uncoloured(line) for line in last_lines(log, LOG_LINES)] if log is not None else []

    def close(self) -> None:
        """Close the storage."""
        self._rows.close()

    def _new_entries(self) -> tuple[LogEntry, ...]:
        """Return new entries of the study log; what coordinators of another study did here is left out."""
        found: list[LogEntry] = []
        for line in self._study_log.new_lines():
            entry = decode_entry(line)
            if isinstance(entry, CoordinatorStarted):
                self._is_own_course = entry.study_id in (None, self._study_id)
            if entry is not None and self._is_own_course:
                found.append(entry)
        return tuple(found)

    def _new_lines(self, number: int) -> list[bytes]:
        if number not in self._events:
            events = self._folder.own_events(number, self._attempts.get(number))
            if events is None:
                return []
            self._events[number] = LogTail(events)
        return self._events[number].new_lines()


def _renamed(spec: StudySpec, name: str) -> StudySpec:
    """Return the study under the name of its folder, which may have been renamed by hand."""
    return spec.model_copy(update={"study": spec.study.model_copy(update={"name": name})})
