"""The dtypes of a `precision`: the type that images are cast to, and Keras's global policy.

A cast of the images changes no computation, since Keras casts them back for its first layer; a policy does. A study
chooses by `precision_applies_to`; `global_policy_float16` is a policy always.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras

from greenopt.spec import ImageMeaning, Precision


@dataclass(frozen=True)
class NumberFormats:
    """Types by Keras's names.

    Attributes:
        images: images are cast to it after preprocessing.
        policy: the global policy that the model is built under.
    """

    images: str
    policy: str


def number_formats(precision: Precision, meaning: ImageMeaning) -> NumberFormats:
    """Return the dtypes that a value of `precision` stands for."""
    if precision is Precision.GLOBAL_POLICY_FLOAT16:
        return NumberFormats(images="float32", policy="mixed_float16")
    if meaning is ImageMeaning.POLICY:
        return NumberFormats(images=str(precision), policy=str(precision))
    return NumberFormats(images=str(precision), policy="float32")


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Set a global policy within a context, and restore the previous one."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)
