"""Loads the GPU's libraries of convolutions and matrix products while Python builds a trial's model.

CUDA loads a library when it is first needed, and the first training step would wait for all of them: 2 s on an H200.
Invariant: nothing else depends on it; what fails here fails in the first training step too, and is told there.
"""

from contextlib import suppress
from threading import Thread

import tensorflow as tf


def load_libraries(dtype: str) -> Thread:
    """Load what training a convolutional network needs, in a thread of its own.

    Args:
        dtype: in which convolutions will be computed, such as `float16`.

    Returns:
        The thread, to be joined before the GPU is timed.
    """
    thread = Thread(target=_train_one_layer, args=(dtype,), name="load-libraries")
    thread.start()
    return thread


def _train_one_layer(dtype: str) -> None:
    """Compute a small convolution, its BatchNormalization and a matrix product, and their gradients."""
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
