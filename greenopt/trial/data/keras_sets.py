"""Finds, fetches and reads the image sets of `keras.datasets` that come as arrays: MNIST and Fashion-MNIST.

CIFAR-10 and CIFAR-100 are archives of pickles, in `archives` and `files`. Invariant: a file is used only if its digest
is the published one; their own test parts stay test parts.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from greenopt.cache_folder import say_once
from greenopt.spec import DataSet, DataSpec
from greenopt.trial.data.files import datasets_folder, fetch_file, sha256_of
from greenopt.trial.failures import DataMissingError

if TYPE_CHECKING:
    from greenopt.trial.data.pixels import Array, LabelledArrays

_BASE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_IMAGES_HEADER, _LABELS_HEADER = 16, 8


@dataclass(frozen=True)
class PublishedFile:
    """A file of a data set: its name, digest and size in bytes."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class KerasSet:
    """An image set of `keras.datasets`.

    Attributes:
        title: name for the user.
        folder: its folder in Keras's folder of data sets; empty where it has none.
        files: a `.npz` file, or training images, training labels, test images and test labels in the IDX format.
        class_names: names of the classes.
        train_images: number of images for training and validation.
        test_images: number of images in its test part.
        side: height and width in pixels.
    """

    title: str
    folder: str
    files: tuple[PublishedFile, ...]
    class_names: tuple[str, ...]
    train_images: int = 60_000
    test_images: int = 10_000
    side: int = 28

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)


KERAS_SETS: dict[DataSet, KerasSet] = {
    DataSet.MNIST: KerasSet(
        title="MNIST",
        folder="",
        files=(
            PublishedFile("mnist.npz", "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1", 11_490_434),
        ),
        class_names=tuple("0123456789"),
    ),
    DataSet.FASHION_MNIST: KerasSet(
        title="Fashion-MNIST",
        folder="fashion-mnist",
        files=(
            PublishedFile(
                "train-images-idx3-ubyte.gz",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                26_421_880,
            ),
            PublishedFile(
                "train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29_515
            ),
            PublishedFile(
                "t10k-images-idx3-ubyte.gz",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                4_422_102,
            ),
            PublishedFile(
                "t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148
            ),
        ),
        class_names=(
            *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
            *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
        ),
    ),
}


def keras_set_problem(spec: DataSpec, can_reach: Callable[[str], bool]) -> str | None:
    """Return why a set cannot be had, in one line that says what to do; None where it can.

    Args:
        spec: the `[data]` table.
        can_reach: whether an address answers; asked only where files are not on this machine.

    Raises:
        DataMissingError: a file is damaged, or the user's path does not hold it.
    """
    published = KERAS_SETS[spec.name]
    if locate_keras_set(spec, is_checked=True) is not None or can_reach(_url(published.files[0])):
        return None
    return _advice(published, f"is not on this machine and {_url(published.files[0])} cannot be reached")


def locate_keras_set(spec: DataSpec, *, is_checked: bool = False) -> list[Path] | None:
    """Return the files of a set, in their order; None where one is not there.

    Args:
        spec: the `[data]` table.
        is_checked: whether their digests are compared, which reads them.

    Raises:
        DataMissingError: a file is damaged, or the user's path does not hold it.
    """
    published = KERAS_SETS[spec.name]
    given = Path(spec.path).expanduser() if spec.path is not None else None
    folder = given or datasets_folder() / published.folder
    files = [folder / file.name for file in published.files]
    if given is not None and given.is_file() and len(files) == 1:
        files = [given]
    absent = [file for file in files if not file.is_file()]
    if absent and given is not None:
        names = ", ".join(file.name for file in published.files)
        raise DataMissingError(f"{given}: {absent[0].name} is not there; data.path is a folder with {names}")
    if absent:
        return None
    for file, wanted in zip(files, published.files, strict=True):
        if is_checked and sha256_of(file) != wanted.sha256:
            raise DataMissingError(
                f"{file}: is not the published {wanted.name} (its SHA-256 differs); it may be cut short: move it away "
                "or bring a whole one"
            )
    return files


def read_keras_set(spec: DataSpec) -> "LabelledArrays":
    """Read a set, after fetching what is not on this machine.

    Returns:
        Images (images, 28, 28, 3) uint8, those of its test part as such, with the names of the classes.

    Raises:
        DataMissingError: files are not there and cannot be had, or are damaged.
    """
    from greenopt.trial.data.npz_file import read_npz

    published = KERAS_SETS[spec.name]
    files = locate_keras_set(spec, is_checked=True) or _fetched(published)
    arrays = read_npz(files[0]) if files[0].suffix == ".npz" else _read_idx(published, files)
    return arrays._replace(class_names=published.class_names)


def _fetched(published: KerasSet) -> list[Path]:
    folder = datasets_folder() / published.folder
    for file in published.files:
        if not (folder / file.name).is_file():
            say_once(f"downloading {_url(file)} ({file.size_bytes / 1e6:.1f} MB) to {folder}")
            try:
                fetch_file(_url(file), file.sha256, folder / file.name)
            except (OSError, ValueError) as error:
                reason = getattr(error, "reason", None) or error
                problem = f"could not be downloaded from {_url(file)} ({reason})"
                raise DataMissingError(_advice(published, problem)) from None
    return [folder / file.name for file in published.files]


def _read_idx(published: KerasSet, files: list[Path]) -> "LabelledArrays":
    import numpy as np

    from greenopt.trial.data.pixels import LabelledArrays, to_pixels

    counts = (published.train_images, published.test_images)
    shape = (published.side, published.side)
    x = [_idx(file, _IMAGES_HEADER, (count, *shape)) for file, count in zip(files[::2], counts, strict=True)]
    y = [_idx(file, _LABELS_HEADER, (count,)) for file, count in zip(files[1::2], counts, strict=True)]
    parts = np.repeat(np.array([0, 2], np.uint8), counts)
    return LabelledArrays(to_pixels(np.concatenate(x)), np.concatenate(y).astype(np.int32), (), parts)


def _idx(file: Path, header_bytes: int, shape: tuple[int, ...]) -> "Array":
    """Read the bytes of an IDX file; its digest has been compared, so that what its header says is known."""
    import numpy as np

    with gzip.open(file) as stream:
        return np.frombuffer(stream.read(), np.uint8, offset=header_bytes).reshape(shape)


def _url(file: PublishedFile) -> str:
    return _BASE + file.name


def _advice(published: KerasSet, problem: str) -> str:
    names = ", ".join(file.name for file in published.files)
    return (
        f"{published.title} {problem}; put {names} into {datasets_folder() / published.folder}, or set data.path to a "
        "folder that holds them"
    )
