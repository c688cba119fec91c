"""Reads what an objective function returned as figures by name: each is kept, and is what it is named, or is refused.

A figure that greenopt knows keeps its meaning and its range; any other is a number of the user's own.
"""

from collections.abc import Mapping
from typing import Any

from greenopt.spec import FRACTIONS, MEASURED, Metric, TrialSpec
from greenopt.spec.objectives import NAME
from greenopt.storage.rows import COLUMNS, NUMBERS, TEXTS
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.reported_metrics import fraction, number

_OWN = {*FRACTIONS, *Metric} - {*MEASURED, Metric.TRAIN_ACCURACY}
"""Figures that greenopt knows and that a function may return."""

_TAKEN = {*COLUMNS, *NUMBERS, *TEXTS, *Metric, "began", "ended"} - _OWN
"""Figures that greenopt finds itself."""

_MAY_BE_ANY = "give one number, or a mapping of figures by name"


def function_figures(spec: TrialSpec, returned: object) -> dict[str, float]:
    """Return the figures of a function as floats by name; NaN where it had none.

    Args:
        spec: the trial: its function, the figures that it must have, their ranges.
        returned: a mapping of figures, or one number: the accuracy, or the study's one objective that is not measured.

    Raises:
        WrongSettingError: a figure is no number, not in its range, greenopt's own, or one that the study optimises is
            not there.
    """
    where = f"study.objective: {spec.objective}"
    wanted = [str(name) for name in spec.objectives if name not in MEASURED and name != Metric.TRAIN_ACCURACY]
    given = returned if isinstance(returned, Mapping) else {_only(wanted, where): returned}
    _check_names(given, spec, where)
    missing = [name for name in wanted if name not in given]
    if missing:
        names = ", ".join(map(str, given)) or "an empty mapping"
        raise WrongSettingError(f"{where} returned {names}; the study's objectives need {', '.join(missing)} too")
    for name in wanted:
        if given[name] is None:
            raise WrongSettingError(f"{where} returned None; expected {_described(name)}; {_MAY_BE_ANY}")
    return {str(name): _figure(str(name), v, spec, where) for name, v in given.items() if v is not None}


def _only(wanted: list[str], where: str) -> str:
    """Return the name of a figure that was returned without one."""
    if Metric.ACCURACY in wanted or not wanted:
        return Metric.ACCURACY
    if len(wanted) > 1:
        raise WrongSettingError(f"{where} returned no mapping; return one with {', '.join(wanted)}")
    return wanted[0]


def _check_names(given: Mapping[Any, Any], spec: TrialSpec, where: str) -> None:
    for name in given:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise WrongSettingError(f"{where} returned {name!r}: a figure's name has letters, digits and _")
        if name in _TAKEN:
            raise WrongSettingError(
                f"{where} returned {name}, which is the name of a figure of greenopt's own; rename it"
            )
        if name in spec.parameters:
            raise WrongSettingError(f"{where} returned {name}, which is a parameter of [space]; rename it")


def _figure(name: str, given: object, spec: TrialSpec, where: str) -> float:
    if name in FRACTIONS:
        return fraction(name, given, where)
    value = number(name, given, where)
    bounds = spec.ranges.get(name)
    if bounds is not None and (value < bounds.low or value > bounds.high):
        span = f"{bounds.low:g} to {bounds.high:g}"
        raise WrongSettingError(f"{where}: {name} {value:.6g}: is outside its range of {span} (objectives.{name})")
    return value


def _described(name: str) -> str:
    return "the validation accuracy, a number 0..1" if name == Metric.ACCURACY else f"{name}, a number"
