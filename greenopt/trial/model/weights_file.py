"""Files of weights: checked without Keras, and loaded into a model.

Invariant: only arrays of numbers are read. A `.keras` file's own description of its model is never looked at; a file
that links to other files, or unpacks beyond all reason, is refused.
"""

import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from greenopt.plain_text import in_one_line
from greenopt.trial.failures import DataMissingError, WrongSettingError

SUFFIXES = (".h5", ".hdf5", ".keras")
_INNER = "model.weights.h5"
"""The file of weights in a `.keras` file."""

MAX_BYTES, BOMB_BYTES, BOMB_RATIO = 16 << 30, 1 << 30, 200
_WANTED = 'training.weights is "imagenet" or a file of weights: .weights.h5, .h5 or .keras'


class Weighted(Protocol):
    """What is needed of a `keras.Model`; Keras itself is not imported here."""

    name: str

    def get_weights(self) -> list[Any]:
        """Return all weights as arrays."""
        ...

    def set_weights(self, weights: list[Any]) -> None:
        """Set all weights."""
        ...

    def load_weights(self, filepath: Path) -> None:
        """Load all weights from a file."""
        ...


def check_weights_file(path: Path) -> None:
    """Check that a file holds weights and nothing that would be run or followed.

    Raises:
        DataMissingError: it is not there.
        WrongSettingError: it is no such file; one line that starts with the path.
    """
    with _weights(path):
        pass


def load_weights(model: Weighted, features: Weighted | None, path: Path) -> str:
    """Load weights into a model: all of them, or else those of its features.

    Args:
        model: any.
        features: its part before the output layer; None where it has none that may be loaded alone.
        path: the file.

    Returns:
        `all` or `features`: what was loaded.

    Raises:
        DataMissingError: the file is not there.
        WrongSettingError: it is no such file, or fits neither.
    """
    targets = [("all", model)] + ([("features", features)] if features is not None else [])
    before, problems = model.get_weights(), []
    with _weights(path) as file:
        for what, target in targets:
            try:
                with _whole_or_error():
                    target.load_weights(file)
            except Exception as error:
                # Keras raises whatever its readers do. A failed attempt may have loaded some layers.
                model.set_weights(before)
                problems.append(in_one_line(str(error)) or type(error).__name__)
            else:
                return what
    raise WrongSettingError(f"training.weights: {path}: does not fit {model.name}: {problems[-1][:300]}")


@contextmanager
def _whole_or_error() -> Iterator[None]:
    """Have Keras raise where it would leave layers as they are; of its own lists of operations it says so in vain."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Skipping nested container")
        warnings.filterwarnings("ignore", message="Skipping nested container at '_operations_by_depth")
        yield


@contextmanager
def _weights(path: Path) -> Iterator[Path]:
    """Give the checked file under a name by which Keras knows its format."""
    if not path.is_file():
        raise DataMissingError(f"{path}: is a folder; {_WANTED}" if path.is_dir() else f"{path}: no such file")
    if path.suffix.lower() not in SUFFIXES:
        raise WrongSettingError(f"{path}: is not read, since such a file may hold code; {_WANTED}")
    with tempfile.TemporaryDirectory(prefix="greenopt-weights-") as folder:
        source = path.resolve()
        if path.suffix.lower() == ".keras":
            source = _unpacked(path, Path(folder))
        link = Path(folder) / ("linked.h5" if _is_legacy(path, source) else "linked.weights.h5")
        link.symlink_to(source)
        yield link


def _unpacked(path: Path, folder: Path) -> Path:
    target = folder / "unpacked.h5"
    try:
        with zipfile.ZipFile(path) as file:
            entry = file.getinfo(_INNER)
            if entry.file_size > MAX_BYTES or entry.file_size > max(BOMB_BYTES, BOMB_RATIO * entry.compress_size):
                raise WrongSettingError(f"{path}: its weights unpack to {entry.file_size / 2**30:.1f} GiB")
            with file.open(entry) as packed, target.open("wb") as unpacked:
                while chunk := packed.read(1 << 20):
                    unpacked.write(chunk)
    except KeyError:
        raise WrongSettingError(f"{path}: holds no {_INNER}; {_WANTED}") from None
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise WrongSettingError(f"{path}: is damaged, or no .keras file: {in_one_line(str(error))}") from None
    return target


def _is_legacy(path: Path, source: Path) -> bool:
    """Check an HDF5 file, and return whether it is of the format before Keras 3."""
    import h5py

    try:
        with h5py.File(source, "r") as file:
            declared = _declared_bytes(path, file)
            if declared > MAX_BYTES or declared > max(BOMB_BYTES, BOMB_RATIO * source.stat().st_size):
                raise WrongSettingError(f"{path}: its weights unpack to {declared / 2**30:.1f} GiB")
            return "layer_names" in file.attrs or "model_weights" in file
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise WrongSettingError(f"{path}: is damaged, or no file of weights: {in_one_line(str(error))}") from None


def _declared_bytes(path: Path, group: Any) -> int:
    """Return what the arrays below a group take unpacked, without reading them; refuse what leads out of the file."""
    import h5py

    total = 0
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise WrongSettingError(f"{path}: {name} is a link, which no file of weights has")
        entry = group[name]
        if isinstance(entry, h5py.Group):
            total += _declared_bytes(path, entry)
        elif entry.external or entry.is_virtual:
            raise WrongSettingError(f"{path}: {name} is in another file, which no file of weights has")
        else:
            total += int(entry.size or 0) * int(entry.dtype.itemsize)
    return total
