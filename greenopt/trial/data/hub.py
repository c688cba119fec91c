"""Finds data sets of TensorFlow Datasets and Hugging Face on this machine; their library brings those that are not.

Both libraries keep what they have prepared in folders that name the data set, its configuration and its exact state:
these are looked at here, without the libraries. Invariant: where a data set is on this machine nothing is asked of the
network, so that what a study trains on does not move.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from greenopt.spec import DataSet, DataSpec
from greenopt.trial.failures import DataMissingError, WrongSettingError

PROCESS = "greenopt.trial.data.hub_process"
_NAMED = 4
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_INFO = "dataset_info.json"
_PASSING = re.compile(r"^(cache-.*\.arrow|tmp.*|.*\.lock|.*\.incomplete)$")
"""Files that Hugging Face's library lays beside data as it works with them."""


class _Hub(NamedTuple):
    """A library: its extra here, the modules that it needs, where its data sets are published."""

    extra: str
    modules: tuple[str, ...]
    url: str


READERS = {
    DataSet.TFDS: "greenopt.trial.data.tfds_data",
    DataSet.HUGGINGFACE: "greenopt.trial.data.huggingface_data",
}
"""Modules that bring and read data sets; each imports its library."""

_HUBS = {
    # It imports importlib_resources where it downloads, without asking for it.
    DataSet.TFDS: _Hub("tfds", ("tensorflow_datasets", "importlib_resources"), "https://storage.googleapis.com"),
    DataSet.HUGGINGFACE: _Hub("huggingface", ("datasets",), "https://huggingface.co"),
}


def hub_title(spec: DataSpec) -> str:
    """Return what a data set is called in messages: its name there, or its path."""
    return str(Path(spec.path).expanduser()) if spec.path is not None else spec.label


def hub_problem(spec: DataSpec, can_reach: Callable[[str], bool]) -> str | None:
    """Return why a data set cannot be had, in one line that says what to do; None where it can.

    Args:
        spec: the `[data]` table.
        can_reach: whether an address answers; asked only where the data set is not on this machine.

    Raises:
        DataMissingError: the user's path holds no such data set.
        WrongSettingError: it is not said which of several is meant.
    """
    hub = _HUBS[spec.name]
    found = locate_hub(spec)
    # What is on this machine is read by the first one alone.
    missing = [name for name in hub.modules[: 1 if found is not None else None] if find_spec(name) is None]
    if missing:
        return f"{spec.name} needs {' and '.join(missing)}, not installed; pip install 'greenopt[{hub.extra}]'"
    if found is not None or can_reach(hub.url):
        return None
    return (
        f"{hub_title(spec)} is not in {_root(spec)}, and {hub.url.partition('//')[2]} cannot be reached; "
        "bring it there, or give its folder as data.path"
    )


def hub_note(spec: DataSpec) -> str | None:
    """Return that a data set is brought by its library, from where and where to; None where it is on this machine."""
    if locate_hub(spec) is not None:
        return None
    hub, state = _HUBS[spec.name], f", {spec.revision}" if spec.revision is not None else ""
    published = "the addresses that TensorFlow Datasets names" if spec.name is DataSet.TFDS else hub.url
    return f"{hub_title(spec)}{state} is downloaded to {_root(spec)} (from {published})"


def locate_hub(spec: DataSpec) -> Path | None:
    """Return the folder of a data set as its library has prepared it, or the user's; None where it is not there.

    Raises:
        DataMissingError: the user's path is no folder.
        WrongSettingError: several are there, and it is not said which is meant.
    """
    if spec.path is not None:
        folder = Path(spec.path).expanduser()
        if not folder.is_dir():
            problem = "is a file" if folder.exists() else "does not exist"
            raise DataMissingError(f"{folder}: {problem}; data.path is a folder of {spec.name}")
        if spec.name is DataSet.TFDS and not (folder / _INFO).is_file():
            raise DataMissingError(f"{folder}: has no {_INFO}; data.path is a folder NAME/VERSION that tfds prepared")
        return folder
    return _prepared_tfds(spec) if spec.name is DataSet.TFDS else _prepared_huggingface(spec)


