"""A storage whose making was cut short, by a full disk or a kill, is made to its end the next time."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from optuna.storages._rdb.models import BaseModel

from greenopt.errors import UsageError
from greenopt.search import open_storage
from tests.unit.search.test_search import begin

TABLES = BaseModel.metadata.sorted_tables


def half_made(file: Path, tables: int) -> str:
    url = f"sqlite:///{file}"
    engine = sa.create_engine(url)
    BaseModel.metadata.create_all(engine, tables=TABLES[:tables])
    engine.dispose()
    return url


@pytest.mark.parametrize("tables", range(len(TABLES) + 1))
def test_its_other_tables_are_made(tmp_path: Path, tables: int) -> None:
    storage = open_storage(half_made(tmp_path / "study.db", tables))
    search = begin(storage)
    search.ask()
    assert len(storage.get_all_trials(search._study._study_id)) == 1


@pytest.mark.parametrize("table", ["alembic_version", "version_info"])
def test_its_version_is_written(tmp_path: Path, table: str) -> None:
    file = tmp_path / "study.db"
    open_storage(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"DELETE FROM {table}")
        connection.commit()
    begin(open_storage(f"sqlite:///{file}"))


def test_one_that_has_lost_a_table_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    begin(open_storage(f"sqlite:///{file}"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE trial_heartbeats")
    with pytest.raises(UsageError, match="it lacks trial_heartbeats"):
        open_storage(f"sqlite:///{file}")
