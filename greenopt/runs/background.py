"""Starts a study's coordinator as a separate process, which outlives its terminal.

Invariant: the process leads a session of its own, so neither Ctrl-C nor a lost connection reaches it; what it prints
goes to the run folder's `coordinator.log`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from greenopt.errors import GreenoptError
from greenopt.files import LogTail, append_privately
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import CoordinatorEnded, CoordinatorStarted, LogEntry, decode_entry
from greenopt.storage.url import STORAGE_VARIABLE, take_storage

POLL_S = 0.05
PREFIX = "greenopt: "


class LaunchError(GreenoptError):
    """The coordinator ended before it had begun the study; the text and the exit code are its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[assignment]  # a process may end with a code that is none of ours


class Launched:
    """A coordinator that was started from here."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        folder: RunFolder,
        study_log_began: int,
        log_began: int,
        made: Sequence[Path] = (),
    ) -> None:
        self._process, self._folder, self._made = process, folder, made
        self._course_began, self._log_began = study_log_began, log_began

    @property
    def pid(self) -> int:
        """Return the coordinator's process number."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return the process's exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def entries(self) -> list[LogEntry]:
        """Return the entries that this coordinator has written to the study log so far."""
        entries = [decode_entry(line) for line in LogTail(self._folder.study_log, self._course_began).new_lines()]
        return [entry for entry in entries if entry is not None]

    def ending(self) -> CoordinatorEnded | None:
        """Return why the coordinator ended; None while it runs, or if it was killed."""
        return next((entry for entry in reversed(self.entries()) if isinstance(entry, CoordinatorEnded)), None)

    def last_line(self) -> str:
        """Return the last line that the coordinator printed, or its error message."""
        with self._folder.coordinator_log.open("rb") as file:
            file.seek(self._log_began)
            lines = [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        lines_told = [line for line in lines if line.startswith(PREFIX)] or lines
        return lines_told[-1].removeprefix(PREFIX) if lines_told else "it printed nothing"

    def _take_back(self) -> None:
        """Remove the folders that were made for a study that was refused, where nothing but its log is in them."""
        if self._folder.path in self._made and [*self._folder.path.iterdir()] == [self._folder.coordinator_log]:
            self._folder.coordinator_log.unlink()
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()

    def _has_begun(self) -> bool:
        """Return whether this coordinator has begun; another one of the study writes to the same file."""
        return any(isinstance(entry, CoordinatorStarted) and entry.pid == self.pid for entry in self.entries())

    def wait_until_begun(self, wait: Callable[[float], None] = time.sleep) -> None:
        """Wait until the study is under way.

        Raises:
            LaunchError: it ended before that.
        """
        try:
            while True:
                code = self.exit_code
                if self._has_begun():
                    return
                if code is not None:
                    line = self.last_line()
                    self._take_back()
                    raise LaunchError(line, code if code > 0 else 1)
                wait(POLL_S)
        except KeyboardInterrupt:
            self._process.terminate()
            self._process.wait()
            raise


def launch(arguments: Sequence[str], folder: RunFolder) -> Launched:
    """Start `greenopt` with these arguments as the coordinator of a study.

    Args:
        arguments: of the command line, such as `run studies/paper.toml --plain`. A storage's URL in them, which may
            hold a password, reaches the process by its environment: every user sees the arguments of all processes.
        folder: the study's; made where it is not there.

    Raises:
        LaunchError: the folder or its log cannot be written.
    """
    made = [path for path in (folder.path, *folder.path.parents) if not path.exists()]
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.check_links()
        log = append_privately(folder.coordinator_log)
    except OSError as error:
        raise LaunchError(f"{folder.path}: cannot be created: {error.strerror}", 2) from None
    public, storage = take_storage(arguments)
    with log:
        process = subprocess.Popen(
            [sys.executable, *_isolation(), "-m", "greenopt", *public],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **({} if storage is None else {STORAGE_VARIABLE: storage})},
        )
        return Launched(process, folder, _size(folder.study_log), log.tell(), made)


def _isolation() -> list[str]:
    """Keep the working folder off the module path unless this process has it too."""
    return [] if sys.path[0] in ("", os.getcwd()) else ["-P"]


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
