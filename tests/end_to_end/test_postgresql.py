"""A study whose storage is a PostgreSQL server, started for the test on this machine alone."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage

from greenopt.coordination.coordinator import Coordinator
from greenopt.coordination.storage_access import StoragePlace
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
from tests.end_to_end.programs import postgresql_server
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
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(socket, "gethostname", lambda: "another-host")
        with pytest.raises(UsageError, match=rf"study shared is being run by pid {os.getpid()} on "):
            Search(here, open_storage(postgres_url))
    first.lease.release()
    Search(here, open_storage(postgres_url)).lease.release()


def test_a_restart_of_the_server_costs_nothing_but_time(tmp_path: Path) -> None:
    """Its connections are cut in the middle of the study, and it is away for two seconds."""
    with postgresql_server() as (url, start):
        servers = [start()]
        told: list[str | None] = []

        class Restarts(FakeEngine):
            def receive(self, timeout_s: float) -> list[Any]:
                if len(self.specs) == 2 and len(servers) == 1 and servers[0].poll() is None:
                    servers[0].send_signal(signal.SIGINT)
                    servers[0].wait()
                if len(servers) == 1 and servers[0].poll() is not None and self.away.expired():
                    servers.append(start())
                return super().receive(timeout_s)

            away = _Timer(2.0)

        class Watch:
            def storage_changed(self, name: str, cause: str | None) -> None:
                assert "server" in (cause or "server")
                told.append(cause)

            def __getattr__(self, name: str) -> Any:
                return lambda *_: None

        spec = study(study={"trials": 4})
        search = Search(spec, open_storage(url))
        place = StoragePlace("postgresql", 60.0)
        watch: Any = Watch()
        try:
            end = Coordinator(spec, search, Restarts(), RunFolder(tmp_path / "tried"), [watch], place=place).run()
            search.lease.release()
            rows = read_study("tried", open_storage(url)).rows
        finally:
            servers[-1].send_signal(signal.SIGINT)
            servers[-1].wait()
    assert end is StudyEnd.DONE
    assert [row["state"] for row in rows] == ["complete"] * 4
    assert told[0] is not None
    assert told[-1] is None


class _Timer:
    """Expires so many seconds after it was first asked."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._until_s = seconds, 0.0

    def expired(self) -> bool:
        self._until_s = self._until_s or time.monotonic() + self._seconds
        return time.monotonic() >= self._until_s


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
