"""A small version of `scripts/analysis_check operating`: what is settled is right, and clear savings are seen."""

import pytest

from tests.made_studies.families import build
from tests.made_studies.operating import Judged, judge

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


def test_clear_savings_of_sixty_trials_are_seen(judged: dict[str, list[Judged]]) -> None:
    seen = [one for family in ("additive", "inert") for one in judged[family]]
    assert sum(one.savings for one in seen) >= STUDIES
    assert sum(one.missed for one in seen) <= 0.35 * sum(one.savings for one in seen)


@pytest.mark.parametrize("family", ["additive", "failing"])
def test_thirty_trials_are_not_refused(family: str) -> None:
    """31 columns cannot be fitted to 30 trials; a batch size that saves most of the energy is plain all the same."""
    assert judge(build(family, 41, 30), follow=False).is_dominated is not None
