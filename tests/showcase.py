"""Studies to look at: lifelike trials that a real coordinator runs and records, without any training."""

import math
import random
from pathlib import Path
from typing import Any

from greenopt.coordination.coordinator import Coordinator
from greenopt.coordination.observers import Observer
from greenopt.dashboard import DashboardPublisher
from greenopt.events import (
    EpochEnded,
    Event,
    MeterOpened,
    Outcome,
    Phase,
    PhaseEnded,
    PowerSampled,
    TrialEnded,
    TrialPrepared,
    TrialStarted,
)
from greenopt.execution import ProcessEnded, Slot
from greenopt.reading import EnergyReading, EnergySource
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, Storage
from greenopt.spec import StudySpec, TrialSpec, inert_parameters
from tests.builders import time_of
from tests.fakes import FakeEngine

GPU = "NVIDIA H100 80GB HBM3"
SETUP_S = 30.0


def showcase_study(trials: int = 24, name: str = "showcase", **study: Any) -> StudySpec:
    """A random search over the paper's ten parameters, or most of them."""
    return StudySpec.model_validate(
        {
            "study": {"name": name, "trials": trials, "seed": 4, "baseline": True, **study},
            "data": {"name": "cifar100"},
            "training": {"epochs": 12},
            "energy": {"country": "DE"},
            "space": {
                "batch_size": [32, 64, 128],
                "lr": [0.01, 0.003, 0.001],
                "optimizer": ["SGD", "Adam", "RMSProp", "AdamW"],
                "optimizer_momentum": [0.0, 0.5, 0.9],
                "augmentation": ["none", "random", "mixup", "cutmix"],
                "precision": ["float32", "global_policy_float16"],
                "internal": ["none", "jit_compilation"],
                "lr_schedule": ["constant", "cosine"],
                "preprocessing": ["standardization", "minmax"],
                "partitioning": ["60-20-20", "80-10-10"],
            },
        }
    )


