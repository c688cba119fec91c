"""Finds, checks and fetches the files of the published data sets, without TensorFlow or NumPy.

Invariant: a user's file is only read. What is downloaded appears under its final name whole and checked, or not at all.
"""

import fcntl
import hashlib
import os
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from greenopt.cache_folder import say_once
from greenopt.spec import DataSet, DataSpec, imagenet_url
from greenopt.trial.data.hub import hub_note, hub_problem
from greenopt.trial.failures import DataMissingError, WrongSettingError

DOWNLOAD_TIMEOUT_S = 20.0
PROBE_TIMEOUT_S = 5.0
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A published archive.

    Attributes:
        title: name for the user.
        file_name: name under which it is published.
        keras_name: name under which Keras keeps it; what is downloaded here is found by Keras and the other way round.
        folder: the folder in it.
        batches: the files in that folder that hold the training images.
        label_key: the key of the labels in them.
        classes: number of classes.
        sha256: digest of the archive.
        url: where it is published.
        size_mb: its size in MB.
    """

    title: str
    file_name: str
    keras_name: str
    folder: str
    batches: tuple[str, ...]
    label_key: str
    classes: int
    sha256: str
    url: str
    size_mb: int


ARCHIVES: dict[DataSet, Archive] = {
    DataSet.CIFAR100: Archive(
        title="CIFAR-100",
        file_name="cifar-100-python.tar.gz",
        keras_name="cifar-100-python-target_archive",
        folder="cifar-100-python",
        batches=("train",),
        label_key="fine_labels",
        classes=100,
        sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        size_mb=169,
    ),
    DataSet.CIFAR10: Archive(
        title="CIFAR-10",
        file_name="cifar-10-python.tar.gz",
        keras_name="cifar-10-batches-py-target_archive",
        folder="cifar-10-batches-py",
        batches=tuple(f"data_batch_{number}" for number in range(1, 6)),
        label_key="labels",
        classes=10,
        sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        size_mb=170,
    ),
}


def datasets_folder() -> Path:
    """Where Keras keeps data sets: `$KERAS_HOME/datasets`, or `~/.keras/datasets`."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets"


def check_data(spec: DataSpec, can_reach: "Callable[[str], bool] | None" = None) -> str | None:
    """Return whether a study's images can be had and used; reads files, downloads nothing.

    Args:
        spec: the `[data]` table.
        can_reach: whether an address answers; asked only for published data that are not on this machine.

    Returns:
        None where they can, else one line that says what is missing and what to do.
    """
    try:
        if spec.name is DataSet.NPZ:
            # Brings NumPy, which a study of published images does not need before it starts.
            from greenopt.trial.data.npz_file import check_npz

            check_npz(Path(str(spec.path)).expanduser())
        elif spec.name is DataSet.FOLDER:
            # Brings Pillow, likewise.
            from greenopt.trial.data.folder_images import check_folder

            check_folder(Path(str(spec.path)).expanduser(), spec.image_size, spec.skip_broken)
        elif spec.name.is_hub:
            return hub_problem(spec, can_reach or _answers)
        elif spec.name in (DataSet.MNIST, DataSet.FASHION_MNIST):
            # It imports this module.
            from greenopt.trial.data.keras_sets import keras_set_problem

            return keras_set_problem(spec, can_reach or _answers)
        elif spec.name in ARCHIVES and find_archive(spec) is None:
            archive = ARCHIVES[spec.name]
            if not (can_reach or _answers)(archive.url):
                return advice(archive, f"is not on this machine and {archive.url} cannot be reached")
    except (DataMissingError, WrongSettingError) as problem:
        return str(problem)
    return None


def download_note(spec: DataSpec) -> str | None:
    """Return what a study will download, how much, from where and where to; None where it has all it needs."""
    # It imports this module.
    from greenopt.trial.data.keras_sets import KERAS_SETS, locate_keras_set

    if spec.name.is_hub:
        return hub_note(spec)
    if spec.name in KERAS_SETS and locate_keras_set(spec) is None:
        published = KERAS_SETS[spec.name]
        place = datasets_folder() / published.folder
        return f"{published.title} is downloaded to {place} ({published.size_bytes / 1e6:.0f} MB, from Keras's address)"
    if spec.name in ARCHIVES and locate_archive(spec) is None:
        archive = ARCHIVES[spec.name]
        return f"{archive.title} is downloaded to {datasets_folder()} ({archive.size_mb} MB, from {archive.url})"
    return None


