"""Libraries are loaded by training a layer that leaves no trace, whether or not it can be trained."""

import threading
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from greenopt.trial.compilation import gpu_libraries


def test_loading_draws_no_random_numbers_and_ends() -> None:
    tf.random.set_seed(1)
    expected = tf.random.normal((3,)).numpy()
    tf.random.set_seed(1)

    thread = gpu_libraries.load_libraries("float16")
    thread.join(timeout=60)

    assert not thread.is_alive()
    np.testing.assert_array_equal(tf.random.normal((3,)).numpy(), expected)


def test_forwards_and_backwards_kernels_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients: list[Any] = []
    plain = tf.GradientTape.gradient

    def gradient(*given: Any) -> Any:
        gradients.extend(plain(*given))
        return gradients

    monkeypatch.setattr(tf.GradientTape, "gradient", gradient)

    gpu_libraries.load_libraries("float32").join()

    of_images, of_kernel, of_scale = gradients
    assert of_images.shape == (2, 8, 8, 64)
    assert of_kernel.shape == (3, 3, 64, 64)
    assert of_scale.shape == (64,)


def test_what_fails_is_left_to_the_first_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def fail(*_: object) -> None:
        raise tf.errors.InternalError(None, None, "no cuDNN")

    monkeypatch.setattr(tf.nn, "conv2d", fail)

    gpu_libraries.load_libraries("float32").join()

    assert told == []
