"""Every case of the acceptance table holds."""

import pytest

from tests.unit.energy.acceptance import CASES, Case


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.__name__.removeprefix("case_"))
def test_the_case_holds(case: Case) -> None:
    broken = [finding for finding in case() if not finding.holds]
    assert not broken
