"""Images in a file that are read from it when they are asked for.

Invariant: no more than what is asked for is held in memory. A memory-mapped array would give the same values, but every
page that was looked at would count as memory of this process until the kernel needs it, and against a trial's limit.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_READERS = 8
"""Reads that are waited for at once: a disk serves several faster than one after another."""

_ALONE_BYTES = 1 << 20
"""What is read without other threads."""


class StoredArray:
    """The rows of an `.npy` file. Used by any thread.

    Attributes:
        shape: (rows, ...) as in the file.
        dtype: of the values.
    """

    def __init__(self, path: Path) -> None:
        """Open a file and read its header.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no such file, or shorter than it says.
        """
        self._file = path.open("rb", buffering=0)
        if np.lib.format.read_magic(self._file) != (1, 0):
            raise ValueError(f"{path}: has another version")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(self._file)
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype[Any] = dtype
        self._begin = self._file.tell()
        if is_fortran or dtype.hasobject or os.fstat(self._file.fileno()).st_size != self._begin + self.nbytes:
            raise ValueError(f"{path}: is damaged")
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="images")

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def row_bytes(self) -> int:
        """Size of one row, in bytes."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Size of all rows, in bytes."""
        return self.shape[0] * self.row_bytes

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, ids: Array) -> Array:
        """Read the rows with these numbers: (ids, ...), in their order.

        Raises:
            IndexError: there is no such row.
            OSError: they cannot be read.
        """
        wanted = np.asarray(ids, np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of {len(self)}")
        result: Array = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        parts = 1 if result.nbytes <= _ALONE_BYTES else _READERS
        cuts = [len(wanted) * part // parts for part in range(parts + 1)]
        pieces = [(wanted[start:end], result[start:end]) for start, end in itertools.pairwise(cuts)]
        if parts == 1:
            self._fill(*pieces[0])
        else:
            list(self._pool.map(self._fill, *zip(*pieces, strict=True)))
        return result

    def _fill(self, ids: Array, target: Array) -> None:
        """Read rows into an array; those that follow one another in the file at once."""
        if not len(ids):
            return
        starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 2) != 1)
        content: Any = target.reshape(-1).view(np.uint8)
        view = memoryview(content)
        for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
            part = view[start * self.row_bytes : end * self.row_bytes]
            self._read(part, self._begin + int(ids[start]) * self.row_bytes)

    def _read(self, target: memoryview, place: int) -> None:
        while target:
            count = os.preadv(self._file.fileno(), [target], place)
            if not count:
                raise OSError(f"{self._file.name}: ends before its last image")
            target, place = target[count:], place + count
