"""Sources of image blocks: all images on the device, or the host's images, copied or read from its disk block by block.

Invariant: all give the same images in the same order; which of them is used depends on the images' size alone, and on
whether the study has them on the disk.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from greenopt.trial.data.images import Ids, Images
from greenopt.trial.data.stored_array import StoredArray

Block: TypeAlias = tuple[tf.Tensor, tf.Tensor]
"""(n, height, width, 3) images as they are stored, 0..255, and (n,) int32 labels."""

_AHEAD = 2


class DataSource(Protocol):
    """A source of image blocks."""

    @property
    def place(self) -> str:
        """Where the images are kept: `device`, `host` or `disk`."""
        ...

    def blocks(self, parts: Iterable[Ids]) -> Iterator[Block]:
        """Yield the images with these ids, one block per part."""
        ...


class DeviceDataSource:
    """A data source with all images on the device, where blocks are gathered."""

    place = "device"

    def __init__(self, images: Images) -> None:
        """Copy the images to the device."""
        self._x, self._y = tf.constant(images.x), tf.constant(images.y)
        self._gather = tf.function(self._gathered, autograph=False, jit_compile=False)

    def blocks(self, parts: Iterable[Ids]) -> Iterator[Block]:
        """Yield the images with these ids, one block per part, queued on the device without waiting."""
        for ids in parts:
            yield self._gather(tf.constant(ids))

    def _gathered(self, ids: tf.Tensor) -> Block:
        return tf.gather(self._x, ids), tf.gather(self._y, ids)


class HostDataSource:
    """A data source with images on the host; the next blocks are copied while the device works on one."""

    def __init__(self, images: Images) -> None:
        """Store a reference to the images."""
        self._images = images
        self.place = "disk" if isinstance(images.x, StoredArray) else "host"

    def blocks(self, parts: Iterable[Ids]) -> Iterator[Block]:
        """Yield the images with these ids, one block per part, in order."""
        shape = (None, *self._images.x.shape[1:])
        signature = (tf.TensorSpec(shape, tf.as_dtype(self._images.x.dtype)), tf.TensorSpec((None,), tf.int32))
        gathered = tf.data.Dataset.from_generator(lambda: map(self._gathered, parts), output_signature=signature)
        gpus = tf.config.list_logical_devices("GPU")
        if gpus:
            return iter(gathered.apply(tf.data.experimental.prefetch_to_device(gpus[0].name, _AHEAD)))
        return iter(gathered.prefetch(_AHEAD))

    def _gathered(self, ids: Ids) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        return self._images.rows(ids), np.take(self._images.y, ids)


def build_data_source(images: Images, device_bytes: int) -> DataSource:
    """Build the data source: on the device if the images are in memory and take at most `device_bytes`."""
    is_on_device = not isinstance(images.x, StoredArray) and images.x.nbytes <= device_bytes
    return DeviceDataSource(images) if is_on_device else HostDataSource(images)
