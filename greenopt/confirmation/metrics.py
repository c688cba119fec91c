"""A trial's metrics after a number of epochs, so that trainings of different length can be compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from greenopt.events import EpochEnded
from greenopt.spec import LrSchedule, Metric, StudySpec

COMPARED = (Metric.ACCURACY, Metric.WH_PER_EPOCH, Metric.ENERGY_WH, Metric.EFFICIENCY)

_FAMILIES = {"nvml_counter": "nvml", "nvml_power": "nvml"}
_BOUND_TO_HOST = ("rapl", "estimate")


@dataclass(frozen=True)
class Metrics:
    """Accuracy 0..1, Wh per epoch, Wh since the first epoch began, accuracy over Wh per epoch; None if not known."""

    accuracy: float | None = None
    wh_per_epoch: float | None = None
    energy_wh: float | None = None
    efficiency: float | None = None

    @classmethod
    def at_the_end(cls, row: Mapping[str, Any]) -> "Metrics":
        """Return a trial's final metrics from the study's table."""
        return cls(**{str(metric): row.get(metric) for metric in COMPARED})

    @classmethod
    def after(cls, epochs: Iterable[EpochEnded], count: int) -> "Metrics":
        """Return a trial's metrics after `count` epochs, before any quantization; empty if it has fewer."""
        first = [epoch for epoch in epochs if epoch.epoch <= count]
        if len(first) < count:
            return cls()
        accuracy = first[-1].val_accuracy
        energies = [epoch.energy.energy_wh for epoch in first if epoch.energy.energy_wh is not None]
        if len(energies) < count:
            return cls(accuracy)
        energy_wh = sum(energies)
        mean_wh = energy_wh / count
        return cls(accuracy, mean_wh, energy_wh, accuracy / mean_wh if accuracy is not None and mean_wh else None)


def energies_differ(study: Mapping[str, Any], confirming: Mapping[str, Any]) -> str | None:
    """Return why the energies of two trials cannot be compared; None if they can."""
    for row in (study, confirming):
        if row.get("energy_wh") is None:
            return row.get("energy_missing") or "an energy was not measured"
    here, there = confirming["energy_source"], study["energy_source"]
    if _FAMILIES.get(here, here) != _FAMILIES.get(there, there):
        return f"the study's energy is from {there}, this one from {here}"
    device = "host" if here in _BOUND_TO_HOST else "gpu_name"
    if study.get(device) != confirming.get(device):
        return f"the study ran on {study.get(device) or 'unknown hardware'}, this on {confirming.get(device)}"
    return None


def accuracies_differ(spec: StudySpec, row: Mapping[str, Any], study_epochs: int, epochs: int) -> str | None:
    """Return why accuracies of trainings of different length cannot be compared; None if they can."""
    if study_epochs == epochs:
        return None
    if spec.space.own:
        return f"{epochs} against {study_epochs} epochs: what {spec.study.objective} does with them is its own affair"
    setting = spec.setting_of(row)
    stretched = setting.lr_schedule in (LrSchedule.COSINE, LrSchedule.POLYNOMIAL)
    if spec.training.decay_steps == "total" and stretched:
        return (
            f"{epochs} against {study_epochs} epochs: the {setting.lr_schedule} schedule is stretched over them, "
            "so the learning rates differ from the first epoch on"
        )
    return None
