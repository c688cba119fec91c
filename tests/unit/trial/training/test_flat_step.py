"""Training on one flat variable, against Keras's own training step on the same images in the same order."""

from collections import Counter
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from greenopt.trial.model.build import all_layers, batchnorm_layers
from greenopt.trial.model.flat_optimizer import is_expressible
from greenopt.trial.model.void_bias import void_biases
from greenopt.trial.training.trainer import Score, Trainer
from tests.unit.trial import nested, tiny, uncommon
from tests.unit.trial.workbench import prepared, trial_spec

SETTINGS: tuple[dict[str, Any], ...] = (
    {"optimizer": "SGD", "optimizer_momentum": 0.0},
    {"optimizer": "SGD", "optimizer_momentum": 0.9, "lr_schedule": "cosine"},
    {"optimizer": "RMSProp", "optimizer_momentum": 0.0, "lr": 0.001},
    {"optimizer": "RMSProp", "optimizer_momentum": 0.9, "lr": 0.001},
    {"optimizer": "Adam", "lr": 0.001},
    {"optimizer": "AdamW", "lr": 0.01, "training": {"weight_decay": 0.3}},
    {"optimizer": "Adam", "lr": 0.001, "precision": "global_policy_float16"},
    {"optimizer": "SGD", "precision": "float64", "training": {"precision_applies_to": "policy"}},
    {"internal": "pre_quantization", "optimizer_momentum": 0.9},
    {"training": {"model": "tests.unit.trial.nested:build"}},
    {"training": {"trainable": "head", "label_smoothing": 0.1}},
    {
        "training": {"trainable": 3, "weight_decay": 0.3, "weight_decay_applies_to": "all"},
        "internal": "pre_quantization",
    },
    {"optimizer": "SGD", "lr": 0.02, "training": {"model": "tests.unit.trial.uncommon:biased"}},
    *({"training": {"model": f"tests.unit.trial.uncommon:{name}"}} for name in ("several_dtypes", "called", "forked")),
    {"training": {"model": "tests.unit.trial.uncommon:forked"}, "internal": "pre_quantization"},
    {
        "optimizer": "SGD",
        "training": {
            "model": "tests.unit.trial.uncommon:without_gradient",
            "weight_decay": 0.3,
            "weight_decay_applies_to": "all",
        },
    },
    {"training": {"model": "tests.unit.trial.uncommon:spectral"}},
    {"training": {"model": "tests.unit.trial.uncommon:mixed_norm"}},
    {"training": {"model": "tests.unit.trial.uncommon:own_step"}},
)
BIASES_COUNT = ("biased", "called")
LEFT_TO_KERAS = ("mixed_norm", "without_gradient", "spectral", "own_step")


def kinds_in_step(**setting: Any) -> Counter[str]:
    """How many operations of each kind the traced step of a setting has."""
    step = prepared(trial_spec(**setting))[0].trainer.weights.flat_step
    assert step is not None
    types = [tf.TensorSpec((8, 16, 16, 3)), tf.TensorSpec((8, 4))]
    traced = tf.function(step, autograph=False).get_concrete_function(*types)
    return Counter(node.type for node in traced.graph.get_operations())


def trained_and_judged(trainer: Trainer) -> list[Score]:
    """Scores of training and of the training images afterwards, of two epochs."""
    return [score for epoch in (1, 2) for score in (trainer.train_epoch(epoch), trainer.evaluate(trainer._train_ids))]


