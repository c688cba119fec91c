"""Rows read straight from the tables against Optuna's own."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

from greenopt.errors import GreenoptError, UsageError
from greenopt.events import Outcome
from greenopt.search import Search, open_storage, read_study
from greenopt.storage.live_rows import LiveRows
from tests.builders import study

SPEC = study(space={"batch_size": {"low": 4, "high": 64}, "lr": {"low": 1e-4, "high": 0.1, "log": True}})
PARAMETERS = tuple(SPEC.space.distributions)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


@pytest.fixture
def search(url: str) -> Search:
    return Search(SPEC, open_storage(url))


def as_optuna_has_it(url: str) -> list[dict[str, Any]]:
    return list(read_study("tried", open_storage(url)).rows)


def test_rows_of_every_state_equal_those_of_optuna(search: Search, url: str) -> None:
    for outcome in (Outcome.COMPLETED, Outcome.DIVERGED, Outcome.FAILED):
        values = [0.5, 2.0] if outcome is Outcome.COMPLETED else None
        figures = {"accuracy": 0.5, "energy_wh": 2.0, "flags": "gap", "fail_reason": None}
        search.tell(search.ask().trial, outcome, figures, values)
    search.ask()
    search.enqueue_baseline()
    search._study.enqueue_trial({"batch_size": 8, "lr": 0.01})
    rows = LiveRows("tried", url).changed(PARAMETERS)
    assert [row["state"] for row in rows] == ["complete", "pruned", "fail", "running", "waiting"]
    assert isinstance(rows[0]["batch_size"], int)
    assert rows == as_optuna_has_it(url)


def test_choices_come_back_as_they_were(tmp_path: Path, url: str) -> None:
    spec = study(space={"batch_size": [4, 8], "optimizer": ["SGD", "Adam"], "lr": [0.1]})
    search = Search(spec, open_storage(url))
    search.tell(search.ask().trial, Outcome.COMPLETED, {"accuracy": 0.5}, [0.5, 1.0])
    assert LiveRows("tried", url).changed(tuple(spec.space.distributions)) == as_optuna_has_it(url)


def test_each_call_brings_only_what_is_new_or_still_open(search: Search, url: str) -> None:
    rows = LiveRows("tried", url)
    assert rows.changed(PARAMETERS) == []
    first, second = search.ask().trial, search.ask().trial
    assert [row["state"] for row in rows.changed(PARAMETERS)] == ["running", "running"]
    search.tell(second, Outcome.COMPLETED, {"accuracy": 0.5}, [0.5, 2.0])
    changed = rows.changed(PARAMETERS)
    assert [(row["trial"], row["state"]) for row in changed] == [(first, "running"), (second, "complete")]
    assert [row["trial"] for row in rows.changed(PARAMETERS)] == [first]
    search.tell(first, Outcome.COMPLETED, {"accuracy": 0.6}, [0.6, 2.0])
    assert [row["trial"] for row in rows.changed(PARAMETERS)] == [first]
    assert rows.changed(PARAMETERS) == []


def test_who_runs_it_is_told_while_they_do(search: Search, url: str) -> None:
    rows = LiveRows("tried", url)
    holder = rows.holder()
    assert holder is not None
    search.lease.release()
    assert rows.holder() is None


def test_what_is_not_there_is_one_line_and_makes_no_file(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="no such file"):
        LiveRows("tried", url)
    assert list(tmp_path.iterdir()) == []
    open_storage(url)
    with pytest.raises(UsageError, match="study tried: not in storage"):
        LiveRows("tried", url)
    optuna.create_study(study_name="tried", storage=url)
    with pytest.raises(UsageError, match="was not made by greenopt"):
        LiveRows("tried", url)
    (tmp_path / "other.db").write_bytes(b"")
    with pytest.raises(UsageError, match="not in storage"):
        LiveRows("tried", f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(UsageError, match="not a database URL"):
        LiveRows("tried", "nonsense")


@pytest.mark.parametrize(("name", "written"), [("a b#1ü", "a b#1ü"), ("a b", "a%20b"), ("c", "c")])
def test_a_file_of_any_name_is_the_one_that_optuna_opens(tmp_path: Path, name: str, written: str) -> None:
    (tmp_path / name).mkdir()
    url = f"sqlite:///{tmp_path}/{written}/study.db{'?timeout=5' if name == 'c' else ''}"
    Search(SPEC, open_storage(url)).ask()
    assert LiveRows("tried", url).changed(PARAMETERS) == as_optuna_has_it(url)


def test_a_storage_that_goes_is_one_line_each_time_and_is_not_made_again(search: Search, url: str) -> None:
    rows = LiveRows("tried", url)
    search.ask()
    file = Path(url.removeprefix("sqlite:///"))
    kept = file.rename(file.with_name("kept.db"))
    for ask in (rows.holder, lambda: rows.changed(PARAMETERS)):
        with pytest.raises(GreenoptError, match=r"^storage sqlite:///\S*study.db: unable to open database file$"):
            ask()
    assert not file.exists()
    kept.rename(file)
    assert [row["state"] for row in rows.changed(PARAMETERS)] == ["running"]


def test_what_is_no_database_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "study.db"
    file.write_text("no database, but more than the hundred bytes of a head" * 20)
    with pytest.raises(UsageError, match=r"cannot be read: file is not a database$"):
        LiveRows("tried", f"sqlite:///{file}")


@pytest.mark.parametrize("text", ["{", '1, "energy_wh": 2.0'])
def test_an_attribute_that_is_not_json_is_said(search: Search, url: str, tmp_path: Path, text: str) -> None:
    search.begin(search.ask().trial, "attempt", {"accuracy": 0.5})
    search.lease.release()
    with closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
        connection.execute("UPDATE trial_user_attributes SET value_json = ? WHERE key = 'accuracy'", (text,))
    with closing(LiveRows("tried", url)) as rows, pytest.raises(UsageError, match="is damaged"):
        rows.changed(())
