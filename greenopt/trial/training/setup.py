"""Builds a trial's parts from its specification: model, optimizer, augmentation, scaling, trainer."""

import math
import platform
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import keras
import tensorflow as tf

from greenopt.spec import Internal, TrialSpec
from greenopt.trial.compilation.convolution_plans import ConvolutionPlanner
from greenopt.trial.compilation.program_cache import cached_programs
from greenopt.trial.data.augmentation import build_augmentation
from greenopt.trial.data.images import Images, Split
from greenopt.trial.data.pipeline import ImagePreprocessing
from greenopt.trial.data.scaling import Scaling, fit_scaling
from greenopt.trial.model.applications import (
    imagenet_scaling,
    rescales_itself,
    takes_imagenet_scaling,
)
from greenopt.trial.model.build import ModelShape, all_layers, build_model
from greenopt.trial.model.fused_batchnorm import fuse_batchnorm, normalised_by_batch
from greenopt.trial.model.matmul_convolution import replace_convolutions_with_matmul
from greenopt.trial.model.optimizer import LearningRateTable, build_optimizer, build_schedule
from greenopt.trial.model.plain_relu import replace_relu
from greenopt.trial.model.precision import NumberFormats, dtype_policy, number_formats
from greenopt.trial.model.quantization_aware import quantization_aware, quantized_layers
from greenopt.trial.training.callbacks import Callbacks, build_callbacks
from greenopt.trial.training.flat_step import FlatStep, is_flattenable
from greenopt.trial.training.trainer import Trainer, TrainerConfig, steps_per_block, steps_per_epoch

_NAMES_SHOWN = 50

Facts: TypeAlias = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, eq=False)
class PreparedTrial:
    """A trial whose parts are built, ready to compile and train.

    Attributes:
        spec: its specification, with a setting and data.
        images: all images.
        split: which of them are for training, validation and test.
        model: under its policy, with its optimizer.
        trainer: holds the images.
        formats: of images and policy.
        augmentation: a layer; None where there is none.
        fused_batchnorm: how many BatchNormalization layers train in few operations.
        matrix_convolutions: how many layers compute by matrix products.
        weights_loaded: what the study's weights were loaded into: `all` or `features`; None where it has none.
        callbacks: of the user's own, with the model.
    """

    spec: TrialSpec
    images: Images
    split: Split
    model: keras.Model
    trainer: Trainer
    formats: NumberFormats
    augmentation: keras.layers.Layer | None
    fused_batchnorm: int
    matrix_convolutions: int
    weights_loaded: str | None
    callbacks: Callbacks


def prepare_trial(spec: TrialSpec, images: Images, split: Split) -> PreparedTrial:
    """Build all parts; the same specification and images give the same initial weights and random numbers.

    Raises:
        WrongSettingError: the parts do not go together.
    """
    setting, training = spec.image_setting, spec.training
    keras.utils.set_random_seed(spec.training_seed)
    jit = setting.internal is Internal.JIT_COMPILATION
    steps = steps_per_epoch(len(split.train), setting.batch_size)
    in_block, in_all = steps_per_block(steps, setting.batch_size, training), training.epochs * steps
    programs = cached_programs(spec, images, in_block, in_all)
    programs.compile_ahead()
    formats = number_formats(setting.precision, training.precision_applies_to)
    gpu = bool(tf.config.list_logical_devices("GPU"))
    # XLA plans its convolutions itself.
    planner = _planner(spec, formats) if gpu and not jit else None
    with dtype_policy("float32"):
        augmentation = build_augmentation(setting.augmentation, training, spec.training_seed)
    with planner.watching() if planner is not None else nullcontext():
        model, loaded = build_model(training, formats.policy, _model_shape(spec, images))
    if setting.internal is Internal.PRE_QUANTIZATION:
        with dtype_policy(formats.policy):
            model = quantization_aware(model)
    model.compile(
        optimizer=build_optimizer(setting, training),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=training.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=jit,
    )
    _create_variables(model, images.classes)
    layers = all_layers(model)
    averages = fuse_batchnorm(layers, jit, gpu)
    flat = FlatStep(model, averages) if not jit and is_flattenable(model) else None
    if jit:
        replace_relu(layers)
    elif gpu:
        # Images stay as Keras has them, channels last, which tensor cores need: TensorFlow would turn them round, and
        # cuDNN turn them back in every convolution.
        tf.config.optimizer.set_experimental_options({"layout_optimizer": False})
    # Only XLA on a GPU has CUDA graphs; everywhere else the library of convolutions is as fast or faster.
    multiplied = replace_convolutions_with_matmul(layers) if jit and gpu else 0
    config = TrainerConfig(
        batch_size=setting.batch_size,
        jit=jit,
        preprocessing=ImagePreprocessing(
            scaling=_scaling(spec, images, split),
            image_dtype=formats.images,
            model_dtype=model.compute_dtype,
            augmentation=augmentation,
        ),
        learning_rates=LearningRateTable(model.optimizer, build_schedule(setting, training, steps), in_all),
        seed=spec.training_seed,
    )
    trainer = Trainer(model, images, split.train, training, config, programs, flat, planner)
    callbacks = build_callbacks(training.callbacks)
    callbacks.bind(model, training.epochs, steps)
    fused = len(averages.layers)
    return PreparedTrial(
        spec, images, split, model, trainer, formats, augmentation, fused, multiplied, loaded, callbacks
    )


