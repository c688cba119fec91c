"""Data sets of the Hugging Face hub: brought by name, read from a folder that their library has written."""

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from greenopt.files import open_regular
from greenopt.spec import DataSpec
from greenopt.trial.data.encoded import EncodedSplit, columns_of, read_encoded
from greenopt.trial.data.hub import hub_title
from greenopt.trial.data.pixels import LabelledArrays
from greenopt.trial.data.rows import Rows
from greenopt.trial.failures import DataMissingError, first_line

_AT_ONCE = 64
_INFO = "dataset_info.json"


def fetch(spec: DataSpec) -> None:
    """Have the library download and prepare a data set.

    Raises:
        DataMissingError: there is none of that name, or it could not be had.
    """
    try:
        # Since version 4 the library runs no code of a data set.
        builder = datasets.load_dataset_builder(spec.source, spec.config, revision=spec.revision)
        builder.download_and_prepare()
    except Exception as error:
        raise DataMissingError(f"datasets could not bring {hub_title(spec)}: {first_line(error)}") from None


def read(folder: Path, spec: DataSpec, rows: Rows | None) -> LabelledArrays:
    """Read a data set from a folder: saved by `save_to_disk`, as the library keeps it, or its published files.

    Raises:
        DataMissingError: the folder holds none.
        WrongSettingError: its images or labels cannot be used.
    """
    datasets.disable_progress_bars()
    logging.getLogger("datasets").setLevel(logging.ERROR)
    title = hub_title(spec) if spec.path is not None else f"{hub_title(spec)} {folder.name}"
    try:
        found = _opened(folder)
    except Exception as error:
        raise DataMissingError(f"{folder}: is no data set that can be read: {first_line(error)}") from None
    features = next(iter(found.values())).features
    # Labels of published tables are often plain numbers or text.
    image, label, names = columns_of(title, spec, features, datasets.Image, datasets.ClassLabel, or_named=True)
    splits = [
        EncodedSplit(str(name), np.array(data.select_columns([label])[:][label]), partial(_contents, data, image))
        for name, data in found.items()
    ]
    return read_encoded(title, splits, names, spec.image_size, rows)


def _opened(folder: Path) -> Mapping[str, Any]:
    """Return the splits of a folder."""
    if (folder / "dataset_dict.json").is_file():
        return dict(datasets.load_from_disk(str(folder)))
    if (folder / "state.json").is_file():
        return {"train": datasets.load_from_disk(str(folder))}
    if (folder / _INFO).is_file() and any(folder.glob("*.arrow")):
        splits = datasets.DatasetInfo.from_directory(str(folder)).splits
        return {str(name): _joined(folder, str(name)) for name in splits}
    # Published files as they are: parquet, or images with their metadata.
    return dict(datasets.load_dataset(str(folder)))


def _joined(folder: Path, split: str) -> Any:
    """Return a split of a prepared data set, all of its shards."""
    files = sorted([*folder.glob(f"*-{split}.arrow"), *folder.glob(f"*-{split}-?????-of-?????.arrow")])
    if not files:
        raise FileNotFoundError(f"split {split} has no file")
    return datasets.concatenate_datasets([datasets.Dataset.from_file(str(file)) for file in files])


def _contents(data: Any, column: str) -> Iterable[bytes]:
    # Decoded by Pillow as files are, so that depth, palettes and opacity are treated the same.
    encoded = data.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    for some in encoded.iter(_AT_ONCE):
        for each in some[column]:
            yield each["bytes"] if each["bytes"] is not None else _file_bytes(each["path"])


def _file_bytes(path: str) -> bytes:
    """Return the contents of a file that an image is in; nothing, which is no image, where it cannot be read."""
    try:
        with open_regular(Path(path)) as file:
            return file.read()
    except OSError:
        return b""
