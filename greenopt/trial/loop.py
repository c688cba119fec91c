"""The training loop: blocks of steps on the device, in one program each, by Keras's own training step.

Images stay on the device. An epoch is a permutation of the training ids, cut into blocks of some batches. A block is
gathered and augmented outside XLA, then trained on in one call that runs all its steps. Validation runs in blocks too.

Invariant: after `warm_up` every program is compiled and every variable is as it was before.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from greenopt.spec import TrainingSpec
from greenopt.trial.augment import as_function
from greenopt.trial.data import Ids, Images
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.precision import dtype_policy
from greenopt.trial.preprocessing import Scaling

PROGRESS_PERIOD_S = 1.0


class Score(NamedTuple):
    """Mean cross-entropy, and the share of right answers, 0..1."""

    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a trainer needs beside model and images.

    Attributes:
        batch_size: images a step.
        jit: whether the programs are compiled by XLA.
        image_dtype: type that images are cast to after scaling.
        scaling: of the images; None leaves them at 0..255.
        augmentation: a layer; None leaves training images as they are.
        seed: of the order of the training images.
    """

    batch_size: int
    jit: bool
    image_dtype: str
    scaling: Scaling | None
    augmentation: keras.layers.Layer | None
    seed: int


class Trainer:
    """Trains and evaluates one compiled model on images that it holds on the device."""

    def __init__(self, model: keras.Model, images: Images, train: Ids, training: TrainingSpec, recipe: Recipe) -> None:
        """Bring the images to the device; nothing is compiled or trained yet.

        Args:
            model: a model, compiled with an optimizer, a loss and the metric `accuracy`.
            images: all images.
            train: ids of the training part.
            training: sizes of blocks and of evaluation batches.
            recipe: the rest.

        Raises:
            WrongSettingError: a batch is larger than the training part.
        """
        self._model, self._recipe, self._train_ids = model, recipe, train
        self._steps = steps_per_epoch(len(train), recipe.batch_size)
        self._block_steps = min(self._steps, max(1, training.block_images // recipe.batch_size))
        self._evaluation_batch = training.evaluation_batch_size
        self._evaluation_steps = max(1, training.block_images // self._evaluation_batch)
        self._classes = images.classes
        self._x = tf.constant(images.x)
        self._y = tf.constant(images.y)
        # XLA on a CPU has slow convolutions in the body of a loop: a step of ResNet-50 takes 8 times as long there.
        self._loops = not recipe.jit or bool(tf.config.list_logical_devices("GPU"))
        self._augment = as_function(recipe.augmentation) if recipe.augmentation is not None else None
        self._loss = keras.metrics.CategoricalCrossentropy()
        self._accuracy = keras.metrics.CategoricalAccuracy()
        # jit_compile is written out: left to TensorFlow, it would be on on a GPU and off on a CPU.
        self._gathered = tf.function(self._gather, autograph=False, jit_compile=False)
        self._augmented = tf.function(self._gather_augmented, autograph=False, jit_compile=False)
        self._train_block = tf.function(self._train_steps, autograph=False, jit_compile=recipe.jit)
        self._evaluate_block = tf.function(self._evaluate_steps, autograph=False, jit_compile=recipe.jit)

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        return self._steps

    @property
    def block_steps(self) -> int:
        """Steps in one call."""
        return self._block_steps

    def warm_up(self) -> None:
        """Compile and run every program once, then put every variable back."""
        kept = [(variable, variable.numpy()) for variable in self._variables()]
        self._run_block(self._train_ids[: self._recipe.batch_size], steps=1)
        self.evaluate(self._train_ids[:1])
        for variable, value in kept:
            variable.assign(value)

    def train_epoch(self, epoch: int, on_steps: Callable[[int], None] = lambda _: None) -> Score:
        """Train on every training image once, but for an incomplete last batch.

        Args:
            epoch: number of the epoch, from 1; with the seed it gives the order.
            on_steps: told about once a second how many steps of the epoch are done.

        Returns:
            Mean loss and accuracy over the epoch's steps, on the images as augmented.
        """
        self._model.reset_metrics()
        order = np.random.default_rng((self._recipe.seed, epoch)).permutation(self._train_ids)
        told_s = time.monotonic()
        for start in range(0, self._steps, self._block_steps):
            steps = min(self._block_steps, self._steps - start)
            first = start * self._recipe.batch_size
            self._run_block(order[first : first + steps * self._recipe.batch_size], steps)
            if time.monotonic() - told_s >= PROGRESS_PERIOD_S:
                # Reading a variable waits for the device, so that what is told is done and not only queued.
                self._model.optimizer.iterations.numpy()
                told_s = time.monotonic()
                on_steps(start + steps)
        results = self._model.get_metrics_result()
        return Score(float(results["loss"]), float(results["accuracy"]))

    def evaluate(self, ids: Ids) -> Score:
        """Mean loss and accuracy of the model on images, each counted exactly once."""
        self._loss.reset_state()
        self._accuracy.reset_state()
        capacity = self._evaluation_steps * self._evaluation_batch
        for start in range(0, len(ids), capacity):
            part = ids[start : start + capacity]
            mask = np.zeros(capacity, np.float32)
            mask[: len(part)] = 1
            shape = (self._evaluation_steps, self._evaluation_batch)
            x, y = self._gathered(tf.constant(np.resize(part, shape)))
            steps = math.ceil(len(part) / self._evaluation_batch)
            self._run(self._evaluate_block, steps, x, y, tf.constant(mask.reshape(shape)))
        return Score(float(self._loss.result()), float(self._accuracy.result()))

    def prepared(self, ids: Ids) -> Any:
        """Images as the model gets them, not augmented: (images, height, width, channels) float32 array."""
        return tf.cast(self._scaled(tf.gather(self._x, ids)), tf.float32).numpy()

    def batches(self, ids: Ids, size: int) -> Iterator[tuple[Any, Any]]:
        """Images as the model gets them with their labels, as arrays, in batches of at most `size`."""
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            yield self.prepared(part), tf.gather(self._y, part).numpy()

    def _run_block(self, ids: Ids, steps: int) -> None:
        """Train on the first `steps` batches of ids; the rest of the block is filled up with the same ids."""
        shape = (self._block_steps, self._recipe.batch_size)
        # Keras's and keras_cv's augmentation breaks under another policy, in its first call, which traces it.
        with dtype_policy("float32"):
            x, y = self._augmented(tf.constant(np.resize(ids, shape)))
        self._run(self._train_block, steps, x, y)

    def _run(self, program: Callable[..., None], steps: int, *tensors: tf.Tensor) -> None:
        """Run the first steps of a block: in one call where the program loops, else in one call each."""
        for number in [steps] if self._loops else range(steps):
            program(*tensors, tf.constant(number))

    def _repeat(self, step: Callable[[tf.Tensor], None], number: tf.Tensor) -> None:
        """In a program that loops, run the steps 0 to number - 1, whatever `number` is; else run step `number`."""
        if not self._loops:
            step(number)
            return

        def body(done: tf.Tensor) -> list[tf.Tensor]:
            step(done)
            return [done + 1]

        tf.while_loop(lambda done: done < number, body, [tf.constant(0)], parallel_iterations=1)

    def _gather(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(steps, batch) ids -> (steps, batch, height, width, channels) images, (steps, batch, classes) labels."""
        return tf.gather(self._x, ids), tf.one_hot(tf.gather(self._y, ids), self._classes)

    def _gather_augmented(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self._augment is None:
            return self._gather(ids)
        x, y = self._gather(tf.reshape(ids, [-1]))
        x, y = self._augment(tf.cast(x, tf.float32), y)
        shape = [self._block_steps, self._recipe.batch_size]
        return tf.reshape(x, [*shape, *self._x.shape[1:]]), tf.reshape(y, [*shape, self._classes])

    def _scaled(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, tf.float32)
        if (scaling := self._recipe.scaling) is not None:
            x = (x - tf.constant(scaling.shift, tf.float32)) / tf.constant(scaling.scale, tf.float32)
        return tf.cast(x, self._recipe.image_dtype)

    def _train_steps(self, x: tf.Tensor, y: tf.Tensor, number: tf.Tensor) -> None:
        def step(at: tf.Tensor) -> None:
            # Not x[at], whose index XLA takes for a constant: it would compile anew for every number.
            self._model.train_step((self._scaled(tf.gather(x, at)), tf.gather(y, at)))

        self._repeat(step, number)

    def _evaluate_steps(self, x: tf.Tensor, y: tf.Tensor, mask: tf.Tensor, number: tf.Tensor) -> None:
        def step(at: tf.Tensor) -> None:
            answers = self._model(self._scaled(tf.gather(x, at)), training=False)
            right, counted = tf.gather(y, at), tf.gather(mask, at)
            self._loss.update_state(right, answers, sample_weight=counted)
            self._accuracy.update_state(right, answers, sample_weight=counted)

        self._repeat(step, number)

    def _variables(self) -> list[Any]:
        """All state that a program changes: weights, seeds, optimizer, metrics, augmentation; each once."""
        layer = self._recipe.augmentation
        groups = (
            self._model.variables,
            self._model.optimizer.variables,
            self._model.metrics_variables,
            self._loss.variables,
            self._accuracy.variables,
            layer.variables if layer is not None else [],
        )
        return list({id(variable): variable for group in groups for variable in group}.values())


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Whole batches in the training part.

    Raises:
        WrongSettingError: there is none.
    """
    if batch_size > images:
        raise WrongSettingError(f"batch_size: {batch_size}: the training part has {images} images")
    return images // batch_size
