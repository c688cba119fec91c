"""Draws of effects: what acts is found with its size, what is idle has none at all, and outliers decide nothing."""

import numpy as np
import pytest

from greenopt.analysis.expectation import FAR, has_learnt, own_deviations
from greenopt.analysis.spike_slab import CHAINS, Columns, Draws, Kind, Matrix, draw_effects

COLUMNS = Columns((4, 4, 4, 4, 4, 0))
"""Five lists of three values, and a range."""
EFFECTS = np.array([0.0, 0.5, -0.4])


def encoded_settings(count: int, seed: int) -> Matrix:
    generator = np.random.default_rng(seed)
    listed = generator.integers(3, size=(count, 5)).astype(np.float64)
    return np.column_stack([listed, generator.random(count)])


def truth(encoded: Matrix) -> Matrix:
    """The first parameter acts, and the range; nothing else does."""
    return np.asarray(3 + EFFECTS[encoded[:, 0].astype(int)] + 0.6 * encoded[:, 5])


@pytest.fixture(scope="module")
def measured() -> tuple[Matrix, Matrix]:
    encoded = encoded_settings(60, 1)
    return encoded, truth(encoded) + 0.1 * np.random.default_rng(2).standard_normal(60)


@pytest.fixture(scope="module")
def drawn(measured: tuple[Matrix, Matrix]) -> Draws:
    return draw_effects(COLUMNS, *measured, Kind.NUMBER)


def test_intervals_of_new_settings_hold_the_truth_and_are_narrow(drawn: Draws) -> None:
    fresh = encoded_settings(200, 3)
    found = drawn.at(fresh)
    low, high = np.quantile(found, (0.025, 0.975), axis=0)
    assert ((low < truth(fresh)) & (truth(fresh) < high)).mean() > 0.8
    assert np.sqrt(np.mean((found.mean(axis=0) - truth(fresh)) ** 2)) < 0.06
    assert drawn.noise_std.mean() == pytest.approx(0.1, rel=0.3)


def test_what_acts_acts_and_the_rest_is_exactly_equal(drawn: Draws) -> None:
    assert min(drawn.acts((0,)), drawn.acts((5,))) > 0.99
    assert max(drawn.acts((place,)) for place in (1, 2, 3, 4)) < 0.4
    twins = np.array([[1.0, 0, 0, 0, 0, 0.5], [1.0, 2, 0, 0, 0, 0.5]])
    first, second = drawn.at(twins).T
    assert np.mean(first == second) > 0.6


def test_the_same_trials_give_the_same_draws(measured: tuple[Matrix, Matrix], drawn: Draws) -> None:
    again = draw_effects(COLUMNS, *measured, Kind.NUMBER)
    assert np.array_equal(again.constant, drawn.constant)
    assert len(np.unique(drawn.constant)) >= 5 * CHAINS


def test_the_unit_of_the_response_does_not_matter(measured: tuple[Matrix, Matrix], drawn: Draws) -> None:
    other = draw_effects(COLUMNS, measured[0], 100 * measured[1] - 7, Kind.NUMBER)
    fresh = encoded_settings(5, 4)
    assert other.at(fresh) == pytest.approx(100 * drawn.at(fresh) - 7)


def test_an_outlier_decides_nothing(measured: tuple[Matrix, Matrix], drawn: Draws) -> None:
    encoded, response = measured
    spoilt = response.copy()
    spoilt[10] += 5
    found = draw_effects(COLUMNS, encoded, spoilt, Kind.NUMBER)
    fresh = encoded_settings(100, 5)
    assert np.abs(found.at(fresh).mean(axis=0) - drawn.at(fresh).mean(axis=0)).max() < 0.12
    assert np.mean(np.isinf(found.tails)) < 0.2


