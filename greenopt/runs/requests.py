"""Requests to the coordinator of a study that runs on this host, as signals to its process."""

import os
import signal
from enum import StrEnum

from greenopt.errors import UsageError
from greenopt.runs.folder import RunFolder


class Request(StrEnum):
    """A request to a coordinator."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    STOP_NOW = "stop_now"

    @property
    def signal(self) -> signal.Signals:
        """Return the signal that carries the request; a second `STOP` acts as `STOP_NOW`."""
        return {
            Request.PAUSE: signal.SIGUSR1,
            Request.RESUME: signal.SIGUSR2,
            Request.STOP: signal.SIGINT,
            Request.STOP_NOW: signal.SIGTERM,
        }[self]


REQUEST_COMMANDS = (Request.PAUSE, Request.RESUME, Request.STOP)
"""The requests that are also commands of the command line."""


def send(folder: RunFolder, request: Request) -> int:
    """Send a request and return the process number of the coordinator.

    Raises:
        UsageError: there is no such study, or it is not running on this host.
    """
    folder.storage()
    pid = folder.holder_pid()
    if pid is None:
        raise UsageError(f"study {folder.name} is not running on this host")
    try:
        os.kill(pid, request.signal)
    except ProcessLookupError:
        raise UsageError(f"study {folder.name} has just ended") from None
    except PermissionError:
        raise UsageError(f"study {folder.name} (pid {pid}) belongs to another user; only they can do that") from None
    return pid
