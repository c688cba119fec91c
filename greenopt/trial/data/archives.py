"""Reads the training images of CIFAR-10 and CIFAR-100 from their archive or its unpacked folder.

Invariants: the files are pickles, and nothing in them but arrays of numbers and plain values is ever built; nothing is
unpacked to the disk, no link of an archive is followed, and no more is unpacked than the published files hold.
"""

import io
import pickle
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from greenopt.files import open_regular
from greenopt.plain_text import in_one_line
from greenopt.trial.data.files import Archive
from greenopt.trial.failures import DataMissingError

_SIDE = 32
MAX_BATCH_BYTES, MAX_ARCHIVE_BYTES = 256 << 20, 512 << 20
"""Of a file of images and of all files together, unpacked; those of CIFAR-100 have 155 and 186 MB."""
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}

Array = npt.NDArray[Any]


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array")
        return super().find_class(module, name)


def read_archive(path: Path, archive: Archive) -> tuple[Array, Array]:
    """Read the training images of a published data set.

    Args:
        path: the archive, or the folder that holds its batches.
        archive: which data set it is.

    Returns:
        Images (images, 32, 32, 3) uint8 and labels (images,) int32.

    Raises:
        DataMissingError: the files are not what they should be.
    """
    try:
        batches = [_unpickle(text) for text in _texts(path, archive)]
        x = np.concatenate([np.asarray(batch["data"], np.uint8) for batch in batches])
        y = np.concatenate([np.asarray(batch[archive.label_key], np.int32) for batch in batches])
        # Rows hold the red plane, then green, then blue.
        return np.ascontiguousarray(x.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)), y
    except Exception as error:
        # A damaged or made-up pickle may fail with any of Python's errors.
        raise DataMissingError(f"{path}: is not {archive.title} as published: {in_one_line(str(error))}") from None


def _texts(path: Path, archive: Archive) -> list[bytes]:
    if path.is_dir():
        return [_read(open_regular(path / name), name) for name in archive.batches]
    with tarfile.open(path) as file:
        found = dict(_members(file, [f"{archive.folder}/{name}" for name in archive.batches]))
    return [found[f"{archive.folder}/{name}"] for name in archive.batches]


def _members(file: tarfile.TarFile, wanted: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Read the wanted files of an archive in one pass, and stop where it holds more than a data set can."""
    unpacked = 0
    for member in file:
        unpacked += member.size
        if unpacked > MAX_ARCHIVE_BYTES:
            raise ValueError(f"it holds more than {MAX_ARCHIVE_BYTES >> 20} MiB")
        if member.name in wanted:
            content = file.extractfile(member) if member.isreg() else None
            if content is None:
                raise ValueError(f"{member.name} is no file but a link or a device")
            yield member.name, _read(content, member.name)


def _read(content: IO[bytes], name: str) -> bytes:
    with content:
        text = content.read(MAX_BATCH_BYTES + 1)
    if len(text) > MAX_BATCH_BYTES:
        raise ValueError(f"{name} is larger than {MAX_BATCH_BYTES >> 20} MiB")
    return text


def _unpickle(text: bytes) -> dict[str, Any]:
    # latin1 turns the byte strings of Python 2, in which the files were written, into text without loss.
    batch = _ArrayUnpickler(io.BytesIO(text), encoding="latin1").load()
    if not isinstance(batch, dict):
        raise TypeError(f"a {type(batch).__name__} where a dictionary should be")
    return batch