def test_an_outlier_is_an_unusual_setting_in_half_of_the_draws_and_surely_if_it_ran_twice(
    measured: tuple[Matrix, Matrix],
) -> None:
    encoded, response = measured
    spoilt = response.copy()
    spoilt[10] += 2
    once = own_deviations(draw_effects(COLUMNS, encoded, spoilt, Kind.NUMBER), encoded)
    own = once[encoded[10].tobytes()]
    assert np.mean(own > 1.5) == pytest.approx(0.5, abs=0.12)
    assert np.all((own == 0) | (own > FAR * 0.05))
    twice = np.vstack([encoded, encoded[10]]), np.append(spoilt, spoilt[10])
    found = own_deviations(draw_effects(COLUMNS, *twice, Kind.NUMBER), twice[0])
    assert np.mean(found[encoded[10].tobytes()] > 1.5) > 0.95


def test_two_values_that_do_not_go_together_are_found(measured: tuple[Matrix, Matrix]) -> None:
    encoded, response = measured
    meet = (encoded[:, 1] == 2) & (encoded[:, 3] == 1)
    assert meet.sum() >= 4
    found = draw_effects(COLUMNS, encoded, response + meet, Kind.NUMBER)
    assert found.acts((1, 3)) > 0.9
    both = np.array([[0.0, 2, 0, 1, 0, 0.5], [0.0, 2, 0, 0, 0, 0.5], [0.0, 0, 0, 1, 0, 0.5]])
    together, first, second = found.at(both).mean(axis=0)
    assert together - max(first, second) > 0.6


def test_the_chance_of_an_event_follows_what_decides_it() -> None:
    encoded = encoded_settings(120, 6)
    chance = np.array([0.05, 0.5, 0.95])[encoded[:, 0].astype(int)]
    events = (np.random.default_rng(7).random(120) < chance).astype(np.float64)
    found = draw_effects(COLUMNS, encoded, events, Kind.EVENT)
    at = np.column_stack([np.arange(3.0), np.zeros((3, 4)), np.full(3, 0.5)])
    assert found.at(at).mean(axis=0) == pytest.approx([0.05, 0.5, 0.95], abs=0.2)
    assert max(found.acts((place,)) for place in (1, 2, 3, 4)) < 0.5


def test_learning_is_a_question_where_some_trials_stand_clearly_below() -> None:
    generator = np.random.default_rng(8)
    high = 0.6 + 0.05 * generator.standard_normal(40)
    assert has_learnt(high).all()
    some = np.append(high, 0.01 + 0.001 * generator.random(6))
    assert has_learnt(some).tolist() == [True] * 40 + [False] * 6
    assert has_learnt(np.append(high, 0.01)).all(), "one trial may be an outlier"
    assert has_learnt(generator.random(40)).all()


def test_values_that_spread_more_are_found_and_count_less() -> None:
    encoded = encoded_settings(90, 9)
    wild = encoded[:, 2] == 1
    noise = np.random.default_rng(10).standard_normal(90) * np.where(wild, 1.0, 0.05)
    found = draw_effects(COLUMNS, encoded, truth(encoded) + noise, Kind.NUMBER)
    fresh = encoded_settings(100, 11)
    calm = fresh[:, 2] != 1
    assert np.sqrt(np.mean((found.at(fresh).mean(axis=0) - truth(fresh))[calm] ** 2)) < 0.06
    spread = found.noise_at(fresh).mean(axis=0)
    assert spread[~calm] == pytest.approx(1.0, rel=0.4)
    assert spread[calm] == pytest.approx(0.05, rel=0.6)


def test_equal_spread_is_taken_for_equal(drawn: Draws) -> None:
    """At most one of five parameters is thought to differ, and the draws of most say that none does."""
    assert np.mean([np.any(factors != 1, axis=1) for factors in drawn.spreads.values()]) < 0.25
    assert drawn.noise_at(encoded_settings(50, 12)).mean(axis=0) == pytest.approx(0.1, rel=0.35)


def test_the_mean_over_settings_is_that_of_their_sums(drawn: Draws) -> None:
    fresh = encoded_settings(30, 13)
    assert drawn.mean_at(fresh) == pytest.approx(drawn.at(fresh).mean(axis=1))
