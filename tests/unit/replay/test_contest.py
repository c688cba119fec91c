"""Samplers and rules compared on tables of trials."""

from collections.abc import Sequence

import pytest

from greenopt.errors import UsageError
from greenopt.replay.contest import (
    GOALS,
    SCALES,
    Contender,
    Spent,
    TrialTable,
    check_contender,
    compare,
    reference,
    search_once,
)
from greenopt.replay.families import FAMILIES, make_table
from greenopt.spec import Choice, SearchSpace, StoppingKind, StoppingSpec
from greenopt.stopping import Curve

SPACE = SearchSpace(own=True, distributions={"kind": Choice(values=("a", "b", "c", "d"))})
NONE, PARETO = StoppingSpec(kind=StoppingKind.NONE), StoppingSpec(kind=StoppingKind.PARETO)


def trial(number: int, kind: str, accuracy: float, wh: float) -> Curve:
    return Curve(number, {"kind": kind}, 2, (0.1, accuracy), (wh / 2, wh))


TABLE = TrialTable(SPACE, (trial(0, "a", 0.9, 10.0), trial(1, "b", 0.2, 40.0), trial(2, "c", 0.1, 50.0)))


@pytest.mark.parametrize("seed", range(4))
def test_a_search_spends_until_the_trial_that_makes_the_front_has_ended(seed: int) -> None:
    spent = search_once(TABLE, reference(), seed)
    assert set(spent.energies_wh) == {(scale, goal) for scale in SCALES for goal in GOALS}
    assert set(spent.energies_wh.values()) <= {10.0, 50.0, 60.0, 100.0}
    assert spent.trials == {10.0: 1, 50.0: 2, 60.0: 2, 100.0: 3}[spent.energies_wh["log", 0.99] or 0.0]
    assert spent.whole_wh == 100.0


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "energy_aware", "qmc", "grid"])
def test_every_trial_is_taken_once_replicates_too(sampler: str) -> None:
    twice = TrialTable(SPACE, (*TABLE.curves, trial(3, "a", 0.95, 9.0), trial(4, "a", 0.1, 60.0)))
    for seed in range(2):
        spent = search_once(twice, Contender(sampler, NONE), seed)
        assert None not in spent.energies_wh.values()
        assert spent.trials <= 5


def test_the_same_seed_spends_the_same() -> None:
    table = make_table("interactions", 1, trials=25)
    for sampler in ("random", "tpe", "energy_aware"):
        a, b = (search_once(table, Contender(sampler, PARETO), 5) for _ in range(2))
        assert a == b


def spent(*wh: float | None) -> list[Spent]:
    return [Spent({(scale, goal): each for scale in SCALES for goal in GOALS}, 100.0, 1) for each in wh]


def share(own: Sequence[float | None], others: Sequence[float | None]) -> tuple[float | None, float | None, float]:
    found = compare(spent(*own), spent(*others), "log", 0.95)
    return found.median, found.high, found.reached


def test_medians_are_compared() -> None:
    assert share([10.0, 10.0, 10.0], [40.0, 40.0, 40.0]) == (0.25, 0.25, 1.0)


def test_the_interval_holds_the_median() -> None:
    own = [float(each) for each in range(10, 30)]
    found = compare(spent(*own), spent(*(2 * each for each in own)), "linear", 0.99)
    assert found.median == pytest.approx(0.5)
    assert found.low is not None
    assert found.high is not None
    assert 0.3 < found.low < 0.5 < found.high < 0.8


def test_a_goal_that_was_never_reached_is_no_number() -> None:
    assert share([10.0, None, None], [40.0] * 3) == (None, None, pytest.approx(1 / 3))
    median, high, reached = share([10.0, 10.0, 10.0, None], [40.0] * 4)
    assert (median, high, reached) == (0.25, None, 0.75)


def test_tables_of_other_sizes_are_compared_by_their_whole_energy() -> None:
    small = [Spent({("log", 0.95): 1.0}, 10.0, 1)]
    large = [Spent({("log", 0.95): 20.0}, 100.0, 1)]
    assert compare(small, large, "log", 0.95).median == pytest.approx(0.5)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_differ_by_seed_and_learn(family: str) -> None:
    tables = [make_table(family, seed, trials=40) for seed in (0, 0, 1)]
    assert tables[0] == tables[1] != tables[2]
    curves = tables[0].curves
    assert len({tuple(curve.setting.values()) for curve in curves}) == 40
    accuracies = [curve.accuracy for curve in curves]
    assert max(accuracies) > 0.5
    assert min(accuracies) < 0.1
    assert all(curve.is_whole and curve.energies_wh[0] > 0 for curve in curves)


def test_knowing_energy_spends_less_than_not() -> None:
    tables = [make_table("additive", seed, trials=60) for seed in range(3)]
    others = [search_once(table, reference(), seed) for seed, table in enumerate(tables)]
    own = [search_once(table, Contender("energy_aware", NONE), seed) for seed, table in enumerate(tables)]
    found = compare(own, others, "log", 0.95)
    assert found.median is not None
    assert found.median < 0.5


@pytest.mark.parametrize(("sampler", "says"), [("tep", "unknown sampler"), ("cmaes", "optimises one objective")])
def test_a_sampler_that_does_not_fit_is_refused(sampler: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_contender(Contender(sampler, NONE))
