"""Finds the images of a folder of class folders: which files, of which class, of which part.

Invariant: what is listed depends on names alone and comes in the order of names; hidden files and what is no image by
its name are never part of it, so that a file manager's traces change nothing.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from greenopt.plain_text import printable
from greenopt.trial.data.pictures import image_suffixes
from greenopt.trial.failures import DataMissingError, WrongSettingError

_NAMED = 3
_IGNORED = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")
"""What systems leave in folders of images, beside hidden files, in lower case."""

_WANTED = "data.path is a folder with a folder of images for each class"


class Part(IntEnum):
    """The part that an image is for; of a data set without parts of its own, all are for training."""

    TRAINING = 0
    VALIDATION = 1
    TEST = 2


SPLITS = {
    "train": Part.TRAINING,
    "training": Part.TRAINING,
    "validation": Part.VALIDATION,
    "valid": Part.VALIDATION,
    "val": Part.VALIDATION,
    "test": Part.TEST,
    "testing": Part.TEST,
}
"""The part that the name of a folder or of a split says, in lower case."""


@dataclass(frozen=True)
class FolderListing:
    """The images of a folder.

    Attributes:
        root: the folder.
        class_names: names of the class folders, sorted; an image's label is the index of its class.
        files: paths below `root`.
        labels: of each file.
        parts: of each file; all for training where the folder has no parts of its own.
        left_out: paths below `root` of visible files that are no images by their names, or in no class folder.
    """

    root: Path
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    labels: tuple[int, ...]
    parts: tuple[Part, ...]
    left_out: tuple[str, ...]


@dataclass
class _Found:
    """What a walk through the folders collects: images by part and class, and all other files."""

    root: Path
    images: dict[tuple[Part, str], list[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def sort(self, files: Sequence[Path], images: list[str]) -> None:
        """Tell images from other files by their names."""
        for file in files:
            is_image = file.suffix.lower() in image_suffixes() and (file.is_file() or not file.exists())
            (images if is_image else self.others).append(file.relative_to(self.root).as_posix())


def list_folder(root: Path) -> FolderListing:
    """List the images of a folder of class folders, or of such folders in `train`, `validation` and `test`.

    Raises:
        DataMissingError: it is not there, or holds no such folders; one line that starts with the path.
        WrongSettingError: its folders cannot be used so.
    """
    if not root.is_dir():
        problem = "is a file" if root.exists() else "does not exist"
        raise DataMissingError(f"{root}: {problem}; {_WANTED}")
    found = _Found(root)
    parts = _part_folders(root)
    if parts != [(Part.TRAINING, root)]:
        beside: list[str] = []
        found.sort(_entries(root)[1], beside)
        found.others.extend(beside)
    for part, folder in parts:
        stray: list[str] = []
        folders, files = _entries(folder)
        found.sort(files, stray)
        if stray and not folders:
            raise WrongSettingError(
                f"{folder}: has {len(stray)} images and no class folders; put those of each class into a folder of its "
                f"own{'' if folder == root else ', or move this folder away'}"
            )
        found.others.extend(stray)
        for class_folder in folders:
            images = found.images.setdefault((part, class_folder.name), [])
            for files in _below(class_folder):
                found.sort(files, images)
    return _listing(found)


def named(names: Sequence[str]) -> str:
    """Return the first few of some names, in words."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(printable, names[:_NAMED])) + more


def _part_folders(root: Path) -> list[tuple[Part, Path]]:
    """Return the folders of the parts; the folder itself, for training, where it has none."""
    folders, _ = _entries(root)
    parts = [(SPLITS[folder.name.lower()], folder) for folder in folders if folder.name.lower() in SPLITS]
    kinds = {part for part, _ in parts}
    if len(kinds) < 2:
        return [(Part.TRAINING, root)]
    if Part.TRAINING not in kinds:
        raise WrongSettingError(f"{root}: has {named([folder.name for _, folder in parts])} but no folder train")
    others = [folder.name for folder in folders if folder.name.lower() not in SPLITS]
    if others or len(kinds) < len(parts):
        raise WrongSettingError(
            f"{root}: has {named([folder.name for folder in folders])}; beside train there may be one folder "
            "validation and one folder test, and nothing else: move the others away"
        )
    return parts


def _listing(found: _Found) -> FolderListing:
    names = sorted({name for part, name in found.images if part is Part.TRAINING})
    _check(found, names)
    listed = sorted((file, names.index(name), part) for (part, name), files in found.images.items() for file in files)
    files, labels, parts = zip(*listed, strict=True)
    shown = tuple(map(printable, names))
    return FolderListing(found.root, shown, files, labels, parts, tuple(sorted(found.others)))


def _check(found: _Found, names: Sequence[str]) -> None:
    root = found.root
    empty = [name for name in names if not found.images[Part.TRAINING, name]]
    if not names or len(empty) == len(names):
        types = " that can be read" if found.others else ""
        raise DataMissingError(f"{root}: has no class folders with images{types}; {_WANTED}")
    if empty:
        raise WrongSettingError(
            f"{root}: the class folder {named(empty)} has no image to train on; fill it or remove it"
        )
    if len(names) == 1:
        inner = [folder.name for folder in _entries(root / names[0])[0]]
        way = f"; set data.path = {printable(str(root / names[0]))}" if len(inner) > 1 else ""
        raise WrongSettingError(
            f"{root}: has the one class folder {printable(names[0])}; there must be at least two classes{way}"
        )
    for part in {part for part, _ in found.images} - {Part.TRAINING}:
        images = {name: files for (of_part, name), files in found.images.items() if of_part is part}
        unknown = sorted(name for name, files in images.items() if files and name not in names)
        if unknown:
            raise WrongSettingError(
                f"{root}: the {part.name.lower()} part has a class {named(unknown)} that the training part lacks"
            )
        if not any(images.values()):
            raise WrongSettingError(f"{root}: the {part.name.lower()} part has no image; fill it or remove it")


def _below(folder: Path) -> Iterator[list[Path]]:
    """Yield the visible files of a folder and of all folders in it, links followed, each folder once."""
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        folders, files = _entries(place)
        waiting.extend(folders)
        yield files


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the visible folders and files in a folder, sorted."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not _is_ignored(entry.name))
    except OSError as error:
        raise DataMissingError(f"{folder}: cannot be read: {error.strerror or error}") from None
    folders = [entry for entry in entries if entry.is_dir()]
    return folders, [entry for entry in entries if not entry.is_dir()]


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED
