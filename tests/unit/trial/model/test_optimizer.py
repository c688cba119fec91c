import math
from typing import Any

import keras
import numpy as np
import pytest

from greenopt.spec import LrSchedule
from greenopt.trial.model.optimizer import LearningRateTable, build_optimizer, build_schedule
from tests.builders import setting_of
from tests.unit.trial.workbench import prepared, trial_spec


def learning_rates(steps: list[int], training: dict[str, Any], **setting: Any) -> list[float]:
    """The learning rate at some steps, of a training with 50 steps an epoch."""
    spec = trial_spec(training=training, **setting)
    schedule = build_schedule(setting_of(spec), spec.training, 50)
    return [schedule if isinstance(schedule, float) else float(schedule(step)) for step in steps]


def test_constant_stays() -> None:
    assert learning_rates([0, 1, 499], {"epochs": 10}, lr=0.01, lr_schedule="constant") == [0.01] * 3


def test_exponential_steps_down_once_an_epoch() -> None:
    found = learning_rates(
        [0, 49, 50, 99, 100], {"epochs": 10, "decay_steps": "total"}, lr=0.01, lr_schedule="exponential"
    )
    assert found == pytest.approx([0.01, 0.01, 0.0096, 0.0096, 0.009216])


def test_exponential_with_a_number_steps_down_every_so_many_steps() -> None:
    training = {"epochs": 10, "decay_steps": 30, "exponential_decay_rate": 0.5}
    assert learning_rates([29, 30, 60], training, lr=0.01, lr_schedule="exponential") == pytest.approx(
        [0.01, 0.005, 0.0025]
    )


def test_cosine_over_the_whole_training_ends_with_its_last_step() -> None:
    found = learning_rates([0, 250, 500], {"epochs": 10, "decay_steps": "total"}, lr=0.01, lr_schedule="cosine")
    assert found == pytest.approx([0.01, 0.005, 0.0], abs=1e-9)


def test_polynomial_over_the_whole_training_ends_at_the_end_rate() -> None:
    training = {"epochs": 10, "decay_steps": "total", "polynomial_end_lr": 0.002, "polynomial_power": 2.0}
    found = learning_rates([0, 250, 500, 600], training, lr=0.01, lr_schedule="polynomial")
    assert found == pytest.approx([0.01, 0.002 + 0.008 * 0.25, 0.002, 0.002])


@pytest.mark.parametrize("lr", [1e-5, 1e-4])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_polynomial_from_below_its_end_rate_stays_where_it_starts(lr: float, power: float) -> None:
    training = {"epochs": 10, "polynomial_end_lr": 1e-4, "polynomial_power": power}
    assert learning_rates([0, 1, 250, 499, 500, 600], training, lr=lr, lr_schedule="polynomial") == pytest.approx(
        [lr] * 6
    )


@pytest.mark.parametrize("lr_schedule", list(LrSchedule))
@pytest.mark.parametrize("decay_steps", ["total", 30, 1000])
@pytest.mark.parametrize("lr", [0.5, 1e-3, 1e-5])
def test_no_schedule_rises_or_falls_below_its_end(lr_schedule: str, decay_steps: Any, lr: float) -> None:
    training = {"epochs": 3, "decay_steps": decay_steps, "cosine_alpha": 0.1, "polynomial_end_lr": 1e-4}
    spec = trial_spec(training=training, lr_schedule=lr_schedule, lr=lr)
    optimizer, schedule = (
        build_optimizer(setting_of(spec), spec.training),
        build_schedule(setting_of(spec), spec.training, 50),
    )
    table = LearningRateTable(optimizer, schedule, 150).table.numpy()[:151]
    assert table[0] == pytest.approx(lr)
    assert (np.diff(table) <= 1e-9 * lr).all()
    assert table.min() >= {"cosine": 0.1 * lr, "polynomial": min(lr, 1e-4)}.get(lr_schedule, 0.0) * (1 - 1e-6)


def test_the_rates_of_the_first_step_of_the_last_and_after_it() -> None:
    """Of 500 steps: a schedule over the whole training is a step before its end in the last one."""
    training = {"epochs": 10, "cosine_alpha": 0.1, "polynomial_end_lr": 0.002}
    cosine = 0.001 + 0.009 * (1 + math.cos(math.pi * 499 / 500)) / 2
    wanted = {
        "constant": [0.01, 0.01, 0.01],
        "exponential": [0.01, 0.01 * 0.96**9, 0.01 * 0.96**10],
        "polynomial": [0.01, 0.002 + 0.008 / 500, 0.002],
        "cosine": [0.01, cosine, 0.001],
    }
    for name, expected in wanted.items():
        assert learning_rates([0, 499, 500], training, lr=0.01, lr_schedule=name) == pytest.approx(expected, rel=1e-5)


