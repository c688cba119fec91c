"""Trials read by plain queries against Optuna's own reading of the same tables."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from greenopt.search.rdb import FastReadingStorage
from greenopt.search.rows import read_rows
from greenopt.search.trial_cache import TrialCache
from greenopt.storage.live_rows import LiveRows
from greenopt.storage.snapshot import read_snapshot
from tests.unit.search.test_search import begin

DISTRIBUTIONS = {
    "width": optuna.distributions.CategoricalDistribution(["a'b", 'c"d', True, None, 2]),
    "depth": optuna.distributions.IntDistribution(1, 8, log=True),
    "rate": optuna.distributions.FloatDistribution(0.0, 1.0, step=0.1),
}


@pytest.fixture(autouse=True)
def _far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.undo()
    os.environ.pop("TZ", None)
    time.tzset()


def fill(url: str) -> int:
    """A study with trials of every state and kind of figure, beside one that must not be read."""
    optuna.create_study(study_name="other", storage=url).ask(DISTRIBUTIONS)
    study = optuna.create_study(study_name="filled", storage=url, directions=["maximize", "minimize"])
    params = {"width": True, "depth": 4, "rate": 0.30000000000000004}
    figures = {"text": "a, b: %s 'ü' \"c\"", "number": 1e-300, "none": None, "list": [1, {"a": 2.5}], "big": 2**70}
    for values in ([1.0, 2.0], [math.inf, -math.inf]):
        study.add_trial(create_trial(values=values, params=params, distributions=DISTRIBUTIONS, user_attrs=figures))
    study.add_trial(
        create_trial(
            state=TrialState.PRUNED,
            params={"depth": 2},
            distributions={"depth": DISTRIBUTIONS["depth"]},
            intermediate_values={0: 0.5, 3: math.inf},
        )
    )
    study.tell(study.ask(DISTRIBUTIONS), state=TrialState.FAIL)
    study.ask(DISTRIBUTIONS)
    study.ask()
    study.enqueue_trial({"width": None, "depth": 8, "rate": 0.1}, user_attrs={"wanted": "yes"})
    return study._study_id


def test_every_trial_equals_what_optuna_reads(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study_id = fill(url)
    fast, own = FastReadingStorage(url), RDBStorage(url)
    expected = own.get_all_trials(study_id)
    assert len(expected) == 7
    assert fast.get_all_trials(study_id) == expected
    assert [list(trial.params) for trial in fast.get_all_trials(study_id)] == [list(t.params) for t in expected]
    ids = [trial._trial_id for trial in expected]
    for included, after in ((set(), ids[2]), ({ids[0], ids[4]}, ids[5]), ({ids[6]}, ids[5]), (set(), ids[-1])):
        assert fast._get_trials(study_id, None, included, after) == own._get_trials(study_id, None, included, after)
    states = (TrialState.WAITING,)
    assert fast.get_all_trials(study_id, states=states) == own.get_all_trials(study_id, states=states)


def test_the_cache_returns_what_optunas_returns_while_a_study_goes_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study_id = fill(url)
    study = optuna.load_study(study_name="filled", storage=url)
    ours, own = TrialCache(FastReadingStorage(url)), optuna.storages.get_storage(RDBStorage(url))
    choices = (None, (TrialState.WAITING,), (TrialState.RUNNING, TrialState.COMPLETE), tuple(TrialState), ())
    for number in range(4):
        for states in choices:
            assert ours.get_all_trials(study_id, states=states) == own.get_all_trials(study_id, states=states)
        # Another process asks, one of the open trials ends, and the one that waits is begun.
        trial = study.ask(DISTRIBUTIONS)
        ended = [trial for trial in study.trials if not trial.state.is_finished()][number % 2].number
        study.tell(ended, state=TrialState.FAIL)
        assert ours.get_trial(trial._trial_id) == own.get_trial(trial._trial_id)
    assert ours.get_all_trials(study_id, deepcopy=False)[0] is ours.get_all_trials(study_id, deepcopy=False)[0]
    assert ours.get_all_trials(study_id)[0] is not ours.get_all_trials(study_id)[0]


def test_a_study_that_is_not_there_is_the_same_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    for storage in (RDBStorage(url), FastReadingStorage(url)):
        with pytest.raises(KeyError):
            storage.get_all_trials(5)


def test_times_are_local_however_they_are_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    storage = optuna.storages.get_storage(RDBStorage(url))
    search = begin(storage)
    search.ask()
    (row,) = read_rows("tried", storage)
    assert abs(time.mktime(row["began"].timetuple()) - time.time()) < 100
    assert read_snapshot("tried", url).rows[0]["began"] == row["began"]


def test_chosen_figures_are_those_of_all(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    search = begin(optuna.storages.get_storage(RDBStorage(url)))
    search.begin(search.ask().trial, "attempt", {"accuracy": 0.5, "code_id": "c", "data_id": "d"})
    (whole,) = LiveRows("tried", url).changed(())
    (chosen,) = LiveRows("tried", url).changed((), ("accuracy", "code_id"))
    assert {name: chosen[name] for name in ("state", "accuracy", "code_id")} == {
        name: whole[name] for name in ("state", "accuracy", "code_id")
    }
    assert "data_id" not in chosen
