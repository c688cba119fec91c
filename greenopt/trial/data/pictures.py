"""Image files of any kind as pixels of three channels, by Pillow.

Invariants: equal pictures give equal pixels, to the rounding of their format, whatever their mode, depth or orientation
tag; a file that cannot be read raises `BrokenImageError` and nothing else. No format that runs another program is read.
"""

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps

from greenopt.plain_text import in_one_line

_NOT_READ = {"EPS", "WMF", "MPEG", "HDF5", "BUFR", "GRIB"}
"""Formats that Pillow hands to another program (Ghostscript, Windows), or knows by their first bytes alone."""

_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes of gray images of more than 8 bits a pixel; Pillow's own conversion would cut them off at 255."""

_DEEPEST = 65_535
_DRAFT = 2
"""A JPEG is decoded at a fraction of its size as long as that is so many times the size wanted, or more."""

_A_CORE = 4
"""Images that are held at a time for each core that reads them."""

Source = TypeVar("Source")
Read = TypeVar("Read")


class BrokenImageError(Exception):
    """A file is not an image that can be read; the text says why, without the file's name."""


@cache
def image_suffixes() -> frozenset[str]:
    """Return the endings of files that are read as images, lower case, with their dots."""
    formats = set(_formats())
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def picture_size(path: Path) -> tuple[int, int]:
    """Return the width and height of an image as it is seen, in pixels, without decoding it.

    Raises:
        BrokenImageError: it cannot be read.
    """
    with _opened(path) as image:
        width, height = image.size
        # Orientations 5 to 8 are turned by a quarter.
        return (height, width) if image.getexif().get(0x0112, 1) >= 5 else (width, height)


def read_picture(path: Path | bytes, side: int | None = None) -> Any:
    """Read an image, the first one where the file has several.

    Args:
        path: the file, or its contents.
        side: scale it to a square of this side, in pixels; None leaves its size.

    Returns:
        (height, width, 3) uint8, turned as its orientation tag says; what is transparent lies on white.

    Raises:
        BrokenImageError: it cannot be read.
    """
    with _opened(path) as image:
        if side is not None:
            image.draft(None, (side * _DRAFT, side * _DRAFT))
        image.load()
        picture = to_rgb(ImageOps.exif_transpose(image))
        if side is not None and picture.size != (side, side):
            picture = picture.resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(picture)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB.

    Gray images of 16 bits are scaled to 8; those of floating point are taken as fractions where none exceeds 1.

    Raises:
        ValueError: its values fit neither.
    """
    if image.mode in _DEEP:
        image = _from_levels(np.asarray(image), _DEEPEST)
    elif image.mode == "F":
        levels = np.asarray(image)
        image = _from_levels(levels, 1 if levels.max() <= 1 else 255)
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, colours)
    return image.convert("RGB")


def _from_levels(levels: Any, highest: int) -> Image.Image:
    """Scale (height, width) levels of 0 to `highest` to a gray image of 8 bits."""
    low, high = float(levels.min()), float(levels.max())
    if not (low >= 0 and high <= highest):
        raise ValueError(f"its gray levels are {low:g} to {high:g}, outside 0..{highest}")
    return Image.fromarray(np.rint(levels.astype(np.float64) * (255 / highest)).astype(np.uint8))


def tried(read: Callable[[Source], Read], sources: Iterable[Source]) -> Iterator[Read | BrokenImageError]:
    """Read images in threads, since Pillow decodes outside Python's lock; yield the results in order, errors too.

    Of what is read only some images are held at a time, whatever the number of sources.
    """

    def attempt(source: Source) -> Read | BrokenImageError:
        try:
            return read(source)
        except BrokenImageError as error:
            return error

    cores = len(os.sched_getaffinity(0))
    waiting: deque[Future[Read | BrokenImageError]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        for source in sources:
            waiting.append(pool.submit(attempt, source))
            if len(waiting) > cores * _A_CORE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _opened(path: Path | bytes) -> Iterator[Image.Image]:
    try:
        file = BytesIO(path) if isinstance(path, bytes) else path
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=_formats()) as image:
            yield image
    except FileNotFoundError:
        is_link = isinstance(path, Path) and path.is_symlink()
        raise BrokenImageError("is a link to a file that is not there" if is_link else "is gone") from None
    except Exception as error:
        # Decoders of damaged files may fail with any of Python's errors; Pillow's own names the file again.
        text = in_one_line(str(error)) or type(error).__name__
        known = "cannot identify image file" in text
        raise BrokenImageError("is not an image that can be read" if known else text) from None


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.ID if name not in _NOT_READ)
