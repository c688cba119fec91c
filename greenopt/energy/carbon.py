"""Converts energy to carbon dioxide and cost, without network access.

The table holds one year's average of each country's electricity, so it says what a kWh was like there in that year,
not at the hour of a training. Only the metered device is in it: no host, cooling or production of the hardware.
"""

from greenopt.errors import UsageError

SOURCE = "Ember, Energy Institute; processed by Our World in Data: carbon intensity of electricity"
YEAR = 2023

# Grams of CO2 equivalent per kWh of electricity, over the plants' life cycle; ISO 3166-1 alpha-2 codes.
G_PER_KWH: dict[str, int] = {
    "AR": 354, "AT": 111, "AU": 549, "BE": 138, "BG": 335, "BR": 98, "CA": 170, "CH": 35, "CL": 291, "CN": 582,
    "CO": 260, "CZ": 450, "DE": 381, "DK": 152, "EE": 417, "ES": 174, "FI": 79, "FR": 56, "GB": 238, "GR": 337,
    "HR": 205, "HU": 204, "IE": 291, "IN": 713, "IT": 331, "JP": 485, "KR": 431, "LT": 160, "LU": 105, "LV": 123,
    "MX": 507, "NL": 268, "NO": 30, "NZ": 113, "PH": 611, "PL": 662, "PT": 166, "RO": 241, "RS": 636, "RU": 441,
    "SE": 41, "SG": 471, "SI": 231, "SK": 117, "TH": 550, "TR": 465, "TW": 642, "US": 369, "VN": 475, "ZA": 708,
}  # fmt: skip


def g_per_kwh(country: str) -> int:
    """Carbon intensity of a country's electricity.

    Args:
        country: ISO 3166-1 alpha-2 code, such as `DE`, in either case.

    Returns:
        Grams of CO2 equivalent per kWh, average of `YEAR`.

    Raises:
        UsageError: the table has no such country.
    """
    try:
        return G_PER_KWH[country.upper()]
    except KeyError:
        raise UsageError(
            f"country: {country}: not in the table of {YEAR}; known: {', '.join(G_PER_KWH)}; "
            "or give carbon_g_per_kwh yourself"
        ) from None


def carbon_g(energy_wh: float | None, g_per_kwh: float) -> float | None:
    """Carbon dioxide in g for an energy in Wh; None where the energy is."""
    return None if energy_wh is None else energy_wh / 1000 * g_per_kwh


def cost(energy_wh: float | None, price_per_kwh: float) -> float | None:
    """Price of an energy in Wh, in the currency of `price_per_kwh`; None where the energy is."""
    return None if energy_wh is None else energy_wh / 1000 * price_per_kwh
