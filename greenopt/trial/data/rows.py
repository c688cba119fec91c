"""Where images are put one after another while they are read: an array in memory, or a file that may be larger than it.

Invariant: both give the same rows in the same order; of those that go to a file, memory holds one at a time.
"""

from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Rows(Protocol):
    """A place for rows of one shape."""

    def open(self, count: int, shape: tuple[int, ...], dtype: str) -> None:
        """Make room for at most `count` rows."""
        ...

    def append(self, row: Array) -> None:
        """Put a row after those that are there."""
        ...

    def close(self) -> Array:
        """Return the rows: (rows, *shape)."""
        ...


class MemoryRows:
    """Rows in memory."""

    def __init__(self) -> None:
        self._filled = 0
        self._x: Array = np.empty((0,))

    def open(self, count: int, shape: tuple[int, ...], dtype: str) -> None:
        """Make room for at most `count` rows."""
        self._x = np.empty((count, *shape), dtype)

    def append(self, row: Array) -> None:
        """Put a row after those that are there."""
        self._x[self._filled] = row
        self._filled += 1

    def close(self) -> Array:
        """Return the rows: (rows, *shape)."""
        return self._x[: self._filled]


class FileRows:
    """Rows in an `.npy` file; the caller deletes it where it is not closed."""

    def __init__(self, path: Path) -> None:
        """Write nothing yet."""
        self._path = path
        self._file: IO[bytes] | None = None
        self._filled, self._dtype = 0, np.dtype("uint8")
        self._shape: tuple[int, ...] = ()

    def open(self, count: int, shape: tuple[int, ...], dtype: str) -> None:
        """Begin the file."""
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._file = self._path.open("xb")
        self._write_header(self._file, count)

    def append(self, row: Array) -> None:
        """Put a row after those that are there."""
        assert self._file is not None
        self._file.write(np.ascontiguousarray(row, self._dtype).data)
        self._filled += 1

    def close(self) -> Array:
        """Write how many rows there are, and return them, memory-mapped: (rows, *shape)."""
        assert self._file is not None
        with self._file as file:
            file.seek(0)
            self._write_header(file, self._filled)
        return np.load(self._path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    def _write_header(self, file: IO[bytes], count: int) -> None:
        """Write the header; NumPy leaves room in it for any length of the first axis, so that it can be put right."""
        facts = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (count, *self._shape),
        }
        np.lib.format.write_array_header_1_0(file, facts)
