"""Trials that this process alone writes: seen at once as a storage would return them, written whole or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from greenopt.events import Outcome
from greenopt.search import Search, open_storage, writing_together
from greenopt.search.tally import TrialTally
from greenopt.search.trial_cache import REFRESH_S, TrialCache
from greenopt.storage.trial_state import is_settled
from tests.builders import study
from tests.unit.search.test_rdb import DISTRIBUTIONS, fill


class Owned:
    """A study of every kind of trial, owned, with a clock that stands still."""

    def __init__(self, url: str) -> None:
        self.now_s = 0.0
        self.url, self.study_id = url, fill(url)
        cache = open_storage(url)
        assert isinstance(cache, TrialCache)
        self.cache = cache
        self.cache._clock = lambda: self.now_s
        self.cache.own(self.study_id)
        self.study = optuna.load_study(study_name="filled", storage=self.cache)

    def agree(self) -> None:
        """What the cache knows is what the tables hold."""
        assert self.cache.get_all_trials(self.study_id) == RDBStorage(self.url).get_all_trials(self.study_id)


@pytest.fixture
def owned(tmp_path: Path) -> Owned:
    return Owned(f"sqlite:///{tmp_path / 'study.db'}")


def commits(cache: Any, work: Callable[[], object]) -> int:
    """How many transactions some work takes."""
    counted: list[object] = []

    def count(connection: object) -> None:
        counted.append(connection)

    sa.event.listen(cache._backend.engine, "commit", count)
    work()
    sa.event.remove(cache._backend.engine, "commit", count)
    return len(counted)


def test_what_is_written_is_seen_as_the_tables_hold_it(owned: Owned) -> None:
    """Asked, given figures of every kind, and ended in every way; the cache never reads it back."""
    owned.agree()
    for state, values in ((TrialState.COMPLETE, [1.0, 2.0]), (TrialState.FAIL, None), (TrialState.PRUNED, None)):
        with writing_together(owned.cache):
            trial = owned.study.ask(DISTRIBUTIONS)
            owned.cache.set_trial_user_attr(trial._trial_id, "kept", {"a": (1, 2.5), "b": None})
            owned.cache.set_trial_user_attr(trial._trial_id, "kept", {"a": (3, "ü'\""), "b": None})
            owned.cache.set_trial_system_attr(trial._trial_id, "own", [1, 2])
        owned.agree()
        running = owned.cache.get_trial(trial._trial_id)
        assert running == RDBStorage(owned.url).get_trial(trial._trial_id)
        running.set_user_attr("changed", 1)
        owned.agree()
        with writing_together(owned.cache):
            owned.cache.set_trial_user_attr(trial._trial_id, "accuracy", 0.5)
            owned.study.tell(trial, values, state=state)
        owned.agree()
        assert owned.cache.get_trial(trial._trial_id).state is state
    owned.study.enqueue_trial({"width": 2, "depth": 1, "rate": 0.5}, user_attrs={"retry_of": 3})
    owned.agree()


def test_a_trial_takes_one_transaction_to_begin_and_one_to_end(owned: Owned) -> None:
    number = owned.cache.create_new_trial(owned.study_id)

    def begin() -> None:
        with writing_together(owned.cache):
            for index in range(20):
                owned.cache.set_trial_user_attr(number, f"figure {index}", index)

    def end() -> None:
        with writing_together(owned.cache):
            for index in range(40):
                owned.cache.set_trial_user_attr(number, f"result {index}", index)
            owned.cache.set_trial_state_values(number, TrialState.COMPLETE, [1.0, 2.0])

    assert (commits(owned.cache, begin), commits(owned.cache, end)) == (1, 1)
    owned.agree()


def test_a_block_that_fails_has_written_nothing_and_is_forgotten(owned: Owned) -> None:
    trial = owned.study.ask(DISTRIBUTIONS)
    before = owned.cache.get_all_trials(owned.study_id)

    def fail() -> None:
        with writing_together(owned.cache):
            owned.cache.set_trial_user_attr(trial._trial_id, "half", 1)
            owned.study.tell(trial, [1.0, 2.0])
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail()
    assert owned.cache.get_all_trials(owned.study_id) == before
    owned.agree()


def test_an_answer_that_was_lost_is_found_out_and_the_write_can_be_repeated(
    owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is committed, and then the connection breaks."""
    trial = owned.study.ask(DISTRIBUTIONS)
    write = owned.cache._writer.write_change

    def loses(*arguments: Any) -> None:
        write(*arguments)
        raise sa.exc.OperationalError("COMMIT", {}, Exception("server closed the connection"))

    def change() -> None:
        with writing_together(owned.cache):
            owned.cache.set_trial_user_attr(trial._trial_id, "written", 1)

    with monkeypatch.context() as broken:
        broken.setattr(owned.cache._writer, "write_change", loses)
        with pytest.raises(sa.exc.OperationalError):
            change()
    owned.agree()
    change()
    owned.agree()
    assert owned.cache.get_trial(trial._trial_id).user_attrs["written"] == 1


