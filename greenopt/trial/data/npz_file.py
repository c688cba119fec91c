"""Reads .npz files of images and labels, and checks them without loading the images.

Invariants: no pickle in a file is ever read, no array that is larger than its entry in the file, and none to which a
small file unpacks beyond all reason; the reader reads what the check lets through, unless something is wrong with
values beyond the part of the images that the check looks at.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from greenopt.trial.data.pixels import (
    Array,
    Kind,
    class_problem,
    extent_of,
    parts_of,
    shape_problem,
    to_pixels,
    value_problem,
)
from greenopt.trial.failures import DataMissingError, WrongSettingError

CHECKED_BYTES = 256 << 20
"""Of the images, their values are looked at up to this size before a study starts; a fraction of a second."""

BOMB_BYTES, BOMB_RATIO = 1 << 30, 200
"""An array that unpacks to more than so many bytes, and to so many times what it takes in the file, is refused: photos
shrink to a third or a tenth, noise to nothing, a file that is made to fill the memory to a thousandth."""

_CHUNK_BYTES = 4 << 20
_WRITE_IT = "write it with numpy.savez(path, x=images, y=labels)"


def check_npz(path: Path) -> None:
    """Check the file's shapes, types and labels, and the values of its first images.

    Raises:
        DataMissingError: it is not there or not such a file.
        WrongSettingError: its arrays cannot be used; one line that starts with the path.
    """
    kind, _ = read_labels(path)
    if kind.dtype.kind != "b":
        with _opened(path) as file, file.open("x.npy") as stream:
            _kind_of(stream)
            extent = extent_of(_chunks(stream, kind.dtype))
        is_all = kind.dtype.itemsize * math.prod(kind.shape) <= CHECKED_BYTES
        _refuse(path, value_problem(kind, extent, is_all))


def read_labels(path: Path) -> tuple[Kind, Array]:
    """Read what the images are, and the labels, (images,).

    Raises:
        DataMissingError: it is not there or not such a file.
        WrongSettingError: its arrays cannot be used; one line that starts with the path.
    """
    with _opened(path) as file:
        kinds = {name: _kind(file, path, name) for name in ("x", "y")}
        _refuse(path, shape_problem(kinds["x"], kinds["y"]))
        y = _read(file, "y").reshape(-1)
    _refuse(path, class_problem(y))
    return kinds["x"], y


def read_npz(path: Path) -> tuple[Array, Array]:
    """Read the file.

    Returns:
        Images (images, height, width, 3) in 0..255, uint8 or float32, and labels (images,) int32, 0 to k - 1.

    Raises:
        DataMissingError: it is not there or not such a file.
        WrongSettingError: its arrays cannot be used; one line that starts with the path.
    """
    kind, y = read_labels(path)
    with _opened(path) as file:
        x = _read(file, "x")
    _refuse(path, value_problem(kind, extent_of(parts_of(x))))
    return to_pixels(x), y.astype(np.int32)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    if not path.exists():
        raise DataMissingError(
            f"{path}: no such file; data.path names an .npz file with arrays x (images) and y (labels)"
        )
    if path.is_dir():
        raise DataMissingError(f"{path}: is a folder; data.path names an .npz file with arrays x and y")
    try:
        with zipfile.ZipFile(path) as file:
            yield file
    except zipfile.BadZipFile as error:
        damaged = zipfile.is_zipfile(path)
        problem = f"is damaged ({error}): bring a whole one" if damaged else f"is not an .npz file; {_WRITE_IT}"
        raise DataMissingError(f"{path}: {problem}") from None
    except (OSError, EOFError, ValueError, zlib.error, RuntimeError, NotImplementedError, MemoryError) as error:
        raise DataMissingError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None


def _kind(file: zipfile.ZipFile, path: Path, name: str) -> Kind:
    arrays = {entry.removesuffix(".npy") for entry in file.namelist() if entry.endswith(".npy")}
    if missing := {"x", "y"} - arrays:
        there = f" but {', '.join(sorted(arrays)[:6])}" if arrays else ""
        raise DataMissingError(f"{path}: has no array {' and '.join(sorted(missing))}{there}; {_WRITE_IT}")
    entry = file.getinfo(f"{name}.npy")
    if entry.file_size > BOMB_BYTES and entry.file_size > BOMB_RATIO * entry.compress_size:
        raise DataMissingError(
            f"{path}: array {name} unpacks to {entry.file_size / 2**30:.1f} GiB, {BOMB_RATIO} times its size in the "
            "file and more: no images do; write it with numpy.savez if they are"
        )
    with file.open(entry) as stream:
        kind = _kind_of(stream)
    # NumPy makes room for what the header says before it reads what there is.
    if not kind.dtype.hasobject and kind.dtype.itemsize * math.prod(kind.shape) > entry.file_size:
        raise DataMissingError(f"{path}: is damaged: array {name} is shorter than it says; bring a whole one")
    return kind


def _kind_of(stream: IO[bytes]) -> Kind:
    """Return what an array is, from its header; the stream then stands at its first value."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return Kind(tuple(shape), dtype)


def _read(file: zipfile.ZipFile, name: str) -> Array:
    with file.open(f"{name}.npy") as stream:
        array: Array = np.lib.format.read_array(stream, allow_pickle=False)
        return array


def _chunks(stream: IO[bytes], dtype: np.dtype[Any]) -> Iterator[Array]:
    """Return the first values of an array, in the order in which they are stored."""
    size = _CHUNK_BYTES // dtype.itemsize * dtype.itemsize
    for _ in range(CHECKED_BYTES // size):
        chunk = stream.read(size)
        yield np.frombuffer(chunk[: len(chunk) // dtype.itemsize * dtype.itemsize], dtype)
        if len(chunk) < size:
            return


def _refuse(path: Path, problem: str | None) -> None:
    if problem is not None:
        raise WrongSettingError(f"{path}: {problem}")
