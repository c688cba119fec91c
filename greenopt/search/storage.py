"""Opening a study's storage: SQLite in the run folder, or any URL that Optuna takes."""

import json
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import optuna
import optuna.artifacts
import optuna.artifacts.exceptions
import sqlalchemy
import sqlalchemy.exc
from optuna.storages._rdb.models import BaseModel
from sqlalchemy.engine import make_url

from greenopt.errors import UsageError
from greenopt.files import leads_out
from greenopt.identity.reference import sqlite_file
from greenopt.search.rdb import FastReadingStorage
from greenopt.search.trial_cache import TrialCache
from greenopt.storage.rows import SPEC_ATTRIBUTE
from greenopt.storage.url import complete, database_message, driver_missing, without_password

SQLITE_BUSY_TIMEOUT_S = 60
COORDINATOR_BUSY_TIMEOUT_S = 2
"""A coordinator asks again by itself, and serves its trials meanwhile."""

_POSTGRES_TIMEOUTS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Of libpq, in s and the last one in ms: a server that vanished from the network is noticed within half a minute."""

_BY_NAME = sqlalchemy.text("SELECT study_id FROM studies WHERE study_name = :name")
_RENAME = sqlalchemy.text("UPDATE studies SET study_name = :name WHERE study_id = :id")
_OF_KEY = "WHERE study_id = :id AND study_user_attributes.key = :key"
_SPEC = sqlalchemy.text(f"SELECT value_json FROM study_user_attributes {_OF_KEY}")
_SET_SPEC = sqlalchemy.text(f"UPDATE study_user_attributes SET value_json = :value {_OF_KEY}")

Storage: TypeAlias = optuna.storages.BaseStorage
"""An open storage; for annotations of those who pass it on."""


def open_storage(url: str, *, busy_timeout_s: float = SQLITE_BUSY_TIMEOUT_S) -> optuna.storages.BaseStorage:
    """Open a storage, creating its tables where there are none.

    Args:
        url: `sqlite:///FILE`, `postgresql+psycopg://USER@HOST/DATABASE`, or another URL that Optuna takes.
        busy_timeout_s: how long to wait for an SQLite file that is locked, in s.

    Raises:
        UsageError: the URL cannot be read, its driver is not installed, or the database does not answer.
    """
    try:
        make_url(completed := complete(url))
        _check_tables(url)
        return TrialCache(FastReadingStorage(completed, engine_kwargs=_engine_arguments(completed, busy_timeout_s)))
    except ImportError as error:
        raise driver_missing(url, error) from None
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # A port that is no number is a ValueError, whose text may be a part of a password.
        raise UsageError(f"storage {without_password(url)}: not a database URL such as sqlite:///study.db") from None
    except AssertionError:
        # Optuna asserts that the tables tell their version.
        raise UsageError(f"storage {without_password(url)}: cannot be opened: its tables are incomplete") from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise UsageError(f"storage {without_password(url)}: cannot be opened: {database_message(error, url)}") from None
    except (RuntimeError, LookupError, TypeError, AttributeError):
        # Optuna and Alembic, of a version that they do not know or cannot read.
        raise UsageError(
            f"storage {without_password(url)}: cannot be opened: its tables are damaged, or of another version of "
            f"Optuna than {optuna.__version__}; `optuna storage upgrade` converts older ones"
        ) from None


def _check_tables(url: str) -> None:
    """Check that an SQLite file which holds studies has all tables: Optuna would make lost ones anew, and empty.

    Raises:
        UsageError: one was lost.
    """
    file = sqlite_file(url)
    if file is None or not file.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            there = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            # Where no study was begun, a disk was full or the process killed while the tables were made.
            has_studies = (
                "studies" in there and connection.execute("SELECT 1 FROM studies LIMIT 1").fetchone() is not None
            )
    except sqlite3.Error:
        return  # it is no database or is locked, which is told when it is opened
    lost = sorted(set(BaseModel.metadata.tables) - there)
    if has_studies and lost:
        raise UsageError(
            f"storage {without_password(url)}: cannot be opened: its tables are damaged, or of another version of "
            f"Optuna than {optuna.__version__}: it lacks {lost[0]}"
        )


def _engine_arguments(url: str, busy_timeout_s: float) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": busy_timeout_s}}
    if not url.startswith("postgresql"):
        return {"pool_pre_ping": True}
    own = make_url(url).query
    return {
        "pool_pre_ping": True,
        "connect_args": {name: value for name, value in _POSTGRES_TIMEOUTS.items() if name not in own},
    }


def check_url(url: str) -> None:
    """Check that a storage can be opened; makes no file.

    Raises:
        UsageError: it cannot.
    """
    file = sqlite_file(url)
    if file is None:
        open_storage(url)
    elif (reason := _why_no_database(file)) is not None:
        raise UsageError(f"storage {without_password(url)}: cannot be opened: {reason}")


def _why_no_database(file: Path) -> str | None:
    """Return why a file neither is a database nor can become one; None where it may."""
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}"
    try:
        is_file = stat.S_ISREG(file.stat().st_mode)
    except FileNotFoundError:
        return None if os.access(file.parent, os.W_OK) else f"folder {file.parent} cannot be written to"
    except OSError as error:
        return str(error.strerror)
    return None if is_file else "it is not a file"


def rename_stored(url: str, name: str, new: str) -> None:
    """Give a study in a storage another name; whoever has the storage open must open it again.

    Raises:
        UsageError: the storage has a study of the new name, or does not answer.
    """
    with _connected(url) as connection:
        if connection.execute(_BY_NAME, {"name": new}).first() is not None:
            raise UsageError(f"study {new}: is in storage {without_password(url)} already; choose another name")
        ((study_id,),) = connection.execute(_BY_NAME, {"name": name})
        connection.execute(_RENAME, {"id": study_id, "name": new})
        _change_spec(connection, study_id, ("study", "name"), new)


def change_spec(url: str, name: str, key: Sequence[str], value: str) -> None:
    """Change one value of what a storage keeps of a study's file.

    Args:
        url: the storage's.
        name: the study's.
        key: the value's place, table by table.
        value: the new one.

    Raises:
        UsageError: the storage does not answer.
    """
    with _connected(url) as connection:
        ((study_id,),) = connection.execute(_BY_NAME, {"name": name})
        _change_spec(connection, study_id, key, value)


@contextmanager
def _connected(url: str) -> Iterator[sqlalchemy.Connection]:
    """One transaction."""
    engine = sqlalchemy.create_engine(complete(url))
    try:
        with engine.begin() as connection:
            yield connection
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise UsageError(f"storage {without_password(url)}: {database_message(error, url)}") from None
    finally:
        engine.dispose()


def _change_spec(connection: sqlalchemy.Connection, study_id: int, key: Sequence[str], value: str) -> None:
    kept = connection.execute(_SPEC, {"id": study_id, "key": SPEC_ATTRIBUTE}).scalar()
    if kept is None:
        return
    spec = table = json.loads(kept)
    for part in key[:-1]:
        table = table[part]
    table[key[-1]] = value
    connection.execute(_SET_SPEC, {"id": study_id, "key": SPEC_ATTRIBUTE, "value": json.dumps(spec)})


def artifact_store(folder: Path) -> optuna.artifacts.FileSystemArtifactStore:
    """Return the artifact store of a folder, which need not exist; reading creates nothing."""
    return _ArtifactsInside(folder)


class _ArtifactsInside(optuna.artifacts.FileSystemArtifactStore):
    """Artifacts of a folder, of which none is a link out of it: in a copied folder it could lead to any file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Open an artifact's file."""
        path = self._folder / artifact_id
        if leads_out(path, self._folder.parent) or (path.exists() and not path.is_file()):
            raise optuna.artifacts.exceptions.ArtifactNotFound(f"{artifact_id}: leads out of {self._folder}")
        return super().open_reader(artifact_id)
