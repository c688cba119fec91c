"""Reads and checks the images of a folder of class folders, on all cores.

Invariant: the reader reads what the check lets through, except for files that are broken beyond what the check decodes.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from greenopt.plain_text import printable
from greenopt.trial.data.folder import FolderListing, Part, list_folder, named
from greenopt.trial.data.pictures import BrokenImageError, picture_size, read_picture, tried
from greenopt.trial.data.pixels import LabelledArrays
from greenopt.trial.data.rows import MemoryRows, Rows
from greenopt.trial.failures import WrongSettingError

CHECKED_BYTES = 128 << 20
"""Files of up to so many bytes together are decoded before a study starts: seconds. Of larger folders the headers are
read."""

Size = tuple[int, int]


def check_folder(path: Path, image_size: int | None, skip_broken: bool) -> None:
    """Check the folder's structure and its images, of large folders by their headers alone.

    Args:
        path: the folder.
        image_size: side that images are scaled to, in pixels; None where they keep theirs.
        skip_broken: whether images that cannot be read are left out.

    Raises:
        DataMissingError: it is not there or holds no images in class folders; one line that starts with the path.
        WrongSettingError: its images cannot be used; likewise.
    """
    listing = list_folder(path)
    is_small = sum(_bytes(path / file) for file in listing.files) <= CHECKED_BYTES
    _common_size(listing, image_size, skip_broken, _decoded_size if is_small else picture_size)


def folder_side(listing: FolderListing) -> int | None:
    """Return the shorter side in pixels of the first image that can be read; None where none can."""
    size = folder_size(listing)
    return None if size is None else min(size)


def folder_size(listing: FolderListing) -> Size | None:
    """Return the width and height in pixels of the first image that can be read; None where none can."""
    for file in listing.files:
        try:
            return picture_size(listing.root / file)
        except BrokenImageError:
            continue
    return None


def read_folder(path: Path, image_size: int | None, skip_broken: bool, rows: Rows | None = None) -> LabelledArrays:
    """Read the images of a folder; arguments and errors as of `check_folder`; into `rows`, else into memory.

    Returns:
        Images (images, height, width, 3) uint8 in the order of their names, with labels, names of classes, parts where
        the folder has its own, and what was left out.
    """
    listing = list_folder(path)
    width, height = image_size or 0, image_size or 0
    if image_size is None:
        width, height = _common_size(listing, None, skip_broken, picture_size)
    rows, broken = rows or MemoryRows(), {}
    rows.open(len(listing.files), (height, width, 3), "uint8")
    pictures = tried(lambda file: read_picture(path / file, image_size), listing.files)
    for file, picture in zip(listing.files, pictures, strict=True):
        if isinstance(picture, BrokenImageError):
            broken[file] = picture
        else:
            rows.append(picture)
    _check_broken(listing, broken, skip_broken)
    whole = np.array([file not in broken for file in listing.files])
    parts = np.array(listing.parts, np.uint8)[whole]
    return LabelledArrays(
        rows.close(),
        np.array(listing.labels, np.int32)[whole],
        listing.class_names,
        parts if parts.any() else None,
        _left_out(listing, list(broken)),
    )


def _common_size(
    listing: FolderListing, image_size: int | None, skip_broken: bool, measure: Callable[[Path], Size]
) -> Size:
    """Return the width and height of all images; of the first ones' where they are to be scaled anyway."""
    measured = dict(zip(listing.files, tried(lambda file: measure(listing.root / file), listing.files), strict=True))
    broken = {file: size for file, size in measured.items() if isinstance(size, BrokenImageError)}
    _check_broken(listing, broken, skip_broken)
    sizes = Counter(size for size in measured.values() if not isinstance(size, BrokenImageError))
    if image_size is None and len(sizes) > 1:
        small, large = min(sizes), max(sizes)
        raise WrongSettingError(
            f"{listing.root}: its images have {len(sizes)} sizes, from {small[0]}x{small[1]} to {large[0]}x{large[1]}; "
            "set data.image_size to the side that all are scaled to, such as 96"
        )
    return sizes.most_common(1)[0][0]


def _check_broken(listing: FolderListing, broken: Mapping[str, BrokenImageError], skip_broken: bool) -> None:
    if not broken:
        return
    first = next(iter(broken))
    if not skip_broken:
        count = (
            f"{len(broken)} of {len(listing.files)} images cannot be read, the first" if len(broken) > 1 else "image"
        )
        raise WrongSettingError(
            f"{listing.root}: {count} {printable(first)}: {broken[first]}; mend or delete such files, or set "
            "data.skip_broken = true"
        )
    left = {
        label
        for file, label, part in zip(listing.files, listing.labels, listing.parts, strict=True)
        if file not in broken and part is Part.TRAINING
    }
    for label, name in enumerate(listing.class_names):
        if label not in left:
            raise WrongSettingError(f"{listing.root}: no image of class {name} can be read: {broken[first]}")


def _left_out(listing: FolderListing, broken: list[str]) -> str:
    """Return which files were left out, in words; empty where none was."""
    both = ((listing.left_out, "no images of a class"), (broken, "cannot be read"))
    return "; ".join(f"{named(files)} ({why})" for files, why in both if files)


def _decoded_size(file: Path) -> Size:
    pixels: Any = read_picture(file)
    height, width, _ = pixels.shape
    return width, height


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
