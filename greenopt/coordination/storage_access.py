"""Access to a study's storage that outlives an outage of it: operations are repeated with growing pauses.

Invariants: an operation runs in a thread of its own, so that a storage that is locked or hangs never keeps the
coordinator from its trials; operations run one after another, in their order; each is safe to repeat. An outage is
announced once, and its end too. The access gives up once the patience is over and nothing runs any more.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception, wait_exponential

from greenopt.errors import GreenoptError
from greenopt.logs import get_logger
from greenopt.search import Search, is_outage, storage_cause

_log = get_logger(__name__)

DEFAULT_PATIENCE_S = 600.0
FIRST_PAUSE_S = 0.25
MAX_PAUSE_S = 15.0
SILENT_S = 5.0
"""After so many seconds without an answer a storage counts as away."""

_PROMPT_S = 0.2
_POLL_S = 0.05

T = TypeVar("T")


class StorageLostError(GreenoptError):
    """The storage was away for longer than the study waits for it."""


class _GoneError(Exception):
    """The storage's file was moved, deleted or replaced; the text says which."""


@dataclass(frozen=True)
class StoragePlace:
    """Which storage it is, and how long an outage may last.

    Attributes:
        name: its URL without the password.
        patience_s: how long to wait for it, in s.
        change: says what became of its file; None where it is as it was.
        clock: seconds of a monotonic clock.
        sleep: waits that many seconds.
    """

    name: str = "storage"
    patience_s: float = DEFAULT_PATIENCE_S
    change: Callable[[], str | None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class StorageAccess:
    """Runs operations on one storage. Called by the coordinator's thread alone."""

    def __init__(
        self,
        place: StoragePlace,
        *,
        meanwhile: Callable[[float], None],
        may_give_up: Callable[[], bool],
        is_told_to_give_up: Callable[[], bool],
        announce: Callable[[str | None], None],
    ) -> None:
        """Store the arguments; nothing runs yet.

        Args:
            place: the storage.
            meanwhile: called again and again while an operation waits, with the most seconds it may take.
            may_give_up: whether nothing is lost by giving up: no trial runs.
            is_told_to_give_up: whether the user wants the study to end at once.
            announce: told the cause of an outage in words, and None once it is over.
        """
        self._place, self._meanwhile, self._announce = place, meanwhile, announce
        self._may_give_up, self._is_told_to_give_up = may_give_up, is_told_to_give_up
        self._worker = _Worker()
        self._cause: str | None = None
        self._began_s = 0.0
        self.is_busy = False
        self.is_lost = False

    def __call__(self, operation: Callable[[], T]) -> T:
        """Run an operation, again and again while its storage is away, and return its result.

        Raises:
            StorageLostError: the storage was away for too long.
            GreenoptError: it refuses the operation.
        """
        self.is_busy, self._began_s = True, self._place.clock()
        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_exponential(multiplier=FIRST_PAUSE_S, max=MAX_PAUSE_S),
            stop=lambda _: self._is_over(),
            before_sleep=self._tell_of_failure,
            sleep=self._pause,
        )
        try:
            result = cast(T, retrying(self._run, operation))
        except RetryError as error:
            self._tell_of_failure(error.last_attempt)
            raise self._give_up() from error.last_attempt.exception()
        except Exception as error:
            if (cause := storage_cause(error)) is None:
                raise
            raise GreenoptError(f"storage {self._place.name}: {cause}") from error
        finally:
            self.is_busy = self.is_lost
        self._tell(None)
        return result

    def close(self) -> None:
        """Let the thread end, once it has no more work."""
        self._worker.close()

    def _run(self, operation: Callable[[], T]) -> T:
        """Run an operation once, and serve the trials while it takes long."""
        if (change := self._place.change()) is not None:
            raise _GoneError(change)
        future = self._worker.submit(operation)
        began_s = self._place.clock()
        wait([future], _PROMPT_S)
        while not future.done():
            self._meanwhile(_POLL_S)
            wait([future], _POLL_S)
            if self._place.clock() - began_s > SILENT_S and not future.done():
                self._tell("it does not answer")
                if self._is_over():
                    raise self._give_up()
        return future.result()

    def _is_over(self) -> bool:
        """Return whether to wait no longer; while trials run there is no reason to give up."""
        is_too_long = self._place.clock() - self._began_s >= self._place.patience_s
        return self._may_give_up() and (is_too_long or self._is_told_to_give_up())

    def _pause(self, seconds: float) -> None:
        until_s = self._place.clock() + seconds
        while (left_s := until_s - self._place.clock()) > 0 and not self._is_over():
            self._meanwhile(min(_POLL_S, left_s))
            self._place.sleep(min(_POLL_S, left_s))

    def _tell_of_failure(self, state: "RetryCallState | Future[Any]") -> None:
        outcome = state.outcome if isinstance(state, RetryCallState) else state
        error = outcome.exception() if outcome is not None else None
        if error is not None:
            _log.debug("storage %s: %r", self._place.name, error)
            self._tell(str(error) if isinstance(error, _GoneError) else storage_cause(error))

    def _tell(self, cause: str | None) -> None:
        """Announce the beginning and the end of an outage, and another cause meanwhile."""
        if cause != self._cause:
            self._cause = cause
            self._announce(cause)

    def _give_up(self) -> StorageLostError:
        self.is_lost = True
        return StorageLostError(f"storage {self._place.name}: {self._cause}")


def through(access: StorageAccess, search: Search) -> Search:
    """Return a search all of whose methods run through an access."""
    return cast(Search, _Through(access, search))


class _Through:
    def __init__(self, access: StorageAccess, search: Search) -> None:
        self._access, self._search = access, search

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._search, name)
        if not callable(found):
            return found
        return lambda *arguments, **named: self._access(lambda: found(*arguments, **named))


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, _GoneError) or is_outage(error)


class _Worker:
    """One daemon thread that runs operations in their order; one that hangs does not hold the process's end."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, operation: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        self._tasks.put((operation, future))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="storage", daemon=True)
            self._thread.start()
        return future

    def close(self) -> None:
        self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            operation, future = task
            try:
                future.set_result(operation())
            except BaseException as error:
                future.set_exception(error)
