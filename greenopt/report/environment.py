"""The machine and software that a study ran on, as its trials recorded them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from greenopt.events import MeterOpened, TrialPrepared, TrialStarted, read_events
from greenopt.runs.folder import RunFolder

TRIALS_ASKED = 60
"""Of more trials, so many evenly spread ones are asked for their drivers and versions."""

ONLY_WHERE_TOLD = ("class_names", "own_parts", "left_out", "weights_loaded")
"""Facts that most studies have none of."""

_FACTS = ("device", "tensorflow", "keras", "python", "data", "image_shape", "weights", *ONLY_WHERE_TOLD)


@dataclass(frozen=True)
class Environment:
    """The machine and software that trials recorded; each value once, in order of first occurrence.

    Attributes:
        asked: how many trials were asked; `answered` is how many had something on file, `ended` how many have ended.
        idle: idle power by device, in W, with where it is from.
        facts: versions, data and sizes by name.
    """

    asked: int
    answered: int
    ended: int = 0
    hosts: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    facts: tuple[tuple[str, tuple[str, ...]], ...] = ()


def read_environment(folder: RunFolder, trials: Mapping[int, str | None]) -> Environment:
    """Read the environment from the events of a study's trials.

    Args:
        folder: the study's results.
        trials: the trials that ran, by number, with the attempt that the storage has of each.
    """
    step = max(1, -(-len(trials) // TRIALS_ASKED))
    heads = [_head(folder.own_events(*one)) for one in list(trials.items())[::step]]
    started = [event for head in heads for event in head if isinstance(event, TrialStarted)]
    opened = [event for head in heads for event in head if isinstance(event, MeterOpened)]
    prepared = [event for head in heads for event in head if isinstance(event, TrialPrepared)]
    facts = ((name, _each(_fact(event, name) for event in prepared)) for name in _FACTS)
    return Environment(
        asked=len(heads),
        answered=sum(1 for head in heads if head),
        ended=len(trials),
        hosts=_each(event.host for event in started),
        gpus=_each(event.gpu_name for event in started),
        drivers=_each(event.driver for event in started),
        meters=_each(event.device for event in opened),
        idle=_each(f"{event.idle_w:.0f} W ({event.idle_origin})" for event in opened if event.idle_w is not None),
        beside=_each(name for event in opened for name in (event.cpu, event.dram)),
        facts=tuple((name, values) for name, values in facts if values),
    )


def _head(events: Path | None) -> list[TrialStarted | MeterOpened | TrialPrepared]:
    """Return a trial's events up to its first epoch."""
    found: list[TrialStarted | MeterOpened | TrialPrepared] = []
    for event in read_events(events):
        if isinstance(event, TrialStarted | MeterOpened | TrialPrepared):
            found.append(event)
        if isinstance(event, TrialPrepared):
            break
    return found


def _fact(event: TrialPrepared, name: str) -> str | None:
    value = event.facts.get(name)
    return None if value is None else str(value)


def _each(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
