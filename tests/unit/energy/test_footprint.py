"""Carbon and cost of energies, by what the study says of its electricity."""

import pytest

from greenopt.energy.footprint import Footprint
from greenopt.errors import UsageError
from greenopt.spec import EnergySpec


def test_a_country_gives_the_carbon_of_its_electricity() -> None:
    footprint = Footprint.from_spec(EnergySpec(country="de"))
    assert footprint.carbon_g(1000.0) == 381
    assert footprint.origin.startswith("DE 2023")
    assert footprint.cost(1000.0) is None


def test_the_studys_own_figures_come_first() -> None:
    footprint = Footprint.from_spec(EnergySpec(carbon_g_per_kwh=25, price_per_kwh=0.3, currency="EUR"))
    assert footprint.carbon_g(2000.0) == 50
    assert footprint.cost(2000.0) == pytest.approx(0.6)
    assert footprint.format(2000.0) == "50 g CO2e, 0.6 EUR"


def test_what_is_unknown_is_not_said() -> None:
    footprint = Footprint.from_spec(EnergySpec())
    assert not footprint.is_known
    assert footprint.format(5.0) == ""
    assert Footprint.from_spec(EnergySpec(price_per_kwh=0.3)).carbon_g(1.0) is None


def test_an_energy_that_was_not_measured_has_no_carbon() -> None:
    footprint = Footprint.from_spec(EnergySpec(carbon_g_per_kwh=25, price_per_kwh=0.3))
    assert (footprint.carbon_g(None), footprint.cost(None), footprint.format(None)) == (None, None, "")


def test_a_country_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(UsageError, match="country: QQ: not in the table"):
        Footprint.from_spec(EnergySpec(country="QQ"))
