"""A comparison as one JSON document, whose documented keys do not change; what has no value is null."""

import dataclasses
import math
from typing import Any

from greenopt.analysis.results import Ranked
from greenopt.comparison.compare import Comparison, Side
from greenopt.comparison.equal_settings import Difference, Estimate

VERSION = 1

_ALWAYS = ("accuracy", "energy", "efficiency")


def build_comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Build the document from plain dictionaries, lists, texts and numbers."""
    return {
        "version": VERSION,
        "energy": comparison.energy,
        "hypervolume_reference": {
            "accuracy": 0.0,
            "least_energy_wh": comparison.least_energy_wh,
            "energy_wh": comparison.reference_energy_wh,
        },
        "studies": [_study(side) for side in comparison.sides],
        "differences": [_difference(one) for one in comparison.differences],
        "cautions": list(comparison.cautions),
    }


def _study(side: Side) -> dict[str, Any]:
    study = side.study
    return {
        "study": study.name,
        "counts": dataclasses.asdict(study.counts),
        "best": {name: _ranked(side.best.get(name)) for name in dict.fromkeys((*_ALWAYS, *side.best))},
        "pareto": [_ranked(one) for one in side.front],
        "hypervolume": side.hypervolume,
        "objectives": {str(metric): str(way) for metric, way in study.spec.objectives.items()},
        "epochs": study.spec.training.epochs,
        "data": study.spec.data.label if study.spec.data is not None else None,
        "model": study.spec.study.objective or study.spec.training.model,
        "sampler": str(study.spec.sampler.name),
        "energy_sources": list(study.values("energy_source")),
        "gpus": list(study.values("gpu_name") or study.environment.gpus),
        "drivers": list(study.environment.drivers),
        "hosts": list(study.values("host") or study.environment.hosts),
        "versions": {name: list(values) for name, values in study.environment.facts},
        "code": study.code,
        "code_ids": list(study.values("code_id")),
        "data_ids": list(study.values("data_id")),
    }


def _ranked(one: Ranked | None) -> dict[str, Any] | None:
    return None if one is None else {**dataclasses.asdict(one), "params": dict(one.params)}


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "first": one.first,
        "other": one.other,
        "shared_parameters": list(one.shared),
        "unshared_parameters": list(one.unshared),
        "settings": one.settings,
        "accuracy_change": _estimate(one.accuracy),
        "energy_ratio": _estimate(one.log_energy, is_log=True),
    }


def _estimate(one: Estimate | None, *, is_log: bool = False) -> dict[str, Any] | None:
    if one is None:
        return None
    shown = {
        name: _finite(math.exp(min(value, 700.0)) if is_log else value) if value is not None else None
        for name, value in (("mean", one.mean), ("low", one.low), ("high", one.high))
    }
    return {"n": one.n, **shown}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
