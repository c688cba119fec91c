"""What a study optimises: figures of a trial by name, each with its direction and, where it has one, its range."""

import difflib
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, TypeAlias

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from greenopt.errors import shortened, shown
from greenopt.plain_text import printable

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""Of a figure of one's own, which is a column, and a key of a TOML table, too."""


class Metric(StrEnum):
    """A figure of a trial that can be an objective; units as in `greenopt/docs/numbers.md`."""

    ACCURACY = "accuracy"
    ENERGY_WH = "energy_wh"
    TOTAL_WH = "total_wh"
    WH_PER_EPOCH = "wh_per_epoch"
    EFFICIENCY = "efficiency"
    F1_MACRO = "f1_macro"
    RECALL_MACRO = "recall_macro"
    TOP5_ACCURACY = "top5_accuracy"
    LATENCY_MS = "latency_ms"
    LATENCY_P95_MS = "latency_p95_ms"
    INFERENCE_MJ = "inference_mj"
    PARAMETERS = "parameters"
    SIZE_BYTES = "size_bytes"
    PEAK_MEMORY_BYTES = "peak_memory_bytes"
    NET_ENERGY_WH = "net_energy_wh"
    SETUP_WH = "setup_wh"
    SECONDS = "seconds"
    TOTAL_S = "total_s"
    AVG_POWER_W = "avg_power_w"
    TRAIN_ACCURACY = "train_accuracy"


FRACTIONS = (
    *(Metric.ACCURACY, Metric.F1_MACRO, Metric.RECALL_MACRO, Metric.TOP5_ACCURACY, Metric.TRAIN_ACCURACY),
    "test_accuracy",
)
"""Figures of 0..1, of which more is better."""

OF_A_MODEL = (
    *(Metric.F1_MACRO, Metric.RECALL_MACRO, Metric.TOP5_ACCURACY),
    *(Metric.LATENCY_MS, Metric.LATENCY_P95_MS, Metric.INFERENCE_MJ),
    *(Metric.PARAMETERS, Metric.SIZE_BYTES, Metric.PEAK_MEMORY_BYTES),
)
"""Figures that a trial's own process says; those of greenopt's training, and an objective function may return them."""

MEASURED = tuple(metric for metric in Metric if metric not in (*OF_A_MODEL, Metric.ACCURACY, Metric.TRAIN_ACCURACY))
"""Figures that greenopt measures itself, whatever trains."""

UNITS: Mapping[str, str] = {
    Metric.ENERGY_WH: "Wh",
    Metric.TOTAL_WH: "Wh",
    Metric.WH_PER_EPOCH: "Wh",
    Metric.NET_ENERGY_WH: "Wh",
    Metric.SETUP_WH: "Wh",
    Metric.EFFICIENCY: "1/Wh",
    Metric.LATENCY_MS: "ms",
    Metric.LATENCY_P95_MS: "ms",
    Metric.INFERENCE_MJ: "mJ",
    Metric.SIZE_BYTES: "bytes",
    Metric.PEAK_MEMORY_BYTES: "bytes",
    Metric.SECONDS: "s",
    Metric.TOTAL_S: "s",
    Metric.AVG_POWER_W: "W",
}
"""Units of figures that have one."""

ALSO: Mapping[str, str] = {
    "test_accuracy": "is reported and never optimised; choose accuracy, of the validation part",
}


class Direction(StrEnum):
    """Which way is better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


class Bounds(NamedTuple):
    """The least and the largest value that a figure can have."""

    low: float
    high: float


def figure_name(name: str) -> str:
    """Return the name of a figure; a `Metric` where it is one that greenopt knows.

    Raises:
        PydanticCustomError: it is no name, or that of a figure which is no objective.
    """
    if name in ALSO:
        raise PydanticCustomError("objective", "{why}", {"why": ALSO[name]})
    if name in list(Metric):
        return Metric(name)
    if not NAME.fullmatch(name):
        raise PydanticCustomError("objective", "a figure's name has 1 to 64 letters, digits and _, a letter first")
    return name


FigureName: TypeAlias = Annotated[str, AfterValidator(figure_name)]


def known_figures(name: str) -> str:
    """Return what to say about a figure that greenopt does not know: the most similar ones, or all."""
    close = [metric for metric in Metric if metric.startswith(name)] or difflib.get_close_matches(name, list(Metric))
    known = ", ".join(Metric)
    return f"did you mean {close[0]}?" if close else f"known: {known}; a study.objective may return others"


def split_ranges(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the table of objectives into directions and ranges.

    Args:
        raw: name to a direction, or to a table with `direction` and `range`.

    Raises:
        PydanticCustomError: a table has other keys, or no direction.
    """
    directions: dict[str, Any] = {}
    ranges: dict[str, Any] = {}
    for name, value in raw.items():
        if not isinstance(value, dict):
            directions[name] = value
            continue
        if not {"direction"} <= set(value) <= {"direction", "range"}:
            raise _wrong_table(name, value)
        directions[name] = value["direction"]
        if "range" in value:
            ranges[name] = _parsed_range(name, value)
    return directions, ranges


def _parsed_range(name: object, value: Mapping[str, Any]) -> Bounds:
    given = value["range"]
    numbers = given if isinstance(given, list) else []
    if len(numbers) != 2 or any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        raise _wrong_table(name, value)
    return Bounds(*numbers)


def _wrong_table(name: object, value: object) -> PydanticCustomError:
    where = shortened(printable(str(name)), 40)
    right = f'{where} = {{ direction = "minimize", range = [0, 10] }}'
    message = "objectives.{name}: {value}: write {plain} or {right}"
    places = {"name": where, "value": shown(value), "plain": f'{where} = "minimize"', "right": right}
    return PydanticCustomError("objective", message, places)


def bounds_problem(name: str, bounds: Bounds) -> str:
    """Return what is wrong with the bounds of a figure; empty where nothing is."""
    if bounds.low < bounds.high:
        return ""
    return f"objectives.{name}: range = [{bounds.low:g}, {bounds.high:g}]: the first number must be below the second"
