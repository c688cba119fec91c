"""Trials for tests: specifications with most parts filled in, a meter of a virtual device, a run in this process."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from greenopt.energy.trial_meter import Readings
from greenopt.events import EpochEnded, Event, Phase, PhaseEnded, TrialEnded, TrialPrepared
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import TrialSpec
from greenopt.trial.data.data_source import Block
from greenopt.trial.data.images import Ids, Images, Split
from greenopt.trial.failures import classify_failure
from greenopt.trial.journal import Journal
from greenopt.trial.run import load_split, run_trial
from greenopt.trial.training.setup import PreparedTrial, prepare_trial
from greenopt.trial.training.trainer import Trainer

TINY = "tests.unit.trial.tiny:build"


def trial_spec(
    data: dict[str, Any] | None = None, training: dict[str, Any] | None = None, seed: int = 2, **setting: Any
) -> TrialSpec:
    return TrialSpec.model_validate(
        {
            "study": "tried",
            "trial": 0,
            "setting": setting,
            "data": data or {"name": "synthetic", "images": 300, "classes": 4, "image_size": 16},
            "training": {"epochs": 1, "model": TINY, "batchnorm_momentum": 0.8, "block_images": 96, **(training or {})},
            "energy": {},
            "split_seed": 1,
            "training_seed": seed,
        }
    )


def relative(found: Any, wanted: Any) -> float:
    """The largest difference of two arrays by the largest value wanted."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def outputs_and_gradients(
    layer: keras.layers.Layer, x: tf.Tensor, pull: tf.Tensor, jit: bool, **how: Any
) -> list[npt.NDArray[Any]]:
    """What a layer called so gives, and the gradients of output times pull to the input and to each trained weight."""

    @tf.function(jit_compile=jit)
    def step(x: tf.Tensor) -> Sequence[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cast(layer(tf.cast(x, layer.compute_dtype), **how), tf.float32)
            loss = tf.reduce_sum(y * pull)
        return [y, *tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])]

    return [value.numpy() for value in step(x)]


class FakeMeter:
    """A device that draws 1 Wh between any two marks, and whose marks are a second apart."""

    def __init__(self) -> None:
        self._ticks = itertools.count()
        self.marks = 0

    def mark(self) -> Any:
        self.marks += 1
        return SimpleNamespace(t_s=float(next(self._ticks)))

    def between(self, start: Any, end: Any) -> Readings:
        seconds = end.t_s - start.t_s
        return Readings(EnergyReading(energy_wh=seconds, source=EnergySource.NVML_COUNTER, seconds=seconds))

    def so_far(self, start: Any = None) -> Readings:
        return Readings(EnergyReading(energy_wh=0.5, source=EnergySource.NVML_COUNTER, seconds=0.5))


def prepared(spec: TrialSpec) -> tuple[PreparedTrial, Images, Split]:
    """A trial up to the point where it would compile."""
    images, split = load_split(spec)
    return prepare_trial(spec, images, split), images, split


def fed(trainer: Trainer) -> list[Ids]:
    """The ids of each block that a trainer asks for from now on, as it asks."""
    asked: list[Ids] = []
    original = trainer.pipeline._data_source.blocks

    def recorded(parts: Iterable[Ids]) -> Iterator[Block]:
        parts = list(parts)
        asked.extend(parts)
        return original(parts)

    trainer.pipeline._data_source.blocks = recorded  # type: ignore[method-assign]
    return asked


class Told:
    """What a trial said, sorted."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.epochs = [event for event in events if isinstance(event, EpochEnded)]
        self.phases: dict[Phase, PhaseEnded] = {event.phase: event for event in events if isinstance(event, PhaseEnded)}
        self.facts = next((event.facts for event in events if isinstance(event, TrialPrepared)), {})
        self.inert = next((event.inert for event in events if isinstance(event, TrialPrepared)), {})

    @property
    def ended(self) -> TrialEnded:
        last = self.events[-1]
        assert isinstance(last, TrialEnded)
        return last


def run(spec: TrialSpec) -> Told:
    """Run a trial here, as its process would."""
    events: list[Event] = []
    journal = Journal(FakeMeter(), events.append)
    try:
        run_trial(spec, journal)
    except Exception as error:
        journal.fail(classify_failure(error))
    return Told(events)
