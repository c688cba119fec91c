"""Whether a fall of the accuracy passes, as a study's own trials tell."""

from collections.abc import Callable

import numpy as np
import pytest

from greenopt.spec import StoppingSpec
from greenopt.stopping import Curve, build_rule
from greenopt.stopping.accuracy import fall_of, forecast_accuracy
from greenopt.stopping.recovery import Recoveries
from tests.unit.stopping.families import SPACE

SPEC = StoppingSpec()
RISE = tuple(0.9 * (1 - 0.9 / epoch) for epoch in range(1, 10))


def curve(*accuracies: float, planned: int = 30, trial: int = 0, wh: float = 1.0) -> Curve:
    energies_wh = tuple(wh * (number + 1) for number in range(len(accuracies)))
    return Curve(trial, {"batch_size": 64, "width": 1}, planned, accuracies, energies_wh)


def cyclic(final: float, trial: int = 0, wh: float = 1.0) -> Curve:
    """A curve of 30 epochs that falls by a quarter at epochs 11 and 21, and recovers."""
    phases = [0.75 + 0.25 * (epoch % 10) / 9 for epoch in range(30)]
    return curve(*(final * (1 - 0.9 / (n + 1)) * phase for n, phase in enumerate(phases)), trial=trial, wh=wh)


def falling(final: float) -> Curve:
    """A curve that falls at epoch 11 for good."""
    return curve(*(0.9 * (1 - 0.9 / (n + 1)) for n in range(10)), *[final] * 20)


def test_a_fall_is_what_the_walk_does_not_explain() -> None:
    assert fall_of(curve(*RISE), SPEC) == 0
    assert fall_of(curve(*RISE, 0.8), SPEC) == 0, "the best was 0.81"
    assert fall_of(curve(*RISE, 0.4), SPEC) > 1
    assert fall_of(curve(*RISE, *[0.4] * 10), SPEC) == 0, "it is long past"
    assert fall_of(curve(0.03, 0.03, 0.0), SPEC) == 0, "noise near chance"


def test_a_fall_that_is_expected_to_pass_raises_the_forecast_and_a_doubtful_one_widens_it() -> None:
    fallen = curve(*RISE, 0.4)
    lasting, doubtful, passing = (forecast_accuracy(fallen, SPEC, recovery) for recovery in (0.0, 0.5, 1.0))
    assert lasting.mean < doubtful.mean < passing.mean
    assert doubtful.deviation > lasting.deviation == passing.deviation
    assert forecast_accuracy(curve(*RISE), SPEC, 1.0) == forecast_accuracy(curve(*RISE), SPEC)


def test_without_trials_a_fall_is_for_good_and_trials_tell_otherwise() -> None:
    recoveries = Recoveries(SPEC)
    assert recoveries.probability == 0
    recoveries.add(curve(*RISE, planned=9))
    assert recoveries.probability == 0, "one without a fall tells nothing"
    found = []
    for _ in range(4):
        recoveries.add(cyclic(0.9))
        found.append(recoveries.probability)
    assert found == sorted(found)
    assert 0.4 < found[0] < found[-1] < 1


def test_falls_for_good_are_not_expected_to_pass() -> None:
    recoveries = Recoveries(SPEC)
    for _ in range(4):
        recoveries.add(falling(0.3))
    assert recoveries.probability == 0


def steady(final: float, trial: int, wh: float) -> Curve:
    return curve(*(final * (1 - 0.9 / (n + 1)) for n in range(30)), trial=trial, wh=wh)


@pytest.mark.parametrize(("shape", "is_stopped"), [(cyclic, False), (steady, True)])
def test_the_pareto_rule_waits_after_a_restart_where_earlier_trials_recovered(
    shape: Callable[[float, int, float], Curve], is_stopped: bool
) -> None:
    rule = build_rule(StoppingSpec.model_validate({"kind": "pareto", "audit": 0.0}), SPACE, 0)
    for trial, final in enumerate(np.linspace(0.6, 0.93, 7)):
        rule.add(shape(float(final), trial, 0.9))
    restarted = cyclic(0.95, trial=9).up_to(21)
    assert restarted.accuracy < 0.7
    assert (rule.judge(restarted) is not None) is is_stopped
