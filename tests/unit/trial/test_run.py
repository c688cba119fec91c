"""Every value of every parameter through a whole trial; what each value does in detail is tested beside its module."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from greenopt.events import ConfusionCounted, Outcome, Phase, TrialEnded
from greenopt.spec import (
    Augmentation,
    Internal,
    LrSchedule,
    Optimizer,
    Precision,
    Preprocessing,
    Setting,
    inert_parameters,
)
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.run import choose_device, choose_threads, load_split
from tests.builders import setting_of
from tests.unit.trial.workbench import Told, run, trial_spec

MIXED = Precision.GLOBAL_POLICY_FLOAT16

VALUES: dict[str, dict[Any, dict[str, Any]]] = {
    "preprocessing": {value: {} for value in Preprocessing},
    "augmentation": {
        Augmentation.NONE: {"augmentation": None},
        Augmentation.RANDOM: {"augmentation": "greenopt.RandAugment"},
        Augmentation.MIXUP: {"augmentation": "greenopt.MixUp"},
        Augmentation.CUTMIX: {"augmentation": "greenopt.CutMix"},
    },
    "precision": {
        Precision.FLOAT16: {"image_dtype": "float16", "policy": "float32"},
        Precision.FLOAT32: {"image_dtype": "float32", "policy": "float32"},
        Precision.FLOAT64: {"image_dtype": "float64", "policy": "float32"},
        MIXED: {"image_dtype": "float32", "policy": "mixed_float16", "loss_scaling": True},
    },
    "batch_size": {size: {} for size in (4, 32, 64, 128)},
    "partitioning": {
        "60-20-20": {"train_images": 180, "validation_images": 60, "test_images": 60},
        "70-15-15": {"train_images": 210, "validation_images": 45, "test_images": 45},
        "80-10-10": {"train_images": 240, "validation_images": 30, "test_images": 30},
        "90-5-5": {"train_images": 270, "validation_images": 15, "test_images": 15},
    },
    "lr": {rate: {} for rate in (0.01, 1.5e-4, 8e-4, 6.25e-3)},
    "lr_schedule": {value: {} for value in LrSchedule},
    "optimizer": {
        Optimizer.RMSPROP: {"optimizer": "RMSprop"},
        Optimizer.SGD: {"optimizer": "SGD"},
        Optimizer.ADAM: {"optimizer": "Adam"},
        Optimizer.ADAMW: {"optimizer": "AdamW"},
    },
    "optimizer_momentum": {value: {} for value in (0.0, 0.5, 0.9, 0.99)},
    "internal": {
        Internal.NONE: {"jit_compile": False, "quantized_layers": 0},
        Internal.JIT_COMPILATION: {"jit_compile": True, "quantized_layers": 0},
        Internal.PRE_QUANTIZATION: {"jit_compile": False, "quantized_layers": 3},
        Internal.POST_QUANTIZATION: {"jit_compile": False, "quantized_layers": 0},
    },
}
RUNS: dict[str, Told] = {}


def told(**setting: Any) -> Told:
    """A run of a setting; each is run once."""
    key = repr(sorted(setting.items()))
    if key not in RUNS:
        RUNS[key] = run(trial_spec(**setting))
    return RUNS[key]


def test_these_are_the_40_values() -> None:
    assert list(VALUES) == list(Setting.model_fields)
    assert sum(len(values) for values in VALUES.values()) == 40


@pytest.mark.parametrize(
    ("parameter", "value", "facts"),
    [(name, value, facts) for name, values in VALUES.items() for value, facts in values.items()],
)
def test_each_value_trains_and_is_what_the_record_says(parameter: str, value: Any, facts: dict[str, Any]) -> None:
    found = told(**{parameter: value})
    assert found.ended.outcome is Outcome.COMPLETED, found.ended.message
    assert len(found.epochs) == 1
    assert math.isfinite(found.epochs[0].loss or math.nan)
    assert 0 <= (found.ended.accuracy or 0) <= 1
    assert found.ended.test_accuracy is not None
    assert {name: found.facts[name] for name in facts} == facts


@pytest.mark.parametrize(
    ("parameter", "value"),
    [(name, value) for name, values in VALUES.items() for value in values],
)
def test_a_value_changes_the_training_exactly_where_it_is_not_inert(parameter: str, value: Any) -> None:
    """Against the baseline: the same loss to the last digit where a value is said to do nothing, else another.

    XLA and the conversion after the training are not meant to change the loss; their effects are tested elsewhere.
    """
    spec = trial_spec(**{parameter: value})
    if value in (getattr(Setting(), parameter), Internal.JIT_COMPILATION, Internal.POST_QUANTIZATION):
        return
    said = inert_parameters(setting_of(spec), spec.training, 5)
    same = told(**{parameter: value}).epochs[0].loss == told().epochs[0].loss
    assert same == (parameter in said), said


def test_a_polynomial_schedule_from_below_its_end_rate_is_the_constant_one() -> None:
    found, constant = (run(trial_spec(lr=5e-5, lr_schedule=name)) for name in ("polynomial", "constant"))
    assert found.epochs[0].loss == constant.epochs[0].loss
    assert found.epochs[0].lr == pytest.approx(5e-5)
    assert found.inert == {
        "lr_schedule": "the learning rate starts at or below its end value of 0.0001 and stays there"
    }


def test_float16_rounds_pixels_between_whole_numbers(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((60, 16, 16, 3))
    np.savez(tmp_path / "fractions.npz", x=pixels, y=np.arange(60) % 2)
    data = {"name": "npz", "path": str(tmp_path / "fractions.npz")}
    exact, rounded = (run(trial_spec(data, precision=precision)) for precision in ("float32", "float16"))
    assert exact.epochs[0].loss != rounded.epochs[0].loss
    assert "precision" not in rounded.inert


@pytest.mark.parametrize("optimizer", [Optimizer.ADAM, Optimizer.ADAMW])
def test_momentum_does_nothing_to_adam_unless_the_study_makes_it_beta_1(optimizer: Optimizer) -> None:
    plain, moved = (told(optimizer=optimizer, optimizer_momentum=momentum) for momentum in (0.0, 0.5))
    assert plain.epochs[0].loss == moved.epochs[0].loss
    assert "optimizer_momentum" in moved.inert
    beta = run(trial_spec(optimizer=optimizer, optimizer_momentum=0.5, training={"momentum_as_beta_1": True}))
    assert beta.epochs[0].loss != plain.epochs[0].loss
    assert "optimizer_momentum" not in beta.inert


def test_weight_decay_tells_adamw_from_adam() -> None:
    assert told(optimizer=Optimizer.ADAM).epochs[0].loss != told(optimizer=Optimizer.ADAMW).epochs[0].loss


@pytest.mark.parametrize("precision", [Precision.FLOAT16, Precision.FLOAT64])
def test_a_policy_of_float16_or_float64_is_real(precision: Precision) -> None:
    found = run(trial_spec(precision=precision, training={"precision_applies_to": "policy"}))
    assert found.facts["policy"] == precision
    assert found.ended.outcome in (Outcome.COMPLETED, Outcome.DIVERGED)
    assert found.epochs[0].loss != told().epochs[0].loss
    assert found.inert == {}


@pytest.mark.parametrize("internal", list(Internal))
@pytest.mark.parametrize("policy", [MIXED, Precision.FLOAT64])
def test_every_internal_goes_with_every_policy(internal: Internal, policy: Precision) -> None:
    found = run(trial_spec(internal=internal, precision=policy, training={"precision_applies_to": "policy"}))
    assert found.ended.outcome is Outcome.COMPLETED, found.ended.message


def test_the_same_seed_gives_the_same_figures_and_another_seed_others() -> None:
    setting: dict[str, Any] = {"optimizer": "RMSProp", "augmentation": "cutmix"}
    first, again, other = (run(trial_spec(seed=seed, **setting)) for seed in (2, 2, 3))
    assert first.ended.accuracy == again.ended.accuracy
    assert first.epochs[0].loss == again.epochs[0].loss
    assert first.epochs[0].loss != other.epochs[0].loss


def test_a_model_learns() -> None:
    found = run(trial_spec(optimizer="RMSProp", preprocessing="standardization", training={"epochs": 4}))
    assert (found.ended.accuracy or 0) > 0.6
    assert (found.ended.test_accuracy or 0) > 0.6


def test_phases_and_epochs_follow_one_another_and_the_energy_is_theirs() -> None:
    """The meter's marks are 1 s and 1 Wh apart, so the figures count marks."""
    found = run(trial_spec(training={"epochs": 3}))
    assert list(found.phases) == [Phase.IMPORT, Phase.DATA, Phase.BUILD, Phase.COMPILE, Phase.TRAIN, Phase.TEST]
    assert [found.phases[phase].energy.energy_wh for phase in found.phases] == [1, 1, 1, 1, 3, 1]
    assert [epoch.energy.energy_wh for epoch in found.epochs] == [1, 1, 1]
    assert [epoch.t_s for epoch in found.epochs] == [5, 6, 7]
    assert found.ended.energy is not None
    assert found.ended.total is not None
    assert found.ended.energy.energy_wh == 3
    assert found.ended.total.energy_wh == 8
    assert found.ended.energy.flags == ()