def _planner(spec: TrialSpec, formats: NumberFormats) -> ConvolutionPlanner:
    dtype = keras.dtype_policies.get(formats.policy).compute_dtype
    batches = spec.image_setting.batch_size, spec.training.evaluation_batch_size
    return ConvolutionPlanner(*batches, dtype, lambda y: tf.nn.relu(normalised_by_batch(y)))


def _scaling(spec: TrialSpec, images: Images, split: Split) -> Scaling | None:
    """Return the scaling of images: that of the weights, or one that is fitted on the training part."""
    if takes_imagenet_scaling(spec.training):
        return imagenet_scaling(spec.training.model)
    kind = spec.image_setting.preprocessing
    if images.x.dtype == "uint8":
        return fit_scaling(kind, images.blocks(split.train))
    return fit_scaling(kind, images.rows(split.train))


def _model_shape(spec: TrialSpec, images: Images) -> ModelShape:
    return ModelShape(images.shape, images.classes, spec.parameters)


def _create_variables(model: keras.Model, classes: int) -> None:
    """Create the variables that Keras would create in the first step, so that programs find them all."""
    model.optimizer.build(model.trainable_variables)
    # Traced, not run: what the metrics compute runs in compiled programs alone, and their first run by themselves would
    # take seconds on a GPU, for which TensorFlow compiles each operation's kernel then.
    answer = tf.TensorSpec((1, classes))
    tf.function(lambda y: model.compute_metrics(None, y, y, None), autograph=False).get_concrete_function(answer)


def float32_copy(trial: PreparedTrial) -> keras.Model:
    """Return the trained model under the float32 policy, which conversion to int8 needs."""
    if trial.formats.policy == "float32":
        return trial.model
    copy, _ = build_model(trial.spec.training, "float32", _model_shape(trial.spec, trial.images), load=False)
    copy.set_weights(trial.model.get_weights())
    return copy


def collect_facts(trial: PreparedTrial) -> Facts:
    """Return what was really built, for the trial's record."""
    spec, images, split, model, trainer = trial.spec, trial.images, trial.split, trial.model, trial.trainer
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    height, width, channels = images.shape
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return {
        "data": images.title,
        "classes": images.classes,
        "class_names": _names(images.class_names),
        "own_parts": _own_parts(images),
        "left_out": images.left_out or None,
        "image_shape": f"{height}x{width}x{channels} {images.x.dtype}",
        "train_images": len(split.train),
        "validation_images": len(split.validation),
        "test_images": len(split.test),
        "model": spec.training.model,
        "rescaling_left_out": rescales_itself(spec.training.model) and not takes_imagenet_scaling(spec.training),
        "weights": model.count_params(),
        "trained_weights": sum(math.prod(weight.shape) for weight in model.trainable_weights),
        "weights_loaded": trial.weights_loaded,
        "scaled_for_weights": takes_imagenet_scaling(spec.training),
        "policy": trial.formats.policy,
        "image_dtype": trial.formats.images,
        "optimizer": type(inner).__name__,
        "loss_scaling": optimizer is not inner,
        "augmentation": _class_of(trial.augmentation),
        "jit_compile": model.jit_compile,
        "quantized_layers": len(quantized_layers(model)),
        "fused_batchnorm": trial.fused_batchnorm,
        "matrix_convolutions": trial.matrix_convolutions,
        "callbacks": ", ".join(spec.training.callbacks) or None,
        "flat_step": trainer.has_flat_step,
        "steps_per_block": trainer.block_steps,
        "images_on": trainer.pipeline.place,
        "device": devices[0].device_type,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def _own_parts(images: Images) -> str | None:
    """Return which parts the data give themselves, in words; None where all are split off."""
    given = set(images.parts.tolist()) if images.parts is not None else set()
    return " and ".join(name for code, name in ((1, "validation"), (2, "test")) if code in given) or None


def _names(names: Sequence[str]) -> str | None:
    """Return the names of the classes in words, of very many classes the first ones."""
    more = f", ... ({len(names)} classes)" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more if names else None


def _class_of(layer: keras.layers.Layer | None) -> str | None:
    return f"{type(layer).__module__.split('.')[0]}.{type(layer).__name__}" if layer is not None else None
