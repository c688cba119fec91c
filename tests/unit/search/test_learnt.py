"""Of thousands of trials TPE learns from a share that is the same however the trials came in."""

from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from greenopt.search import Search
from greenopt.search.known_space import knowing_space, learnt_trials
from greenopt.search.learnt import LEARNT_TRIALS, LearntTrials
from greenopt.search.samplers import build_sampler
from greenopt.search.search import as_optuna
from tests.builders import study

BOTH = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)
STATES = (TrialState.COMPLETE, TrialState.PRUNED)
X: dict[str, optuna.distributions.BaseDistribution] = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}


def ended(number: int, values: list[float] | None = None) -> FrozenTrial:
    state = TrialState.PRUNED if values is None else TrialState.COMPLETE
    trial = create_trial(state=state, values=values, params={"x": number % 97 / 97}, distributions=X)
    trial.number = number
    return trial


def many(count: int) -> list[FrozenTrial]:
    """Trials of which number 5 is best in one objective, 6 in the other, and every tenth was pruned."""
    best = {5: [2.0, 0.5], 6: [0.5, -1.0]}
    return [ended(n, None if n % 10 == 9 else best.get(n, [n % 13 / 13, 1 + n % 7])) for n in range(count)]


def numbers(learnt: LearntTrials) -> list[int]:
    return [trial.number for trial in learnt.trials]


def test_of_few_trials_all_teach() -> None:
    learnt = LearntTrials(STATES, limit=100)
    learnt.update(many(100), BOTH)
    assert (learnt.is_share, numbers(learnt)) == (False, list(range(100)))


def test_of_many_trials_an_even_share_teaches_and_the_front() -> None:
    learnt = LearntTrials(STATES, limit=100)
    learnt.update(many(1000), BOTH)
    kept = numbers(learnt)
    assert learnt.is_share
    assert {5, 6} <= set(kept)
    assert 50 <= len(kept) <= 102
    assert all(8 <= sum(n // 200 == fifth for n in kept) <= 24 for fifth in range(5))
    # Of each remainder: settings that are tried in turn are all represented.
    assert all(4 <= sum(n % 7 == each for n in kept) <= 20 for each in range(7))


def test_the_share_is_the_same_however_the_trials_came_in() -> None:
    trials = many(700)
    at_once, one_by_one = (LearntTrials(STATES, limit=100) for _ in range(2))
    at_once.update(trials, BOTH)
    for count in range(1, 701):
        one_by_one.update(trials[:count], BOTH)
    backwards = LearntTrials(STATES, limit=100)
    for start in range(690, -1, -10):
        backwards.update(trials[start:], BOTH)
    assert numbers(at_once) == numbers(one_by_one) == numbers(backwards)


def test_trials_that_run_or_failed_teach_nothing() -> None:
    learnt = LearntTrials(STATES, limit=100)
    learnt.update([create_trial(state=TrialState.FAIL), create_trial(state=TrialState.RUNNING)], BOTH)
    assert (numbers(learnt), learnt.common) == ([], None)


@pytest.mark.parametrize(("startup", "limit"), [(10, LEARNT_TRIALS), (5000, 10_000)])
def test_enough_trials_are_kept_for_the_sampler_to_begin(startup: int, limit: int) -> None:
    spec = study(sampler={"name": "tpe", "n_startup_trials": startup})
    assert learnt_trials(spec)._limit == limit


def proposals(limit: int | None, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """What TPE proposes after 120 trials of a study in which it has much to learn."""
    spec = study(space={"batch_size": [4, 8, 16], "lr": {"low": 1e-4, "high": 0.1, "log": True}}, sampler=arguments)
    distributions = {name: as_optuna(spec.space.distributions[name]) for name in ("batch_size", "lr")}
    trials = optuna.create_study(directions=["maximize", "minimize"])
    for number in range(120):
        values = {"batch_size": [4, 8, 16][number % 3], "lr": 1e-4 * 1000 ** (number / 120)}
        results = [values["lr"] - 0.1 * (number % 3), float(number % 3)]
        trials.add_trial(create_trial(values=results, params=values, distributions=distributions))
    learnt = LearntTrials(STATES, limit=limit) if limit else None
    proposed = []
    for number in range(120, 150):
        trials.sampler = knowing_space(build_sampler(spec, number), spec, distributions, learnt)
        proposed.append(trials.ask(distributions).params)
    return proposed


@pytest.mark.parametrize("arguments", [{}, {"constant_liar": True}, {"multivariate": False}])
def test_what_a_share_teaches_is_what_all_teach(arguments: dict[str, Any]) -> None:
    arguments = {"name": "tpe", **arguments}
    of_share, of_all = proposals(60, arguments), proposals(None, arguments)
    assert of_share != of_all
    for proposed in (of_share, of_all):
        # A high rate of learning and the first batch size are best.
        assert sum(each["lr"] > 0.01 for each in proposed) > 15
        assert sum(each["batch_size"] == 4 for each in proposed) > 15


def test_a_search_shows_its_sampler_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenopt.search.known_space.LEARNT_TRIALS", 20)
    search = Search(study(sampler={"name": "tpe", "n_startup_trials": 5}, study={"trials": 60}), None)
    shown = []
    for number in range(45):
        asked = search.ask()
        search._study.tell(asked.trial, [number / 45, number % 5])
        shown.append(len(search._learnt.trials))
    assert shown[:19] == list(range(19))
    assert max(shown) < 45
    assert search._learnt.is_share