def test_the_conversion_to_int8_is_in_the_energy_and_the_int8_accuracy_in_the_accuracy() -> None:
    found = told(internal=Internal.POST_QUANTIZATION)
    assert list(found.phases)[-3:] == [Phase.TRAIN, Phase.QUANTIZE, Phase.TEST]
    assert found.ended.energy is not None
    assert found.ended.energy.energy_wh == 2
    assert found.ended.unquantized_accuracy == found.epochs[-1].val_accuracy
    assert told().ended.unquantized_accuracy is None


@pytest.mark.parametrize("internal", [Internal.NONE, Internal.POST_QUANTIZATION])
def test_the_test_accuracy_is_that_of_the_classes_that_were_counted(internal: Internal) -> None:
    found = told(internal=internal)
    (counted,) = [event for event in found.events if isinstance(event, ConfusionCounted)]
    counts = np.array(counted.counts)
    assert counted.class_names == ("0", "1", "2", "3")
    assert counts.sum() == found.facts["test_images"]
    assert counts.trace() / counts.sum() == pytest.approx(found.ended.test_accuracy)
    assert found.events.index(counted) > found.events.index(found.phases[Phase.TEST])


def test_a_training_that_diverges_stops_and_says_so() -> None:
    found = run(trial_spec(lr=1e30, training={"epochs": 5}))
    assert found.ended.outcome is Outcome.DIVERGED
    assert found.ended.reason == "diverged"
    assert "epoch" in found.ended.message
    assert len(found.epochs) < 5
    assert found.epochs[-1].loss is None
    assert found.ended.energy is not None
    assert found.ended.energy.energy_wh is not None
    assert found.ended.energy.energy_wh >= 1
    assert "partial" in found.ended.energy.flags


