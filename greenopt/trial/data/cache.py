"""The image cache of a study: loaded and resized once, memory-mapped afterwards.

Invariant: what is mapped is what loading gives: its key holds all that the images depend on, the source file's size and
time of change included; of a folder of images, the digest of their contents.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import filelock
import numpy as np

from greenopt.cache_folder import FOLDER_VARIABLE, cache_folder, prune
from greenopt.identity.digests import DIGESTS_FILE, DataDigests
from greenopt.spec import DataSet, DataSpec, ImagesOn
from greenopt.trial.data.files import ARCHIVES, locate_archive
from greenopt.trial.data.hub import hub_files, locate_hub
from greenopt.trial.data.images import Array, Images, load_images
from greenopt.trial.data.keras_sets import KERAS_SETS, locate_keras_set
from greenopt.trial.data.rows import FileRows, Rows
from greenopt.trial.data.stored_array import StoredArray
from greenopt.trial.failures import WrongSettingError

IMAGES_BYTES = 10_000_000_000
"""What prepared images may take, beside the largest set; the least recently used go first."""

NO_FOLDER = f"data.images_on: 'disk' needs greenopt's cache folder; {FOLDER_VARIABLE} is empty or cannot be written to"

_FORMAT = 4


Load: TypeAlias = Callable[[DataSpec, Rows | None], Images]
"""Loads images; those that are read one by one are put into the rows given, else into memory."""


def cached_images(spec: DataSpec, folder: Path | None = None, load: Load = load_images) -> Images:
    """Return the images of a study as `load_images` returns them; read-only if they are memory-mapped.

    Args:
        spec: the `[data]` table.
        folder: where images are kept; greenopt's cache folder unless given.
        load: loads them the first time.

    Raises:
        DataMissingError: files are not there.
        WrongSettingError: they are there and cannot be used, or cannot be kept though they are to stay on the disk.
    """
    folder = folder or cache_folder()
    is_on_disk = spec.images_on is ImagesOn.DISK
    source = _source(spec, folder) if folder is not None else None
    if folder is None and is_on_disk:
        raise WrongSettingError(NO_FOLDER)
    if folder is None or source is None:
        return load(spec, None)
    place = folder / "images" / _key(spec, source)
    open_kept = _stored if is_on_disk else _mapped
    for is_last in (not is_on_disk, True):
        try:
            _fill(spec, load, place)
            return open_kept(place)
        except (OSError, ValueError, KeyError) as error:
            # Disk full, no write permission, or a damaged entry.
            with suppress(OSError):
                shutil.rmtree(place)
            if is_on_disk and is_last:
                what = getattr(error, "strerror", None) or error
                raise WrongSettingError(f"data.images_on: images cannot be kept in {place.parent}: {what}") from None
        if is_last:
            break
    return load(spec, None)


def _fill(spec: DataSpec, load: Load, place: Path) -> None:
    """Prepare the images of a study unless they are there; one process at a time."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(place.with_suffix(".lock")):
        if not place.exists():
            _write(spec, load, place)
            prune(place.parent, IMAGES_BYTES + _largest_bytes(place.parent))


class PreparedLabels(NamedTuple):
    """What is kept of prepared images beside their pixels; parts as of `Images`."""

    shape: tuple[int, ...]
    y: Array
    classes: int
    parts: Array | None


def prepared_labels(spec: DataSpec, folder: Path | None = None) -> PreparedLabels | None:
    """Return the labels of a study's images where these have been prepared, without reading the images.

    Args:
        spec: the `[data]` table.
        folder: where images are kept; greenopt's cache folder unless given.
    """
    folder = folder or cache_folder()
    source = _source(spec, folder) if folder is not None else None
    if folder is None or source is None:
        return None
    try:
        images = _mapped(folder / "images" / _key(spec, source))
    except (OSError, ValueError, KeyError):
        return None
    return PreparedLabels(images.x.shape, images.y, images.classes, images.parts)


