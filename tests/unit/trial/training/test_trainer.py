import time
from typing import Any, cast

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_callbacks

from greenopt.trial.failures import WrongSettingError
from greenopt.trial.training.trainer import Trainer, steps_per_epoch
from tests.unit.trial.workbench import fed, prepared, trial_spec


def state(trainer: Trainer) -> list[np.ndarray]:
    return [variable.numpy() for variable in trainer._variables()]


@pytest.mark.parametrize(
    "setting",
    [
        {"optimizer": "Adam"},
        {"optimizer": "SGD", "optimizer_momentum": 0.9, "internal": "jit_compilation"},
        {"optimizer": "AdamW", "precision": "global_policy_float16", "augmentation": "random"},
        {"internal": "pre_quantization"},
    ],
)
def test_warming_up_puts_every_variable_back_and_changes_no_result(setting: dict[str, Any]) -> None:
    training = {"model": "tests.unit.trial.nested:build"}
    warm, _, split = prepared(trial_spec(training=training, **setting))
    before = state(warm.trainer)
    warm.trainer.warm_up(rehearsals=2)
    after = state(warm.trainer)
    assert len(before) == len(after)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    cold, _, _ = prepared(trial_spec(training=training, **setting))
    assert warm.trainer.train_epoch(1) == cold.trainer.train_epoch(1)
    assert warm.trainer.evaluate(split.validation) == cold.trainer.evaluate(split.validation)
    assert all(np.array_equal(a, b) for a, b in zip(state(warm.trainer), state(cold.trainer), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(before, state(warm.trainer), strict=True))


def test_after_warming_up_nothing_is_traced_any_more() -> None:
    prepared_trial, _, split = prepared(trial_spec(augmentation="mixup"))
    trainer = prepared_trial.trainer
    trainer.warm_up()
    programs: tuple[Any, ...] = (
        trainer.pipeline._plain,
        trainer.pipeline._augmented,
        trainer._train_block,
        trainer._evaluate_block,
    )
    assert [program.experimental_get_tracing_count() for program in programs] == [1, 1, 1, 1]
    trainer.train_epoch(1)
    trainer.evaluate(split.validation)
    assert [program.experimental_get_tracing_count() for program in programs] == [1, 1, 1, 1]


def test_the_first_step_waits_until_all_convolutions_are_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = prepared(trial_spec())[0].trainer
    steps_before: list[int] = []

    class Planner:
        def finish(self) -> None:
            time.sleep(0.3)
            steps_before.append(int(trainer._model.optimizer.iterations.numpy()))

    monkeypatch.setattr(trainer, "_planner", Planner())
    trainer.warm_up()

    assert steps_before == [0]


@pytest.mark.parametrize(
    ("internal", "planned"), [("none", True), ("pre_quantization", True), ("jit_compilation", False)]
)
def test_convolutions_are_planned_on_a_gpu_without_xla(
    internal: str, planned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tf.config.list_logical_devices
    with monkeypatch.context() as patched:
        patched.setattr(tf.config, "list_logical_devices", lambda kind=None: original("CPU" if kind == "GPU" else kind))
        trainer = prepared(trial_spec(internal=internal))[0].trainer

    assert (trainer._planner is not None) == planned
    if trainer._planner is not None:
        trainer._planner.finish()
        assert trainer._planner._known


def test_on_a_gpu_the_first_epoch_runs_no_operation_for_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow compiles an operation's kernel when it first runs on a GPU, half a second for each."""
    prepared_trial, _, split = prepared(trial_spec(lr_schedule="cosine"))
    trainer, run, keys = prepared_trial.trainer, [], ("T", "dtype", "SrcT", "DstT", "Tindices", "Tparams")

    def recorded(
        kind: str, inputs: Any, trial_metrics: Any, outputs: Any, op_name: Any = None, graph: Any = None
    ) -> None:
        if graph is None:
            named = dict(zip(trial_metrics[::2], trial_metrics[1::2], strict=True))
            run.append((kind, *(named[key] for key in keys if key in named)))

    original = tf.config.list_logical_devices
    with monkeypatch.context() as patched:
        patched.setattr(tf.config, "list_logical_devices", lambda kind=None: original("CPU" if kind == "GPU" else kind))
        op_callbacks.add_op_callback(recorded)
        try:
            with trainer.weights.keeping_flat():
                trainer.warm_up()
                before, run[:] = set(run), []
                trainer.train_epoch(1)
                trainer.evaluate(split.validation)
                trainer.learning_rate()
                during, run[:] = set(run), []
        finally:
            op_callbacks.remove_op_callback(recorded)
    assert len(during) > 5
    assert during - before == set()


@pytest.mark.parametrize("block_images", [32, 96, 10_000])
@pytest.mark.parametrize("internal", ["none", "jit_compilation"])
def test_an_epoch_is_model_fits_epoch_whatever_the_size_of_a_block(block_images: int, internal: str) -> None:
    spec = trial_spec(
        optimizer="SGD", optimizer_momentum=0.9, internal=internal, training={"block_images": block_images}
    )
    ours, images, split = prepared(spec)
    theirs, _, _ = prepared(spec)
    score = ours.trainer.train_epoch(1)
    order = np.random.default_rng((spec.training_seed, 1)).permutation(split.train)[: ours.trainer.steps * 32]
    x, y = images.x.astype(np.float32), keras.utils.to_categorical(images.y, 4)
    history = theirs.model.fit(x[order], y[order], batch_size=32, shuffle=False, verbose=0).history
    assert score.loss == pytest.approx(history["loss"][0], rel=1e-4)
    assert score.accuracy == pytest.approx(history["accuracy"][0], abs=1e-6)
    for a, b in zip(ours.model.get_weights(), theirs.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    for part in (split.validation, split.test[:7]):
        loss, accuracy = theirs.model.evaluate(x[part], y[part], verbose=0)
        found = ours.trainer.evaluate(part)
        assert found.loss == pytest.approx(loss, rel=1e-3)
        assert found.accuracy == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize("batch", [7, 128])
def test_every_evaluated_image_counts_exactly_once(batch: int) -> None:
    """The model answers 0 always, so the accuracy is the share of class 0."""
    prepared_trial, images, split = prepared(trial_spec(training={"evaluation_batch_size": batch, "block_images": 21}))
    last = prepared_trial.model.layers[-1]
    last.kernel.assign(np.zeros(last.kernel.shape))
    last.bias.assign([5, 0, 0, 0])
    for part in (split.validation, split.validation[:1], split.train[:43]):
        score = prepared_trial.trainer.evaluate(part)
        assert score.accuracy == pytest.approx((images.y[part] == 0).mean(), abs=1e-6)
        confusion = prepared_trial.trainer.confusion()
        assert confusion is not None
        np.testing.assert_array_equal(confusion[:, 0], np.bincount(images.y[part], minlength=4))
        assert not confusion[:, 1:].any()


@pytest.mark.parametrize("internal", ["none", "jit_compilation"])
def test_classes_are_counted_by_what_they_were_taken_for(internal: str) -> None:
    trial, images, split = prepared(trial_spec(internal=internal, preprocessing="minmax", lr=0.05, batch_size=8))
    trial.trainer.warm_up()
    trial.trainer.train_epoch(1)
    trial.trainer.evaluate(split.train)
    score, counts = trial.trainer.evaluate(split.test), trial.trainer.confusion()
    answers = trial.model(trial.trainer.pipeline.prepared(split.test), training=False).numpy().argmax(axis=1)
    wanted = np.zeros((4, 4), int)
    np.add.at(wanted, (images.y[split.test], answers), 1)
    np.testing.assert_array_equal(counts, wanted)
    assert score.accuracy == pytest.approx(wanted.trace() / wanted.sum())
    assert len(set(answers)) > 1


def test_of_very_many_classes_it_is_not_counted_which_was_taken_for_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenopt.trial.training.trainer.MAX_COUNTED_CLASSES", 3)
    trial, _, split = prepared(trial_spec())
    trial.trainer.evaluate(split.test)
    assert trial.trainer.confusion() is None


def test_jit_compilation_is_xla_and_everything_else_is_without_it() -> None:
    for internal, jit in (("none", False), ("jit_compilation", True), ("pre_quantization", False)):
        prepared_trial, _, _ = prepared(trial_spec(internal=internal))
        trainer = prepared_trial.trainer
        assert prepared_trial.model.jit_compile is jit
        for program in (trainer._train_block, trainer._evaluate_block):
            assert cast(Any, program)._jit_compile is jit
        for program in (trainer.pipeline._plain, trainer.pipeline._augmented):
            assert program._jit_compile is False


def test_xla_on_a_cpu_compiles_a_step_once_whatever_its_number() -> None:
    trainer = prepared(trial_spec(internal="jit_compilation", batch_size=16, training={"block_images": 10_000}))[
        0
    ].trainer
    started = time.monotonic()
    trainer.warm_up()
    compiling_s, started = time.monotonic() - started, time.monotonic()
    trainer.train_epoch(1)
    assert time.monotonic() - started < compiling_s / 2, f"{trainer.steps} steps after {compiling_s:.1f} s of compiling"


def test_the_same_seed_gives_the_same_training_and_another_another() -> None:
    first, again, other = (prepared(trial_spec(seed=seed, augmentation="mixup"))[0].trainer for seed in (5, 5, 6))
    scores = [[trainer.train_epoch(epoch) for epoch in (1, 2)] for trainer in (first, again, other)]
    assert scores[0] == scores[1]
    assert scores[0] != scores[2]


def test_each_epoch_has_an_order_of_its_own() -> None:
    trainer = prepared(trial_spec(training={"block_images": 10_000}))[0].trainer
    orders = fed(trainer)
    for epoch in (1, 2, 1):
        trainer.train_epoch(epoch)
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[0], orders[2])


def test_images_are_cast_after_scaling_and_reach_the_model_in_its_own_type() -> None:
    stored = tf.constant(np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3))
    found = {}
    for precision in ("float16", "float32", "float64", "global_policy_float16"):
        trainer = prepared(trial_spec(precision=precision, preprocessing="standardization"))[0].trainer
        found[precision] = trainer.pipeline._scaled(stored)
        assert found[precision].dtype == ("float16" if precision == "global_policy_float16" else "float32")
    exact = found["float32"].numpy()
    assert np.array_equal(found["float16"].numpy(), exact.astype(np.float16).astype(np.float32))
    assert not np.array_equal(found["float16"].numpy(), exact)
    assert np.array_equal(found["float64"].numpy(), exact)


def test_images_stay_on_the_device_as_bytes() -> None:
    trainer = prepared(trial_spec())[0].trainer
    assert trainer.pipeline.place == "device"
    source: Any = trainer.pipeline._data_source
    assert source._x.dtype == tf.uint8


def test_an_incomplete_batch_is_dropped_and_a_batch_that_never_fills_is_refused() -> None:
    assert steps_per_epoch(180, 32) == 5
    with pytest.raises(WrongSettingError, match="batch_size: 200: the training part has 180 images"):
        steps_per_epoch(180, 200)


def test_progress_is_told_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenopt.trial.training.trainer.PROGRESS_PERIOD_S", 0.0)
    trainer = prepared(trial_spec(batch_size=16, training={"block_images": 64}))[0].trainer
    told: list[int] = []
    trainer.train_epoch(1, told.append)
    assert told == [4, 8, 11]


def test_programs_have_the_same_names_whatever_is_no_part_of_them() -> None:
    """XLA keeps programs by name too; the names end with a count, which starts anew every 100,000."""
    names = set()
    for setting in ({}, {"preprocessing": "minmax", "lr_schedule": "cosine", "lr": 0.001}, {"augmentation": "random"}):
        trainer = prepared(trial_spec(**setting, internal="jit_compilation"))[0].trainer
        trainer.warm_up()
        programs: tuple[Any, ...] = (trainer._train_block, trainer._evaluate_block)
        concrete = [program._list_all_concrete_functions()[0].name.decode() for program in programs]
        names.add(tuple(name.rpartition("_")[0] + str(int(name.rpartition("_")[2]) % 100_000) for name in concrete))
    assert len(names) == 1
