"""What early stops saved in a study, and how often the rule was wrong, from the rows of its trials."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from greenopt.events import StopReason
from greenopt.formatting import counted, format_energy
from greenopt.pareto import Point, pareto_front
from greenopt.reading import EnergySource
from greenopt.storage.trial_state import TrialState

LEVEL = 0.95

_BY_RULE = (StopReason.DOMINATED, StopReason.NOT_WORTH_ENERGY, StopReason.HALVED)


@dataclass(frozen=True)
class StopTally:
    """The early stops of a study.

    Attributes:
        stopped: trials that the rule stopped.
        not_started: trials that it refused.
        at_chance: trials that were stuck at chance, whatever the rule.
        saved_wh: energy that stopped and refused trials would have taken beyond what they took, in Wh: a forecast.
        is_estimate: whether one of the energies is an estimate.
        audited: trials that the rule would have stopped and that were trained to their end.
        wrong: those of them that are on the front.
        wrong_low, wrong_high: 95 % interval (Wilson) of the share of wrong stops; None where nothing was audited.
    """

    stopped: int
    not_started: int
    at_chance: int
    saved_wh: float
    is_estimate: bool
    audited: int
    wrong: int
    wrong_low: float | None
    wrong_high: float | None


def tally_stops(rows: Iterable[Mapping[Any, Any]]) -> StopTally | None:
    """Count the early stops of a study by the rows of its trials; None where there were none, and none was decided."""
    rows = list(rows)
    reasons = [row.get("stop_reason") for row in rows]
    by_rule = [row for row in rows if row.get("stop_reason") in (*_BY_RULE, StopReason.NOT_STARTED)]
    audited = [int(row["trial"]) for row in rows if isinstance(row.get("audited"), str)]
    if not by_rule and not audited and StopReason.AT_CHANCE not in reasons:
        return None
    front = _front(rows) if audited else set()
    wrong = sum(1 for trial in audited if trial in front)
    saved = (_number(row, "forecast_wh") - _number(row, "energy_wh") for row in by_rule)
    low, high = _interval(wrong, len(audited))
    return StopTally(
        stopped=sum(1 for row in by_rule if row["stop_reason"] != StopReason.NOT_STARTED),
        not_started=reasons.count(StopReason.NOT_STARTED),
        at_chance=reasons.count(StopReason.AT_CHANCE),
        saved_wh=sum(max(0.0, one_wh) for one_wh in saved),
        is_estimate=any(row.get("energy_source") == EnergySource.ESTIMATE for row in rows),
        audited=len(audited),
        wrong=wrong,
        wrong_low=low,
        wrong_high=high,
    )


def _front(rows: Iterable[Mapping[Any, Any]]) -> set[int]:
    """Return the numbers of the trials on the front of accuracy against energy."""
    complete = (row for row in rows if row["state"] == TrialState.COMPLETE and _number(row, "energy_wh") > 0)
    points = [Point(_number(row, "energy_wh"), _number(row, "accuracy"), int(row["trial"])) for row in complete]
    return {point.trial for point in pareto_front(points)}


def _number(row: Mapping[Any, Any], name: str) -> float:
    """Return a figure of a trial; 0 where it has none (rows of a table have NaN there)."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and value == value else 0.0


def _interval(wrong: int, audited: int) -> tuple[float | None, float | None]:
    if not audited:
        return None, None
    from scipy import stats

    interval = stats.binomtest(wrong, audited).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def format_tally(tally: StopTally) -> str:
    """Format the early stops of a study in one sentence."""
    parts = []
    if tally.stopped or tally.not_started:
        saved = format_energy(tally.saved_wh, EnergySource.ESTIMATE if tally.is_estimate else None)
        parts.append(
            f"the stopping rule stopped {counted(tally.stopped)} early and did not start {tally.not_started}, which by "
            f"forecast would have taken {saved} more"
        )
    if tally.at_chance:
        parts.append(f"{counted(tally.at_chance)} stopped that {'was' if tally.at_chance == 1 else 'were'} at chance")
    if tally.audited:
        parts.append(
            f"of {counted(tally.audited)} that it would have stopped and that ran on as an audit, {tally.wrong} came "
            f"to the front (95 % interval {tally.wrong_low:.0%} to {tally.wrong_high:.0%})"
        )
    return "; ".join(parts)
