"""The events file of a running trial, as its coordinator writes it.

Invariants: an event is in the file whole or not at all; a file that cannot be written for a while gets all its events
later, in their order; one that is gone is never made anew, since its beginning would be missing.
"""

import os
from pathlib import Path

from greenopt.events import Event, encode
from greenopt.summary import TrialFold


class EventsFile:
    """Appends a trial's events. `fold` has them all, whatever becomes of the file."""

    def __init__(self, path: Path) -> None:
        """Open nothing yet.

        Args:
            path: the file, which the trial's attempt has made.
        """
        self._path = path
        self._waiting: list[bytes] = []
        self.fold = TrialFold()
        self.problem: str | None = None
        self.is_gone = False

    def append(self, event: Event) -> None:
        """Write an event, after those that wait; `problem` says in words why it cannot be written."""
        self.fold.take(event)
        self._waiting.append(encode(event))
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting or self.is_gone:
            return
        try:
            self._write(b"".join(self._waiting))
        except FileNotFoundError:
            self.is_gone, self.problem = True, "was deleted"
        except OSError as error:
            self.problem = f"cannot be written: {error.strerror or error}"
        else:
            self._waiting.clear()
            self.problem = None

    def _write(self, content: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            whole = os.fstat(descriptor).st_size
            try:
                while content:
                    content = content[os.write(descriptor, content) :]
            except OSError:
                os.ftruncate(descriptor, whole)
                raise
        finally:
            os.close(descriptor)
