"""Studies, readings and events for tests, with every part that a test does not care about filled in."""

from typing import Any

from greenopt.events import (
    AttemptBegan,
    EpochEnded,
    Event,
    Outcome,
    Phase,
    PhaseEnded,
    TrialEnded,
    TrialStarted,
    encode,
)
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import Setting, StudySpec, TrialSpec


def study(**tables: Any) -> StudySpec:
    """A study of two free parameters; `tables` are merged over its tables."""
    raw: dict[str, Any] = {
        "study": {"name": "tried", "trials": 4, "seed": 7},
        "data": {"name": "synthetic", "images": 100, "classes": 4},
        "training": {"epochs": 2, "model": "tests.unit.trial.tiny:build"},
        "space": {"batch_size": [4, 8], "lr": [0.1, 0.01, 0.001]},
    }
    for name, table in tables.items():
        raw[name] = {**raw[name], **table} if name in raw and name != "space" else table
    return StudySpec.model_validate(raw)


def setting_of(spec: TrialSpec) -> Setting:
    """The ten values of a trial that has them."""
    assert spec.setting is not None
    return spec.setting


def time_of(event: Event) -> float:
    """When an event of a trial's process happened, in s of its clock."""
    assert not isinstance(event, AttemptBegan)
    return event.t_s


def encoded(*events: Event) -> bytes:
    """Events as they stand in a file."""
    return b"".join(map(encode, events))


def reading(energy_wh: float = 1.0, seconds: float = 10.0, **rest: Any) -> EnergyReading:
    return EnergyReading(energy_wh=energy_wh, source=EnergySource.NVML_COUNTER, seconds=seconds, coverage=1.0, **rest)


def started(trial: int, t_s: float = 0.0, gpu_uuid: str | None = "GPU-0") -> TrialStarted:
    return TrialStarted(t_s=t_s, utc="2026-01-01T00:00:00Z", trial=trial, pid=1, host="here", gpu_uuid=gpu_uuid)


def epoch(number: int, accuracy: float = 0.5, energy: EnergyReading | None = None) -> EpochEnded:
    return EpochEnded(
        t_s=10.0 * number,
        epoch=number,
        epochs=2,
        seconds=10.0,
        loss=1.0,
        accuracy=accuracy,
        val_loss=1.0,
        val_accuracy=accuracy,
        lr=0.1,
        energy=energy or reading(),
    )


def prepared_phases() -> list[PhaseEnded]:
    return [PhaseEnded(t_s=1.0, phase=phase, energy=reading(0.1, 1.0)) for phase in (Phase.IMPORT, Phase.COMPILE)]


def ended(outcome: Outcome = Outcome.COMPLETED, **rest: Any) -> TrialEnded:
    figures: dict[str, Any] = {
        "accuracy": 0.6,
        "test_accuracy": 0.55,
        "energy": reading(2.0, 20.0),
        "total": reading(2.5, 25),
    }
    if outcome is not Outcome.COMPLETED:
        figures = {"energy": reading(1.0).flagged("partial"), "total": reading(1.2).flagged("partial")}
    return TrialEnded(t_s=30.0, outcome=outcome, **{**figures, **rest})
