"""Brings blocks of images to the device: from a copy of all images there, or from the host, block by block.

Invariant: both give the same images in the same order; which of them is used depends on the images' size alone.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from greenopt.trial.data.images import Ids, Images

Block: TypeAlias = tuple[tf.Tensor, tf.Tensor]
"""(n, height, width, 3) images as they are stored, 0..255, and (n,) int32 labels."""

_AHEAD = 2


class Feed(Protocol):
    """Where blocks of images come from."""

    @property
    def place(self) -> str:
        """Where the images are kept: `device` or `host`."""
        ...

    def blocks(self, parts: Iterable[Ids]) -> Iterator[Block]:
        """The images with these ids, a block for each part."""
        ...


class DeviceFeed:
    """All images are on the device; a block is gathered there."""

    place = "device"

    def __init__(self, images: Images) -> None:
        """Copy the images to the device."""
        self._x, self._y = tf.constant(images.x), tf.constant(images.y)
        self._gather = tf.function(self._gathered, autograph=False, jit_compile=False)

    def blocks(self, parts: Iterable[Ids]) -> Iterator[Block]:
        """The images with these ids, a block for each part; queued on the device, not waited for."""
        for ids in parts:
            yield self._gather(tf.constant(ids))

    def _gathered(self, ids: tf.Tensor) -> Block:
        return tf.gather(self._x, ids), tf.gather(self._y, ids)


class HostFeed:
    """The images stay on the host; while the device works on a block, the next ones are gathered and copied to it."""

    place = "host"

    def __init__(self, images: Images) -> None:
        """Keep the images where they are."""
        self._images = images

    def blocks(self, parts: Iterable[Ids]) -> Iterator[Block]:
        """The images with these ids, a block for each part, in order."""
        shape = (None, *self._images.x.shape[1:])
        signature = (tf.TensorSpec(shape, tf.as_dtype(self._images.x.dtype)), tf.TensorSpec((None,), tf.int32))
        gathered = tf.data.Dataset.from_generator(lambda: map(self._gathered, parts), output_signature=signature)
        gpus = tf.config.list_logical_devices("GPU")
        if gpus:
            return iter(gathered.apply(tf.data.experimental.prefetch_to_device(gpus[0].name, _AHEAD)))
        return iter(gathered.prefetch(_AHEAD))

    def _gathered(self, ids: Ids) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        return np.take(self._images.x, ids, axis=0), np.take(self._images.y, ids)


def feed_of(images: Images, device_bytes: int) -> Feed:
    """The feed of these images: they are kept on the device where they take at most `device_bytes`."""
    return DeviceFeed(images) if images.x.nbytes <= device_bytes else HostFeed(images)
