"""The `[data]` table of a study file: the images, before they are split."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from greenopt.errors import shown
from greenopt.spec.consistency import raise_all
from greenopt.spec.setting import PositiveInt
from greenopt.spec.table import (
    PlainText,
    Table,
)


class DataSet(StrEnum):
    """Where images come from."""

    CIFAR100 = "cifar100"
    CIFAR10 = "cifar10"
    MNIST = "mnist"
    FASHION_MNIST = "fashion_mnist"
    DIGITS = "digits"
    SYNTHETIC = "synthetic"
    NPZ = "npz"
    FOLDER = "folder"
    TFDS = "tfds"
    HUGGINGFACE = "huggingface"

    @property
    def is_own(self) -> bool:
        """Whether the images are the user's own choice, of whatever size."""
        return self in (DataSet.NPZ, DataSet.FOLDER) or self.is_hub

    @property
    def is_hub(self) -> bool:
        """Whether another library finds and reads the images, by a name of its own."""
        return self in (DataSet.TFDS, DataSet.HUGGINGFACE)


_HUBS = {"tfds": DataSet.TFDS, "hf": DataSet.HUGGINGFACE, "huggingface": DataSet.HUGGINGFACE}
_SOURCE = r"[A-Za-z0-9_][\w.-]*"
_SOURCES = {
    DataSet.TFDS: (re.compile(r"[a-z]\w*", re.ASCII), "NAME, as tfds:beans"),
    DataSet.HUGGINGFACE: (re.compile(rf"({_SOURCE}/)?{_SOURCE}", re.ASCII), "OWNER/NAME, as hf:ylecun/mnist"),
}
_REVISIONS = {
    DataSet.TFDS: (re.compile(r"\d+\.\d+\.\d+"), "the version of a TensorFlow data set, as 3.0.1"),
    # Branches and tags move.
    DataSet.HUGGINGFACE: (re.compile(r"[0-9a-f]{40}"), "the commit of a data set of the hub, 40 hexadecimal digits"),
}


class ImagesOn(StrEnum):
    """Where a trial has its images."""

    MEMORY = "memory"
    DISK = "disk"


