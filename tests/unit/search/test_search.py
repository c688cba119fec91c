"""The study in its storage: the same study again, a changed one, and one that somebody else runs."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

from greenopt.errors import GreenoptError, UsageError
from greenopt.search import Search, open_storage, read_study
from greenopt.search.search import as_optuna
from greenopt.spec import Choice, Range
from greenopt.storage.rows import LEASE_ATTRIBUTE, is_alive, started_ticks
from greenopt.storage.url import without_password
from tests.builders import study


@pytest.fixture
def storage(tmp_path: Path) -> optuna.storages.BaseStorage:
    return open_storage(f"sqlite:///{tmp_path / 'study.db'}")


def begin(storage: optuna.storages.BaseStorage, **tables: object) -> Search:
    search = Search(study(**tables), storage)
    search.lease.release()
    return search


def test_metric_names_and_directions_are_kept_for_the_dashboard(storage: optuna.storages.BaseStorage) -> None:
    begin(storage)
    kept = optuna.load_study(study_name="tried", storage=storage)
    assert kept.metric_names == ["accuracy", "energy_wh"]
    assert [direction.name for direction in kept.directions] == ["MAXIMIZE", "MINIMIZE"]


def test_another_sampler_or_more_trials_go_on_with_the_study(storage: optuna.storages.BaseStorage) -> None:
    begin(storage)
    begin(storage, study={"trials": 99}, sampler={"name": "tpe"})
    assert read_study("tried", storage).spec.study.trials == 99


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"training": {"epochs": 3}}, "training.epochs: 3: study tried was begun with 2"),
        ({"study": {"seed": 8}}, "study.seed: 8"),
        ({"space": {"batch_size": [4]}}, "space"),
        ({"data": {"classes": 5}}, "data.classes: 5"),
        ({"objectives": {"accuracy": "maximize"}}, "objectives"),
    ],
)
def test_a_changed_study_under_the_same_name_is_refused(
    storage: optuna.storages.BaseStorage, tables: dict[str, object], key: str
) -> None:
    begin(storage)
    with pytest.raises(UsageError) as caught:
        Search(study(**tables), storage)
    assert key in str(caught.value)
    assert "--name" in str(caught.value)
    assert read_study("tried", storage).spec == study()


def test_a_study_that_a_living_process_runs_is_refused(storage: optuna.storages.BaseStorage) -> None:
    begin(storage)
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = {"pid": sleeper.pid, "started_s": psutil.Process(sleeper.pid).create_time(), "host": os.uname().nodename}
    kept = optuna.load_study(study_name="tried", storage=storage)
    kept.set_user_attr(LEASE_ATTRIBUTE, {**holder, "utc_s": 0.0})
    with pytest.raises(UsageError, match=f"being run by pid {sleeper.pid} on {holder['host']}"):
        Search(study(), storage)
    sleeper.kill()
    sleeper.wait()
    Search(study(), storage)


@pytest.mark.parametrize(("age_s", "refused"), [(10.0, True), (1000.0, False)])
def test_a_lease_of_another_host_lapses(storage: optuna.storages.BaseStorage, age_s: float, refused: bool) -> None:
    begin(storage)
    holder = {"pid": 1, "started_s": 0.0, "host": "elsewhere", "utc_s": time.time() - age_s}
    optuna.load_study(study_name="tried", storage=storage).set_user_attr(LEASE_ATTRIBUTE, holder)
    if refused:
        with pytest.raises(UsageError, match="pid 1 on elsewhere"):
            Search(study(), storage)
    else:
        Search(study(), storage)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a database URL"),
        ("sqlite:////no/such/folder/x.db", "cannot be opened"),
        ("mysql+nodriver://u:secret@h/d", "storage"),
    ],
)
def test_a_storage_that_cannot_be_opened(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)


def test_passwords_are_never_shown() -> None:
    assert without_password("postgresql+psycopg://me:secret@host/db") == "postgresql+psycopg://me:***@host/db"


def test_distributions_are_optunas() -> None:
    assert as_optuna(Choice(values=("a", "b"))) == optuna.distributions.CategoricalDistribution(("a", "b"))
    assert as_optuna(Range(low=4, high=64, log=True)) == optuna.distributions.IntDistribution(4, 64, log=True)
    assert as_optuna(Range(low=4, high=64, step=4)) == optuna.distributions.IntDistribution(4, 64, step=4)
    assert as_optuna(Range(low=0.1, high=1.0)) == optuna.distributions.FloatDistribution(0.1, 1.0)
    assert as_optuna(Range(low=0.1, high=1.0, step=0.1)) == optuna.distributions.FloatDistribution(0.1, 1.0, step=0.1)


def test_reading_a_study_that_is_not_there_or_not_ours(storage: optuna.storages.BaseStorage) -> None:
    with pytest.raises(UsageError, match="study other: not in this storage"):
        read_study("other", storage)
    optuna.create_study(study_name="foreign", storage=storage)
    with pytest.raises(UsageError, match="was not made by greenopt"):
        read_study("foreign", storage)


def test_wanted_settings_run_first_each_once(storage: optuna.storages.BaseStorage) -> None:
    wanted = [{"batch_size": 8}, {"lr": 0.001}, {"batch_size": 8}]
    search = Search(study(study={"enqueue": wanted}), storage)
    search.enqueue_listed()
    search.enqueue_listed()
    asked = [search.ask() for _ in range(3)]
    for proposal in asked:
        search.begin(proposal.trial, f"attempt-{proposal.trial}", {})
    settings = [proposal.values for proposal in asked]
    assert [(values["batch_size"], values["lr"]) for values in settings] == [(8, 0.1), (4, 0.001), (8, 0.1)]
    search.lease.release()
    again = Search(study(study={"enqueue": [*wanted, {"batch_size": 4}]}), storage)
    again.enqueue_listed()
    assert len(read_study("tried", storage).rows) == 4
    assert again.ask().values["batch_size"] == 4


def test_a_clock_that_was_set_does_not_make_a_coordinator_dead() -> None:
    """The time at which a process was started, by the wall clock, moves with the clock."""
    holder = {"pid": os.getpid(), "started_s": 12.0, "host": os.uname().nodename, "utc_s": 0.0}
    assert not is_alive(holder)
    assert is_alive({**holder, "started_ticks": started_ticks(os.getpid())})
    assert not is_alive({**holder, "started_ticks": 1})


def test_a_lease_that_another_coordinator_took_is_neither_renewed_nor_released(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    search = Search(study(), storage)
    other = {"pid": 1, "started_s": 0.0, "host": "elsewhere", "utc_s": time.time()}
    storage.set_study_user_attr(1, LEASE_ATTRIBUTE, other)
    search.lease._renewed_at_s = -1000.0
    with pytest.raises(GreenoptError, match="is being run by pid 1 on elsewhere, which took it"):
        search.lease.renew()
    search.lease.release()
    assert storage.get_study_user_attrs(1)[LEASE_ATTRIBUTE] == other


def test_an_ask_that_was_broken_off_is_asked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The enqueued setting is neither lost nor drawn anew, whatever write the storage failed at."""
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    search = Search(study(study={"enqueue": [{"batch_size": 8, "lr": 0.001}]}), storage)
    search.enqueue_listed()
    kept, calls = type(storage).set_trial_param, [0]

    def fails(self: Any, *arguments: Any) -> None:
        calls[0] += 1
        if calls[0] in (1, 3, 6):
            raise optuna.exceptions.StorageInternalError("lost")
        kept(self, *arguments)

    monkeypatch.setattr(type(storage), "set_trial_param", fails)
    for _ in range(3):
        with pytest.raises(optuna.exceptions.StorageInternalError):
            search.ask()
    proposal = search.ask()
    assert (proposal.trial, proposal.values["batch_size"], proposal.values["lr"]) == (0, 8, 0.001)
    assert search.ask().trial == 1


def test_what_the_random_sampler_will_propose_is_known_beforehand() -> None:
    space = {
        "batch_size": {"low": 4, "high": 64},
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "optimizer_momentum": {"low": 0.0, "high": 0.9, "step": 0.3},
        "precision": ["float16", "float32"],
        "augmentation": ["none"],
    }
    enqueued = {"batch_size": 5, "lr": 0.01, "optimizer_momentum": 0.3, "precision": "float16"}
    spec = study(study={"trials": 9, "seed": 3, "enqueue": [enqueued]}, space=space)
    search = Search(spec, None)
    search.enqueue_listed()
    foreseen = search.upcoming(5)
    assert enqueued.items() <= foreseen[0].items()
    assert foreseen == [search.ask().values for _ in range(5)]


def test_what_a_sampler_that_learns_will_propose_is_not_known() -> None:
    search = Search(study(study={"trials": 9, "baseline": True}, sampler={"name": "tpe"}), None)
    search.enqueue_baseline()
    assert len(search.upcoming(5)) == 1
