"""Plain queries on a study's database, for viewers: SQLite by Python's own module, servers by SQLAlchemy.

SQLAlchemy takes a third of a second to import, for which whoever opens a view on a file would wait. Queries are SQL
that all of these databases understand, with `:name` for what is filled in. Nothing is ever written, no file is made.
"""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

from greenopt.errors import GreenoptError, UsageError
from greenopt.storage.url import complete, database_message, driver_missing, without_password

BUSY_TIMEOUT_S = 10
_SQLITE = re.compile(r"sqlite(?:\+\w+)?://(?:/(?P<path>[^?]*))?(?:\?.*)?")

Ask: TypeAlias = Callable[..., list[tuple[Any, ...]]]
"""From SQL and what is filled in to rows, as the database's driver has them."""

Connect: TypeAlias = Callable[[], AbstractContextManager[Ask]]
"""One connection's queries. Raises `DatabaseError` where the database does not answer."""


class DatabaseError(GreenoptError):
    """The database did not respond; the text is its own message, on one line."""


@dataclass(frozen=True)
class Database:
    """An existing database.

    Attributes:
        connect: opens a connection.
        close: gives all connections back.
        shown_url: its URL without its secrets.
        is_sqlite: whether it is an SQLite file.
    """

    connect: Connect
    close: Callable[[], None]
    shown_url: str
    is_sqlite: bool


def find_database(url: str) -> Database:
    """Return a database by its URL, without connecting to it.

    Raises:
        UsageError: there is no such file, the URL cannot be read, or its driver is not installed.
    """
    file = _SQLITE.fullmatch(url)
    if file is None:
        return _server(url)
    path = Path(unquote(file["path"] or ""))
    if not os.path.isfile(path):
        raise UsageError(f"storage {without_password(url)}: no such file")
    return Database(lambda: _file_connection(path), lambda: None, without_password(url), is_sqlite=True)


@contextmanager
def _file_connection(path: Path) -> Iterator[Ask]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", BUSY_TIMEOUT_S, uri=True)) as connection:
            yield lambda sql, **values: connection.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        raise DatabaseError(str(error)) from None


def _server(url: str) -> Database:
    import sqlalchemy as sa

    try:
        engine = sa.create_engine(complete(url), pool_pre_ping=True)
    except (sa.exc.ArgumentError, ValueError):
        # A port that is no number is a ValueError, whose text may be a part of a password.
        raise UsageError(f"storage {without_password(url)}: not a database URL such as sqlite:///study.db") from None
    except ImportError as error:
        raise driver_missing(url, error) from None

    @contextmanager
    def connection() -> Iterator[Ask]:
        try:
            with engine.connect() as opened:

                def ask(sql: str, **values: Any) -> list[tuple[Any, ...]]:
                    with opened.execute(sa.text(sql), values) as result:
                        assert result.cursor is not None
                        # SQLAlchemy's row objects would cost a third of the time for hundreds of thousands of rows.
                        return list(result.cursor.fetchall())

                yield ask
        except sa.exc.SQLAlchemyError as error:
            raise DatabaseError(database_message(error, url)) from None

    return Database(connection, engine.dispose, without_password(url), is_sqlite=False)
