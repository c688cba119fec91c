"""Reads .npz files of images and labels, and checks them without loading the images.

Invariants: no pickle in a file is ever read, no array that is larger than its entry in the file, and none to which a
small file unpacks beyond all reason; the reader reads what the check lets through, unless something is wrong with
values beyond the part of the images that the check looks at.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from greenopt.plain_text import printable
from greenopt.trial.data.pixels import (
    Array,
    Extent,
    Kind,
    LabelledArrays,
    class_problem,
    extent_of,
    is_fractions,
    parts_of,
    shape_problem,
    to_pixels,
    transparency_problem,
    value_problem,
)
from greenopt.trial.data.rows import Rows
from greenopt.trial.failures import DataMissingError, WrongSettingError

CHECKED_BYTES = 256 << 20
"""Of the images, their values are looked at up to this size before a study starts; a fraction of a second."""

BOMB_BYTES, BOMB_RATIO = 1 << 30, 200
"""An array that unpacks to more than so many bytes, and to so many times what it takes in the file, is refused: photos
shrink to a third or a tenth, noise to nothing, a file that is made to fill the memory to a thousandth."""

_CHUNK_BYTES = 4 << 20
_WRITE_IT = "write it with numpy.savez(path, x=images, y=labels)"


_PLAIN = (("x", "y"),)
_OF_KERAS = (("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test"))
_ALIASES = {"validation": "val", "valid": "val"}


class _Pair(NamedTuple):
    """An array of images with its labels: their names in the file, what they are, and which part they are."""

    x: str
    y: str
    part: int
    kind: Kind

    @property
    def where(self) -> str:
        """Start of a message about them; empty where there is no other pair."""
        return "" if self.x == "x" else f"{self.x}, {self.y}: "


class NpzLabels(NamedTuple):
    """What a file holds beside the values of its images.

    Attributes:
        kind: of the images, those of all parts together.
        y: (images,) int32, labels 0 to k - 1.
        class_names: of labels that are text, in their order; else empty.
        parts: (images,) uint8, 0 training, 1 validation, 2 test; None where the file has no parts of its own.
    """

    kind: Kind
    y: Array
    class_names: tuple[str, ...]
    parts: Array | None


def check_npz(path: Path) -> None:
    """Check the file's shapes, types and labels, and the values of its first images.

    Raises:
        DataMissingError: it is not there or not such a file.
        WrongSettingError: its arrays cannot be used; one line that starts with the path.
    """
    read_labels(path)
    scales = {}
    with _opened(path) as file:
        for pair in _pairs(file, path):
            if pair.kind.dtype.kind == "b":
                continue
            with file.open(f"{pair.x}.npy") as stream:
                _kind_of(stream)
                extent = extent_of(_chunks(stream, pair.kind.dtype))
            is_all = pair.kind.dtype.itemsize * math.prod(pair.kind.shape) <= CHECKED_BYTES
            _refuse(path, value_problem(pair.kind, extent, is_all), pair.where)
            if is_all:
                scales[pair] = extent
    _refuse(path, _scale_problem(scales))


def read_labels(path: Path) -> NpzLabels:
    """Read what the images are, and all but them.

    Raises:
        DataMissingError: it is not there or not such a file.
        WrongSettingError: its arrays cannot be used; one line that starts with the path.
    """
    labels: list[Array] = []
    with _opened(path) as file:
        pairs = _pairs(file, path)
        for pair in pairs:
            _refuse(path, shape_problem(pair.kind, _kind(file, path, pair.y)), pair.where)
            labels.append(_read(file, pair.y).reshape(-1))
    first = pairs[0]
    for pair in pairs[1:]:
        if pair.kind.shape[1:] != first.kind.shape[1:]:
            shapes = f"{first.x} has shape {first.kind.shape} and {pair.x} {pair.kind.shape}"
            raise WrongSettingError(f"{path}: {shapes}; images of all parts have the same size and channels")
    names, numbers = _numbered(path, pairs, labels)
    y = np.concatenate(numbers).astype(np.int32)
    parts = np.repeat(np.array([pair.part for pair in pairs], np.uint8), [len(one) for one in numbers])
    kind = Kind((len(y), *first.kind.shape[1:]), first.kind.dtype)
    return NpzLabels(kind, y, names, parts if len(pairs) > 1 else None)


def read_npz(path: Path, rows: Rows | None = None) -> LabelledArrays:
    """Read the file.

    Args:
        path: the file.
        rows: where images of whole numbers are put, some at a time; those with fractions are read into memory.

    Raises:
        DataMissingError: it is not there or not such a file.
        WrongSettingError: its arrays cannot be used; one line that starts with the path.
    """
    labels, images, extents = read_labels(path), [], {}
    with _opened(path) as file:
        pairs = _pairs(file, path)
        if rows is not None and all(_is_whole(file, pair) for pair in pairs):
            return LabelledArrays(_streamed(file, path, pairs, rows), labels.y, labels.class_names, labels.parts)
        for pair in pairs:
            x = _read(file, pair.x)
            extents[pair] = extent_of(parts_of(x))
            problem = value_problem(pair.kind, extents[pair]) or transparency_problem(x, extents[pair])
            _refuse(path, problem, pair.where)
            images.append(to_pixels(x))
    _refuse(path, _scale_problem(extents))
    x = images[0] if len(images) == 1 else np.concatenate(images)
    return LabelledArrays(x, labels.y, labels.class_names, labels.parts)


def _is_whole(file: zipfile.ZipFile, pair: _Pair) -> bool:
    """Return whether images are whole numbers, or truth values, that are stored one after another."""
    with file.open(f"{pair.x}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return pair.kind.dtype.kind in "biu" and not read(stream)[1]


def _streamed(file: zipfile.ZipFile, path: Path, pairs: Sequence[_Pair], rows: Rows) -> Array:
    """Put the images of all parts into rows, some at a time."""
    is_open = False
    for pair in pairs:
        low, high = np.inf, -np.inf
        for some in _images(file, pair):
            low, high = min(low, float(some.min())), max(high, float(some.max()))
            pixels = to_pixels(some)
            if not is_open:
                rows.open(sum(each.kind.shape[0] for each in pairs), pixels.shape[1:], "uint8")
                is_open = True
            for image in pixels:
                rows.append(image)
        _refuse(path, value_problem(pair.kind, Extent(low, high, True)), pair.where)
    return rows.close()


def _images(file: zipfile.ZipFile, pair: _Pair) -> Iterator[Array]:
    """Yield the images of an array, some at a time."""
    count, shape, dtype = pair.kind.shape[0], pair.kind.shape[1:], pair.kind.dtype
    image_bytes = math.prod(shape) * dtype.itemsize
    size = max(1, _CHUNK_BYTES // image_bytes)
    with file.open(f"{pair.x}.npy") as stream:
        _kind_of(stream)
        for start in range(0, count, size):
            some = min(size, count - start)
            yield np.frombuffer(stream.read(some * image_bytes), dtype).reshape(some, *shape)


def _pairs(file: zipfile.ZipFile, path: Path) -> list[_Pair]:
    """Return the arrays of images and labels in a file: `x` and `y`, or those of parts as Keras names them."""
    arrays = {entry.removesuffix(".npy") for entry in file.namelist() if entry.endswith(".npy")}
    known = {name: name for pair in (*_PLAIN, *_OF_KERAS) for name in pair}
    known |= {f"{axis}_{alias}": f"{axis}_{name}" for alias, name in _ALIASES.items() for axis in "xy"}
    there = {known[name]: name for name in sorted(arrays) if name in known}
    if len(there) < sum(name in known for name in arrays):
        raise WrongSettingError(f"{path}: has two arrays for the validation part; keep x_val and y_val")
    of_keras = [pair for pair in _OF_KERAS if set(pair) & there.keys()]
    if of_keras and {"x", "y"} & there.keys():
        raise WrongSettingError(
            f"{path}: has x or y beside {there[next(iter(set(of_keras[0]) & there.keys()))]}; keep one of them"
        )
    if of_keras and _OF_KERAS[0] not in of_keras:
        of_keras.insert(0, _OF_KERAS[0])
    wanted = of_keras or _PLAIN
    missing = sorted(name for pair in wanted for name in pair if name not in there)
    if missing:
        some = f" but {', '.join(sorted(arrays)[:6])}" if arrays else ""
        way = "" if of_keras else f"; {_WRITE_IT}"
        raise DataMissingError(f"{path}: has no array {' and '.join(missing)}{some}{way}")
    parts = [_OF_KERAS.index(pair) if of_keras else 0 for pair in wanted]
    return [
        _Pair(there[x], there[y], part, _kind(file, path, there[x])) for (x, y), part in zip(wanted, parts, strict=True)
    ]


def _numbered(path: Path, pairs: Sequence[_Pair], labels: Sequence[Array]) -> tuple[tuple[str, ...], list[Array]]:
    """Return the names of classes whose labels are text, and the labels of each part as numbers."""
    is_text = [y.dtype.kind in "US" for y in labels]
    if len(set(is_text)) > 1:
        raise WrongSettingError(f"{path}: the labels are text in one part and numbers in another; store all as text")
    training = labels[0]
    if not is_text[0]:
        _refuse(path, class_problem(training), pairs[0].where)
    found = np.unique(training)
    for pair, y in zip(pairs, labels, strict=True):
        unknown = np.setdiff1d(y, found)
        if len(unknown):
            raise WrongSettingError(f"{path}: {pair.y} has the label {_shown(unknown[0])}, which {pairs[0].y} has not")
    if not is_text[0]:
        return (), list(labels)
    if len(found) < 2:
        raise WrongSettingError(
            f"{path}: {pairs[0].y} has the one label {_shown(found[0])}; there must be at least two classes"
        )
    return tuple(map(_shown, found)), [np.searchsorted(found, y) for y in labels]


def _shown(label: Any) -> str:
    text = label.decode("utf-8", "backslashreplace") if isinstance(label, bytes) else str(label)
    return printable(text)


def _scale_problem(extents: Mapping[_Pair, Extent]) -> str | None:
    """Return that fractions stand beside numbers of 0..255, where images of several parts are floating point."""
    floats = {pair: extent for pair, extent in extents.items() if pair.kind.dtype.kind == "f"}
    fractions = [pair for pair, extent in floats.items() if is_fractions(pair.kind, extent)]
    others = [pair for pair in floats if pair not in fractions]
    if not (fractions and others):
        return None
    a, b = others[0], fractions[0]
    return f"{a.x} has values up to {floats[a].high:g} and {b.x} up to {floats[b].high:g}; store both on the same scale"


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


def _refuse(path: Path, problem: str | None, where: str = "") -> None:
    if problem is not None:
        raise WrongSettingError(f"{path}: {where}{problem}")