def test_what_others_write_is_seen_after_a_while(owned: Owned) -> None:
    owned.agree()
    other = optuna.load_study(study_name="filled", storage=owned.url)
    other.enqueue_trial({"width": 2, "depth": 1, "rate": 0.5})
    mine = owned.study.ask(DISTRIBUTIONS)
    owned.now_s += REFRESH_S + 1
    owned.agree()
    other.tell(mine.number, state=TrialState.FAIL)
    with pytest.raises(UpdateFinishedTrialError):
        owned.cache.set_trial_user_attr(mine._trial_id, "late", 1)
    owned.agree()


def test_once_the_lease_is_given_back_every_reading_is_new(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    mine = Search(study(), open_storage(url))
    mine.ask()
    mine.lease.release()
    other = Search(study(), open_storage(url))
    asked = other.ask().trial
    other.tell(asked, Outcome.FAILED, {"fail_reason": "crash"})
    assert mine.settled() == 1


def test_a_trial_that_somebody_else_ended_stays_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    search = Search(study(), open_storage(url))
    asked = search.ask().trial
    optuna.load_study(study_name="tried", storage=url).tell(asked, [0.5, 1.0])
    search.tell(asked, Outcome.FAILED, {"fail_reason": "crash"})
    (trial,) = optuna.load_study(study_name="tried", storage=url).get_trials()
    assert (trial.state, trial.values) == (TrialState.COMPLETE, [0.5, 1.0])
    assert "fail_reason" not in trial.user_attrs


def test_counts_kept_up_equal_those_over_all_trials(tmp_path: Path) -> None:
    search = Search(study(study={"trials": 30}), open_storage(f"sqlite:///{tmp_path / 'study.db'}"))
    tally = TrialTally()
    for number in range(12):
        asked = search.ask().trial
        search.begin(asked, f"attempt {number}", {})
        if number % 4 != 3:
            reason = (None, "crash", "killed")[number % 3]
            outcome = Outcome.FAILED if reason else Outcome.COMPLETED
            search.tell(asked, outcome, {"fail_reason": reason, "total_wh": 1.5}, None if reason else [0.5, 1.0])
        search.enqueue_retries()
        trials = search._trials()
        tally.update(trials)
        assert tally.settled == search.settled() == sum(is_settled(t.state.name.lower(), t.user_attrs) for t in trials)
        assert tally.used_wh == search.used_wh() == 1.5 * sum(t.state.is_finished() for t in trials)
        assert [t.number for t in tally.unended] == [t.number for t in trials if not t.state.is_finished()]
        assert tally.retried == {t.user_attrs["retry_of"] for t in trials if "retry_of" in t.user_attrs}
    assert len(tally.retried) >= 2
