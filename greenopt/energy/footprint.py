"""Carbon dioxide and cost of a study's energies, by the electricity stated in its file.

Invariant: derived where it is shown, never stored, so that a price can be added to a study that has run.
"""

from dataclasses import dataclass
from typing import Self

from greenopt.energy import carbon
from greenopt.energy.carbon import carbon_g, cost, g_per_kwh
from greenopt.formatting import significant
from greenopt.spec import EnergySpec


@dataclass(frozen=True)
class Footprint:
    """Carbon intensity and price of the electricity; None where the study does not say.

    Attributes:
        g_per_kwh: grams of CO2 equivalent per kWh.
        origin: where that figure is from, in words.
        price_per_kwh: in `currency`.
    """

    g_per_kwh: float | None = None
    origin: str = ""
    price_per_kwh: float | None = None
    currency: str = ""

    @classmethod
    def from_spec(cls, spec: EnergySpec) -> Self:
        """Return the footprint of a study's electricity.

        Raises:
            UsageError: the table of countries does not have the study's.
        """
        intensity, origin = spec.carbon_g_per_kwh, "the study's carbon_g_per_kwh"
        if spec.country is not None:
            intensity = g_per_kwh(spec.country)
            origin = f"{spec.country.upper()} {carbon.YEAR}, {carbon.SOURCE}"
        return cls(intensity, origin if intensity is not None else "", spec.price_per_kwh, spec.currency)

    @property
    def is_known(self) -> bool:
        """Return whether anything is known of the electricity."""
        return self.g_per_kwh is not None or self.price_per_kwh is not None

    def carbon_g(self, energy_wh: float | None) -> float | None:
        """Grams of CO2 equivalent of an energy in Wh; None where either is unknown."""
        return None if self.g_per_kwh is None else carbon_g(energy_wh, self.g_per_kwh)

    def cost(self, energy_wh: float | None) -> float | None:
        """Price of an energy in Wh; None where either is unknown."""
        return None if self.price_per_kwh is None else cost(energy_wh, self.price_per_kwh)

    def format(self, energy_wh: float | None) -> str:
        """Format carbon and cost, such as `4.7 g CO2e, 0.0012 EUR`; empty if nothing is known."""
        grams, price = self.carbon_g(energy_wh), self.cost(energy_wh)
        parts = [] if grams is None else [f"{significant(grams)} g CO2e"]
        parts += [] if price is None else [f"{significant(price)} {self.currency}".rstrip()]
        return ", ".join(parts)
