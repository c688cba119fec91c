"""The one place from which the live view reads a study: its storage, its events, its course.

Invariants: nothing is ever written; each file is read from where the last reading stopped; a reading that fails is an
error in words beside what is known, never the end of the view. One thread at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from greenopt.errors import GreenoptError
from greenopt.files import LineTail, last_lines
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.identity.place import locate
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import CoordinatorStarted, CourseEntry, decode_entry
from greenopt.spec import StudySpec
from greenopt.storage.live_rows import LiveRows
from greenopt.tui.state.live_trial import LiveTrial

Row = dict[str, Any]
LOG_LINES = 200


@dataclass(frozen=True)
class Batch:
    """What changed since the last reading.

    Attributes:
        rows: trials that are new, unfinished or newly finished.
        lines: lines of events that each running trial has added.
        course: new entries of the study's course.
        holder: who runs the study; None if nobody does.
        problem: why the storage could not be read this time; None where it could.
    """

    rows: tuple[Row, ...] = ()
    lines: dict[int, list[bytes]] = field(default_factory=dict)
    course: tuple[CourseEntry, ...] = ()
    holder: dict[str, Any] | None = None
    problem: str | None = None


class Reader(Protocol):
    """What the view asks for; tests hand in a fake."""

    spec: StudySpec

    def read(self) -> Batch:
        """What changed since the last call."""
        ...

    def trial(self, number: int) -> LiveTrial:
        """All that a trial has said."""
        ...

    def log(self, number: int) -> list[str]:
        """The last lines that a trial's process printed."""
        ...


class StudyReader:
    """Reads one study from its storage and, where it is on this machine, its run folder."""

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
        self._course = LineTail(folder.course)
        self._events: dict[int, LineTail] = {}

    @property
    def has_folder(self) -> bool:
        """Whether events and logs can be seen from here."""
        return self._folder.path.is_dir()

    def read(self) -> Batch:
        """What changed since the last call."""
        try:
            rows, holder, problem = self._rows.changed(self._parameters), self._rows.holder(), None
        except GreenoptError as error:
            rows, holder, problem = [], None, str(error)
        self._attempts.update({row["trial"]: row.get(ATTEMPT_ATTRIBUTE) for row in rows})
        course = self._new_entries()
        running = [row["trial"] for row in rows if row["state"] == "running"]
        for number in set(self._events) - set(running) if problem is None else ():
            del self._events[number]
        return Batch(
            rows=tuple(rows),
            lines={number: self._new_lines(number) for number in running},
            course=course,
            holder=holder,
            problem=problem,
        )

    def trial(self, number: int) -> LiveTrial:
        """All that a trial has said; nothing where its events are not on this machine."""
        live = LiveTrial(number, self.spec.training.epochs)
        events = self._folder.own_events(number, self._attempts.get(number))
        live.take_lines(LineTail(events).new_lines() if events is not None else ())
        return live

    def log(self, number: int) -> list[str]:
        """The last lines that a trial's process printed."""
        log = self._folder.own_log(number, self._attempts.get(number))
        return last_lines(log, LOG_LINES) if log is not None else []

    def close(self) -> None:
        """Give the storage back."""
        self._rows.close()

    def _new_entries(self) -> tuple[CourseEntry, ...]:
        """New entries of the study's course; what coordinators of another study did in this folder is left out."""
        found: list[CourseEntry] = []
        for line in self._course.new_lines():
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
            self._events[number] = LineTail(events)
        return self._events[number].new_lines()


def _renamed(spec: StudySpec, name: str) -> StudySpec:
    """Return the study under the name of its folder, which may have been renamed by hand."""
    return spec.model_copy(update={"study": spec.study.model_copy(update={"name": name})})