def test_adamw_decays_every_weight_by_rate_and_decay_as_keras_does() -> None:
    spec = trial_spec(optimizer="AdamW", lr=0.1, training={"weight_decay": 0.5})
    optimizer: Any = build_optimizer(setting_of(spec), spec.training)
    layer = keras.layers.BatchNormalization()
    layer.build((None, 3))
    optimizer.build(layer.trainable_variables)
    optimizer.apply([np.zeros(3, np.float32), np.zeros(3, np.float32)])
    np.testing.assert_allclose(layer.gamma.numpy(), 1 - 0.1 * 0.5, rtol=1e-6)


def test_the_papers_thousand_steps_leave_cosine_at_zero_and_polynomial_at_its_end_afterwards() -> None:
    paper = {"epochs": 50, "decay_steps": 1000}
    assert learning_rates([1000, 2000], paper, lr=0.01, lr_schedule="cosine") == pytest.approx([0, 0], abs=1e-12)
    assert learning_rates([1000, 2000], paper, lr=0.01, lr_schedule="polynomial") == pytest.approx([1e-4, 1e-4])
    assert learning_rates([500], paper, lr=0.01, lr_schedule="cosine") == pytest.approx([0.005])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SGD", keras.optimizers.SGD),
        ("RMSProp", keras.optimizers.RMSprop),
        ("Adam", keras.optimizers.Adam),
        ("AdamW", keras.optimizers.AdamW),
    ],
)
@pytest.mark.parametrize("as_beta_1", [False, True])
def test_each_optimizer_takes_momentum_where_it_has_it(name: str, kind: Any, as_beta_1: bool) -> None:
    spec = trial_spec(
        optimizer=name, optimizer_momentum=0.5, training={"momentum_as_beta_1": as_beta_1, "weight_decay": 0.02}
    )
    optimizer: Any = build_optimizer(setting_of(spec), spec.training)
    assert type(optimizer) is kind
    if name in ("SGD", "RMSProp"):
        assert optimizer.momentum == 0.5
    else:
        assert optimizer.beta_1 == (0.5 if as_beta_1 else 0.9)
    assert optimizer.weight_decay == (0.02 if name == "AdamW" else None)


@pytest.mark.parametrize(("precision", "scales"), [("float32", False), ("global_policy_float16", True)])
def test_only_the_mixed_policy_scales_its_loss(precision: str, scales: bool) -> None:
    optimizer = prepared(trial_spec(precision=precision, optimizer="Adam"))[0].model.optimizer
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer) == scales


@pytest.mark.parametrize("precision", ["float32", "global_policy_float16"])
def test_the_rate_of_a_training_moves_with_its_steps(precision: str) -> None:
    spec = trial_spec(lr_schedule="cosine", lr=0.01, precision=precision, training={"epochs": 2})
    trainer = prepared(spec)[0].trainer
    assert trainer.learning_rate() == pytest.approx(0.01)
    trainer.train_epoch(1)
    assert trainer.learning_rate() == pytest.approx(0.01 * (1 + math.cos(math.pi / 2)) / 2, abs=1e-6)
    trainer.train_epoch(2)
    assert trainer.learning_rate() == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("lr_schedule", ["constant", "exponential", "polynomial", "cosine"])
def test_tabulated_rates_are_the_schedules_own_at_every_step(lr_schedule: str) -> None:
    spec = trial_spec(lr_schedule=lr_schedule, lr=0.01, training={"epochs": 30})
    optimizer, schedule = (
        build_optimizer(setting_of(spec), spec.training),
        build_schedule(setting_of(spec), spec.training, 50),
    )
    table = LearningRateTable(optimizer, schedule, 1500)
    for step in (0, 1, 49, 50, 51, 749, 1498, 1499, 1500, 5000):
        optimizer.iterations.assign(step)
        wanted = schedule if isinstance(schedule, float) else float(schedule(min(step, 1500)))
        assert table.next_rate() == pytest.approx(wanted, rel=1e-6, abs=1e-9)
        table.set_rate()
        assert float(optimizer.learning_rate.numpy()) == np.float32(table.next_rate())


def test_a_step_left_out_by_loss_scaling_does_not_move_the_schedule() -> None:
    spec = trial_spec(lr_schedule="cosine", lr=0.01, precision="global_policy_float16", training={"epochs": 2})
    prepared_trial, _, _ = prepared(spec)
    optimizer, steps = prepared_trial.model.optimizer, prepared_trial.trainer.steps
    optimizer.dynamic_scale.assign(3e38)  # no gradient is finite at first, so steps are left out until it is smaller
    prepared_trial.trainer.train_epoch(1)
    done = int(optimizer.inner_optimizer.iterations.numpy())
    assert 0 <= done < steps
    wanted = 0.01 * (1 + math.cos(math.pi * done / (2 * steps))) / 2
    assert prepared_trial.trainer.learning_rate() == pytest.approx(wanted, rel=1e-4)
