"""What a storage holds of a range is checked too, before a sampler meets it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from greenopt.errors import UsageError
from greenopt.search import Search, check_whole, open_storage
from tests.builders import study

SPEC = study(space={"batch_size": [4, 8], "lr": {"low": 0.1, "high": 0.2}})


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "study.db"
    search = Search(SPEC, open_storage(f"sqlite:///{path}"))
    for _ in range(3):
        search._study.tell(search.ask().trial, [0.5, 1.0])
    search.lease.release()
    return path


def test_a_sound_study_passes(database: Path) -> None:
    check_whole(SPEC, SPEC.name, open_storage(f"sqlite:///{database}"))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE trial_params SET param_value = 'x' WHERE param_name = 'lr' AND trial_id = 2", "trial 1 has parameter"),
        ("UPDATE trial_params SET param_value = 9 WHERE param_name = 'batch_size'", "IndexError"),
        ("UPDATE trial_values SET value = 'x', value_type = 'FINITE' WHERE trial_id = 2", "trial 1 is complete and"),
        ("UPDATE trials SET state = 'DONE' WHERE trial_id = 2", "LookupError"),
        (
            "UPDATE trial_params SET distribution_json = replace(distribution_json, '8]', '{\"of\": 8}]') "
            "WHERE param_name = 'batch_size' AND trial_id = 2",
            "trial 1 has parameter",
        ),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_damaged_is_said(database: Path, statement: str, message: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(statement)
        connection.commit()
    with pytest.raises(UsageError, match=message):
        check_whole(SPEC, SPEC.name, open_storage(f"sqlite:///{database}"))
