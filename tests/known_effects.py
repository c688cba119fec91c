"""Studies whose effects are known, because they were made: as rows for the analysis, and as folders."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from greenopt.events import (
    EnergyReading,
    EnergySource,
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
from greenopt.importing import Import, ImportedTrial, write_import
from greenopt.importing.studies import PAPER_SPACE
from greenopt.record import Verdict
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

ACCURACY: Effects = {
    ("optimizer", "SGD"): 0.10,
    ("lr", 8e-4): 0.08,
    ("augmentation", "mixup"): -0.06,
    ("batch_size", 128): 0.02,
}
"""Against the baseline's value, as a fraction; every other value has none."""

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
    energy_spread: float = ENERGY_SPREAD,
) -> list[dict[str, Any]]:
    """Completed trials of random settings, with additive effects on log energy and on accuracy and normal noise."""
    generator = np.random.default_rng(seed)
    choices = {name: distribution.values for name, distribution in spec.space.distributions.items()}  # type: ignore[union-attr]
    return [
        _row(
            number,
            {name: values[generator.integers(len(values))] for name, values in choices.items()},
            spec,
            (energy, energy_spread * generator.standard_normal()),
            (accuracy, ACCURACY_SPREAD * generator.standard_normal()),
        )
        for number in range(trials)
    ]


def _row(
    number: int,
    values: dict[str, Value],
    spec: StudySpec,
    energy: tuple[Effects, float],
    accuracy: tuple[Effects, float],
) -> dict[str, Any]:
    epochs = spec.training.epochs
    energy_wh = math.exp(BASE_LOG_WH + effect(values, energy[0]) + energy[1])
    reached = BASE_ACCURACY + effect(values, accuracy[0]) + accuracy[1]
    inert = "" if spec.space.own else " ".join(inert_parameters(Setting(**values), spec.training))
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
        "inert": inert or None,
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
