"""Whether a study's images fit where it has them, main memory or disk; found before anything is trained."""

import shutil
from pathlib import Path
from typing import NamedTuple

import psutil

from greenopt.cache_folder import cache_folder
from greenopt.coordination.image_checks import PUBLISHED_IMAGES, SYNTHETIC, largest_of
from greenopt.identity.sameness import DEFAULT_SIDE
from greenopt.spec import DataSet, DataSpec, ImagesOn, StudySpec
from greenopt.trial.data.cache import NO_FOLDER, prepared_labels
from greenopt.trial.data.files import ARCHIVES
from greenopt.trial.data.keras_sets import KERAS_SETS

_CHANNELS = 3


class Room(NamedTuple):
    """Prepared images: how many, of what size in pixels, and whether they have been prepared."""

    images: int
    height: int
    width: int
    is_prepared: bool

    @property
    def size_bytes(self) -> int:
        """Size of all of them."""
        return self.images * self.height * self.width * _CHANNELS

    def __str__(self) -> str:
        return f"{self.images:,} images of {self.width}x{self.height} take {_size(self.size_bytes)}"


def room_problem(spec: StudySpec) -> str | None:
    """Return why the images cannot be where the study has them, as `key: what; the way out`; None where they can.

    Args:
        spec: a study of images that `check_data` has found to be sound.
    """
    data, room = spec.data, _room(spec)
    if data is None:
        return None
    if data.images_on is ImagesOn.DISK:
        folder = cache_folder()
        if folder is None:
            return NO_FOLDER
        free_bytes = shutil.disk_usage(folder).free
        if room is None or room.is_prepared or room.size_bytes < free_bytes:
            return None
        way_out = "make room, or name a folder on another disk with GREENOPT_CACHE"
        return f"data.images_on: {room} and {_size(free_bytes)} are free in {folder}; {way_out}"
    memory_bytes = psutil.virtual_memory().total
    if room is None or room.size_bytes < memory_bytes:
        return None
    return f'data: {room} and this machine has {_size(memory_bytes)} of memory; set data.images_on = "disk"'


def room_note(spec: StudySpec) -> str | None:
    """Return where the images of a study are that stay on the disk, and how large they are; None of any other."""
    if spec.data is None or spec.data.images_on is not ImagesOn.DISK or (folder := cache_folder()) is None:
        return None
    room, place = _room(spec), folder / "images"
    if room is None:
        return f"images are prepared in {place} and read from there"
    block = min(spec.training.block_images, room.images)
    block_bytes = block * room.height * room.width * _CHANNELS
    state = "are read" if room.is_prepared else "are prepared by the first trial and read"
    return f"{room}; they {state} from {place}, {block:,} at a time ({_size(block_bytes)}; training.block_images)"


def _room(spec: StudySpec) -> Room | None:
    """Return what the prepared images take, at the largest size that a trial has; None where it is not known."""
    data = spec.data_of({"image_size": _largest(spec)})
    if data is None:
        return None
    if data.images_on is ImagesOn.DISK and (kept := prepared_labels(data)) is not None:
        count, height, width, _ = kept.shape
        return Room(count, height, width, True)
    found = _found(data)
    if found is None:
        return None
    count, (width, height) = found
    return Room(count, data.image_size or height, data.image_size or width, False)


def _largest(spec: StudySpec) -> int | None:
    """Return the largest size of images in pixels among those that the space has; None where it has none."""
    if "image_size" not in spec.varied:
        return None
    return largest_of(spec.space.distributions["image_size"])


def stored_size(data: DataSpec) -> tuple[int, int] | None:
    """Return width and height in pixels that a data set's images are stored in; None where they are not known."""
    found = _found(data)
    return None if found is None else found[1]


def _found(data: DataSpec) -> tuple[int, tuple[int, int]] | None:
    """Return how many images there are, and their width and height as they are stored."""
    if data.name.is_hub or data.name is DataSet.DIGITS:
        return None
    if data.name is DataSet.SYNTHETIC:
        return data.images or SYNTHETIC[0], (DEFAULT_SIDE, DEFAULT_SIDE)
    if data.name in ARCHIVES:
        return PUBLISHED_IMAGES, (DEFAULT_SIDE, DEFAULT_SIDE)
    if data.name in KERAS_SETS:
        return KERAS_SETS[data.name].train_images + KERAS_SETS[data.name].test_images, (DEFAULT_SIDE, DEFAULT_SIDE)
    path = Path(str(data.path)).expanduser()
    if data.name is DataSet.NPZ:
        from greenopt.trial.data.npz_file import read_labels

        shape = read_labels(path).kind.shape
        return shape[0], (shape[2], shape[1])
    from greenopt.trial.data.folder import list_folder
    from greenopt.trial.data.folder_images import folder_size

    listing = list_folder(path)
    size = folder_size(listing)
    return None if size is None else (len(listing.files), size)


def _size(size_bytes: int) -> str:
    if size_bytes < 1e6:
        return f"{size_bytes / 1e3:.0f} kB"
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
