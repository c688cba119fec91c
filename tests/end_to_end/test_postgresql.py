"""A study whose storage is a PostgreSQL server, started for the test on this machine alone."""

import os
import socket
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage

from greenopt.coordination.coordinator import Coordinator
from greenopt.errors import UsageError
from greenopt.identity.place import locate
from greenopt.identity.start import storage_of
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import StudyEnd
from greenopt.search import SAMPLERS, Search, open_storage, read_study
from greenopt.search.rdb import FastReadingStorage
from greenopt.storage.url import without_password
from tests.builders import study
from tests.contract.sampler_contract import IN_THE_MIDDLE, cases, keep_few_metrics, run_killed
from tests.fakes import FakeEngine, dies
from tests.unit.search.test_rdb import fill

pytestmark = pytest.mark.end_to_end


def test_a_study_runs_resumes_and_is_read_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    folder, storage = RunFolder(tmp_path / "tried"), open_storage(postgres_url)
    for trials in (2, 4):
        search = Search(study(study={"trials": trials}), storage)
        end = Coordinator(study(study={"trials": trials}), search, FakeEngine({1: dies()}), folder).run()
        search.lease.release()
        assert end is StudyEnd.DONE
    rows = read_study("tried", storage).rows
    assert [row["state"] for row in rows].count("complete") == 4
    assert rows[2]["retry_of"] == 1


@pytest.mark.parametrize("name", [name for name, entry in SAMPLERS.items() if not entry.modules])
def test_every_sampler_ends_on_postgresql_where_its_coordinator_was_killed(
    name: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_few_metrics(monkeypatch)
    if "tried" in optuna.get_all_study_names(open_storage(postgres_url)):
        optuna.delete_study(study_name="tried", storage=open_storage(postgres_url))
    was_killed, _, _ = run_killed(cases(name)[0], lambda: open_storage(postgres_url), tmp_path, IN_THE_MIDDLE)
    assert was_killed


def test_trials_read_by_plain_queries_equal_those_of_optuna_on_postgresql(postgres_url: str) -> None:
    study_id = fill(postgres_url)
    expected = RDBStorage(postgres_url).get_all_trials(study_id)
    assert FastReadingStorage(postgres_url).get_all_trials(study_id) == expected
    assert len(expected) == 7


def test_a_second_coordinator_on_another_host_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = study(study={"name": "shared"})
    first = Search(here, open_storage(postgres_url))
    monkeypatch.setattr(socket, "gethostname", lambda: "another-host")
    with pytest.raises(UsageError, match=rf"study shared is being run by pid {os.getpid()} on "):
        Search(here, open_storage(postgres_url))
    first.lease.release()
    Search(here, open_storage(postgres_url)).lease.release()


def test_a_server_that_does_not_answer_is_one_line() -> None:
    with pytest.raises(UsageError, match="cannot be opened") as caught:
        open_storage("postgresql+psycopg://me:secret@127.0.0.1:1/postgres")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_kept_and_taken_from_the_environment(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    url, folder = postgres_url.replace("greenopt@", "greenopt:hunter2@"), RunFolder(tmp_path / "kept")
    spec = study(study={"name": "kept"})
    search = Search(spec, open_storage(url))
    search.lease.release()
    folder.path.mkdir()
    folder.write_study(spec.model_dump(mode="json"), without_password(url), study_id=search.study_id)
    assert "hunter2" not in folder.study_file.read_text()
    for read in (locate, lambda one: storage_of(one, None)):
        with pytest.raises(UsageError, match=r"its secrets \(\*\*\*\) are not kept; give them by PGPASSWORD"):
            read(folder)
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    assert locate(folder).name == "kept"
    assert len(read_study("kept", open_storage(storage_of(folder, None))).rows) == 0