@pytest.mark.parametrize(
    ("spec", "reason", "text"),
    [
        (trial_spec(batch_size=4096), "wrong_setting", "batch_size: 4096"),
        (trial_spec(training={"model": "tests.nowhere:build"}), "wrong_setting", "training.model"),
        (trial_spec(data={"name": "npz", "path": "/nowhere.npz"}), "data_missing", "/nowhere.npz"),
        (
            trial_spec(data={"name": "synthetic", "images": 12, "classes": 6, "image_size": 16}),
            "wrong_setting",
            "too few",
        ),
    ],
)
def test_a_trial_that_cannot_begin_fails_with_its_reason_and_keeps_its_total(spec: Any, reason: str, text: str) -> None:
    ended = run(spec).ended
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, reason)
    assert text in ended.message
    assert ended.energy is not None
    assert ended.energy.energy_wh is None
    assert ended.energy.reason == "the trial ended before its first epoch"
    assert ended.total is not None
    assert ended.total.energy_wh is not None
    assert "partial" in ended.total.flags


def test_running_out_of_memory_in_an_epoch_keeps_the_energy_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: Any, **__: Any) -> Any:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[4096]")

    monkeypatch.setattr("greenopt.trial.training.trainer.Trainer.evaluate", explode)
    monkeypatch.setattr("greenopt.trial.training.trainer.Trainer.warm_up", lambda _: None)
    ended = run(trial_spec()).ended
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, "out_of_memory")
    assert ended.energy is not None
    assert ended.energy.energy_wh == 1
    assert ended.energy.flags == ("partial",)


def test_a_gpu_that_tensorflow_does_not_see_is_no_reason_to_train_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: [])
    with pytest.raises(WrongSettingError, match="sees no GPU though this trial was given GPU-0"):
        choose_device("GPU-0")


def test_the_last_word_is_the_last_event() -> None:
    for found in (told(), run(trial_spec(batch_size=4096))):
        assert [isinstance(event, TrialEnded) for event in found.events].count(True) == 1
        assert found.ended is found.events[-1]


@pytest.mark.parametrize(
    ("gpu", "setting", "on_device", "told", "wanted"),
    [
        ("GPU-0", {"internal": "none"}, True, None, [1]),
        ("GPU-0", {"internal": "pre_quantization"}, True, None, [1]),
        ("GPU-0", {"internal": "none", "augmentation": "mixup"}, False, None, [2]),
        ("GPU-0", {}, True, "7", []),
        ("GPU-0", {"internal": "jit_compilation"}, True, None, []),
        ("GPU-0", {"augmentation": "random"}, True, None, []),
        (None, {}, True, None, []),
    ],
)
def test_one_thread_starts_operations_on_a_gpu_without_xla(
    gpu: str | None,
    setting: dict[str, Any],
    on_device: bool,
    told: str | None,
    wanted: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if told is None:
        monkeypatch.delenv("TF_NUM_INTEROP_THREADS", raising=False)
    else:
        monkeypatch.setenv("TF_NUM_INTEROP_THREADS", told)
    chosen: list[int] = []
    monkeypatch.setattr(tf.config.threading, "set_inter_op_parallelism_threads", chosen.append)
    spec = trial_spec(training={} if on_device else {"device_images_bytes": 0}, **setting)
    spec = spec.model_copy(update={"gpu_uuid": gpu})
    choose_threads(spec, load_split(spec)[0])
    assert chosen == wanted
