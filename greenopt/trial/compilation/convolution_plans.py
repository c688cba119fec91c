"""Plans a model's convolutions while Python builds the model and traces its programs.

When TensorFlow computes a convolution of a shape for the first time, it loads CUDA's libraries and kernels, and has
cuDNN plan it and time the plans. ResNet-50 has some twenty shapes, forwards and twice backwards, and the first training
step would wait for all of them, one after the other. Here a thread computes each shape once, as soon as its layer is
built.

Invariants: nothing depends on it, and what fails here fails in the first training step too, and is told there; no
random number is drawn.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeAlias

import keras
import tensorflow as tf

Follow: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
"""(batch, height, width, channels) -> the same: what most convolutions' outputs go through in training."""


class Convolution(NamedTuple):
    """What cuDNN plans by, but for the batch size.

    Attributes:
        image: (height, width, channels) of an input.
        kernel: (height, width, channels of a group, filters).
        strides: along height and width.
        dilations: along height and width.
        padding: `VALID` or `SAME`.
        dtype: that it is computed in, such as `float16`.
    """

    image: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str
    dtype: str


class ConvolutionPlanner:
    """Computes the convolutions of a model for the first time, in a thread of its own."""

    def __init__(self, train: int, evaluation: int, dtype: str, follow: Follow) -> None:
        """Start with what every convolutional network needs of CUDA's libraries.

        Args:
            train: images in a batch of the training.
            evaluation: images in a batch of the evaluation.
            dtype: in which most convolutions will be computed.
            follow: what comes after them in training.
        """
        self._train, self._evaluation, self._follow = train, evaluation, follow
        self._known: list[Convolution] = []
        self._is_watching = False
        # Interpreter and process end only once its thread has.
        self._thread = ThreadPoolExecutor(1, "plan-convolutions")
        self._thread.submit(train_one_layer, dtype)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Plan the Conv2D layers that are built within a context."""
        kind, build, own = keras.layers.Conv2D, keras.layers.Conv2D.build, "build" in vars(keras.layers.Conv2D)

        def built(layer: keras.layers.Conv2D, input_shape: Sequence[int | None]) -> None:
            build(layer, input_shape)
            # A layer keeps this function, and may be built later.
            if self._is_watching:
                self.add(layer, input_shape)

        # Keras tells nobody which layers it builds, and after the last one half of the time would be gone.
        kind.build, self._is_watching = built, True
        try:
            yield
        finally:
            self._is_watching = False
            if own:
                kind.build = build
            else:
                del kind.build
        if self._evaluation != self._train:
            for one in self._known:
                self._thread.submit(infer, one, self._evaluation)

    def add(self, layer: keras.layers.Conv2D, input_shape: Sequence[int | None]) -> None:
        """Plan a built layer, unless one like it was added."""
        image = tuple(size for size in input_shape[1:] if size is not None)
        if layer.data_format != "channels_last" or len(image) != len(input_shape) - 1:
            return
        how = tuple(layer.strides), tuple(layer.dilation_rate), layer.padding.upper(), layer.compute_dtype
        one = Convolution(image, tuple(layer.kernel.shape), *how)
        if one not in self._known:
            # No gradient is computed of the images themselves.
            to_images = bool(self._known)
            self._known.append(one)
            self._thread.submit(train, one, self._train, self._follow, to_images)

    def finish(self) -> None:
        """Wait until all that was added is planned; nothing uses the GPU here after that."""
        self._thread.shutdown()


def infer(one: Convolution, batch: int) -> None:
    """Compute a convolution of zeros."""
    # Out of memory, say, which the first step may not run into.
    with suppress(tf.errors.OpError):
        _convolved(one, tf.zeros((batch, *one.image), one.dtype), tf.zeros(one.kernel, one.dtype))


def train(one: Convolution, batch: int, follow: Follow, to_images: bool) -> None:
    """Compute a convolution of zeros and what follows it, and their gradients.

    Args:
        one: the convolution.
        batch: images in a batch.
        follow: what comes after it.
        to_images: whether to compute the gradient with respect to its input too.
    """
    with suppress(tf.errors.OpError), tf.GradientTape() as tape:
        x, kernel = tf.zeros((batch, *one.image), one.dtype), tf.zeros(one.kernel, one.dtype)
        wanted = (kernel, x) if to_images else (kernel,)
        tape.watch(wanted)
        tape.gradient(follow(_convolved(one, x, kernel)), wanted)


def _convolved(one: Convolution, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    around = {"strides": [1, *one.strides, 1], "dilations": [1, *one.dilations, 1]}
    return tf.raw_ops.Conv2D(input=x, filter=kernel, padding=one.padding, **around)


def train_one_layer(dtype: str) -> None:
    """Compute a small convolution, its BatchNormalization and a matrix product, and their gradients.

    CUDA loads a library when it is first needed.
    """
    # Constant, so that no generator of random numbers is touched.
    x, kernel, scale = tf.ones((2, 8, 8, 64), dtype), tf.ones((3, 3, 64, 64), dtype), tf.ones(64)
    with suppress(tf.errors.OpError), tf.GradientTape() as tape:
        tape.watch((x, kernel, scale))
        y = tf.nn.conv2d(x, kernel, 1, "SAME")
        y, *_ = tf.raw_ops.FusedBatchNormV3(
            x=y, scale=scale, offset=scale, mean=tf.zeros(0), variance=tf.zeros(0), is_training=True
        )
        answers = tf.matmul(tf.reduce_mean(tf.nn.relu(y), (1, 2)), tf.ones((64, 8), dtype))
        tape.gradient(tf.cast(answers, tf.float32), (x, kernel, scale))
