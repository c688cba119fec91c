"""The training loop: blocks of steps on the device, in one program each, by Keras's own training step.

An epoch is a permutation of the training ids, cut into blocks of some batches. A block is augmented, scaled and
cast outside XLA, then trained on in one call that runs all its steps. Validation runs in blocks too. The learning rates
of all steps are a table that the program reads, so that one program, compiled once, serves every schedule and scaling.

Invariant: after `warm_up` every program is compiled and every variable is as it was before.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from greenopt.spec import TrainingSpec
from greenopt.trial.compilation.convolution_plans import ConvolutionPlanner
from greenopt.trial.compilation.function_names import name_functions_afresh
from greenopt.trial.compilation.program_cache import Begin, CachedPrograms
from greenopt.trial.compilation.serialized_graph import traced
from greenopt.trial.data.images import Ids, Images
from greenopt.trial.data.pipeline import BlockShape, ImagePreprocessing, InputPipeline
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.model.optimizer import LearningRateTable
from greenopt.trial.training.flat_step import FlatStep, NotFlatError, Values
from greenopt.trial.training.weight_places import WeightPlaces

PROGRESS_PERIOD_S = 1.0

Confusion: TypeAlias = npt.NDArray[np.int64]
"""(classes, classes): images by class (row) and answer (column)."""

MAX_COUNTED_CLASSES = 200
"""Of more classes it is not counted which was taken for which: the table would be larger than what it is made from."""

REHEARSALS = 2
"""How often a GPU goes through what an epoch does before the first one: what runs for the first time, or again with
other addresses in memory, takes longer there."""


class Score(NamedTuple):
    """Mean cross-entropy, and the share of right answers, 0..1."""

    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class TrainerConfig:
    """The configuration of a trainer.

    Attributes:
        batch_size: images a step.
        jit: whether the programs are compiled by XLA.
        preprocessing: applied to images before training.
        learning_rates: learning rate of each step of the training.
        seed: of the order of the training images.
    """

    batch_size: int
    jit: bool
    preprocessing: ImagePreprocessing
    learning_rates: LearningRateTable
    seed: int


class BlockHooks(Protocol):
    """What is called around the blocks of an epoch."""

    def begin_block(self, step: int) -> None:
        """Begin a block; `step` is its first one, from 0."""
        ...

    def end_block(self, step: int, loss: float, accuracy: float) -> bool:
        """End a block whose last step is `step`, with the means since the epoch began; return whether to end it too."""
        ...


class Trainer:
    """Trains and evaluates one compiled model.

    Attributes:
        weights: where the newest weights are.
    """

    def __init__(
        self,
        model: keras.Model,
        images: Images,
        train: Ids,
        training: TrainingSpec,
        config: TrainerConfig,
        programs: CachedPrograms,
        flat_step: FlatStep | None = None,
        planner: ConvolutionPlanner | None = None,
    ) -> None:
        """Build the input pipeline; nothing is compiled or trained yet.

        Args:
            model: a model, compiled with an optimizer, a loss and the metric `accuracy`.
            images: all images.
            train: ids of the training part.
            training: sizes of blocks and of evaluation batches.
            config: the rest.
            programs: what is kept of the programs below.
            flat_step: trains a step in few operations; None for the model's own training step.
            planner: of the model's convolutions; waited for before the first run.

        Raises:
            WrongSettingError: a batch is larger than the training part.
        """
        self._model, self._config, self._train_ids, self._programs = model, config, train, programs
        self._planner = planner
        self.weights = WeightPlaces(model, flat_step)
        self._steps = steps_per_epoch(len(train), config.batch_size)
        self._block_steps = steps_per_block(self._steps, config.batch_size, training)
        self._evaluation = BlockShape(
            max(1, training.block_images // training.evaluation_batch_size), training.evaluation_batch_size
        )
        shape = BlockShape(self._block_steps, config.batch_size)
        self._pipeline = InputPipeline(
            images, config.preprocessing, shape, self._evaluation, training.device_images_bytes
        )
        # XLA on a CPU has slow convolutions in the body of a loop: a step of ResNet-50 takes 8 times as long there.
        self._loops = not config.jit or bool(tf.config.list_logical_devices("GPU"))
        self._loss = keras.metrics.CategoricalCrossentropy()
        self._accuracy = keras.metrics.CategoricalAccuracy()
        counted = images.classes if images.classes <= MAX_COUNTED_CLASSES else 0
        # Not integers, which TensorFlow would keep in the host's memory; these are exact up to 2^24 images.
        self._confusion = keras.Variable(
            np.zeros((counted, counted), np.float32), dtype="float32", trainable=False, name="confusion"
        )
        self._train_block = self._function(self._train_steps)
        self._evaluate_block = self._function(self._evaluate_steps)

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        return self._steps

    @property
    def block_steps(self) -> int:
        """Steps in one call."""
        return self._block_steps

    @property
    def has_flat_step(self) -> bool:
        """Whether steps are trained on one flat variable."""
        return self.weights.flat_step is not None

    @property
    def pipeline(self) -> InputPipeline:
        """The images as the model gets them."""
        return self._pipeline

    def use_kerass_step(self) -> None:
        """Train by the model's own training step."""
        self.weights.leave_flat()
        self._train_block = self._function(self._train_steps)
        self._evaluate_block = self._function(self._evaluate_steps)
        self._programs = CachedPrograms(None, self._config.jit)

    def _function(self, method: Callable[..., None]) -> Callable[..., None]:
        # jit_compile is explicit: TensorFlow's default is on for a GPU and off for a CPU.
        program: Callable[..., None] = tf.function(method, autograph=False, jit_compile=self._config.jit)
        return program

    def warm_up(self, rehearsals: int | None = None) -> None:
        """Compile and run every program once, put every variable back, then go through what an epoch does.

        Args:
            rehearsals: how often; `REHEARSALS` on a GPU unless given, never on a CPU, where there is nothing to gain.
        """
        with self.weights.passing():
            self._warm_up(rehearsals)

    def _warm_up(self, rehearsals: int | None) -> None:
        drawn_from = _values(self._augmentation_variables())
        number = tf.constant(int(self._loops))
        training = (*next(self._pipeline.training(self._train_ids)), number)
        evaluation = (*next(self._pipeline.evaluation(self._train_ids[:1])), number)
        kept = self._run_each(training, evaluation)
        self.weights.are_finite()
        _put_back([*kept, *drawn_from])
        # A variable whose value is held here too would be written to a new place at the next step.
        del kept, training, evaluation
        if rehearsals is None:
            rehearsals = REHEARSALS if tf.config.list_logical_devices("GPU") else 0
        for _ in range(rehearsals):
            self._rehearse()
        _put_back(drawn_from)

    def _run_each(self, training: Sequence[tf.Tensor], evaluation: Sequence[tf.Tensor]) -> Values:
        """Make all programs ready and run each once; return what their variables held before."""
        with ThreadPoolExecutor(2) as others:
            kept: Values = []
            begun: list[Future[None]] = []

            def begin(place: int, program: Callable[..., None]) -> None:
                # While Python traces the other program; not under XLA, which keeps programs by names that go by what
                # else runs meanwhile.
                if place == 0 and not self._config.jit:
                    if begun:
                        # Traced anew, since a program cannot be kept.
                        begun[-1].result()
                    else:
                        kept.extend(_values(self._variables_trained_in_place()))
                    begun.append(others.submit(self._begin_training, program, training))

            self._ready_programs(training, evaluation, begin)
            if not kept:
                kept.extend(_values(self._variables_trained_in_place()))
            if self._config.jit:
                # Without XLA, the first run of a program times convolution algorithms and needs the GPU to itself; XLA
                # compiles both at once.
                others.submit(self._evaluate_block, *evaluation)
            if not begun:
                begun.append(others.submit(self._begin_training, self._train_block, training))
            begun[-1].result()
        self._evaluate_block(*evaluation)
        return kept

    def _begin_training(self, program: Callable[..., None], inputs: Sequence[tf.Tensor]) -> None:
        if self._planner is not None:
            self._planner.finish()
        with self.weights.in_flat():
            program(*inputs)

    def _rehearse(self, programs: bool = True, metrics: bool = True) -> None:
        """Go through what an epoch does, with no step of any block, so that nothing is learned.

        Args:
            programs: feed and call the programs of training and evaluation.
            metrics: reset and read all that is read after an epoch.
        """
        if metrics:
            self._model.reset_metrics()
        if programs:
            with self.weights.in_flat():
                for x, y in self._pipeline.training(self._train_ids[: 2 * self._block_steps * self._config.batch_size]):
                    self._run(self._train_block, 0, x, y)
            for x, y, mask in self._pipeline.evaluation(self._train_ids[:1]):
                self._run(self._evaluate_block, 0, x, y, mask)
        if metrics:
            self._training_score()
            self.evaluate(self._train_ids[:0])
            self.learning_rate()

    def train_epoch(
        self, epoch: int, on_steps: Callable[[int], None] = lambda _: None, blocks: BlockHooks | None = None
    ) -> Score:
        """Train on every training image once, except for an incomplete last batch.

        Args:
            epoch: number of the epoch, from 1; with the seed it gives the order.
            on_steps: called about once a second with the number of finished steps.
            blocks: called around each block, whose end is then waited for.

        Returns:
            Mean loss and accuracy over the epoch's steps, on the images as augmented; the loss is NaN where it was not
            finite or a weight is not.
        """
        self._model.reset_metrics()
        order = np.random.default_rng((self._config.seed, epoch)).permutation(self._train_ids)
        told_s = time.monotonic()
        # Where callbacks look at the model between blocks, each block finds its weights there and leaves them there.
        with self.weights.in_flat() if blocks is None else nullcontext():
            for steps_done in self._train_on(order[: self._steps * self._config.batch_size], blocks):
                if blocks is not None:
                    results = self._model.get_metrics_result()
                    if blocks.end_block(steps_done - 1, float(results["loss"]), float(results["accuracy"])):
                        break
                if time.monotonic() - told_s >= PROGRESS_PERIOD_S:
                    # Reading a variable waits for the device, so that reported steps are done and not only queued.
                    self._model.optimizer.iterations.numpy()
                    told_s = time.monotonic()
                    on_steps(steps_done)
        return self._training_score()

    def evaluate(self, ids: Ids) -> Score:
        """Mean loss and accuracy of the model on images, each counted exactly once."""
        self._confusion.assign(np.zeros(self._confusion.shape, np.float32))
        self._loss.reset_state()
        self._accuracy.reset_state()
        left = len(ids)
        with self.weights.in_flat(changing=False):
            for block in self._pipeline.evaluation(ids):
                steps = min(self._evaluation.steps, math.ceil(left / self._evaluation.batch))
                self._run(self._evaluate_block, steps, *block)
                left -= math.prod(self._evaluation)
        return Score(float(self._loss.result()), float(self._accuracy.result()))

    def confusion(self) -> Confusion | None:
        """Return how the images of the last evaluation were classified; None where there are very many classes.

        Returns:
            (classes, classes) int64: images by class (row) and answer (column).
        """
        counts = np.rint(self._confusion.numpy()).astype(np.int64)
        return counts if counts.size else None

    def learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        return self._config.learning_rates.next_rate()

    def _training_score(self) -> Score:
        """Mean loss and accuracy of the steps since the metrics were reset."""
        results = self._model.get_metrics_result()
        # Fused activations map NaN to 0, so the loss can look finite although weights are NaN.
        loss = float(results["loss"]) if self.weights.are_finite() else math.nan
        return Score(loss, float(results["accuracy"]))

    def _train_on(self, ids: Ids, blocks: BlockHooks | None = None) -> Iterator[int]:
        """Train on whole batches of ids, block by block; yield the number of queued steps."""
        total, done = len(ids) // self._config.batch_size, 0
        for block in self._pipeline.training(ids):
            # The padded steps of the last block are not run.
            steps = min(self._block_steps, total - done)
            if blocks is not None:
                self.weights.give_back()
                blocks.begin_block(done)
            with self.weights.in_flat() if blocks is not None else nullcontext():
                self._run(self._train_block, steps, *block)
            if blocks is not None:
                self.weights.give_back()
            done += steps
            yield done

    def _run(self, program: Callable[..., None], steps: int, *tensors: tf.Tensor) -> None:
        """Run the first steps of a block: in one call where the program loops, else in one call each."""
        for number in [steps] if self._loops else range(steps):
            program(*tensors, tf.constant(number))

    def _repeat(self, step: Callable[[tf.Tensor], None], number: tf.Tensor) -> None:
        """Run the steps 0 to `number` - 1 in a program that loops; otherwise run step `number` alone."""
        if not self._loops:
            step(number)
            return

        def body(done: tf.Tensor) -> list[tf.Tensor]:
            step(done)
            return [done + 1]

        tf.while_loop(lambda done: done < number, body, [tf.constant(0)], parallel_iterations=1)

    def _train_steps(self, x: tf.Tensor, y: tf.Tensor, number: tf.Tensor) -> None:
        if self.weights.flat_step is not None:
            self.weights.flat_step.begin(x[0], number)

        def step(step_index: tf.Tensor) -> None:
            self._config.learning_rates.set_rate()
            # Not x[step_index]: XLA takes the index for a constant and would recompile for every value.
            batch = tf.gather(x, step_index), tf.gather(y, step_index)
            if self.weights.flat_step is not None:
                self.weights.flat_step(*batch)
            else:
                self._model.train_step(batch)

        self._repeat(step, number)

    def _evaluate_steps(self, x: tf.Tensor, y: tf.Tensor, mask: tf.Tensor, number: tf.Tensor) -> None:
        values = self.weights.flat_step.values() if self.weights.flat_step is not None else []

        def step(step_index: tf.Tensor) -> None:
            images = tf.gather(x, step_index)
            if self.weights.flat_step is not None:
                answers = self.weights.flat_step.answers(images, values)
            else:
                answers = self._model(images, training=False)
            right, counted = tf.gather(y, step_index), tf.gather(mask, step_index)
            self._loss.update_state(right, answers, sample_weight=counted)
            self._accuracy.update_state(right, answers, sample_weight=counted)
            if self._confusion.shape[0]:
                told = tf.one_hot(tf.argmax(answers, axis=-1), self._confusion.shape[0])
                found = tf.matmul(right * counted[:, tf.newaxis], told, transpose_a=True)
                self._confusion.assign(self._confusion.value + found)

        self._repeat(step, number)

    def _ready_programs(self, training: Sequence[tf.Tensor], evaluation: Sequence[tf.Tensor], begin: Begin) -> None:
        """Use the cached programs, or trace them with example inputs; `begin` is told of each that is traced."""
        try:
            self._ready(training, evaluation, begin)
        except NotFlatError:
            self.use_kerass_step()
            self._ready(training, evaluation, begin)

    def _ready(self, training: Sequence[tf.Tensor], evaluation: Sequence[tf.Tensor], begin: Begin) -> None:
        functions: tuple[tuple[Any, Sequence[tf.Tensor]], ...] = (
            (self._train_block, training),
            (self._evaluate_block, evaluation),
        )
        variables = self._program_variables()
        traces = [partial(traced, function, inputs, variables) for function, inputs in functions]
        programs = self._programs.resolve(variables, traces, begin)
        if programs is not None:
            self._train_block, self._evaluate_block = programs
            return
        for place, (function, inputs) in enumerate(functions):
            name_functions_afresh()
            function.get_concrete_function(*inputs)
            begin(place, function)

    def _program_variables(self) -> list[tf.Variable]:
        """Return all that the programs read or change, in the same order in every trial with the same programs."""
        flat = self.weights.flat_step.variables if self.weights.flat_step is not None else []
        return [*(variable.value for variable in self._state()), self._config.learning_rates.table, *flat]

    def _state(self) -> list[Any]:
        """Return all variables of Keras's that the programs change: weights, seeds, optimizer, metrics; each once."""
        groups = (
            self._model.variables,
            self._model.optimizer.variables,
            self._model.metrics_variables,
            self._loss.variables,
            self._accuracy.variables,
            [self._confusion],
        )
        return list({id(variable): variable for group in groups for variable in group}.values())

    def _variables_trained_in_place(self) -> list[Any]:
        """Return the variables that the programs themselves change: all but those in flat variables."""
        flat = {id(one) for one in self.weights.flat_step.replaced} if self.weights.flat_step is not None else set()
        return [one for one in self._state() if id(one) not in flat]

    def _variables(self) -> list[Any]:
        """Return all variables that any program changes: `_state` and the augmentation's."""
        return [*self._state(), *self._augmentation_variables()]

    def _augmentation_variables(self) -> list[Any]:
        layer = self._config.preprocessing.augmentation
        return list(layer.variables) if layer is not None else []


def _values(variables: Sequence[Any]) -> Values:
    """Variables, each with its present value."""
    return [(variable, tf.identity(variable.value)) for variable in variables]


def _put_back(values: Values) -> None:
    for variable, value in values:
        variable.assign(value)


def steps_per_block(steps: int, batch_size: int, training: TrainingSpec) -> int:
    """Return the training steps per call for an epoch of `steps` steps."""
    return min(steps, max(1, training.block_images // batch_size))


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the number of whole batches in the training part.

    Raises:
        WrongSettingError: there is none.
    """
    if batch_size > images:
        raise WrongSettingError(f"batch_size: {batch_size}: the training part has {images} images")
    return images // batch_size