class Lifelike:
    """Scripts of trials that learn, each drawn from its trial's number."""

    def __init__(self, ends: dict[int, str] | None = None, source: EnergySource = EnergySource.NVML_COUNTER) -> None:
        """`ends` names the trials that end otherwise: `diverged`, `out_of_memory`, `crash` or `SIGKILL`."""
        self._ends, self._source = ends or {}, source

    def __call__(self, spec: TrialSpec) -> "list[Event | ProcessEnded]":
        end = self._ends.get(spec.trial, "")
        events = [*self._opening(spec), *(self._epochs(spec) if end != "out_of_memory" else [])]
        if end == "diverged":
            events = events[: len(events) // 2]
        last = time_of(events[-1])
        spent = [event.energy for event in events if isinstance(event, EpochEnded)]
        energy = self._reading(sum(reading.energy_wh or 0.0 for reading in spent), last - SETUP_S) if spent else None
        total = self._reading((energy.energy_wh or 0.0 if energy else 0.0) + 0.9, last)
        if end in ("crash", "SIGKILL"):
            signal = end if end == "SIGKILL" else None
            return [*events[:-3], ProcessEnded(spec.trial, None if signal else 1, signal, "RuntimeError: scripted")]
        if end:
            outcome = Outcome.DIVERGED if end == "diverged" else Outcome.FAILED
            said = TrialEnded(t_s=last, outcome=outcome, energy=energy, total=total, reason=end, message="as scripted")
            return [*events, said, ProcessEnded(spec.trial, 0, None, "")]
        accuracy = next(event.val_accuracy for event in reversed(events) if isinstance(event, EpochEnded))
        said = TrialEnded(
            t_s=last,
            outcome=Outcome.COMPLETED,
            accuracy=accuracy,
            test_accuracy=round((accuracy or 0.0) - 0.01, 4),
            energy=energy,
            total=total,
        )
        return [*events, said, ProcessEnded(spec.trial, 0, None, "")]

    def _opening(self, spec: TrialSpec) -> list[Event]:
        setting = spec.image_setting
        is_measured = self._source.is_measured
        started = TrialStarted(t_s=0.0, utc="2026-01-01T00:00:00Z", trial=spec.trial, pid=1, host="node7")
        if is_measured:
            started = started.model_copy(update={"gpu_uuid": "GPU-0", "gpu_name": GPU})
        return [
            started,
            MeterOpened(t_s=0.5, device=GPU if is_measured else "CPU", source=self._source, idle_origin="measured"),
            *(self._power(t_s, 90.0 if is_measured else None, 0.02 * t_s) for t_s in range(1, int(SETUP_S))),
            PhaseEnded(t_s=SETUP_S, phase=Phase.COMPILE, energy=self._reading(0.9, SETUP_S)),
            TrialPrepared(t_s=SETUP_S, steps_per_epoch=100, inert=inert_parameters(setting, spec.training)),
        ]

    def _epochs(self, spec: TrialSpec) -> list[Event]:
        setting = spec.image_setting
        drawn = random.Random(f"{spec.trial}")
        power_w = drawn.uniform(140, 420) * (0.6 if setting.precision == "global_policy_float16" else 1.0)
        seconds = drawn.uniform(5, 25) * (1 if setting.batch_size == 128 else 1.6)
        best, speed = drawn.uniform(0.15, 0.62), drawn.uniform(0.15, 0.6)
        events: list[Event] = []
        for number in range(1, spec.training.epochs + 1):
            start_s = SETUP_S + seconds * (number - 1)
            for second in range(int(seconds)):
                now_w = power_w * drawn.uniform(0.93, 1.07)
                spent_wh = 0.9 + power_w * (start_s - SETUP_S + second) / 3600
                events.append(self._power(start_s + second, now_w if self._source.is_measured else None, spent_wh))
            accuracy = round(best * (1 - math.exp(-speed * number)) + drawn.uniform(-0.01, 0.01), 4)
            events.append(
                EpochEnded(
                    t_s=start_s + seconds,
                    epoch=number,
                    epochs=spec.training.epochs,
                    seconds=seconds,
                    loss=4.6 - 4 * accuracy,
                    accuracy=min(1.0, accuracy * 1.15),
                    val_loss=4.7 - 4 * accuracy,
                    val_accuracy=max(0.0, accuracy),
                    lr=setting.lr,
                    energy=self._reading(power_w * seconds / 3600, seconds),
                )
            )
        return events

    def _power(self, t_s: float, power_w: float | None, energy_wh: float) -> PowerSampled:
        return PowerSampled(t_s=float(t_s), power_w=power_w, energy_wh=energy_wh, source=self._source)

    def _reading(self, energy_wh: float, seconds: float) -> EnergyReading:
        doubt = 0.01 * energy_wh if self._source.is_measured else None
        return EnergyReading(
            energy_wh=energy_wh, source=self._source, seconds=seconds, uncertainty_wh=doubt, coverage=1.0
        )


class LoggingEngine(FakeEngine):
    """Trials that also leave a log."""

    def start(self, spec: TrialSpec, slot: Slot, log: Path) -> None:
        super().start(spec, slot, log)
        log.write_text(f"trial {spec.trial} on {slot.name}\n<b>scripted</b> | *log*\nRuntimeError: scripted\n")


def run_showcase(
    spec: StudySpec,
    storage: Storage,
    folder: RunFolder,
    script: Any = None,
    *,
    exhibited: bool = True,
    observers: tuple[Observer, ...] = (),
) -> DashboardPublisher:
    """Run a study to its end, as `greenopt run` does."""
    folder.path.mkdir(parents=True, exist_ok=True)
    search = Search(spec, storage)
    folder.write_study(spec.model_dump(mode="json"), folder.default_storage)
    warnings: list[str] = []
    publisher = DashboardPublisher(spec, storage, folder, warnings.append)
    shown = (publisher,) if exhibited else ()
    engine = LoggingEngine(script or Lifelike(), slots=[Slot("gpu0")])
    Coordinator(spec, search, engine, folder, [*observers, *shown], annotator=publisher if exhibited else None).run()
    publisher.close()
    search.lease.release()
    assert warnings == []
    return publisher
