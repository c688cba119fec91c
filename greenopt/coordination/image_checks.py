"""Whether a study's images are enough, and large enough, for every setting of its space; without TensorFlow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from greenopt.spec import MINIMUM_SIDE, MODEL_NAMES, Choice, DataSet, DataSpec, Setting, Shares, StudySpec
from greenopt.trial.data.files import ARCHIVES
from greenopt.trial.failures import WrongSettingError

_PUBLISHED_IMAGES = 50_000
_DIGITS = (1797, 10)
_SYNTHETIC = (10_000, 100)


class _Stock(NamedTuple):
    """Images of a data set: how many, of how many classes, and where a file tells them, labels and the shorter side."""

    title: str
    images: int
    classes: int
    labels: Any = None
    side: int | None = None


def image_problem(spec: StudySpec) -> str | None:
    """Return what some setting of the space lacks in the images, as `key: what; the way out`; None where nothing.

    Args:
        spec: a study of images whose file, where it has one, `check_data` has found to be sound.
    """
    assert spec.data is not None
    stock = _stock(spec.data)
    return next(filter(None, (_size_problem(spec, stock), *_part_problems(spec, spec.data, stock))), None)


def _stock(data: DataSpec) -> _Stock:
    match data.name:
        case DataSet.NPZ:
            from greenopt.trial.data.npz_file import read_labels

            path = Path(str(data.path)).expanduser()
            kind, labels = read_labels(path)
            return _Stock(str(path), len(labels), int(labels.max()) + 1, labels, min(kind.shape[1:3]))
        case DataSet.DIGITS:
            return _Stock("digits", *_DIGITS)
        case DataSet.SYNTHETIC:
            return _Stock("synthetic", data.images or _SYNTHETIC[0], data.classes or _SYNTHETIC[1])
        case _:
            return _Stock(ARCHIVES[data.name].title, _PUBLISHED_IMAGES, ARCHIVES[data.name].classes)


def _size_problem(spec: StudySpec, stock: _Stock) -> str | None:
    """Return the model's smallest image; of images that are scaled the study's file is checked when it is read."""
    assert spec.data is not None
    model, least = spec.training.model, MINIMUM_SIDE.get(spec.training.model, 32)
    if stock.side is None or spec.data.image_size is not None or model not in MODEL_NAMES or stock.side >= least:
        return None
    return (
        f"training.model: {model} needs images of at least {least}x{least}, and those of {stock.title} have a side of "
        f"{stock.side}; set data.image_size = {least}"
    )


def _part_problems(spec: StudySpec, data: DataSpec, stock: _Stock) -> Iterator[str | None]:
    partitionings = spec.space.distributions["partitioning"]
    assert isinstance(partitionings, Choice)
    if data.images is not None and data.images > stock.images:
        yield f"data.images: {data.images}: {stock.title} has {stock.images} images"
        return
    images = data.images or stock.images
    for text in partitionings.values:
        shares = Setting(partitioning=str(text)).shares
        yield _class_problem(spec, data, stock, images, shares)
        yield _batch_problem(spec, images, shares)


def _class_problem(spec: StudySpec, data: DataSpec, stock: _Stock, images: int, shares: Shares) -> str | None:
    if stock.labels is not None:
        # As a trial does, with the study's own seed.
        from greenopt.trial.data.images import Images, split_images

        try:
            split_images(
                Images(stock.labels, stock.labels, stock.classes, stock.title), shares, spec.seeds.split, data.images
            )
        except WrongSettingError as error:
            return f"data: {error}"
        return None
    smallest = min(images * share / 100 for share in shares)
    if round(smallest) < stock.classes:
        return (
            f"data: {images} images of {stock.title} are too few for partitioning {'-'.join(map(str, shares))}: a part "
            f"would have {round(smallest)} images for {stock.classes} classes; use more images or fewer classes"
        )
    return None


def _batch_problem(spec: StudySpec, images: int, shares: Shares) -> str | None:
    batches = spec.space.distributions["batch_size"]
    largest = max(int(value) for value in batches.values) if isinstance(batches, Choice) else int(batches.high)
    training = round(images * shares.train / 100)
    if largest <= training:
        return None
    return (
        f"space.batch_size: {largest}: the training part of partitioning {'-'.join(map(str, shares))} has {training} "
        "images; use more images or smaller batches"
    )
