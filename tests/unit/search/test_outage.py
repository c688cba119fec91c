"""Which failures of a storage may pass, and what is said of them."""

import sqlite3

import optuna
import pytest
import sqlalchemy.exc

from greenopt.errors import GreenoptError
from greenopt.search.outage import failures_named, is_outage, storage_cause
from greenopt.search.rows import decoding


def wrapped(message: str, kind: type[sqlalchemy.exc.DBAPIError] = sqlalchemy.exc.OperationalError) -> Exception:
    """An error as Optuna hands it on, with a sentence of its own."""
    error = optuna.exceptions.StorageInternalError("due to invalid data in the commit")
    error.__cause__ = kind("INSERT", {}, sqlite3.OperationalError(message))
    return error


@pytest.mark.parametrize(
    ("error", "may_pass", "cause"),
    [
        (wrapped("database is locked"), True, "it is locked by another process"),
        (wrapped("database or disk is full"), True, "its disk is full"),
        (wrapped("database disk image is malformed"), False, "its file is damaged"),
        (wrapped("no such column: x", sqlalchemy.exc.ProgrammingError), False, "no such column: x"),
        (wrapped("something new"), True, "something new"),
        (KeyError("x"), False, None),
        (ValueError("database is locked"), False, None),
    ],
)
def test_an_outage_is_told_apart_from_a_refusal(error: Exception, may_pass: bool, cause: str | None) -> None:
    assert is_outage(error) == may_pass
    assert storage_cause(error) == cause


def test_a_failure_becomes_one_line_that_names_the_storage() -> None:
    with (
        pytest.raises(GreenoptError, match=r"^storage postgresql://me@host/db: it is read-only$"),
        failures_named("postgresql://me@host/db"),
    ):
        raise wrapped("cannot execute INSERT in a read-only transaction")


@pytest.mark.parametrize(
    ("message", "is_named"),
    [
        ("server closed the connection unexpectedly", True),
        ("database is locked", True),
        ("no such table: trials", False),
        ("database disk image is malformed", False),
    ],
)
def test_a_storage_that_is_away_while_a_study_is_read_is_not_called_damaged(message: str, is_named: bool) -> None:
    expected = "cannot be reached|locked|connection" if is_named else "study tried: its storage is damaged"
    with pytest.raises(GreenoptError, match=expected) as raised, failures_named("sqlite:///x.db"), decoding("tried"):
        raise wrapped(message)
    assert ("damaged" in str(raised.value)) is not is_named