def weights_note(model: str, side: int | None) -> str | None:
    """Return that a model's ImageNet weights will be downloaded, from where and where to; None where they are there.

    Args:
        model: a model of `keras.applications`.
        side: of the images in pixels, as `data.image_size`.
    """
    url, folder = imagenet_url(model, side), datasets_folder().parent / "models"
    if (folder / url.rpartition("/")[2]).is_file():
        return None
    return f"the ImageNet weights of {model} are downloaded to {folder} (from {url})"


def weights_problem(
    model: str, side: int | None, *, is_any_side: bool, can_reach: "Callable[[str], bool] | None" = None
) -> str | None:
    """Return that the ImageNet weights of a model cannot be had, and what to do; None where they can.

    Args:
        model: a model of `keras.applications`.
        side: of the images in pixels, as `data.image_size`.
        is_any_side: whether images without a `side` may have any; weights for each are then good enough.
        can_reach: whether an address answers; asked only where no file is on this machine.
    """
    url, folder = imagenet_url(model, side), datasets_folder().parent / "models"
    name = url.rpartition("/")[2]
    pattern = name.replace("_224_", "_*_") if side is None and is_any_side else name
    if any(folder.glob(pattern)) or (can_reach or _answers)(url):
        return None
    return (
        f"the ImageNet weights of {model} are not on this machine and {urllib.parse.urlsplit(url).netloc} cannot be "
        f"reached; put {name} into {folder}, or set training.weights to its path"
    )


def find_archive(spec: DataSpec) -> Path | None:
    """Return the checked archive, or the unpacked folder, of a published data set; None if there is neither.

    Raises:
        DataMissingError: the user's path does not hold it, or a file in its place is not the published one.
    """
    path = locate_archive(spec)
    return _checked(path, ARCHIVES[spec.name]) if path is not None and path.is_file() else path


def locate_archive(spec: DataSpec) -> Path | None:
    """Where `find_archive` finds it, without reading the file.

    Raises:
        DataMissingError: the user's path does not hold it.
    """
    archive = ARCHIVES[spec.name]
    if spec.path is not None:
        return _given(Path(spec.path).expanduser(), archive)
    for folder in (datasets_folder(), datasets_folder() / archive.keras_name.removesuffix("_archive")):
        for name in (archive.keras_name, archive.file_name):
            if (folder / name).is_file():
                return folder / name
        if _is_unpacked(folder / archive.folder, archive):
            return folder / archive.folder
    return None


def fetch_archive(archive: Archive) -> Path:
    """Download a published archive to where Keras keeps it; several processes may do so at once.

    Raises:
        DataMissingError: it could not be downloaded; the text says where to put it by hand.
    """
    target = datasets_folder() / archive.keras_name
    try:
        say_once(f"downloading {archive.url} ({archive.size_mb} MB) to {target.parent}")
        fetch_file(archive.url, archive.sha256, target)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataMissingError(advice(archive, f"could not be downloaded from {archive.url} ({reason})")) from None
    return target


def fetch_file(url: str, sha256: str, target: Path) -> None:
    """Download a file unless it is there; several processes may do so at once.

    Raises:
        OSError: it could not be downloaded or written.
        ValueError: what arrived is not what the digest says.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _download(url, sha256, target)


def advice(archive: Archive, problem: str) -> str:
    """One line: the problem, and where to put the file."""
    return (
        f"{archive.title} {problem}; put {archive.file_name} into {datasets_folder()}, or set data.path "
        f"to that file or to its unpacked folder {archive.folder}"
    )


def _given(path: Path, archive: Archive) -> Path:
    if path.is_file():
        return path
    for folder in (path, path / archive.folder):
        if _is_unpacked(folder, archive):
            return folder
    if (path / archive.file_name).is_file():
        return path / archive.file_name
    problem = "does not exist" if not path.exists() else f"holds neither {archive.file_name} nor {archive.folder}"
    raise DataMissingError(f"{path}: {problem}; data.path is {archive.file_name} or the folder {archive.folder}")


def _is_unpacked(folder: Path, archive: Archive) -> bool:
    return all((folder / name).is_file() for name in archive.batches)


def _checked(path: Path, archive: Archive) -> Path:
    if sha256_of(path) != archive.sha256:
        raise DataMissingError(
            f"{path}: is not the published {archive.file_name} (its SHA-256 differs); "
            "it may be cut short: move it away or bring a whole one"
        )
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False


def _download(url: str, sha256: str, target: Path) -> None:
    """Write to a file beside the target, check it, and only then give it its name."""
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.") as part:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_S) as answer:
            while chunk := answer.read(_CHUNK_BYTES):
                part.write(chunk)
                digest.update(chunk)
        part.flush()
        if digest.hexdigest() != sha256:
            raise ValueError("what arrived is not the published file")
        os.link(part.name, target)
