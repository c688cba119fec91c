"""The phases of a trial, from the data to the test, with the journal's marks between them."""

import math
import os
from functools import partial
from typing import Any

import tensorflow as tf

from greenopt.events import Phase
from greenopt.spec import Augmentation, DataSet, Internal, TrialSpec, inert_parameters
from greenopt.trial.compilation.compiler_cache import keep_kernels, prepare_compiler
from greenopt.trial.data.cache import cached_images
from greenopt.trial.data.images import Images, Split, split_images
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.journal import Journal
from greenopt.trial.training.callbacks import logs_of
from greenopt.trial.training.figures import model_figures
from greenopt.trial.training.int8_conversion import Int8Model, calibration_ids, converted, int8_accuracy, int8_confusion
from greenopt.trial.training.saved_model import keep_model
from greenopt.trial.training.setup import PreparedTrial, collect_facts, float32_copy, prepare_trial
from greenopt.trial.training.trainer import MAX_COUNTED_CLASSES, Confusion, Score


def run_trial(spec: TrialSpec, journal: Journal) -> None:
    """Train a setting and write its events; the final event too, unless an exception is raised.

    Raises:
        DataMissingError: the images are not there.
        WrongSettingError: the setting cannot be trained.
    """
    # Must be in the environment before TensorFlow first compiles, which is when it reads the variables.
    compiler = prepare_compiler(os.environ) if spec.gpu_uuid is not None else None
    choose_device(spec.gpu_uuid)
    journal.end_phase(Phase.IMPORT)
    images, split = load_split(spec)
    choose_threads(spec, images)
    journal.end_phase(Phase.DATA)
    trial = prepare_trial(spec, images, split)
    journal.end_phase(Phase.BUILD)
    with trial.trainer.weights.keeping_flat():
        trial.trainer.warm_up()
        if compiler is not None:
            compiler.keep()
        journal.end_phase(Phase.COMPILE)
        _begin_training(trial, journal)
        last = train(trial, journal)
    if last is not None:
        finish(trial, last, journal)


def _begin_training(trial: PreparedTrial, journal: Journal) -> None:
    """Report what was built, and which parameters have no effect; the energy of the training begins here."""
    spec, images, steps = trial.spec, trial.images, trial.trainer.steps
    inert = inert_parameters(
        spec.image_setting,
        spec.training,
        spec.training.epochs * steps,
        has_whole_pixels=images.x.dtype == "uint8",
        has_own_parts=images.has_all_parts,
        further=(*spec.varied, *spec.parameters),
        left_out=spec.left_out,
    )
    journal.begin_training(steps, inert, collect_facts(trial))


