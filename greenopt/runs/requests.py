"""Requests to the coordinator of a study that runs on this host, as signals to its process: both ends."""

import os
import signal
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from greenopt.errors import UsageError
from greenopt.runs.folder import RunFolder


class Request(StrEnum):
    """A request to a coordinator."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    STOP_NOW = "stop_now"


SIGNALS = {
    Request.PAUSE: (signal.SIGUSR1,),
    Request.RESUME: (signal.SIGUSR2,),
    Request.STOP: (signal.SIGINT,),
    Request.STOP_NOW: (signal.SIGTERM, signal.SIGHUP),
}
"""The signals that carry each request, the one that `send` uses first. SIGHUP comes from a terminal that closes."""


class Listener(Protocol):
    """Takes requests; a second `stop` is a `stop_now`. Called from signal handlers."""

    def pause(self) -> None:
        """Start no new trials."""
        ...

    def resume(self) -> None:
        """Start trials again."""
        ...

    def stop(self) -> None:
        """Stop after the running trials."""
        ...

    def stop_now(self) -> None:
        """Stop, and end the running trials."""
        ...


def ignore_early() -> None:
    """Ignore requests that come before `listen`, and that would end this process."""
    for number in (*SIGNALS[Request.PAUSE], *SIGNALS[Request.RESUME]):
        signal.signal(number, signal.SIG_IGN)


def listen(listener: Listener, announce: Callable[[Request], None] = lambda _: None) -> None:
    """Pass requests to a listener from now on.

    Args:
        listener: usually a coordinator.
        announce: told of each request before the listener is.
    """
    heeds = {
        Request.PAUSE: listener.pause,
        Request.RESUME: listener.resume,
        Request.STOP: listener.stop,
        Request.STOP_NOW: listener.stop_now,
    }

    def heed(request: Request) -> None:
        announce(request)
        heeds[request]()

    for request, numbers in SIGNALS.items():
        for number in numbers:
            signal.signal(number, lambda *_, request=request: heed(request))


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
        os.kill(pid, SIGNALS[request][0])
    except ProcessLookupError:
        raise UsageError(f"study {folder.name} has just ended") from None
    except PermissionError:
        raise UsageError(f"study {folder.name} (pid {pid}) belongs to another user; only they can do that") from None
    return pid