def _source(spec: DataSpec, kept: Path) -> list[Any] | None:
    """Identify the files behind the images; empty if images are generated, None if files are missing."""
    if spec.name in (DataSet.DIGITS, DataSet.SYNTHETIC):
        return []
    if spec.name.is_hub:
        return _hub_source(spec, kept)
    if spec.name is DataSet.FOLDER:
        return _folder_source(Path(str(spec.path)).expanduser(), kept)
    if spec.name in KERAS_SETS:
        found = locate_keras_set(spec)
        return [_state(file) for file in found] if found is not None else None
    path = locate_archive(spec) if spec.name in ARCHIVES else Path(str(spec.path)).expanduser()
    if path is None or not path.exists():
        return None
    files = [path / name for name in ARCHIVES[spec.name].batches] if path.is_dir() else [path]
    return [_state(file) for file in files]


def _state(file: Path) -> tuple[str, int, int]:
    state = file.stat()
    return str(file.resolve()), state.st_size, state.st_mtime_ns


def _folder_source(path: Path, kept: Path) -> list[Any] | None:
    from PIL import __version__ as pillow

    from greenopt.trial.data.folder import list_folder

    if not path.is_dir():
        return None
    listing = list_folder(path)
    digest = DataDigests(kept / DIGESTS_FILE).of_files(path, listing.files)
    return [str(path.resolve()), pillow, digest, *listing.left_out]


def _hub_source(spec: DataSpec, kept: Path) -> list[Any] | None:
    from PIL import __version__ as pillow

    found = locate_hub(spec)
    if found is None:
        return None
    # Of a data set that is known by its name the folder's name is its state, which is in the images' title.
    place = str(found.resolve()) if spec.path is not None else found.name
    return [place, pillow, DataDigests(kept / DIGESTS_FILE).of_files(found, hub_files(found))]


def _key(spec: DataSpec, source: list[Any]) -> str:
    # `images` limits a data set when it is split; it is part of the images of the generated one only.
    left_out = {"path", "images_on"} if spec.name is DataSet.SYNTHETIC else {"path", "images_on", "images"}
    text = json.dumps([_FORMAT, np.__version__, spec.model_dump(mode="json", exclude=left_out), source])
    return f"{spec.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _largest_bytes(folder: Path) -> int:
    """Return the size of the largest set of prepared images."""
    return max((file.stat().st_size for file in folder.glob("*/x.npy")), default=0)


def _write(spec: DataSpec, load: Load, place: Path) -> None:
    scratch = Path(tempfile.mkdtemp(dir=place.parent, prefix=".new-"))
    try:
        file = scratch / "x.npy"
        images = load(spec, FileRows(file))
        if not file.exists():
            np.save(file, np.ascontiguousarray(images.x), allow_pickle=False)
        np.save(scratch / "y.npy", images.y, allow_pickle=False)
        if images.parts is not None:
            np.save(scratch / "parts.npy", images.parts, allow_pickle=False)
        names = ("classes", "title", "class_names", "left_out")
        facts = {name: getattr(images, name) for name in names}
        (scratch / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        scratch.rename(place)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _mapped(place: Path) -> Images:
    facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
    # Used now, for those that look for what has not been used for longest.
    with suppress(OSError):
        os.utime(place / "facts.json")
    x = np.load(place / "x.npy", mmap_mode="r", allow_pickle=False)
    y = np.load(place / "y.npy", allow_pickle=False)
    has_parts = (place / "parts.npy").exists()
    return Images(
        x,
        y,
        facts["classes"],
        facts["title"],
        tuple(facts["class_names"]),
        np.load(place / "parts.npy", allow_pickle=False) if has_parts else None,
        facts["left_out"],
    )


def _stored(place: Path) -> Images:
    """Return prepared images that stay on the disk.

    Raises:
        WrongSettingError: they have fractions, of which scaling would have to hold all.
    """
    images = replace(_mapped(place), x=StoredArray(place / "x.npy"))
    if images.x.dtype != np.uint8:
        raise WrongSettingError(
            "data.images_on: 'disk' is for images of whole numbers; store x as uint8 of 0..255, or leave it out"
        )
    return images
