"""Keras callbacks for trials of tests, and what they heard."""

import sys
from typing import Any

import keras
import numpy as np

HEARD: list[tuple[Any, ...]] = []
MARKS: list[int] = []
METER: list[Any] = []
KEPT: list[Any] = []


def heard(name: str, *what: Any) -> None:
    HEARD.append((name, *what))
    MARKS.append(METER[-1].marks if METER else 0)


class Epochs(keras.callbacks.Callback):
    """Hears all but batches, and draws random numbers while it does."""

    def on_train_begin(self, logs: Any = None) -> None:
        heard("train begins", self.params, type(self.model).__name__)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        np.random.default_rng().random()
        keras.random.normal((2,))
        heard("epoch begins", epoch)

    def on_test_begin(self, logs: Any = None) -> None:
        heard("test begins")

    def on_test_end(self, logs: Any = None) -> None:
        heard("test ends", sorted(logs))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        heard("epoch ends", epoch, sorted(logs))

    def on_train_end(self, logs: Any = None) -> None:
        heard("train ends", sorted(logs))


class Batches(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        heard("begins", batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        heard("ends", batch, sorted(logs))


class HalvesWeights(keras.callbacks.Callback):
    """Keeps the weights before and after each block, and halves them after it."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        KEPT.append(self.model.get_weights())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        KEPT.append(self.model.get_weights())
        self.model.set_weights([0.5 * weight for weight in KEPT[-1]])


class StopsInBlock(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        heard("block", batch)
        self.model.stop_training = True


class PutsBack(keras.callbacks.Callback):
    """Stops after the second epoch and leaves the weights of the first, as EarlyStopping may."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            KEPT[:] = [self.model.get_weights(), logs["val_accuracy"], logs["val_loss"]]
        self.model.stop_training = epoch == 1

    def on_train_end(self, logs: Any = None) -> None:
        self.model.set_weights(KEPT[0])


def pair() -> list[keras.callbacks.Callback]:
    return [Epochs(), Batches()]


def early_stopping() -> keras.callbacks.Callback:
    return keras.callbacks.EarlyStopping("val_loss", patience=0, min_delta=1e9)


def no_callback() -> dict[str, int]:
    return {}


def its_class() -> type:
    return Epochs


def breaks() -> None:
    raise ValueError("no such log")


class Leaves(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        sys.exit("enough")


class Fails(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        raise KeyError("val_f1\nand more")


class RunsOut(keras.callbacks.Callback):
    def on_train_begin(self, logs: Any = None) -> None:
        raise MemoryError


class Slows(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.5 * float(self.model.optimizer.learning_rate)


class Compiles(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.compile("sgd", "categorical_crossentropy")


def failing_pair() -> tuple[keras.callbacks.Callback, ...]:
    return Epochs(), Fails()
