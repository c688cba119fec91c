"""Failures of a study's storage: which may pass, and their causes in words.

Invariant: a storage that is away, locked, full or read-only is told apart from one that refuses what it is asked:
waiting mends the first kind and never the second.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import optuna.exceptions
import sqlalchemy.exc

from greenopt.errors import GreenoptError
from greenopt.storage.url import database_message

_CAUSES = (
    (r"is locked", "it is locked by another process"),
    (r"readonly database|read-only transaction|read-only mode", "it is read-only"),
    (r"or disk is full|No space left|could not extend file", "its disk is full"),
    (r"disk I/O error|could not (read|write|fsync)", "its disk reports errors"),
    (r"unable to open database file", "its file cannot be opened"),
    (r"malformed|is not a database", "its file is damaged"),
    (r"starting up|in recovery mode|not yet accepting", "the server is starting"),
    (r"shutting down", "the server is shutting down"),
    (r"too many (clients|connections)|slots are reserved", "the server takes no more connections"),
    (r"timeout expired|timed? ?out", "the server does not answer"),
    (r"authentication failed|no password supplied", "the server refuses user or password"),
    (r"refused|No route|unreachable|could not translate|Name or service|resolve", "the server cannot be reached"),
    (
        r"terminating connection|closed the connection|connection is closed|is lost|consuming input|reset by peer"
        r"|Broken pipe|gone away|EOF detected",
        "the server closed the connection",
    ),
)
_REFUSALS = (
    sqlalchemy.exc.ArgumentError,
    sqlalchemy.exc.ProgrammingError,
    sqlalchemy.exc.DataError,
    sqlalchemy.exc.IntegrityError,
    sqlalchemy.exc.NoSuchModuleError,
)


def storage_cause(error: BaseException) -> str | None:
    """Return why a storage failed, in words; None where the error is not a storage's.

    Args:
        error: as Optuna or SQLAlchemy raised it.
    """
    found = _database_error(error)
    if found is None:
        return None
    message = database_message(found)
    return next((cause for pattern, cause in _CAUSES if re.search(pattern, message, re.IGNORECASE)), message)


@contextmanager
def failures_named(name: str) -> Iterator[None]:
    """Name the storage in the one line that its failure becomes.

    Args:
        name: its URL without the password.

    Raises:
        GreenoptError: the storage failed within the block.
    """
    try:
        yield
    except Exception as error:
        if (cause := storage_cause(error)) is None:
            raise
        raise GreenoptError(f"storage {name}: {cause}") from error


def is_outage(error: BaseException) -> bool:
    """Return whether the storage may answer later to what failed with this error."""
    found = _database_error(error)
    return found is not None and not isinstance(found, _REFUSALS) and "malformed" not in str(found)


def is_away(error: BaseException) -> bool:
    """Return whether the storage is away for a known cause, and not damaged."""
    found = _database_error(error)
    if found is None or not is_outage(error):
        return False
    message = database_message(found)
    return any(re.search(pattern, message, re.IGNORECASE) for pattern, _ in _CAUSES)


def _database_error(error: BaseException) -> Exception | None:
    """Return the database's own error behind what Optuna raised; None where there is none."""
    for each in _chain(error):
        if isinstance(each, sqlalchemy.exc.SQLAlchemyError):
            return each
    return error if isinstance(error, optuna.exceptions.StorageInternalError) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from, the outermost first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__
