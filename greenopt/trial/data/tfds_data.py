"""Data sets of TensorFlow Datasets: brought by name, read from the folder that the library has prepared."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from greenopt.spec import DataSpec
from greenopt.trial.data.encoded import EncodedSplit, columns_of, read_encoded
from greenopt.trial.data.hub import hub_title, several_problem
from greenopt.trial.data.pixels import LabelledArrays
from greenopt.trial.data.rows import Rows
from greenopt.trial.failures import DataMissingError, WrongSettingError, first_line


def fetch(spec: DataSpec) -> None:
    """Have the library download and prepare a data set.

    Raises:
        DataMissingError: there is none of that name, or it could not be had.
        WrongSettingError: it has configurations, and none is named.
    """
    name = "/".join(filter(None, (spec.source, spec.config))) + (f":{spec.revision}" if spec.revision else "")
    try:
        # No Python file of a path or of a hub is run: the names are those of the library itself.
        builder = tfds.builder(name, try_gcs=False)
    except Exception as error:
        raise DataMissingError(f"tfds has no {name}: {first_line(error)}") from None
    configs = [config.name for config in builder.BUILDER_CONFIGS]
    if spec.config is None and configs:
        raise WrongSettingError(several_problem(spec, configs))
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise DataMissingError(f"tfds could not bring {name}: {first_line(error)}") from None


def read(folder: Path, spec: DataSpec, rows: Rows | None) -> LabelledArrays:
    """Read a data set from the folder of its version.

    Raises:
        DataMissingError: the folder holds none.
        WrongSettingError: its images or labels cannot be used.
    """
    try:
        builder = tfds.builder_from_directory(folder)
    except Exception as error:
        raise DataMissingError(f"{folder}: is no data set that tfds prepared: {first_line(error)}") from None
    title, features = f"{hub_title(spec)} {builder.info.version}", builder.info.features
    if not isinstance(features, tfds.features.FeaturesDict):
        raise WrongSettingError(f"{title}: has no columns")
    image, label, names = columns_of(title, spec, features, tfds.features.Image, tfds.features.ClassLabel)
    splits = [
        EncodedSplit(name, _labels(builder, name, label), partial(_contents, builder, name, image))
        for name in builder.info.splits
    ]
    return read_encoded(title, splits, names, spec.image_size, rows)


def _labels(builder: Any, split: str, column: str) -> Any:
    labels = np.array(list(_values(builder, split, column, {})))
    return labels.astype(str) if labels.dtype.kind == "S" else labels


def _contents(builder: Any, split: str, column: str) -> Iterable[bytes]:
    # Decoded by Pillow as files are, so that depth, palettes and opacity are treated the same.
    return _values(builder, split, column, {column: tfds.decode.SkipDecoding()})


def _values(builder: Any, split: str, column: str, decoders: dict[str, Any]) -> Iterable[Any]:
    """Yield the values of one column in the order of the files."""
    wanted = tfds.decode.PartialDecoding({column: True}, decoders=decoders)
    one_by_one = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    data = builder.as_dataset(split=split, decoders=wanted, shuffle_files=False, read_config=one_by_one)
    return (each[column] for each in data.as_numpy_iterator())
