"""Images that a library hands out encoded, split by split: their parts, their labels as numbers, their pixels.

Invariant: an image of a validation or test split stays in that part; a split without labels, and one whose name says no
part, is left out and told.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from greenopt.plain_text import printable
from greenopt.spec import DataSpec
from greenopt.trial.data.folder import SPLITS, Part, named
from greenopt.trial.data.pictures import BrokenImageError, read_picture, tried
from greenopt.trial.data.pixels import Array, LabelledArrays
from greenopt.trial.data.rows import MemoryRows, Rows
from greenopt.trial.failures import WrongSettingError


class EncodedSplit(NamedTuple):
    """A split of a data set.

    Attributes:
        name: its name there.
        labels: (images,) whole numbers or text.
        contents: yields each image as the bytes of a file, in the order of the labels.
    """

    name: str
    labels: Array
    contents: Callable[[], Iterable[bytes]]


class _Kept(NamedTuple):
    split: EncodedSplit
    part: Part


def read_encoded(
    title: str, splits: Sequence[EncodedSplit], names: Sequence[str], image_size: int | None, rows: Rows | None
) -> LabelledArrays:
    """Read the images of all splits that are used.

    Args:
        title: of the data set, for messages.
        splits: all of them.
        names: of the classes, where labels are numbers that have names; else empty.
        image_size: side of the square that images are scaled to, in pixels; None where they keep theirs.
        rows: where the images are put; memory unless given.

    Raises:
        WrongSettingError: they cannot be used; one line that starts with the title.
    """
    kept, left_out = _by_part(title, splits)
    numbers, found = _numbered(title, kept, names)
    absent = sorted(set(names) - set(found))
    left_out += [f"classes without images: {named(absent)}"] if absent else []
    x = _pixels(title, kept, image_size, rows or MemoryRows())
    parts = np.repeat(np.array([part for _, part in kept], np.uint8), [len(one) for one in numbers])
    y = np.concatenate(numbers).astype(np.int32)
    return LabelledArrays(x, y, found, parts if parts.any() else None, "; ".join(left_out))


def columns_of(
    title: str, spec: DataSpec, features: Mapping[str, Any], image: type, label: type, *, or_named: bool = False
) -> tuple[str, str, Sequence[str]]:
    """Return the column of the images, that of their labels, and the names of the classes, where these have some.

    Args:
        title: of the data set, for messages.
        spec: the `[data]` table.
        features: the type of each column, as its library has it.
        image: the library's type of images.
        label: its type of classes.
        or_named: whether a column counts by its name alone where none has the type.

    Raises:
        WrongSettingError: there is none, it is not said which, or it holds no images; one line.
    """
    found = []
    for what, given, kind in (("image", spec.image_column, image), ("label", spec.label_column, label)):
        fitting = [name for name, feature in features.items() if isinstance(feature, kind)]
        by_name = [what] if or_named and what in features else []
        found.append(column_of(title, what, given, list(features), fitting or by_name))
    images, labels = found
    if not isinstance(features[images], image):
        raise WrongSettingError(f"{title}: column {images} holds no images; its columns are {', '.join(features)}")
    return images, labels, features[labels].names if isinstance(features[labels], label) else []


def column_of(title: str, what: str, given: str | None, columns: Sequence[str], fitting: Sequence[str]) -> str:
    """Return the column of images or labels.

    Args:
        title: of the data set, for messages.
        what: `image` or `label`.
        given: the one that the study names.
        columns: all.
        fitting: those whose type says that they are such; of several, the one that is called so.

    Raises:
        WrongSettingError: there is none, or it is not said which; one line.
    """
    key = f"data.{what}_column"
    if given is not None:
        if given in columns:
            return given
        raise WrongSettingError(f"{title}: {key}: {given}: its columns are {named(columns)}")
    if len(fitting) == 1 or what in fitting:
        return what if what in fitting else fitting[0]
    if fitting:
        raise WrongSettingError(f"{title}: has the {what} columns {named(fitting)}; name one: {key}")
    raise WrongSettingError(f"{title}: has no {what} column among {named(columns)}")


def _by_part(title: str, splits: Sequence[EncodedSplit]) -> tuple[list[_Kept], list[str]]:
    """Return the splits that are used, training first, and which are not, in words."""
    if len(splits) == 1:
        return [_Kept(splits[0], Part.TRAINING)], []
    kept = [_Kept(split, SPLITS[split.name.lower()]) for split in splits if split.name.lower() in SPLITS]
    left_out = [f"split {split.name} (no part)" for split in splits if split.name.lower() not in SPLITS]
    for one in list(kept):
        if one.part is not Part.TRAINING and _is_unlabelled(one.split.labels):
            kept.remove(one)
            left_out.append(f"split {one.split.name} (no labels)")
    parts = [part for _, part in kept]
    if len(set(parts)) < len(parts) or Part.TRAINING not in parts:
        raise WrongSettingError(
            f"{title}: its splits are {named([split.name for split in splits])}; there must be one for training, train"
        )
    return sorted(kept, key=lambda one: one.part), left_out


def _is_unlabelled(labels: Array) -> bool:
    return labels.dtype.kind == "i" and bool(len(labels)) and bool((labels == -1).all())


def _numbered(title: str, kept: Sequence[_Kept], names: Sequence[str]) -> tuple[list[Array], tuple[str, ...]]:
    """Return the labels of each split as numbers 0 to k - 1 of the classes of the training split, and their names."""
    for split, _ in kept:
        kind = split.labels.dtype.kind
        if split.labels.ndim != 1 or kind not in ("biuU" if not names else "iu"):
            raise WrongSettingError(
                f"{title}: the labels of split {split.name} are {_described(split.labels)}; labels are whole numbers "
                "or text, one an image"
            )
        if (
            kind in "iu"
            and len(split.labels)
            and not 0 <= split.labels.min() <= split.labels.max() < (len(names) or np.inf)
        ):
            raise WrongSettingError(f"{title}: split {split.name} has images without a label (-1), or of no class")
    found = np.unique(kept[0].split.labels)
    if len(found) < 2:
        raise WrongSettingError(f"{title}: its training split has fewer than two classes")
    for split, _ in kept[1:]:
        unknown = np.setdiff1d(split.labels, found)
        if len(unknown):
            name = _name(unknown[0], names)
            raise WrongSettingError(
                f"{title}: split {split.name} has the class {name}, which {kept[0].split.name} lacks"
            )
    numbers = [np.searchsorted(found, split.labels) for split, _ in kept]
    return numbers, tuple(_name(label, names) for label in found)


def _name(label: Any, names: Sequence[str]) -> str:
    return printable(names[int(label)] if names else str(label))


def _described(labels: Array) -> str:
    return f"of type {labels.dtype}" if labels.ndim == 1 else f"of shape {labels.shape}"


def _pixels(title: str, kept: Sequence[_Kept], image_size: int | None, rows: Rows) -> Array:
    """Read and scale the images of all splits, in their order."""
    first: tuple[int, ...] | None = None
    read = partial(read_picture, side=image_size)
    for split, _ in kept:
        count = 0
        for number, picture in enumerate(tried(read, split.contents())):
            if isinstance(picture, BrokenImageError):
                raise WrongSettingError(f"{title}: image {number} of split {split.name} {picture}")
            if first is None:
                first = picture.shape
                rows.open(sum(len(each.labels) for each, _ in kept), first, "uint8")
            if picture.shape != first:
                raise WrongSettingError(
                    f"{title}: its images differ in size, {_size(first)} and {_size(picture.shape)} among them; set "
                    "data.image_size to the side that all are scaled to, such as 96"
                )
            rows.append(picture)
            count += 1
        if count != len(split.labels):
            raise WrongSettingError(f"{title}: split {split.name} has {len(split.labels)} labels and {count} images")
    return rows.close()


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
