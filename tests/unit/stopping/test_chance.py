"""When a training counts as stuck at chance."""

from typing import Any

import pytest

from greenopt.events import EpochEnded, StopReason
from greenopt.stopping import stuck_at_chance
from tests.builders import epoch

FACTS = {"classes": 100, "train_images": 40_000, "validation_images": 10_000}


def guessing(number: int, **rest: Any) -> EpochEnded:
    """An epoch of a model that guesses among a hundred classes; log(100) is 4.605."""
    return epoch(number, 0.0102).model_copy(update={"epochs": 50, "loss": 4.61, **rest})


def epochs(count: int, **last: Any) -> list[EpochEnded]:
    return [*(guessing(number) for number in range(1, count)), guessing(count, **last)]


def test_a_training_at_chance_is_stopped_after_the_epochs_that_it_may_take() -> None:
    assert stuck_at_chance(epochs(9), FACTS, 10) is None
    stop = stuck_at_chance(epochs(10), FACTS, 10)
    assert stop is not None
    assert stop.reason is StopReason.AT_CHANCE
    assert stop.message == "at chance (0.01) in training and validation in all its 10 epochs"


@pytest.mark.parametrize(
    "sign",
    [{"val_accuracy": 0.0141}, {"accuracy": 0.0121}, {"loss": 4.55}],
    ids=lambda sign: next(iter(sign)),
)
@pytest.mark.parametrize("when", [1, 10, 30])
def test_one_sign_of_learning_in_whatever_epoch_is_enough_to_go_on(sign: dict[str, float], when: int) -> None:
    seen = [guessing(number, **(sign if number == when else {})) for number in range(1, 31)]
    assert stuck_at_chance(seen, FACTS, 10) is None


@pytest.mark.parametrize("sign", [{"val_accuracy": 0.0139}, {"accuracy": 0.0119}, {"loss": 4.57}])
def test_what_guessing_does_by_luck_is_no_sign(sign: dict[str, float]) -> None:
    assert stuck_at_chance(epochs(10, **sign), FACTS, 10) is not None


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("fact", [None, 0, True, "100"])
def test_where_chance_is_not_known_nothing_is_stopped(name: str, fact: Any) -> None:
    assert stuck_at_chance(epochs(40), {**FACTS, name: fact}, 10) is None
    assert stuck_at_chance(epochs(40, accuracy=None), FACTS, 10) is None


def test_0_epochs_stop_nothing() -> None:
    assert stuck_at_chance(epochs(49), FACTS, 0) is None
