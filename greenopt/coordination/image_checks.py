"""Whether a study's images are enough, and large enough, for every setting of its space; without TensorFlow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from greenopt.spec import MINIMUM_SIDE, MODEL_NAMES, Choice, DataSet, DataSpec, Distribution, Setting, Shares, StudySpec
from greenopt.trial.data.files import ARCHIVES
from greenopt.trial.data.keras_sets import KERAS_SETS, KerasSet
from greenopt.trial.failures import WrongSettingError

PUBLISHED_IMAGES = 50_000
_DIGITS = (1797, 10)
SYNTHETIC = (10_000, 100)
"""Images and classes unless given."""


class _Stock(NamedTuple):
    """Images of a data set: how many, of how many classes, and where a file tells them, labels and the shorter side.

    `parts` are those of the data's own, as in `Images`.
    """

    title: str
    images: int
    classes: int
    labels: Any = None
    side: int | None = None
    parts: Any = None

    @property
    def has_all_parts(self) -> bool:
        """Whether nothing of the images is split off for validation or test."""
        return self.parts is not None and {1, 2} <= set(self.parts.tolist())


class KnownImages(NamedTuple):
    """What is known of a study's images without loading them: how many it uses, of how many classes.

    `has_own_parts` says whether a part of them is kept for validation or test.
    """

    images: int
    classes: int
    has_own_parts: bool


def known_images(spec: StudySpec) -> KnownImages | None:
    """Return what is known of a study's images; None of a hub's before they are prepared.

    Args:
        spec: a study of images whose file, where it has one, `check_data` has found to be sound.
    """
    stock = _stock_of(spec)
    if stock is None or spec.data is None:
        return None
    return KnownImages(spec.data.images or stock.images, stock.classes, stock.parts is not None)


def image_problem(spec: StudySpec) -> str | None:
    """Return what some setting of the space lacks in the images, as `key: what; the way out`; None where nothing.

    Args:
        spec: a study of images whose file, where it has one, `check_data` has found to be sound.
    """
    assert spec.data is not None
    stock = _stock_of(spec)
    if stock is None:
        return None
    return next(filter(None, (_size_problem(spec, stock), *_part_problems(spec, spec.data, stock))), None)


def _stock_of(spec: StudySpec) -> _Stock | None:
    if spec.data is None:
        return None
    return _hub_stock(spec.data) if spec.data.name.is_hub else _stock(spec.data)


def _stock(data: DataSpec) -> _Stock:
    match data.name:
        case DataSet.NPZ:
            from greenopt.trial.data.npz_file import read_labels

            path = Path(str(data.path)).expanduser()
            kind, labels, _, parts = read_labels(path)
            return _Stock(str(path), len(labels), int(labels.max()) + 1, labels, min(kind.shape[1:3]), parts)
        case DataSet.FOLDER:
            return _folder_stock(data)
        case DataSet.MNIST | DataSet.FASHION_MNIST:
            return _keras_stock(KERAS_SETS[data.name])
        case DataSet.DIGITS:
            return _Stock("digits", *_DIGITS)
        case DataSet.SYNTHETIC:
            return _Stock("synthetic", data.images or SYNTHETIC[0], data.classes or SYNTHETIC[1])
        case _:
            return _Stock(ARCHIVES[data.name].title, PUBLISHED_IMAGES, ARCHIVES[data.name].classes)


def _hub_stock(data: DataSpec) -> _Stock | None:
    """Return the images of another library's data set; None before they are prepared, which a study's start does."""
    from greenopt.trial.data.cache import prepared_labels
    from greenopt.trial.data.hub import hub_title

    found = prepared_labels(data)
    if found is None:
        return None
    return _Stock(hub_title(data), len(found.y), found.classes, found.y, min(found.shape[1:3]), found.parts)


def _folder_stock(data: DataSpec) -> _Stock:
    import numpy as np

    from greenopt.trial.data.folder import list_folder
    from greenopt.trial.data.folder_images import folder_side

    path = Path(str(data.path)).expanduser()
    listing = list_folder(path)
    side = folder_side(listing) if data.image_size is None else data.image_size
    labels, parts = np.array(listing.labels), np.array(listing.parts)
    return _Stock(str(path), len(labels), len(listing.class_names), labels, side, parts if parts.any() else None)


def _keras_stock(published: KerasSet) -> _Stock:
    """Return classes of equal size, which they are to within a tenth, in place of labels that may not be there yet."""
    import numpy as np

    images, classes = published.train_images + published.test_images, len(published.class_names)
    parts = np.repeat([0, 2], [published.train_images, published.test_images])
    return _Stock(published.title, images, classes, np.arange(images) % classes, parts=parts)


def _size_problem(spec: StudySpec, stock: _Stock) -> str | None:
    """Return the models' smallest image; of images that are scaled the study's file is checked when it is read."""
    assert spec.data is not None
    if stock.side is None or spec.data.image_size is not None or "image_size" in spec.space.distributions:
        return None
    varied = spec.space.distributions.get("model")
    models = varied.values if isinstance(varied, Choice) else ()
    if varied is None or "model" in spec.space.conditions:
        models = (*models, spec.training.model)
    needs = {str(model): MINIMUM_SIDE.get(str(model), 32) for model in models if model in MODEL_NAMES}
    model = max(needs, key=lambda name: needs[name], default=None)
    if model is None or stock.side >= needs[model]:
        return None
    return (
        f"{'training' if varied is None else 'space'}.model: {model} needs images of at least "
        f"{needs[model]}x{needs[model]}, and those of {stock.title} have a side of {stock.side}; "
        f"set data.image_size = {needs[model]}"
    )


def _part_problems(spec: StudySpec, data: DataSpec, stock: _Stock) -> Iterator[str | None]:
    partitionings = spec.space.distributions["partitioning"]
    assert isinstance(partitionings, Choice)
    if data.images is not None and data.images > stock.images:
        yield f"data.images: {data.images}: {stock.title} has {stock.images} images"
        return
    if stock.has_all_parts and len(partitionings.values) > 1:
        yield (
            f"space.partitioning: has no effect, since {stock.title} has validation and test parts of its own; give it "
            "one value"
        )
    default = [Setting().partitioning] if "partitioning" in spec.space.conditions else []
    for text in (*partitionings.values, *default):
        shares = Setting(partitioning=str(text)).shares
        if stock.labels is not None:
            yield _split_problem(spec, data, stock, shares)
            continue
        images = data.images or stock.images
        yield _class_problem(stock, images, shares)
        yield _batch_problem(spec, round(images * shares.train / 100), shares)


def _split_problem(spec: StudySpec, data: DataSpec, stock: _Stock, shares: Shares) -> str | None:
    """Split the labels as a trial does, with the study's own seed."""
    from greenopt.trial.data.images import Images, split_images

    images = Images(stock.labels, stock.labels, stock.classes, stock.title, parts=stock.parts)
    try:
        split = split_images(images, shares, spec.seeds.split, data.images)
    except WrongSettingError as error:
        return f"data: {error}"
    return _batch_problem(spec, len(split.train), shares)


def _class_problem(stock: _Stock, images: int, shares: Shares) -> str | None:
    smallest = min(images * share / 100 for share in shares)
    if round(smallest) < stock.classes:
        return (
            f"data: {images} images of {stock.title} are too few for partitioning {'-'.join(map(str, shares))}: a part "
            f"would have {round(smallest)} images for {stock.classes} classes; use more images or fewer classes"
        )
    return None


def largest_of(distribution: Distribution) -> int:
    """Return the largest value of a parameter of whole numbers."""
    values = distribution.values if isinstance(distribution, Choice) else (distribution.high,)
    return max(int(value) for value in values)


def _batch_problem(spec: StudySpec, training: int, shares: Shares) -> str | None:
    largest = largest_of(spec.space.distributions["batch_size"])
    if largest <= training:
        return None
    return (
        f"space.batch_size: {largest}: the training part of partitioning {'-'.join(map(str, shares))} has {training} "
        "images; use more images or smaller batches"
    )
