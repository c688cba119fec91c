"""Studies whose effects are known, because they were made: as rows for the analysis, and as folders."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from greenopt.analysis.regression import regress
from greenopt.analysis.results import Coding, Response
from greenopt.analysis.trials import analysed_trials
from greenopt.coordination.verdict import Verdict
from greenopt.events import (
    EpochEnded,
    Event,
    FailReason,
    MeterOpened,
    Outcome,
    Phase,
    PhaseEnded,
    TrialEnded,
    TrialStarted,
)
from greenopt.exchange import Import, ImportedTrial, write_import
from greenopt.exchange.studies import PAPER_SPACE
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import Setting, StudySpec, Value, inert_parameters

Effects = Mapping[tuple[str, Value], float]

ENERGY: Effects = {
    ("batch_size", 32): -1.0,
    ("batch_size", 64): -1.3,
    ("batch_size", 128): -1.5,
    ("internal", "jit_compilation"): -0.4,
    ("internal", "pre_quantization"): 0.6,
    ("precision", "global_policy_float16"): -0.25,
    ("optimizer", "SGD"): -0.15,
}
"""Against the baseline's value, in log Wh; every other value has none."""

MORE_ENERGY: Effects = {
    **ENERGY,
    ("precision", "float32"): 0.05,
    ("optimizer_momentum", 0.9): -0.1,
    ("optimizer_momentum", 0.99): 0.2,
}
"""With effects of values that do nothing in some settings."""

ACCURACY: Effects = {
    ("optimizer", "SGD"): 0.10,
    ("lr", 8e-4): 0.08,
    ("augmentation", "mixup"): -0.06,
    ("batch_size", 128): 0.02,
}
"""Against the baseline's value, as a fraction; every other value has none."""

WITHOUT_EFFECT = {"precision": "float32", "lr_schedule": "constant", "optimizer_momentum": 0.0}
"""What the value of a parameter amounts to where it does nothing; momentum's baseline is 0."""

BASE_LOG_WH, BASE_ACCURACY = 3.0, 0.4
ENERGY_SPREAD, ACCURACY_SPREAD = 0.2, 0.04


def paper_study(trials: int, epochs: int = 50, **study: Any) -> StudySpec:
    """A study of the paper's space."""
    raw = {
        "study": {"name": "known", "trials": trials, **study},
        "data": {"name": "cifar100"},
        "training": {"epochs": epochs, "model": "ResNet50"},
        "space": PAPER_SPACE,
    }
    return StudySpec.model_validate(raw)


def effect(values: Mapping[str, Value], effects: Effects) -> float:
    """The sum of a setting's effects."""
    return sum(effects.get((name, value), 0.0) for name, value in values.items())


def known_rows(
    spec: StudySpec,
    trials: int,
    seed: int,
    energy: Effects = ENERGY,
    accuracy: Effects = ACCURACY,
    *,
    inert: bool = False,
) -> list[dict[str, Any]]:
    """Completed trials of random settings, with additive effects on log energy and on accuracy and normal noise.

    Args:
        spec: the study.
        trials: how many.
        seed: of settings and noise.
        energy: effects on log energy.
        accuracy: effects on accuracy.
        inert: whether values without effect in a setting have none here either.
    """
    generator = np.random.default_rng(seed)
    choices = {name: distribution.values for name, distribution in spec.space.distributions.items()}  # type: ignore[union-attr]
    return [
        _row(
            number,
            {name: values[generator.integers(len(values))] for name, values in choices.items()},
            spec,
            (energy, ENERGY_SPREAD * generator.standard_normal()),
            (accuracy, ACCURACY_SPREAD * generator.standard_normal()),
            is_inert=inert,
        )
        for number in range(trials)
    ]


def _row(
    number: int,
    values: dict[str, Value],
    spec: StudySpec,
    energy: tuple[Effects, float],
    accuracy: tuple[Effects, float],
    *,
    is_inert: bool,
) -> dict[str, Any]:
    epochs = spec.training.epochs
    inert = inert_parameters(Setting(**values), spec.training)
    acting: dict[str, Any] = {**values, **{name: WITHOUT_EFFECT[name] for name in inert}} if is_inert else values
    energy_wh = math.exp(BASE_LOG_WH + effect(acting, energy[0]) + energy[1])
    reached = BASE_ACCURACY + effect(acting, accuracy[0]) + accuracy[1]
    return {
        "trial": number,
        "state": "complete",
        **values,
        "accuracy": reached,
        "energy_wh": energy_wh,
        "energy_source": "nvml_counter",
        "wh_per_epoch": energy_wh / epochs,
        "efficiency": reached / (energy_wh / epochs),
        "seconds": 60.0 * epochs,
        "epochs_done": epochs,
        "inert": " ".join(inert) or None,
    }


def write_known_study(
    runs: Path, trials: int, epochs: int = 3, seed: int = 1, pruned: int = 0, failed: int = 0, name: str = "known"
) -> Path:
    """A study folder of completed trials with these effects, the last ones stopped early or failed.

    Args:
        runs: the folder that holds studies.
        trials: how many, those that ended early included.
        epochs: of each trial.
        seed: of settings and noise.
        pruned: how many stopped early.
        failed: how many failed, after their first epoch.
        name: of the study.

    Returns:
        The study's folder.
    """
    spec = paper_study(trials, epochs, name=name)
    rows = known_rows(spec, trials, seed)
    early = trials - pruned - failed
    imported = tuple(_imported(row, spec, _verdict(number, early, early + pruned)) for number, row in enumerate(rows))
    return write_import(Import(spec, imported, {}), runs)


