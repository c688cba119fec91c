"""Forecasts as the study log keeps them."""

from typing import Protocol

from greenopt.forecast.amounts import Amount, StudyForecast


class KeptAmount(Protocol):
    """A quantity in the study log."""

    @property
    def expected(self) -> float:
        """See `Amount`."""
        ...

    @property
    def low(self) -> float:
        """See `Amount`."""
        ...

    @property
    def high(self) -> float:
        """See `Amount`."""
        ...


class KeptForecast(Protocol):
    """A forecast in the study log; see `greenopt.runs.study_log.ForecastMade`."""

    @property
    def energy_wh(self) -> KeptAmount | None:
        """In Wh."""
        ...

    @property
    def left_s(self) -> KeptAmount | None:
        """In s."""
        ...

    @property
    def ended(self) -> int:
        """Trials that it rests on."""
        ...

    @property
    def left(self) -> int:
        """Trials that had yet to end."""
        ...

    @property
    def is_estimate(self) -> bool:
        """Whether it rests on an estimated energy."""
        ...


def forecast_kept(kept: KeptForecast, passed_s: float = 0.0) -> StudyForecast:
    """Return a forecast of the study log, with the time left counted down by what has passed since, in s."""
    left_s = _amount(kept.left_s, max(0.0, passed_s))
    return StudyForecast(_amount(kept.energy_wh), left_s, kept.ended, kept.left, kept.is_estimate)


def _amount(kept: KeptAmount | None, passed: float = 0.0) -> Amount | None:
    if kept is None:
        return None
    return Amount(*(max(0.0, value - passed) for value in (kept.expected, kept.low, kept.high)))
