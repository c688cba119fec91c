"""Chooses the settings that stand for a study's space when what its trials take is measured beforehand."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from greenopt.coordination.image_checks import KnownImages, known_images
from greenopt.coordination.image_room import stored_size
from greenopt.forecast import MIN_TRIALS
from greenopt.spec import Choice, DataSet, DataSpec, Distribution, Internal, SearchSpace, StudySpec, Value

SHAPE = ("model", "image_size", "batch_size", "internal", "precision")
"""Parameters that decide which program trains; their values are combined. Others add little, and take turns."""

MAX_PILOTS = 48
"""Trainings at most; of more combinations these are drawn so that each value of a parameter is there equally often."""

_GPU_STEPS = {Internal.JIT_COMPILATION: 390}
_OTHER_GPU_STEPS = 156
_CPU_STEPS = 12
"""Steps of an epoch of a pilot. An epoch must be long beside what is done once in each; on a GPU a second or more."""


@dataclass(frozen=True)
class Pilot:
    """A short training.

    Attributes:
        values: its setting.
        data: the images that it trains on.
        scale: how many times as many images the study has.
    """

    values: dict[str, Value]
    data: DataSpec
    scale: float


def choose_pilots(spec: StudySpec, on_gpu: bool) -> list[Pilot] | None:
    """Return the pilots of a study of images; None where it is not known how many images it has.

    Args:
        spec: a study whose images, where it has files, were found to be sound.
        on_gpu: whether its trials train on a GPU.
    """
    known = known_images(spec)
    if known is None:
        return None
    size = stored_size(spec.data) if spec.data is not None else None
    pilots = []
    for values in pilot_settings(spec.space):
        data = _images(spec, values, known, size, on_gpu)
        pilots.append(Pilot(values, data, known.images / (data.images or known.images)))
    return pilots


def pilot_settings(space: SearchSpace) -> list[dict[str, Value]]:
    """Return two or more settings: each combination of shapes is there, every other value about equally often."""
    shapes = {name: levels(space.distributions[name]) for name in SHAPE if name in space.distributions}
    others = {name: levels(each) for name, each in space.distributions.items() if name not in shapes}
    if rates := others.get("lr"):
        # How fast it learns costs nothing; a training that diverges ends before it is measured.
        others["lr"] = [min(rates, key=lambda value: float(value))]
    random = np.random.default_rng(0)
    chosen = list(_combined(shapes, random))
    most = max((len(values) for values in others.values()), default=1)
    if len(chosen) < min(most, MAX_PILOTS):
        chosen = [chosen[index % len(chosen)] for index in range(min(most, MAX_PILOTS))]
    columns = {name: _in_turn(values, len(chosen), random) for name, values in others.items()}
    found = [
        space.whole({**shape, **{name: column[index] for name, column in columns.items()}})
        for index, shape in enumerate(chosen)
    ]
    different = list({tuple(setting.items()): setting for setting in found}.values())
    # Of one alone a forecast would not know how far a trial may be from it.
    return different if len(different) >= MIN_TRIALS else different * MIN_TRIALS


def levels(distribution: Distribution) -> list[Value]:
    """Return the values of a parameter; of a range its ends."""
    if isinstance(distribution, Choice):
        return list(distribution.values)
    return [distribution.low, distribution.last]


def _combined(shapes: dict[str, list[Value]], random: np.random.Generator) -> Iterator[dict[str, Value]]:
    sizes = [len(values) for values in shapes.values()]
    if np.prod(sizes, dtype=float) <= MAX_PILOTS:
        for combination in itertools.product(*shapes.values()):
            yield dict(zip(shapes, combination, strict=True))
        return
    columns = [_in_turn(values, MAX_PILOTS, random) for values in shapes.values()]
    for combination in zip(*columns, strict=True):
        yield dict(zip(shapes, combination, strict=True))


def _in_turn(values: Sequence[Value], count: int, random: np.random.Generator) -> list[Value]:
    """Return so many values, each about equally often, in random order."""
    indices = np.resize(random.permutation(len(values)), count)
    return [values[index] for index in random.permutation(indices)]


def _images(
    spec: StudySpec, values: dict[str, Value], known: KnownImages, size: tuple[int, int] | None, on_gpu: bool
) -> DataSpec:
    """Return images of the study's size: generated ones, or a part of its own where those would not be like them."""
    data, setting = spec.data_of(values), spec.setting_of(values)
    assert data is not None
    steps = _GPU_STEPS.get(setting.internal, _OTHER_GPU_STEPS) if on_gpu else _CPU_STEPS
    number = ceil(100 * steps * setting.batch_size / setting.shares.train)
    # What a class needs to be in every part.
    of_a_class = ceil(100 / min(setting.shares))
    side = data.image_size or (size[0] if size is not None and size[0] == size[1] else None)
    if side is None or known.has_own_parts:
        number = max(number, of_a_class * known.classes)
        return data.model_copy(update={"images": number if number < known.images else data.images})
    # Fewer classes where the images are few; a few columns less of the last layer cost nothing.
    classes = max(2, min(known.classes, number // of_a_class))
    number = min(known.images, max(number, of_a_class * classes))
    return DataSpec(name=DataSet.SYNTHETIC, images=number, classes=classes, image_size=side, images_on=data.images_on)
