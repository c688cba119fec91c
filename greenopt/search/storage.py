"""Opening a study's storage: SQLite in the run folder, or any URL that Optuna takes."""

from pathlib import Path
from typing import TypeAlias

import optuna
import optuna.artifacts
import sqlalchemy.exc
from sqlalchemy.engine import make_url

from greenopt.errors import UsageError
from greenopt.storage_url import cause_of, driver_missing, without_password

SQLITE_BUSY_TIMEOUT_S = 60

Storage: TypeAlias = optuna.storages.BaseStorage
"""An open storage; for annotations of those who pass it on."""


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Open a storage, creating its tables where there are none.

    Args:
        url: `sqlite:///FILE`, `postgresql+psycopg://USER@HOST/DATABASE`, or another URL that Optuna takes.

    Raises:
        UsageError: the URL cannot be read, its driver is not installed, or the database does not answer.
    """
    engine = (
        {"connect_args": {"timeout": SQLITE_BUSY_TIMEOUT_S}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    )
    try:
        make_url(url)
        return optuna.storages.get_storage(optuna.storages.RDBStorage(url, engine_kwargs=engine))
    except ImportError as error:
        raise driver_missing(url, error) from None
    except sqlalchemy.exc.ArgumentError:
        raise UsageError(f"storage {without_password(url)}: not a database URL; one is sqlite:///study.db") from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise UsageError(f"storage {without_password(url)}: cannot be opened: {cause_of(error)}") from None


def artifact_store(folder: Path) -> optuna.artifacts.FileSystemArtifactStore:
    """The artifacts in a folder, which need not exist; reading makes nothing."""
    return optuna.artifacts.FileSystemArtifactStore(folder)