def _verdict(number: int, first_early: int, first_failed: int) -> Verdict:
    if number >= first_failed:
        return Verdict(Outcome.FAILED, FailReason.CRASH, "its process exited with 1: made to")
    if number >= first_early:
        return Verdict(Outcome.DIVERGED, "diverged", "made to")
    return Verdict(Outcome.COMPLETED)


def _imported(row: dict[str, Any], spec: StudySpec, verdict: Verdict) -> ImportedTrial:
    began = datetime(2026, 1, 1) + timedelta(hours=row["trial"])
    epochs = spec.training.epochs if verdict.outcome is Outcome.COMPLETED else 1
    return ImportedTrial(
        run=str(row["trial"]),
        values={name: row[name] for name in spec.space.distributions},
        verdict=verdict,
        events=tuple(_events(row, spec, verdict, epochs, began)),
        began=began,
        ended=began + timedelta(seconds=60 * epochs),
    )


def _events(row: dict[str, Any], spec: StudySpec, verdict: Verdict, epochs: int, began: datetime) -> list[Event]:
    per_epoch = EnergyReading(energy_wh=row["wh_per_epoch"], source=EnergySource.NVML_COUNTER, seconds=60.0)
    energy = EnergyReading(
        energy_wh=row["wh_per_epoch"] * epochs, source=EnergySource.NVML_COUNTER, seconds=60.0 * epochs
    )
    events: list[Event] = [
        TrialStarted(t_s=0, utc=began.isoformat(), trial=row["trial"], pid=1, host="made"),
        MeterOpened(t_s=0, device="made", source=EnergySource.NVML_COUNTER, idle_origin="made"),
    ]
    accuracy = max(0.0, min(1.0, row["accuracy"]))
    events += [
        EpochEnded(
            t_s=60.0 * number,
            epoch=number,
            epochs=spec.training.epochs,
            seconds=60.0,
            loss=1 / number,
            accuracy=accuracy * number / epochs,
            val_loss=1.1 / number,
            val_accuracy=accuracy * number / epochs,
            lr=0.1,
            energy=per_epoch,
        )
        for number in range(1, epochs + 1)
    ]
    is_complete = verdict.outcome is Outcome.COMPLETED
    if is_complete:
        events.append(PhaseEnded(t_s=60.0 * epochs, phase=Phase.TRAIN, energy=energy))
    events.append(
        TrialEnded(
            t_s=60.0 * epochs,
            outcome=verdict.outcome,
            accuracy=accuracy if is_complete else None,
            energy=energy,
            total=energy,
            reason=str(verdict.reason) if verdict.reason else None,
            message=verdict.message,
        )
    )
    return events


@dataclass(frozen=True)
class Repeated:
    """What many studies with the same known effects come to; shares 0..1.

    Attributes:
        truth: whether values without effect in a setting had one.
        coverage, robust_coverage: share of true effects inside their 95 % interval, plain and HC3.
        false_values, false_robust: share of studies with a value that has no effect and is found to have one after
            Holm's correction, plain and HC3.
        false_findings: by both, which is what counts as a finding.
        false_parameters, false_pairs: the same of whole parameters and of interactions, of which there are none.
    """

    truth: str
    response: Response
    coding: Coding
    coverage: float
    robust_coverage: float
    false_values: float
    false_robust: float
    false_findings: float
    false_parameters: float
    false_pairs: float


def repeated(repetitions: int, trials: int) -> list[Repeated]:
    """Analyse many studies of each kind."""
    found = []
    for coding, inert in ((Coding.TREATMENT, False), (Coding.EFFECTIVE, True)):
        for response, effects in ((Response.LOG_ENERGY_WH, MORE_ENERGY), (Response.ACCURACY, ACCURACY)):
            studies = [_judged(seed, trials, response, coding, effects, inert=inert) for seed in range(repetitions)]
            means = np.mean(studies, axis=0)
            truth = "values that do nothing have no effect" if inert else "every value has its effect in every setting"
            found.append(Repeated(truth, response, coding, *(float(mean) for mean in means)))
    return found


def _judged(
    seed: int, trials: int, response: Response, coding: Coding, effects: Effects, *, inert: bool
) -> tuple[float, ...]:
    spec = paper_study(trials)
    rows = known_rows(spec, trials, seed, MORE_ENERGY, inert=inert)
    fitted = regress(analysed_trials(spec, rows), spec, [response], [coding]).fitted[response][coding]
    values = [
        (row, effects.get((row.parameter, row.value), 0.0))
        for row in fitted.coefficients
        if row.parameter is not None and row.value is not None
    ]
    inside = [row.low <= truth <= row.high for row, truth in values]
    robust = [
        row.hc3_low <= truth <= row.hc3_high
        for row, truth in values
        if row.hc3_low is not None and row.hc3_high is not None
    ]
    nothing = [row for row, truth in values if truth == 0]
    idle = [row for row in fitted.anova if row.parameter not in {name for name, _ in effects}]
    return (
        float(np.mean(inside)),
        float(np.mean(robust)),
        float(any(_is_below(row.p_holm) for row in nothing)),
        float(any(_is_below(row.hc3_p_holm) for row in nothing)),
        float(any(row.is_clear for row in nothing)),
        float(any(_is_below(row.p_holm) for row in idle)),
        float(any(_is_below(row.p_holm) for row in fitted.interactions)),
    )


def _is_below(p: float | None) -> bool:
    return p is not None and p < 0.05
