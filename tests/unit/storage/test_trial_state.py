"""The states of a trial, and which trials count."""

from itertools import product
from pathlib import Path

import optuna
import pytest

from greenopt.events import FailReason, Outcome, StopReason
from greenopt.search import Search, open_storage
from greenopt.storage.live_rows import LiveRows
from greenopt.storage.trial_state import (
    FINISHED_STATES,
    MAX_RETRIES,
    STATE_BY_OUTCOME,
    TrialState,
    is_settled,
    is_to_retry,
    outcome_of,
)
from tests.builders import study


def test_states_are_optuna_s_by_name_and_the_rows_words_by_value() -> None:
    assert {state.name for state in TrialState} - {"EXCLUDED"} == set(optuna.trial.TrialState.__members__)
    for state in set(TrialState) - {TrialState.EXCLUDED}:
        assert (state, state.is_finished) == (state.name.lower(), optuna.trial.TrialState[state.name].is_finished())


def test_every_outcome_has_a_state_and_is_found_again_by_it_and_the_reason() -> None:
    reasons = {Outcome.STOPPED: StopReason.DOMINATED, Outcome.DIVERGED: StopReason.DIVERGED}
    for outcome in Outcome:
        assert outcome_of(STATE_BY_OUTCOME[outcome], {"stop_reason": reasons.get(outcome)}) is outcome
    assert outcome_of("pruned", {"stop_reason": "ended_early"}) is Outcome.DIVERGED
    assert outcome_of("running", {}) is None
    assert set(FINISHED_STATES) == {state for state in TrialState if state.is_finished}


@pytest.mark.parametrize(
    ("state", "attributes", "counts", "runs_again"),
    [
        ("complete", {}, True, False),
        ("pruned", {"stop_reason": "diverged"}, True, False),
        ("fail", {"fail_reason": "out_of_memory"}, True, False),
        ("fail", {"fail_reason": "duplicate"}, False, False),
        ("fail", {"fail_reason": "interrupted"}, False, True),
        ("fail", {"fail_reason": "interrupted", "attempt": MAX_RETRIES}, True, False),
        ("fail", {"fail_reason": "killed", "attempt": None}, False, True),
        ("fail", {}, False, True),
        ("fail", {"fail_reason": None, "attempt": MAX_RETRIES}, True, False),
        ("running", {}, False, False),
        ("waiting", {}, False, False),
        ("running", {"attempt": MAX_RETRIES}, False, False),
    ],
)
def test_which_trials_count_and_which_run_again(
    state: str, attributes: dict[str, str | int | None], counts: bool, runs_again: bool
) -> None:
    assert (is_settled(state, attributes), is_to_retry(state, attributes)) == (counts, runs_again)


def test_search_and_a_reader_of_rows_count_the_same(tmp_path: Path) -> None:
    spec = study(space={"batch_size": {"low": 1, "high": 10_000}})
    url = f"sqlite:///{tmp_path / 'study.db'}"
    search = Search(spec, open_storage(url))
    for reason, attempt in product(FailReason, (None, MAX_RETRIES)):
        search.tell(search.ask().trial, Outcome.FAILED, {"fail_reason": str(reason), "attempt": attempt})
    search.tell(search.ask().trial, Outcome.COMPLETED, {}, [0.5, 2.0])
    search.ask()
    rows = LiveRows(spec.name, url).changed(tuple(spec.space.distributions))
    assert search.settled() == sum(is_settled(row["state"], row) for row in rows)
    assert 0 < search.settled() < len(rows)
