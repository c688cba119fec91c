"""On data made with known effects intervals cover and false findings are rare; scripts/analysis_check has figures."""

import pytest

from tests.known_effects import Repeated, repeated


@pytest.fixture(scope="module")
def studies() -> list[Repeated]:
    return repeated(repetitions=40, trials=120)


def test_intervals_cover_the_truth(studies: list[Repeated]) -> None:
    for row in studies:
        assert row.coverage == pytest.approx(0.95, abs=0.02)
        assert 0.94 <= row.robust_coverage <= 0.99


def test_false_findings_are_rare(studies: list[Repeated]) -> None:
    """At 5 %, more than 6 of 40 studies have one in 1 of 300 sets of studies; without correction most of them have."""
    for row in studies:
        assert row.false_findings <= 4 / 40
        assert max(row.false_values, row.false_robust, row.false_parameters, row.false_pairs) <= 6 / 40
