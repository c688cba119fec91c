"""Loading, limiting, resizing and splitting of a trial's images into three disjoint parts.

Invariants: an image keeps its id, its row in `Images`, from here on; a split depends on the labels, the shares, the
seed and the data's own parts alone; its three parts are disjoint, each that is split off holds every class, and no
image of a validation or test part of the data's own is in another part.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from greenopt.spec import DataSet, DataSpec, Shares
from greenopt.trial.data.archives import read_archive
from greenopt.trial.data.files import ARCHIVES, fetch_archive, find_archive
from greenopt.trial.data.hub import READERS, hub_title, locate_hub
from greenopt.trial.data.keras_sets import KERAS_SETS, read_keras_set
from greenopt.trial.data.npz_file import read_npz
from greenopt.trial.data.pixels import LabelledArrays, class_problem
from greenopt.trial.data.rows import MemoryRows, Rows
from greenopt.trial.data.stored_array import StoredArray
from greenopt.trial.data.synthetic import make_synthetic
from greenopt.trial.failures import DataMissingError, WrongSettingError

DEFAULT_SIDE = 32
_PARTS = ("training", "validation", "test")
_RESIZE_AT_ONCE = 256
_BLOCK_BYTES = 8 << 20

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
Pixels: TypeAlias = Any
"""An array in memory, or a `StoredArray`."""


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images.

    Attributes:
        x: (images, height, width, 3) uint8, or float32 where the file holds fractions; 0..255. In memory, or read from
            the disk when asked for.
        y: (images,) int32, labels 0..classes - 1.
        classes: number of classes.
        title: where they are from, for the record.
        class_names: name of each class; empty where classes have numbers only.
        parts: (images,) uint8, the parts of the data's own: 0 training, 1 validation, 2 test; None where it has none.
        left_out: what was left out of them, in words; empty where nothing was.
    """

    x: Pixels
    y: Array
    classes: int
    title: str
    class_names: tuple[str, ...] = ()
    parts: Array | None = None
    left_out: str = ""

    def rows(self, ids: Ids) -> Array:
        """Return the images with these ids: (ids, height, width, 3)."""
        found: Array = self.x.rows(ids) if isinstance(self.x, StoredArray) else np.take(self.x, ids, axis=0)
        return found

    def blocks(self, ids: Ids) -> Iterator[Array]:
        """Yield the images with these ids, some at a time."""
        size = max(1, _BLOCK_BYTES // max(1, self.x.nbytes // len(self.x)))
        return (self.rows(ids[start : start + size]) for start in range(0, len(ids), size))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        _, height, width, channels = self.x.shape
        return height, width, channels

    @property
    def has_all_parts(self) -> bool:
        """Whether the data have both a validation and a test part of their own."""
        return self.parts is not None and {1, 2} <= set(np.unique(self.parts).tolist())


@dataclass(frozen=True, eq=False)
class Split:
    """Ids of the images of the three parts, each (images,) int64 and sorted."""

    train: Ids
    validation: Ids
    test: Ids


def load_images(spec: DataSpec, rows: Rows | None = None) -> Images:
    """Load the images of a study.

    Args:
        spec: the `[data]` table; `images` is left to `split_images`, except for the synthetic data set.
        rows: where images that are read one by one are put; memory unless given.

    Raises:
        DataMissingError: files are not there.
        WrongSettingError: they are there and cannot be used.
    """
    streamed = _STREAMED.get(spec.name)
    images = _checked(streamed(spec, rows) if streamed is not None else _LOADERS[spec.name](spec))
    return images if spec.image_size is None else resized(images, spec.image_size, rows)


def split_images(images: Images, shares: Shares, seed: int, limit: int | None = None) -> Split:
    """Split the images into disjoint parts in which the classes have equal shares, within one image a class.

    Data with a validation and a test part of their own are not split; of those with one of them the rest is split into
    training and the other one, in the proportion of their shares.

    Args:
        images: the images.
        shares: the parts in percent.
        seed: another seed gives other parts.
        limit: take this many images, classes in proportion; all of them where None.

    Raises:
        WrongSettingError: there are fewer than `limit` images, or a part would lack a class.
    """
    if limit is not None and limit > len(images.y):
        raise WrongSettingError(f"data.images: {limit}: {images.title} has {len(images.y)} images")
    of_data = images.parts if images.parts is not None else np.zeros(len(images.y), np.uint8)
    rest, *own = (_sample(images, np.flatnonzero(of_data == part), seed, limit) for part in range(len(_PARTS)))
    has_own = [bool((of_data == part).any()) for part in range(len(_PARTS))]
    weights = [share * (not given) for share, given in zip(shares, (False, *has_own[1:]), strict=True)]
    ends = [round(len(rest) * sum(weights[: at + 1]) / sum(weights)) for at in range(len(_PARTS))]
    split_off = [rest[start:end] for start, end in zip((0, *ends), ends, strict=False)]
    parts = [split_off[0], *(mine if len(mine) else cut for mine, cut in zip(own, split_off[1:], strict=True))]
    for name, part, is_own in zip(_PARTS, parts, (False, *has_own[1:]), strict=True):
        if is_own and len(part):
            continue
        absent = np.flatnonzero(np.bincount(images.y[part], minlength=images.classes) == 0)
        if len(absent):
            share = "-".join(str(percent) for percent in shares)
            raise WrongSettingError(
                f"{images.title}: {len(rest)} images are too few for partitioning {share}: the {name} part would "
                f"have none of class {absent[0]}; use more images or fewer classes"
            )
    return Split(*(np.sort(part) for part in parts))


def _sample(images: Images, ids: Ids, seed: int, limit: int | None) -> Ids:
    """Return the ids of a part in stratified order; of a limited data set its share of the limit."""
    count = len(ids) if limit is None else round(limit * len(ids) / len(images.y))
    return ids[stratified_order(images.y[ids], seed)][:count] if len(ids) else ids


def stratified_order(labels: Array, seed: int) -> Ids:
    """Return an order of all images in which every stretch is stratified by class, to within one image per class.

    Within its class an image gets a random rank, and (rank + 1/2) / (size of the class) is its place; images that share
    a place come in random order.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels)
    ranks = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = (ranks + 0.5) / np.repeat(sizes, sizes)
    return by_class[np.lexsort((random.random(len(labels)), places))].astype(np.int64)


def resized(images: Images, side: int, rows: Rows | None = None) -> Images:
    """Resize images to squares by bilinear interpolation; integer images are rounded again.

    Args:
        images: the images, in memory.
        side: of the squares, in pixels.
        rows: where they are put; memory unless given.
    """
    if images.shape[:2] == (side, side):
        return images
    scaled = ResizedRows(rows or MemoryRows(), side)
    scaled.open(len(images.x), images.x.shape[1:], str(images.x.dtype))
    for block in images.blocks(np.arange(len(images.x))):
        for row in block:
            scaled.append(row)
    return replace(images, x=scaled.close())


class ResizedRows:
    """Rows that are resized, by bilinear interpolation, before they are put into other rows."""

    def __init__(self, rows: Rows, side: int) -> None:
        """Take the rows that images of this side, in pixels, are put into."""
        self._rows, self._side = rows, side
        self._waiting: list[Array] = []

    def open(self, count: int, shape: tuple[int, ...], dtype: str) -> None:
        """Make room for at most `count` images of (height, width, channels)."""
        self._rows.open(count, (self._side, self._side, shape[2]), dtype)

    def append(self, row: Array) -> None:
        """Put an image after those that are there."""
        self._waiting.append(row)
        if len(self._waiting) == _RESIZE_AT_ONCE:
            self._flush()

    def close(self) -> Array:
        """Return the images: (images, side, side, channels)."""
        self._flush()
        return self._rows.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        some, self._waiting = np.stack(self._waiting), []
        if some.shape[1:3] != (self._side, self._side):
            import tensorflow as tf

            with tf.device("CPU"):
                scaled = tf.image.resize(some, (self._side, self._side), antialias=True).numpy()
            some = np.rint(scaled).astype(np.uint8) if some.dtype == np.uint8 else scaled
        for row in some:
            self._rows.append(row)


def _load_published(spec: DataSpec) -> Images:
    archive = ARCHIVES[spec.name]
    x, y = read_archive(find_archive(spec) or fetch_archive(archive), archive)
    return Images(x, y, archive.classes, archive.title)


def _load_keras_set(spec: DataSpec) -> Images:
    images = _labelled(read_keras_set(spec), KERAS_SETS[spec.name].title)
    return resized(images, DEFAULT_SIDE) if spec.image_size is None else images


def _load_digits(spec: DataSpec) -> Images:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    gray = np.rint(x.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    images = Images(np.repeat(gray, 3, axis=3), y.astype(np.int32), 10, "digits")
    return resized(images, DEFAULT_SIDE) if spec.image_size is None else images


def _load_synthetic(spec: DataSpec) -> Images:
    classes, count = spec.classes or 100, spec.images or 10_000
    x, y = make_synthetic(count, classes, spec.image_size or DEFAULT_SIDE)
    return Images(x, y, classes, "synthetic")


def _load_folder(spec: DataSpec, rows: Rows | None) -> Images:
    # Brings Pillow, which no other data set needs.
    from greenopt.trial.data.folder_images import read_folder

    path = Path(str(spec.path)).expanduser()
    return _labelled(read_folder(path, spec.image_size, spec.skip_broken, rows), str(path))


def _load_hub(spec: DataSpec, rows: Rows | None) -> Images:
    folder = locate_hub(spec)
    if folder is None:
        raise DataMissingError(f"{hub_title(spec)} is not on this machine any more; `greenopt run` brings it")
    library: Any = import_module(READERS[spec.name])
    state = "" if spec.path is not None else f" {folder.name}"
    return _labelled(library.read(folder, spec, rows), f"{hub_title(spec)}{state}")


def _labelled(arrays: LabelledArrays, title: str) -> Images:
    classes = len(arrays.class_names) or int(arrays.y.max()) + 1
    return Images(arrays.x, arrays.y, classes, title, arrays.class_names, arrays.parts, arrays.left_out)


def _load_npz(spec: DataSpec, rows: Rows | None) -> Images:
    path = Path(str(spec.path)).expanduser()
    if rows is not None and spec.image_size is not None:
        rows = ResizedRows(rows, spec.image_size)
    return _labelled(read_npz(path, rows), str(path))


def _checked(images: Images) -> Images:
    x, y = images.x, images.y
    if x.ndim != 4 or x.shape[3] != 3 or not len(x):
        raise WrongSettingError(f"{images.title}: x has shape {x.shape}; images are (images, height, width, 3)")
    if len(x) != len(y):
        raise WrongSettingError(f"{images.title}: {len(x)} images and {len(y)} labels")
    if (problem := class_problem(y)) is not None:
        raise WrongSettingError(f"{images.title}: {problem}")
    return images


_LOADERS = {
    DataSet.CIFAR100: _load_published,
    DataSet.CIFAR10: _load_published,
    DataSet.MNIST: _load_keras_set,
    DataSet.FASHION_MNIST: _load_keras_set,
    DataSet.DIGITS: _load_digits,
    DataSet.SYNTHETIC: _load_synthetic,
}
_STREAMED = {
    DataSet.NPZ: _load_npz,
    DataSet.FOLDER: _load_folder,
    DataSet.TFDS: _load_hub,
    DataSet.HUGGINGFACE: _load_hub,
}
