"""Carbon and cost."""

import pytest

from greenopt.energy.carbon import G_PER_KWH, carbon_g, cost, g_per_kwh
from greenopt.errors import UsageError


def test_energy_becomes_grams_and_money() -> None:
    assert carbon_g(2500.0, 400) == pytest.approx(1000)
    assert cost(2500.0, 0.30) == pytest.approx(0.75)


def test_what_was_not_measured_has_neither() -> None:
    assert carbon_g(None, 400) is None
    assert cost(None, 0.30) is None


def test_a_country_is_found_in_either_case_and_an_unknown_one_named() -> None:
    assert g_per_kwh("fr") == g_per_kwh("FR") == 56
    with pytest.raises(UsageError, match=r"country: XX: .*carbon_g_per_kwh"):
        g_per_kwh("XX")


def test_the_table_holds_two_letter_codes_and_plausible_figures() -> None:
    assert all(len(code) == 2 and code.isupper() and 20 <= grams <= 1000 for code, grams in G_PER_KWH.items())