def choose_device(gpu_uuid: str | None) -> None:
    """Use the GPU that this process can see, growing its memory as needed and keeping its kernels, or the CPU alone.

    Raises:
        WrongSettingError: a GPU was given and TensorFlow sees none; the energy of an idle GPU would be recorded.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpu_uuid is None:
        tf.config.set_visible_devices([], "GPU")
        return
    if not gpus:
        raise WrongSettingError(
            f"TensorFlow {tf.__version__} sees no GPU though this trial was given {gpu_uuid}; "
            "install greenopt[cuda], or run with --gpus none"
        )
    # cuDNN's batch normalization in one pass over the images, by which TensorFlow also joins it with a ReLU in float16;
    # PyTorch uses it by itself.
    os.environ.setdefault("TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT", "1")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    major, minor = tf.config.experimental.get_device_details(gpus[0])["compute_capability"]
    keep_kernels(os.environ, f"sm_{major}{minor}")


def choose_threads(spec: TrialSpec, images: Images) -> None:
    """Let one thread start the operations of a training without XLA on a GPU; call this before the first operation.

    Several take turns at a step's few hundred operations, and hand each other more work than they do. Images from the
    host need a second thread, or they would wait for the step. Random augmentation has operations for the CPU, which
    may run side by side, so that it is left as TensorFlow has it.
    """
    setting = spec.image_setting
    is_alone = setting.internal is not Internal.JIT_COMPILATION and setting.augmentation is not Augmentation.RANDOM
    if spec.gpu_uuid is None or not is_alone:
        return
    if "TF_NUM_INTEROP_THREADS" not in os.environ:
        on_host = images.x.nbytes > spec.training.device_images_bytes
        tf.config.threading.set_inter_op_parallelism_threads(2 if on_host else 1)


def load_split(spec: TrialSpec) -> tuple[Images, Split]:
    """Load the images, and split them by the study's seed and the setting's partitioning."""
    setting, data = spec.image_setting, spec.image_data
    images = cached_images(data)
    limit = None if data.name is DataSet.SYNTHETIC else data.images
    return images, split_images(images, setting.shares, spec.split_seed, limit)


def train(trial: PreparedTrial, journal: Journal) -> Score | None:
    """Train all epochs, or those until a callback stops; return the last validation score.

    Returns:
        None if the training diverged (already recorded).
    """
    trainer, epochs, callbacks = trial.trainer, trial.spec.training.epochs, trial.callbacks
    blocks = callbacks if callbacks.wants_batches else None
    validation = Score(math.nan, math.nan)
    _call(trial, "on_train_begin")
    for epoch in range(1, epochs + 1):
        _call(trial, "on_epoch_begin", epoch - 1)
        metrics = trainer.train_epoch(epoch, partial(journal.tell_steps, epoch, trainer.steps), blocks)
        validation = _validated(trial)
        logs = logs_of(metrics, validation)
        _call(trial, "on_epoch_end", epoch - 1, logs)
        is_diverged = not math.isfinite(metrics.loss)
        is_last = epoch == epochs or callbacks.is_stopping
        if callbacks and is_last and not is_diverged:
            # A callback may put other weights back, as EarlyStopping does: judged is what is there in the end.
            _call(trial, "on_train_end", logs)
            validation = trainer.evaluate(trial.split.validation)
        journal.end_epoch(epoch, epochs, metrics, validation, trainer.learning_rate())
        if is_diverged:
            journal.diverge(f"the training loss or a weight was not finite in epoch {epoch}")
            return None
        if is_last:
            break
    journal.end_training()
    return validation


def _validated(trial: PreparedTrial) -> Score:
    """Validate the model, between the hooks for that."""
    _call(trial, "on_test_begin")
    validation = trial.trainer.evaluate(trial.split.validation)
    _call(trial, "on_test_end", {"accuracy": validation.accuracy, "loss": validation.loss})
    return validation


def _call(trial: PreparedTrial, hook: str, *arguments: Any) -> None:
    """Call a hook of the callbacks, which may look at the model and change it."""
    if trial.callbacks:
        trial.trainer.weights.give_back()
        trial.callbacks.call(hook, *arguments)


def finish(trial: PreparedTrial, last: Score, journal: Journal) -> None:
    """Quantize if the setting says so, test, and write the final event."""
    spec, trainer, split = trial.spec, trial.trainer, trial.split
    setting = spec.image_setting
    if setting.internal is not Internal.POST_QUANTIZATION:
        energy = journal.training_energy()
        test = trainer.evaluate(split.test)
        confusion = trainer.confusion()
        figures = model_figures(trial, journal)
        journal.end_phase(Phase.TEST)
        _tell_confusion(trial, confusion, journal)
        keep_model(trial)
        journal.complete(last.accuracy, test.accuracy, None, energy, figures, _ended_early(trial, journal))
        return
    calibration = trainer.pipeline.prepared(calibration_ids(split.train, spec.training.calibration_images))
    content = converted(float32_copy(trial), calibration)
    journal.end_phase(Phase.QUANTIZE)
    energy = journal.training_energy()
    batch_size = spec.training.evaluation_batch_size
    model = Int8Model(content, batch_size)
    accuracy = int8_accuracy(model, trainer, split.validation, batch_size)
    counts = int8_confusion(model, trainer, split.test, batch_size, trial.images.classes)
    test_accuracy = float(counts.trace() / counts.sum())
    figures = model_figures(trial, journal, content)
    journal.end_phase(Phase.TEST)
    _tell_confusion(trial, counts, journal)
    keep_model(trial, content)
    journal.complete(accuracy, test_accuracy, last.accuracy, energy, figures, _ended_early(trial, journal))


def _ended_early(trial: PreparedTrial, journal: Journal) -> str:
    """Return in words that a callback ended the training; empty where none did."""
    stopped_by, epochs = trial.callbacks.stopped_by, trial.spec.training.epochs
    if stopped_by is None:
        return ""
    return f"training.callbacks: {stopped_by} ended the training after epoch {journal.epochs_done} of {epochs}"


def _tell_confusion(trial: PreparedTrial, counts: Confusion | None, journal: Journal) -> None:
    """Report which class of the test part was taken for which, unless there are very many."""
    classes = trial.images.classes
    if counts is not None and classes <= MAX_COUNTED_CLASSES:
        names = trial.images.class_names or tuple(map(str, range(classes)))
        journal.tell_confusion(names, counts.tolist())
