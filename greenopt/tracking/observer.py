"""Has trials sent to a tracker as they end, while a study runs."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from greenopt.coordination.verdict import Verdict
from greenopt.events import Event, FailReason
from greenopt.execution import Slot
from greenopt.files import append_privately
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import RunState, StudyEnd
from greenopt.spec import StudySpec, TrialSpec
from greenopt.storage.url import STORAGE_VARIABLE
from greenopt.summary import TrialSummary
from greenopt.tracking.tracker import TrackerName

LOG_FILE = "tracking.log"
LAST_WAIT_S = 60.0
"""How long the study's end waits for the last trial to be sent."""


class TrackerObserver:
    """Observer of a coordinator that starts `greenopt track` after each trial, in a process of its own.

    One at a time: what ends meanwhile is sent by the next.
    """

    def __init__(
        self, folder: RunFolder, name: TrackerName, say: Callable[[str], None], storage: str | None = None
    ) -> None:
        """Store the arguments.

        Args:
            folder: the study's; the processes' output goes to its `tracking.log`.
            name: the tracker.
            say: told in a line what could not be sent.
            storage: URL of the study's storage; that of its folder unless given.
        """
        self._folder, self._say = folder, say
        arguments = ("track", folder.name, "--to", str(name), "--runs", str(folder.path.parent))
        self._command = [sys.executable, "-m", "greenopt", *arguments]
        # Not as an argument, which every user of this host could read: it may hold a password.
        self._environment = {**os.environ, **({STORAGE_VARIABLE: storage} if storage is not None else {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_behind = False

    def trial_ended(self, trial: int, summary: TrialSummary, verdict: Verdict, settled: int) -> None:
        """Have the trial sent, now or after those that are being sent."""
        self._is_behind = True
        self._send()

    def close(self) -> None:
        """Have what is left sent, and wait for it; say so if it was not."""
        code = 0
        for _ in range(2):  # those that are being sent, and what ended meanwhile
            if self._process is None:
                self._send()
            if self._process is None:
                break
            try:
                code = self._process.wait(LAST_WAIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
            self._process = None
        if code != 0 or self._is_behind:
            again = " ".join(self._command[3:])
            self._say(f"not all trials were sent, see {self._folder.path / LOG_FILE}; greenopt {again} sends the rest")

    def _send(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self._process = None
        if not self._is_behind:
            return
        # What cannot be started is said when the study ends.
        with suppress(OSError), append_privately(self._folder.path / LOG_FILE) as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )
            self._is_behind = False

    def study_began(self, spec: StudySpec, settled: int) -> None:
        """Have sent what ended before and was not sent."""
        self._is_behind = settled > 0
        self._send()

    def trial_began(self, spec: TrialSpec, slot: Slot) -> None:
        """Do nothing: a trial is sent when it has ended."""

    def event_arrived(self, trial: int, event: Event) -> None:
        """Do nothing: a trial is sent when it has ended."""

    def run_state_changed(self, run_state: RunState) -> None:
        """Do nothing: a tracker knows no run state."""

    def slot_set_aside(self, slot: Slot, failure: str, others: Sequence[Slot]) -> None:
        """Do nothing: a tracker knows no slots."""

    def study_ended(self, end: StudyEnd, failure: FailReason | None) -> None:
        """Do nothing: `close` sends what is left."""
