"""Studies as a coordinator leaves them, made in moments: storage, events and course through the project's writers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import TrialState, create_trial

from greenopt.coordination.verdict import Verdict, build_ending, objective_values, trial_metrics
from greenopt.events import (
    SETUP_PHASES,
    EpochEnded,
    Event,
    FailReason,
    MeterOpened,
    Outcome,
    Phase,
    PhaseEnded,
    PowerSampled,
    StepsDone,
    TrialEnded,
    TrialPrepared,
    TrialStarted,
    encode,
)
from greenopt.reading import EnergyReading, EnergySource
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import (
    CoordinatorEnded,
    CoordinatorStarted,
    RunStateChanged,
    StorageChanged,
    TrialPlaced,
    TrialRecorded,
    append_entry,
)
from greenopt.search import Search, open_storage
from greenopt.search.search import as_optuna
from greenopt.spec import Choice, StudySpec
from greenopt.summary import summarise
from tests.builders import time_of

BEGAN = datetime(2026, 3, 4, 9, 0, 0)
NOW = datetime(2026, 3, 4, 11, 14, 7)
EPOCHS = 8


def paper_like(trials: int = 40, **energy: Any) -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": "paper", "trials": trials, "seed": 22},
            "sampler": {"name": "tpe"},
            "data": {"name": "cifar100"},
            "training": {"epochs": EPOCHS},
            "energy": energy,
            "space": {
                "preprocessing": ["none", "standardization", "robust_scaling", "minmax"],
                "augmentation": ["none", "random", "mixup", "cutmix"],
                "precision": ["float16", "float32", "float64", "global_policy_float16"],
                "batch_size": [4, 32, 64, 128],
                "partitioning": ["60-20-20", "70-15-15", "75-15-10", "80-10-10"],
                "lr": [0.1, 0.01, 0.001, 0.0001],
                "lr_schedule": ["constant", "exponential", "polynomial", "cosine"],
                "optimizer": ["RMSProp", "SGD", "Adam", "AdamW"],
                "optimizer_momentum": [0.0, 0.5, 0.9, 0.99],
                "internal": ["none", "jit_compilation", "pre_quantization", "post_quantization"],
            },
        }
    )


@dataclass
class Device:
    """What the trials run on."""

    name: str
    gpu: str | None
    source: EnergySource
    watts: float


H100 = Device("NVIDIA H100 80GB HBM3", "GPU-0", EnergySource.NVML_COUNTER, 230.0)
SECOND = Device("NVIDIA H100 80GB HBM3", "GPU-1", EnergySource.NVML_COUNTER, 210.0)
CPU = Device("2 CPU cores at an assumed 7.5 W each", None, EnergySource.ESTIMATE, 15.0)


@dataclass
class Written:
    """A study in a folder, and how to add to it."""

    root: Path
    spec: StudySpec
    slots: dict[str, Device]
    draw: Random = field(default_factory=lambda: Random(5))
    now: datetime = BEGAN

    def __post_init__(self) -> None:
        self.folder = RunFolder(self.root / self.spec.name)
        self.folder.path.mkdir(parents=True)
        self.storage: BaseStorage = open_storage(self.folder.default_storage)
        self.search = Search(self.spec, self.storage)
        self.study_id = self.storage.get_study_id_from_name(self.spec.name)
        self.folder.write_study(self.spec.model_dump(mode="json"), self.folder.default_storage)
        self.distributions = {name: as_optuna(each) for name, each in self.spec.space.distributions.items()}
        self.settled = 0
        self.number = 0
        slots = {name: device.gpu for name, device in self.slots.items()}
        began = CoordinatorStarted(
            utc_s=self.utc_s, pid=4711, host="node7", slots=slots, settled=0, trials=self.spec.study.trials
        )
        append_entry(self.folder.study_log, began)

    @property
    def utc_s(self) -> float:
        return self.now.timestamp()

    def held_by(self, host: str = "node7") -> None:
        """A coordinator on another host, whose lease has just been renewed, far into the future."""
        holder = {"pid": 4711, "started_s": 1.0, "host": host, "utc_s": datetime(2100, 1, 1).timestamp()}
        self.storage.set_study_user_attr(self.study_id, "greenopt:coordinator", holder)

    def abandoned(self) -> None:
        self.storage.set_study_user_attr(self.study_id, "greenopt:coordinator", None)

    def ended(self, end: str, failure: str | None = None) -> None:
        self.abandoned()
        append_entry(self.folder.study_log, CoordinatorEnded(utc_s=self.utc_s, end=end, failure=failure))

    def conducted(self, conduct: Any) -> None:
        append_entry(self.folder.study_log, RunStateChanged(utc_s=self.utc_s, conduct=conduct))

    def storage_changed(self, cause: str | None) -> None:
        append_entry(self.folder.study_log, StorageChanged(utc_s=self.utc_s, storage="sqlite:///study.db", cause=cause))

    def completes(self, slot: str, minutes: float = 6.0) -> None:
        setting, quality = self._setting()
        events = self._events(slot, setting, quality, EPOCHS)
        energy = _sum([event.energy for event in events if isinstance(event, EpochEnded)])
        total = _sum([event.energy for event in events if isinstance(event, PhaseEnded)])
        accuracy = [event.val_accuracy for event in events if isinstance(event, EpochEnded)][-1]
        last = TrialEnded(
            t_s=time_of(events[-1]) + 1,
            outcome=Outcome.COMPLETED,
            accuracy=accuracy,
            test_accuracy=None if accuracy is None else accuracy - 0.012,
            energy=energy,
            total=total,
        )
        self._settle(slot, setting, [*events, last], Verdict(Outcome.COMPLETED), minutes)

    def diverges(self, slot: str) -> None:
        setting, _ = self._setting()
        events = self._events(slot, setting, 0.05, 2)
        verdict = Verdict(Outcome.DIVERGED, "diverged", "loss became nan in epoch 3")
        self._settle(slot, setting, events, verdict, 1.5)

    def fails(self, slot: str, reason: FailReason = FailReason.OUT_OF_MEMORY, epochs: int = 1) -> None:
        setting, _ = self._setting()
        events = self._events(slot, setting, 0.2, epochs)
        message = {FailReason.OUT_OF_MEMORY: "the GPU has no 3.1 GB left for batch size 128"}.get(reason, "exit code 1")
        self._settle(slot, setting, events, Verdict(Outcome.FAILED, reason, message), 1.0)

    def runs(self, slot: str, epochs: int, *, flags: tuple[str, ...] = ()) -> int:
        """A trial that is in the middle of its training."""
        setting, quality = self._setting()
        number = self._store(TrialState.RUNNING, setting, {}, None, None)
        append_entry(self.folder.study_log, TrialPlaced(utc_s=self.utc_s, trial=number, slot=slot))
        events = self._events(slot, setting, quality, epochs, flags=flags)
        if epochs:
            events.append(StepsDone(t_s=time_of(events[-1]) + 2, epoch=epochs + 1, step=130, steps=234))
        self._write(number, events)
        return number

    def waits(self) -> None:
        self._store(TrialState.WAITING, self._setting()[0], {}, None, None)

    def _settle(
        self, slot: str, setting: dict[str, Any], events: Sequence[Event], verdict: Verdict, minutes: float
    ) -> None:
        summary = summarise(events)
        figures = {name: value for name, value in trial_metrics(summary, verdict, None).items() if value is not None}
        states = {
            Outcome.COMPLETED: TrialState.COMPLETE,
            Outcome.DIVERGED: TrialState.PRUNED,
            Outcome.FAILED: TrialState.FAIL,
        }
        values = objective_values(summary, self.spec) if verdict.outcome is Outcome.COMPLETED else None
        began = self.now
        append_entry(self.folder.study_log, TrialPlaced(utc_s=self.utc_s, trial=self.number, slot=slot))
        self.now += timedelta(minutes=minutes / len(self.slots))
        number = self._store(states[verdict.outcome], setting, figures, values, began)
        self._write(number, events)
        self.settled += 1
        ending = build_ending(summary, verdict)
        append_entry(
            self.folder.study_log, TrialRecorded(utc_s=self.utc_s, trial=number, settled=self.settled, ending=ending)
        )

    def _store(
        self,
        state: TrialState,
        setting: dict[str, Any],
        figures: dict[str, Any],
        values: list[float] | None,
        began: datetime | None,
    ) -> int:
        system = {"fixed_params": setting} if state is TrialState.WAITING else {}
        params = {} if state is TrialState.WAITING else setting
        trial = create_trial(
            state=state,
            values=values,
            params=params,
            distributions={name: self.distributions[name] for name in params},
            user_attrs=figures,
            system_attrs=system,
        )
        trial.datetime_start = None if state is TrialState.WAITING else (began or self.now)
        trial.datetime_complete = self.now if state.is_finished() else None
        self.storage.create_new_trial(self.study_id, template_trial=trial)
        self.number += 1
        return self.number - 1

    def _write(self, number: int, events: Sequence[Event]) -> None:
        self.folder.trial(number).mkdir(parents=True)
        numbered = (e.model_copy(update={"trial": number}) if isinstance(e, TrialStarted) else e for e in events)
        self.folder.events(number).write_bytes(b"".join(encode(event) for event in numbered))
        self.folder.log(number).write_text(
            f"Epoch 1/{EPOCHS}\n234/234 - loss: 3.91\n[not markup] done\n", encoding="utf-8"
        )

    def _setting(self) -> tuple[dict[str, Any], float]:
        setting = {
            name: self.draw.choice(list(each.values)) if isinstance(each, Choice) else each.low
            for name, each in self.spec.space.distributions.items()
        }
        good = 0.25 + 0.22 * (setting.get("optimizer") == "SGD") + 0.1 * (setting.get("augmentation") == "mixup")
        return setting, good + 0.12 * self.draw.random()

    def _events(
        self, slot: str, setting: dict[str, Any], quality: float, epochs: int, *, flags: tuple[str, ...] = ()
    ) -> list[Event]:
        device = self.slots[slot]
        seconds = (4.0 + 260.0 / float(setting.get("batch_size", 32))) * (0.7 + self.draw.random())
        began = TrialStarted(
            t_s=0.0,
            utc="2026-03-04T09:00:00Z",
            trial=self.number,
            pid=99,
            host="node7",
            gpu_uuid=device.gpu,
            gpu_name=device.name if device.gpu else None,
            gpu_memory_bytes=85_520_809_984 if device.gpu else None,
        )
        idle_w = 71.0 if device.gpu else None
        idle = "measured before this trial" if device.gpu else "not measured on a CPU"
        events: list[Event] = [
            began,
            MeterOpened(t_s=0.1, device=device.name, source=device.source, idle_w=idle_w, idle_origin=idle),
        ]
        for at, phase in enumerate(SETUP_PHASES, 1):
            events.append(PhaseEnded(t_s=3.0 * at, phase=phase, energy=_reading(device, 3.0, 0.5)))
        events.append(TrialPrepared(t_s=12.1, steps_per_epoch=234, inert={"optimizer_momentum": "Adam has none"}))
        t_s, used = 12.1, 4 * device.watts * 3.0 * 0.5 / 3600
        for epoch in range(1, epochs + 1):
            accuracy = quality * (1 - math.exp(-epoch / 2.5))
            for second in range(0, int(seconds), 2):
                watts = device.watts * (0.9 + 0.15 * math.sin(second / 3 + epoch))
                used += watts * 2 / 3600
                gpu = device.gpu is not None
                events.append(
                    PowerSampled(
                        t_s=t_s + second,
                        power_w=watts,
                        energy_wh=used,
                        source=device.source,
                        temperature_c=48.0 + 2 * epoch if gpu else None,
                        utilisation=0.93 if gpu else 0.81,
                        memory_bytes=5_100_000_000 if gpu else None,
                    )
                )
            t_s += seconds
            energy = _reading(device, seconds, 1.0).flagged(*flags)
            loss = 4.6 * math.exp(-epoch * quality / 4)
            events.append(
                EpochEnded(
                    t_s=t_s,
                    epoch=epoch,
                    epochs=EPOCHS,
                    seconds=seconds,
                    loss=loss,
                    accuracy=accuracy * 1.05,
                    val_loss=loss * 1.04,
                    val_accuracy=accuracy,
                    lr=0.01,
                    energy=energy,
                )
            )
        if epochs == EPOCHS:
            epoch_energies = [event.energy for event in events if isinstance(event, EpochEnded)]
            events.append(PhaseEnded(t_s=t_s, phase=Phase.TRAIN, energy=_sum(epoch_energies)))
            events.append(PhaseEnded(t_s=t_s + 3, phase=Phase.TEST, energy=_reading(device, 3.0, 0.6)))
        return events


def _reading(device: Device, seconds: float, load: float) -> EnergyReading:
    return EnergyReading(
        energy_wh=device.watts * load * seconds / 3600,
        source=device.source,
        seconds=seconds,
        uncertainty_wh=0.004 if device.source.is_measured else None,
        coverage=1.0,
    )


def _sum(readings: Sequence[EnergyReading]) -> EnergyReading:
    first = readings[0]
    return first.model_copy(
        update={
            "energy_wh": sum(each.energy_wh or 0.0 for each in readings),
            "seconds": sum(each.seconds for each in readings),
        }
    )


def empty(root: Path) -> Written:
    """A study that has just begun: no trial, none running."""
    study = Written(root, paper_like(country="DE"), {"gpu 0": H100})
    study.held_by()
    return study


def running(root: Path) -> Written:
    """Half-way: two failures, two that diverged, one trial under way."""
    study = Written(root, paper_like(country="DE", price_per_kwh=0.3, currency="EUR"), {"gpu 0": H100})
    for number in range(20):
        if number in (3, 11):
            study.diverges("gpu 0")
        elif number in (6, 15):
            study.fails("gpu 0")
        else:
            study.completes("gpu 0")
    study.runs("gpu 0", 5)
    study.held_by()
    return study


def finished(root: Path) -> Written:
    """All trials are done."""
    study = Written(root, paper_like(24, country="DE", price_per_kwh=0.3, currency="EUR"), {"gpu 0": H100})
    for number in range(24):
        study.diverges("gpu 0") if number in (4, 13) else study.completes("gpu 0", 5.5)
    study.ended("done")
    return study


def all_failed(root: Path) -> Written:
    """The same failure five times in a row."""
    study = Written(root, paper_like(), {"gpu 0": H100})
    for _ in range(5):
        study.fails("gpu 0", epochs=0)
    study.ended("equal_failures", "out_of_memory")
    return study


def estimated(root: Path) -> Written:
    """On a CPU without any counter."""
    study = Written(root, paper_like(12), {"cpu": CPU})
    for _ in range(6):
        study.completes("cpu")
    study.runs("cpu", 3)
    study.held_by()
    return study


def two_gpus(root: Path) -> Written:
    """Two at work, on one of which something else computes."""
    study = Written(root, paper_like(country="FR"), {"gpu 0": H100, "gpu 1": SECOND})
    for number in range(14):
        study.completes(f"gpu {number % 2}")
    study.runs("gpu 0", 3)
    study.runs("gpu 1", 6, flags=("shared_gpu",))
    study.held_by()
    return study


CASES = {
    "empty": empty,
    "running": running,
    "finished": finished,
    "all_failed": all_failed,
    "estimated": estimated,
    "two_gpus": two_gpus,
}