class DataSpec(Table):
    """The images of a study, before they are split.

    `images` limits real data sets (a stratified, seeded sample) and sets the size of the synthetic one.
    """

    name: DataSet
    """The data set. CIFAR-100, CIFAR-10, MNIST and Fashion-MNIST are looked for where Keras keeps them and downloaded
    when they are not there. The last two keep their own test part. `"tfds:NAME"` and `"hf:OWNER/NAME"` are data sets of
    TensorFlow Datasets and of the Hugging Face hub: short for `name = "tfds"` or `"huggingface"` with `source`."""
    path: str | None = None
    """The `.npz` file with arrays `x` (images) and `y` (labels), or with `x_train`, `y_train` and further parts; for
    `folder`, the folder with a folder of images for each class, or with such folders in `train`, `validation` and
    `test`; for CIFAR, the archive or its unpacked folder; for MNIST and Fashion-MNIST, the folder with its files; for
    `tfds` and `huggingface`, a folder that one of these libraries wrote, in place of `source`."""
    source: PlainText | None = None
    """Name of a data set of `tfds` or `huggingface`, there."""
    config: PlainText | None = None
    """Which configuration of `source`, where it has several."""
    revision: PlainText | None = None
    """Exact state of `source`: for `tfds` a version, for `huggingface` a commit. Unless given, the one that is on this
    machine, else the newest."""
    image_column: PlainText | None = None
    """Column of the images of `tfds` or `huggingface`; needed where there are several."""
    label_column: PlainText | None = None
    """Column of their labels, likewise."""
    images: PositiveInt | None = None
    """How many images to use: a seeded sample with the classes in proportion; for `synthetic`, how many to generate.
    All of them unless given, 10,000 for `synthetic`. Unit: images."""
    classes: Annotated[int, Field(ge=2, strict=True)] | None = None
    """Number of classes of the `synthetic` images, 100 unless given; the other data sets have their own."""
    image_size: PositiveInt | None = None
    """Side of the square that images are resized to, bilinear. Unless given, `digits`, `synthetic`, MNIST and
    Fashion-MNIST have 32, CIFAR its own 32, and images in a `.npz` file or a folder stay as they are; a folder
    of images of several sizes needs it. Unit: pixels."""
    images_on: ImagesOn = ImagesOn.MEMORY
    """Where a trial has its images: in `"memory"`, or on the `"disk"`, from which it reads them block by block, for
    sets that are larger than the memory. Both give the same batches."""
    skip_broken: bool = False
    """Whether image files of a `folder` that cannot be read are left out; otherwise the study does not start."""

    @property
    def label(self) -> str:
        """What the data set is called in tables and texts: its name; of a hub's, the name there too."""
        if self.source is None:
            return str(self.name)
        prefix = "tfds" if self.name is DataSet.TFDS else "hf"
        return f"{prefix}:{self.source}" + (f"/{self.config}" if self.config is not None else "")

    @model_validator(mode="before")
    @classmethod
    def _with_source(cls, raw: object) -> object:
        """Take the source out of a name such as `tfds:beans`, or `tfds:beans/config:1.0.0`, as that library writes."""
        if not isinstance(raw, dict) or not isinstance(name := raw.get("name"), str):
            return raw
        hub, colon, source = name.partition(":")
        if not colon or hub not in _HUBS:
            return raw
        given = {"source": source}
        if _HUBS[hub] is DataSet.TFDS:
            source, _, version = source.partition(":")
            source, _, config = source.partition("/")
            parts = {"source": source, "config": config, "revision": version}
            given = {key: text for key, text in parts.items() if text or key == "source"}
        if twice := sorted(given.keys() & {key for key, value in raw.items() if value is not None}):
            raise PydanticCustomError("data", "{key} is in name already; give it once", {"key": twice[0]})
        return {**raw, **given, "name": str(_HUBS[hub])}

    @model_validator(mode="after")
    def _fits_the_data_set(self) -> Self:
        raise_all("data", self._problems())
        return self

    def _problems(self) -> Iterator[str]:
        if self.name is DataSet.NPZ and self.path is None:
            yield "name = 'npz' needs path = 'FILE.npz' with arrays x (images) and y (labels)"
        if self.name is DataSet.FOLDER and self.path is None:
            yield "name = 'folder' needs path = 'FOLDER' with a folder of images for each class"
        if self.name in (DataSet.DIGITS, DataSet.SYNTHETIC) and self.path is not None:
            yield "path is for files: npz, folder and published data sets"
        if self.name is not DataSet.FOLDER and self.skip_broken:
            yield "skip_broken is for name = 'folder' only"
        if self.name is not DataSet.SYNTHETIC and self.classes is not None:
            yield "classes can be chosen for name = 'synthetic' only"
        yield from self._hub_problems() if self.name.is_hub else self._keys_of_hubs()

    def _keys_of_hubs(self) -> Iterator[str]:
        for key in ("source", "config", "revision", "image_column", "label_column"):
            if getattr(self, key) is not None:
                yield f"{key} is for name = 'tfds' and 'huggingface' only"

    def _hub_problems(self) -> Iterator[str]:
        pattern, form = _SOURCES[self.name]
        if (self.source is None) == (self.path is None):
            yield f"name = '{self.name}' needs source ({form}) or path, one of them"
        elif self.path is not None:
            yield from (
                f"{key} is for source; path is a folder"
                for key in ("config", "revision")
                if getattr(self, key) is not None
            )
        if self.source is not None and not pattern.fullmatch(self.source):
            yield f"source: {shown(self.source)}: is not of the form {form}"
        if self.config is not None and not re.fullmatch(_SOURCE, self.config, re.ASCII):
            yield f"config: {shown(self.config)}: is no name"
        pattern, form = _REVISIONS[self.name]
        if self.revision is not None and not pattern.fullmatch(self.revision):
            yield f"revision: {shown(self.revision)}: is not {form}"
