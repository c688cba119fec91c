"""When notes, figures and artifacts are written, and by whom.

Invariants: while a coordinator runs a study, its process alone writes (`Exhibit`); otherwise `catch_up` adds what is
missing and stops when a coordinator begins. A trial's note and artifacts are there before the storage holds it for
finished, because an open page never asks again for a finished trial. No failure here reaches the study.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from greenopt.coordination.verdict import Verdict
from greenopt.dashboard.content import attach_course, describe_trial, write_figures
from greenopt.dashboard.notes import study_note, words_of_setting
from greenopt.dashboard.store import Board
from greenopt.dashboard.trial_curves import Courses
from greenopt.events import EpochEnded, Event, FailReason, Outcome, TrialEnded, TrialStarted
from greenopt.execution import Slot
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import Conduct, StudyEnd
from greenopt.search import Storage, StudySnapshot, read_study, read_trial
from greenopt.spec import StudySpec, TrialSpec
from greenopt.summary import TrialSummary

FIGURES_EVERY_S = 30.0
MOST_FAILURES = 3

_STATES = {Outcome.COMPLETED: "complete", Outcome.DIVERGED: "pruned", Outcome.FAILED: "fail"}


class Exhibit:
    """Keeps up the notes, figures and artifacts of a running study; observer and annotator of its coordinator."""

    def __init__(
        self,
        spec: StudySpec,
        storage: Storage,
        folder: RunFolder,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Touch nothing yet.

        Args:
            spec: the study.
            storage: holds it.
            folder: its results.
            warn: told in one line what could not be written.
            clock: monotonic seconds.
        """
        self._spec, self._storage, self._folder = spec, storage, folder
        self._warn, self._clock = warn, clock
        self._board: Board | None = None
        self._courses = Courses(folder)
        self._machines: set[str] = set()
        self._attached: set[int] = set()
        self._drawn_at_s = clock() - FIGURES_EVERY_S
        self._has_news = False
        self._failures = 0

    def study_began(self, spec: StudySpec, settled: int) -> None:
        """Put the note on the study."""
        self._attempt(self._describe)

    def trial_began(self, spec: TrialSpec, slot: Slot) -> None:
        """Follow the trial's course."""
        self._courses.begin(spec.trial)

    def event_arrived(self, trial: int, event: Event) -> None:
        """Follow the course; draw the figures when it is time, which is never between two trials."""
        self._courses.add(trial, event)
        if isinstance(event, TrialEnded):
            # Its process is about to end, which takes longer than this.
            self._attempt(lambda: self._attach_course(trial))
        if isinstance(event, TrialStarted) and (found := {_machine(event.gpu_name, event.host)} - self._machines):
            self._machines |= found
            self._attempt(self._describe)
        self._has_news = self._has_news or isinstance(event, EpochEnded)
        if self._has_news and self._clock() - self._drawn_at_s >= FIGURES_EVERY_S:
            self._attempt(self._draw)

    def annotate(self, trial: int, verdict: Verdict, figures: Mapping[str, Any]) -> None:
        """Add a note and artifacts to a trial that is about to be told."""
        self._attempt(lambda: self._annotate(trial, verdict, figures))

    def trial_ended(self, trial: int, summary: TrialSummary, verdict: Verdict, settled: int) -> None:
        """The figures have something new to show."""
        self._has_news = True

    def conduct_changed(self, conduct: Conduct) -> None:
        """The dashboard has no place for it."""

    def study_ended(self, end: StudyEnd, failure: FailReason | None) -> None:
        """`close` draws the last figures."""

    def close(self) -> None:
        """Draw the figures a last time."""
        if self._has_news:
            self._attempt(self._draw)

    def _attempt(self, work: Callable[[], None]) -> None:
        """Do something that may fail; after `MOST_FAILURES` failures in a row nothing is tried any more."""
        if self._failures >= MOST_FAILURES:
            return
        try:
            work()
            self._failures = 0
        except Exception as error:
            self._failures += 1
            if self._failures in (1, MOST_FAILURES):
                later = f"; `greenopt dashboard {self._spec.name}` adds what is missing" if self._failures > 1 else ""
                reason = str(error).strip().partition("\n")[0]
                self._warn(f"for the dashboard not written: {type(error).__name__}: {reason}{later}")

    def _opened(self) -> Board:
        if self._board is None:
            self._board = Board(self._spec.name, self._storage, self._folder.artifacts)
        return self._board

    def _describe(self) -> None:
        snapshot = read_study(self._spec.name, self._storage)
        self._opened().write_study_note(study_note(snapshot.spec, sorted(_machines(snapshot) | self._machines)))

    def _draw(self) -> None:
        self._drawn_at_s, self._has_news = self._clock(), False
        write_figures(self._opened(), read_study(self._spec.name, self._storage), self._courses)

    def _annotate(self, trial: int, verdict: Verdict, figures: Mapping[str, Any]) -> None:
        kept = read_trial(self._spec.name, self._storage, trial)
        row = {**kept, **figures, "state": _STATES[verdict.outcome]}
        describe_trial(self._opened(), self._folder, self._spec, row, ended=False)
        if verdict.ran:
            self._attach_course(trial)

    def _attach_course(self, trial: int) -> None:
        if trial not in self._attached:
            row = read_trial(self._spec.name, self._storage, trial)
            course = self._courses.of(trial, row.get(ATTEMPT_ATTRIBUTE))
            words = words_of_setting(self._spec, row)
            attach_course(self._opened(), self._folder, trial, words, course, ended=False)
            self._attached.add(trial)


def catch_up(study: str, storage: Storage, folder: RunFolder, is_idle: Callable[[], bool]) -> None:
    """Add what a study lacks: one that was imported, or whose coordinator was killed or could not write.

    Args:
        study: its name.
        storage: holds the study.
        folder: its results; it need not exist.
        is_idle: whether still no coordinator runs the study; asked before each trial.
    """
    snapshot = read_study(study, storage)
    board = Board(study, storage, folder.artifacts)
    board.write_study_note(study_note(snapshot.spec, sorted(_machines(snapshot))))
    courses = Courses(folder)
    write_figures(board, snapshot, courses)
    for row in snapshot.rows:
        if row["state"] in _STATES.values():
            if not is_idle():
                return
            describe_trial(board, folder, snapshot.spec, row, ended=True)
            words = words_of_setting(snapshot.spec, row)
            course = courses.of(row["trial"], row.get(ATTEMPT_ATTRIBUTE))
            attach_course(board, folder, row["trial"], words, course, ended=True)
            courses.keep(set())


def _machines(snapshot: StudySnapshot) -> set[str]:
    return {_machine(row.get("gpu_name"), row["host"]) for row in snapshot.rows if row.get("host")}


def _machine(gpu_name: str | None, host: str | None) -> str:
    return f"{gpu_name or 'CPU'} on {host or 'a host that is not known'}"
