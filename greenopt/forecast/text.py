"""Forecasts in words."""

from greenopt.energy.footprint import Footprint
from greenopt.forecast.amounts import Amount, StudyForecast
from greenopt.formatting import significant

_ENERGIES = ((1e6, "MWh"), (1e3, "kWh"), (1.0, "Wh"))
_DURATIONS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_CARBONS = ((1e6, "t"), (1e3, "kg"), (1.0, "g"), (1e-3, "mg"))
_DAYS_FROM_S = 2 * 86400


def format_amount(amount: Amount) -> str:
    """Format an energy in Wh with its interval of 90 %: `1.2 kWh (0.9 to 1.8)`."""
    factor, unit = _unit(amount.expected, _ENERGIES)
    return f"{_number(amount.expected / factor)} {unit} {_interval(amount, factor)}"


def format_duration(amount: Amount) -> str:
    """Format a time in s with its interval of 90 %: `3.4 h (2.9 to 4.2)`."""
    units = _DURATIONS if amount.expected >= _DAYS_FROM_S else _DURATIONS[1:]
    factor, unit = _unit(amount.expected, units)
    return f"{_number(amount.expected / factor)} {unit} left {_interval(amount, factor)}"


def format_forecast(forecast: StudyForecast, footprint: Footprint, *, with_time: bool = True) -> str:
    """Format a forecast: `1.2 kWh (0.9 to 1.8), 3.4 h left (2.9 to 4.2), 0.5 kg CO2e, 0.36 EUR`; empty if unknown."""
    parts = []
    if forecast.energy_wh is not None:
        text = format_amount(forecast.energy_wh)
        parts.append(f"~{text} est." if forecast.is_estimate else text)
    if with_time and forecast.left_s is not None and forecast.left:
        parts.append(format_duration(forecast.left_s))
    if forecast.energy_wh is not None:
        parts += _footprint(forecast.energy_wh, footprint)
    return ", ".join(parts)


def _footprint(energy_wh: Amount, footprint: Footprint) -> list[str]:
    grams, price = footprint.carbon_g(energy_wh.expected), footprint.cost(energy_wh.expected)
    parts = []
    if grams is not None:
        factor, unit = _unit(grams, _CARBONS)
        parts.append(f"{_number(grams / factor)} {unit} CO2e")
    if price is not None:
        parts.append(f"{significant(price, 2)} {footprint.currency}".rstrip())
    return parts


def _interval(amount: Amount, factor: float) -> str:
    return f"({_number(amount.low / factor)} to {_number(amount.high / factor)})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else significant(value, 2)


def _unit(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    return next((one for one in units if value >= one[0] * 0.995), units[-1])