@pytest.mark.parametrize("setting", SETTINGS)
def test_all_variables_become_what_kerass_step_makes_of_them(setting: dict[str, Any]) -> None:
    flat, kerass = (prepared(trial_spec(**setting))[0].trainer for _ in range(2))
    kerass.use_kerass_step()
    model = str(setting.get("training", {}).get("model"))
    if model.endswith(LEFT_TO_KERAS):
        flat.warm_up()
    assert flat.has_flat_step == (not model.endswith(LEFT_TO_KERAS))
    with flat.weights.keeping_flat():
        scores = [trained_and_judged(trainer) for trainer in (flat, kerass)]
    half = setting.get("precision") == "global_policy_float16" or model.endswith("several_dtypes")
    tolerance = 2e-2 if half else 2e-4
    for a, b in zip(*scores, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=tolerance)
    for a, b in zip(flat._variables(), kerass._variables(), strict=True):
        # A bias before BatchNormalization has a gradient of rounding errors alone in Keras, here it has none.
        if "bias" in a.path and "dense" not in a.path and not model.endswith(BIASES_COUNT):
            continue
        scale = max(np.abs(b.numpy()).max(), 1e-4)
        assert np.abs(a.numpy() - b.numpy()).max() / scale < 25 * tolerance, a.path


@pytest.mark.parametrize("internal", ["none", "pre_quantization"])
def test_weights_that_stay_in_flat_variables_are_judged_there(internal: str) -> None:
    spec = trial_spec(internal=internal, optimizer="Adam", training={"model": "tests.unit.trial.nested:build"})
    kept, moved = (prepared(spec)[0].trainer for _ in range(2))
    before = kept._model.get_weights()
    with kept.weights.keeping_flat():
        kept.warm_up()
        scores = trained_and_judged(kept)
        for old, new in zip(before, kept._model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    assert scores == trained_and_judged(moved)
    for a, b in zip(kept._variables(), moved._variables(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_weights_that_were_given_back_may_be_changed() -> None:
    trainer = prepared(trial_spec(optimizer="Adam"))[0].trainer
    with trainer.weights.keeping_flat():
        trainer.train_epoch(1)
        trainer.evaluate(trainer._train_ids)
        trainer.weights.give_back()
        trainer._model.layers[-1].set_weights([np.full(one.shape, 0.5) for one in trainer._model.layers[-1].weights])
        same = trainer.evaluate(trainer._train_ids)
        trainer.weights.give_back()
        trainer._model.layers[-1].kernel.assign(np.full(trainer._model.layers[-1].kernel.shape, np.nan))
        assert np.isnan(trainer.train_epoch(2).loss)

    assert same.loss == pytest.approx(np.log(4)), "all classes are as likely"


@pytest.mark.parametrize("model", ["nested:build", "uncommon:spectral"])
def test_a_training_goes_on_by_kerass_step_with_what_was_learned(model: str) -> None:
    """The model `spectral` is found to be unlike others only when its training step is traced."""
    first, other = (prepared(trial_spec(training={"model": f"tests.unit.trial.{model}"}))[0].trainer for _ in range(2))
    other.use_kerass_step()
    with first.weights.keeping_flat():
        judged = [first.evaluate(first._train_ids)]
        first.use_kerass_step()
        judged += trained_and_judged(first)
    for a, b in zip(judged, [other.evaluate(other._train_ids), *trained_and_judged(other)], strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-4)


def test_warming_up_loses_nothing_of_what_was_learned() -> None:
    trainer = prepared(trial_spec(optimizer="Adam"))[0].trainer
    with trainer.weights.keeping_flat():
        trainer.train_epoch(1)
        learned = trainer.evaluate(trainer._train_ids)
        trainer.warm_up()
        assert trainer.evaluate(trainer._train_ids) == learned


def test_random_numbers_that_are_not_the_models_are_drawn_anew_each_time() -> None:
    trainer = prepared(trial_spec(training={"model": "tests.unit.trial.uncommon:noisy"}))[0].trainer
    with trainer.weights.keeping_flat():
        trainer.warm_up()
        assert not trainer.has_flat_step
        assert len({trainer.evaluate(trainer._train_ids).loss for _ in range(3)}) == 3


@pytest.mark.parametrize("keeps", [False, True])
def test_weights_outside_the_flat_variables_are_judged_too(keeps: bool) -> None:
    training = {"model": "tests.unit.trial.uncommon:without_bounds"}
    trainer = prepared(trial_spec(optimizer="SGD", lr=1e-30, training=training))[0].trainer
    with trainer.weights.keeping_flat() if keeps else nullcontext():
        trainer.warm_up()
        assert trainer.has_flat_step
        assert np.isnan(trainer.train_epoch(1).loss)
        assert np.isfinite(trainer.evaluate(trainer._train_ids).loss)


@pytest.mark.parametrize("name", ["_weights", "_averages", "_limits"])
def test_a_number_that_is_none_is_found_in_each_flat_variable(name: str) -> None:
    training = {"model": "tests.unit.trial.nested:build"}
    step = prepared(trial_spec(internal="pre_quantization", training=training))[0].trainer.weights.flat_step
    assert step is not None
    step.load()
    assert step.is_finite()

    flat = getattr(step, name).flat
    flat.assign(tf.tensor_scatter_nd_update(flat, [[0, 1]], [np.nan]))

    assert not step.is_finite()


def test_a_program_that_cannot_be_kept_costs_no_variable_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training's program is begun, then the evaluation's turns out not to be what a file can hold."""
    trainer = prepared(trial_spec(optimizer="Adam"))[0].trainer
    before = [variable.numpy() for variable in trainer._variables()]
    calls: list[Any] = []

    def resolve(variables: Any, traces: Any, begin: Any) -> None:
        calls.append(begin(0, trainer._train_block))

    monkeypatch.setattr(trainer._programs, "resolve", resolve)
    trainer.warm_up()

    assert len(calls) == 1
    for old, variable in zip(before, trainer._variables(), strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_an_error_is_told_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = prepared(trial_spec())[0].trainer
    monkeypatch.setattr(trainer.weights.flat_step, "store", lambda: pytest.fail("weights are of no use after an error"))

    def fail() -> None:
        with trainer.weights.keeping_flat():
            trainer.train_epoch(1)
            raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        fail()


def test_an_input_that_two_layers_share_is_rounded_once() -> None:
    kinds = kinds_in_step(internal="pre_quantization", training={"model": "tests.unit.trial.uncommon:forked"})
    # Of the images, of both convolutions in the middle, of the last layer.
    assert kinds["FakeQuantWithMinMaxArgs"] == 3


@pytest.mark.parametrize("limit", [{"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"clipvalue": 1.0}, {"use_ema": True}])
def test_what_cannot_be_expressed_is_left_to_keras(limit: dict[str, Any]) -> None:
    optimizer = keras.optimizers.Adam(**limit)
    optimizer.build([keras.Variable(np.ones(3, np.float32))])
    assert not is_expressible(optimizer)


def test_a_step_that_loss_scaling_leaves_out_changes_no_weight() -> None:
    trial = prepared(trial_spec(precision="global_policy_float16", optimizer="SGD"))[0]
    assert trial.trainer.has_flat_step
    before = [variable.numpy() for variable in trial.model.trainable_variables]
    trial.model.optimizer.dynamic_scale.assign(3e38)
    trial.trainer.train_epoch(1)
    done = int(trial.model.optimizer.inner_optimizer.iterations.numpy())
    assert done < trial.trainer.steps
    if done == 0:
        for a, b in zip(before, trial.model.trainable_variables, strict=True):
            np.testing.assert_array_equal(a, b.numpy())
    assert float(trial.model.optimizer.dynamic_scale.value) < 3e38


def test_only_biases_that_change_nothing_are_void() -> None:
    for build, wanted in ((uncommon.biased, 0), (tiny.build, 1), (nested.build, 1)):
        model = build((16, 16, 3), 4)
        trained = [layer for layer in batchnorm_layers(model) if layer.trainable]
        assert len(void_biases(model, all_layers(model), trained)) == wanted


def test_a_step_changes_few_variables_one_by_one() -> None:
    """Each assignment is one more operation that a GPU waits for."""
    kinds = kinds_in_step(training={"model": "tests.unit.trial.nested:build"})
    # Moving averages, iterations, the seed of dropout; loss and accuracy, each of two sums.
    assert kinds["AssignVariableOp"] == 7