def hub_files(folder: Path) -> tuple[str, ...]:
    """Return the files that a data set is made of, below its folder, sorted."""
    files = (file for file in folder.rglob("*") if file.is_file())
    names = (file.relative_to(folder) for file in files)
    seen = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    return tuple(sorted(name.as_posix() for name in seen if not _PASSING.match(name.name)))


def fetch_hub(spec: DataSpec) -> None:
    """Bring a data set, and prepare its images, in a process of its own, whose progress goes to standard error.

    Raises:
        DataMissingError: it cannot be had, or its images cannot be used; one line.
    """
    command = [sys.executable, "-m", PROCESS, spec.model_dump_json()]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment, check=False)
    lines = ended.stdout.decode("utf-8", "replace").splitlines()
    try:
        problem = json.loads(lines[-1])["problem"]
    except (ValueError, KeyError, TypeError, IndexError):
        problem = f"the process that reads it ended (exit code {ended.returncode})"
    if problem is not None:
        title = hub_title(spec)
        raise DataMissingError(problem if problem.startswith(title) else f"{title}: {problem}")


def several_problem(spec: DataSpec, names: list[str]) -> str:
    """Return that a data set has configurations, and what to do."""
    some = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f'{hub_title(spec)} has the configurations {some}; name one: config = "{names[0]}"'


def _root(spec: DataSpec) -> Path:
    """Where the library keeps what it has prepared, as its environment variables say."""
    if spec.name is DataSet.TFDS:
        return Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets").expanduser()
    if cache := os.environ.get("HF_DATASETS_CACHE"):
        return Path(cache).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = os.environ.get("HF_HOME") or Path(caches) / "huggingface"
    return Path(home).expanduser() / "datasets"


def _prepared_tfds(spec: DataSpec) -> Path | None:
    """Return NAME[/CONFIG]/VERSION, of several versions the newest."""
    place = _root(spec) / str(spec.source)
    if spec.config is not None:
        place /= spec.config
    versions = [folder for folder in _folders(place) if _VERSION.fullmatch(folder.name) and (folder / _INFO).is_file()]
    if spec.revision is not None:
        versions = [folder for folder in versions if folder.name == spec.revision]
    if not versions and spec.config is None:
        configs = [folder.name for folder in _folders(place) if any(folder.glob(f"*/{_INFO}"))]
        if configs:
            raise WrongSettingError(several_problem(spec, configs))
    return max(versions, key=lambda folder: tuple(map(int, folder.name.split("."))), default=None)


def _prepared_huggingface(spec: DataSpec) -> Path | None:
    """Return OWNER___NAME/CONFIG/VERSION/COMMIT, of several the one that was prepared last, as `datasets` does."""
    owner, _, name = str(spec.source).rpartition("/")
    place = _root(spec) / "___".join(filter(None, (owner, _snake_case(name))))
    found = [
        info.parent
        for info in place.glob(f"*/*/*/{_INFO}")
        if spec.config in (None, info.parent.parent.parent.name) and spec.revision in (None, info.parent.name)
    ]
    configs = sorted({folder.parent.parent.name for folder in found})
    if len(configs) > 1:
        raise WrongSettingError(several_problem(spec, configs))
    return max(found, key=lambda folder: folder.stat().st_mtime_ns, default=None)


def _snake_case(name: str) -> str:
    """Return a name as `datasets` writes it in its folders: MyName -> my_name."""
    parted = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z\d])([A-Z])", r"\1_\2", parted).lower()


def _folders(place: Path) -> list[Path]:
    return sorted(folder for folder in place.iterdir() if folder.is_dir()) if place.is_dir() else []
