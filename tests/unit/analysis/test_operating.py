"""A small version of `scripts/analysis_check operating`: what is settled is right, and clear savings are seen."""

import numpy as np
import pytest

from tests.made_studies.families import build
from tests.made_studies.operating import Judged, Share, advice_on, is_dominated, judge

STUDIES = 4


@pytest.fixture(scope="module")
def judged() -> dict[str, list[Judged]]:
    return {
        family: [judge(build(family, 40 + i, 60), follow=False) for i in range(STUDIES)]
        for family in ("additive", "null", "failing", "inert")
    }


def test_what_is_settled_is_right(judged: dict[str, list[Judged]]) -> None:
    """At 5 %, two of 16 studies would be wrong in one of five sets; three in one of twenty."""
    assert sum(one.wrong_settled for studies in judged.values() for one in studies) <= 2


def test_likely_is_rare_where_there_is_nothing(judged: dict[str, list[Judged]]) -> None:
    assert sum(one.wrong_likely for one in judged["null"]) <= 1


def test_the_advised_setting_is_hardly_dominated_by_one_that_ran(judged: dict[str, list[Judged]]) -> None:
    """At 10 %, five of 16 advised settings would be dominated in one of a hundred sets; once it was every fourth."""
    advised = [one for studies in judged.values() for one in studies if not one.has_none]
    assert len(advised) == 4 * STUDIES
    assert sum(bool(one.is_dominated) for one in advised) <= 4


def test_equal_settings_do_not_dominate_one_another() -> None:
    made = build("null", 40, 60)
    assert not is_dominated(made, made.spec.space.baseline)
    additive = build("additive", 40, 60)
    assert is_dominated(additive, additive.spec.space.baseline)
    assert not is_dominated(additive, additive.spec.space.baseline, 5.0, 0.9)


def test_a_share_has_the_standard_error_of_its_studies() -> None:
    share = Share.of([1, 0, 0, 0], [1] * 4)
    assert (share.value, share.error) == (0.25, pytest.approx(0.25))
    assert Share.of([0] * 4, [1] * 4).error == pytest.approx(0.125), "none in four is not known to be none"
    assert np.isnan(Share.of([0], [0]).value)


def test_clear_savings_of_sixty_trials_are_seen(judged: dict[str, list[Judged]]) -> None:
    seen = [one for family in ("additive", "inert") for one in judged[family]]
    assert sum(one.savings for one in seen) >= STUDIES
    assert sum(one.missed for one in seen) <= 0.35 * sum(one.savings for one in seen)


@pytest.mark.parametrize("family", ["additive", "failing"])
def test_thirty_trials_are_not_refused(family: str) -> None:
    """31 columns cannot be fitted to 30 trials; a batch size that saves most of the energy is plain all the same."""
    assert judge(build(family, 41, 30), follow=False).is_dominated is not None


def test_a_parameter_is_answered_whose_values_amount_to_one_another() -> None:
    """One of the four precisions amounts to another one throughout: that is no reason to leave the question open."""
    confidences = [
        {one.parameter: one.confidence for one in advice_on(build("null", 40 + i, 60)).values} for i in range(2)
    ]
    assert any(found["precision"] in ("no_matter", "little_to_gain") for found in confidences)
