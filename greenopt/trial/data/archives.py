"""Reads the training images of CIFAR-10 and CIFAR-100 from their archive or its unpacked folder.

Invariant: the files are pickles, and nothing in them but arrays of numbers and plain values is ever built.
"""

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from greenopt.trial.data.files import Archive
from greenopt.trial.failures import DataMissingError

_SIDE = 32
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
    except (OSError, EOFError, KeyError, ValueError, TypeError, pickle.UnpicklingError, tarfile.TarError) as error:
        raise DataMissingError(f"{path}: is not {archive.title} as published: {error}") from None


def _texts(path: Path, archive: Archive) -> list[bytes]:
    if path.is_dir():
        return [(path / name).read_bytes() for name in archive.batches]
    with tarfile.open(path) as file:
        members = [file.extractfile(f"{archive.folder}/{name}") for name in archive.batches]
        return [member.read() for member in members if member is not None]


def _unpickle(text: bytes) -> dict[str, Any]:
    # latin1 turns the byte strings of Python 2, in which the files were written, into text without loss.
    batch = _ArrayUnpickler(io.BytesIO(text), encoding="latin1").load()
    if not isinstance(batch, dict):
        raise TypeError(f"a {type(batch).__name__} where a dictionary should be")
    return batch
