"""An analysis as one JSON document, whose documented keys do not change.

Invariant: what has no value is null; there is no NaN and no infinity in it.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from greenopt.analysis.results import Analysis, Descriptive, Importance, Ranked, Regression

VERSION = 1

# Keys of the document stay as they were when a field is renamed: programs of users read them.
_KEYS = {"text": "words", "confidence": "sureness"}


def build_document(analysis: Analysis) -> dict[str, Any]:
    """Build the document from plain dictionaries, lists, texts and numbers."""
    hypervolume = analysis.hypervolume
    document = {
        "version": VERSION,
        "study": analysis.study.name,
        "counts": analysis.counts,
        "exclusions": analysis.exclusions,
        "descriptive": {name: _figures(column) for name, column in analysis.descriptive.items()},
        "ranking": {name: [_ranked(row) for row in rows] for name, rows in analysis.ranking.items()},
        "pareto": [_ranked(row) for row in analysis.pareto],
        "hypervolume": hypervolume.value,
        "hypervolume_reference": {
            "accuracy": 0.0,
            "energy_wh": hypervolume.reference_energy_wh,
            "least_energy_wh": hypervolume.least_energy_wh,
            "scale": "log",
        },
        "hypervolume_box": {name: {"worse": ends[0], "better": ends[1]} for name, ends in hypervolume.box.items()},
        "objectives": {str(name): str(way) for name, way in analysis.study.objectives.items()},
        "hypervolume_after": [{"trial": trial, "hypervolume": value} for trial, value in hypervolume.after.items()],
        "correlations": analysis.correlations,
        "regression": {
            str(response): {str(coding): _regression(fitted) for coding, fitted in codings.items()}
            for response, codings in analysis.regressions.items()
        },
        "refused": [
            {"response": str(response), "coding": str(coding), "reason": reason}
            for (response, coding), reason in analysis.refused.items()
        ],
        "importance": _importance(analysis.importance),
        "failures": [{**dataclasses.asdict(one), "share": one.share} for one in analysis.failures],
        "advice": analysis.advice,
        "notes": analysis.footnotes,
    }
    return {name: _plain(value) for name, value in document.items()}


def _figures(column: Descriptive) -> dict[str, Any]:
    metrics = dataclasses.asdict(column)
    return {"min": metrics.pop("minimum"), "max": metrics.pop("maximum"), **metrics}


def _ranked(row: Ranked) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "params": dict(row.params)}


def _regression(fitted: Regression) -> dict[str, Any]:
    fields = {field.name: getattr(fitted, field.name) for field in dataclasses.fields(fitted)}
    alternatives = [
        {
            "method": other.method,
            "n": other.n,
            "words": other.text,
            "coefficients": [
                {"name": name, "coef": coef, "std_err": error, "p": p}
                for name, (coef, error, p) in other.coefficients.items()
            ],
        }
        for other in fitted.alternatives
    ]
    fitted_values = [{"trial": trial, "value": value} for trial, value in fitted.fitted.items()]
    return {**fields, "alternatives": alternatives, "fitted": fitted_values}


def _importance(shares: Sequence[Importance]) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for one in shares:
        found.setdefault(one.objective, {})[one.method] = {
            "shares": dict(one.shares),
            "chance": dict(one.chance),
            "words": one.text,
        }
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            _KEYS.get(field.name, field.name): _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(name): _plain(member) for name, member in value.items()}
    return [_plain(member) for member in value]
