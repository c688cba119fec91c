"""What the rules stop, refuse and never stop."""

import re

import numpy as np
import pytest

from greenopt.spec import StoppingSpec
from greenopt.stopping import Curve, StoppingRule, build_rule
from greenopt.stopping.moasha import rank
from tests.unit.stopping.families import SPACE, made

WHOLE = {"batch_size": 64, "width": 1}


def rule(kind: str = "pareto", **constants: float | bool | str) -> StoppingRule:
    return build_rule(StoppingSpec.model_validate({"audit": 0.0, "kind": kind, **constants}), SPACE, 0)


def curve(trial: int, accuracy: float, wh: float, epochs: int = 40, width: int = 1) -> Curve:
    """A curve that reached this accuracy in equal steps, at this energy for all 40 epochs."""
    accuracies = tuple(accuracy * (epoch + 1) / epochs for epoch in range(epochs))
    energies_wh = tuple(wh / 40 * (epoch + 1) for epoch in range(epochs))
    return Curve(trial, {**WHOLE, "width": width}, 40, accuracies, energies_wh)


def taught(kind: str = "pareto", **constants: float | bool | str) -> StoppingRule:
    taught_rule = rule(kind, **constants)
    for trial, (accuracy, wh) in enumerate([(0.9, 20.0), (0.6, 10.0), (0.85, 40.0), (0.3, 12.0)]):
        taught_rule.add(curve(trial, accuracy, wh))
    return taught_rule


def test_what_is_surely_dominated_is_stopped_and_told_by_whom() -> None:
    stop = taught().judge(curve(9, 0.05, 200.0, epochs=4))
    assert stop is not None
    assert stop.dominated_by == 0
    pattern = (
        r"dominated by trial 0 at epoch 4: its forecast is accuracy 0\.\d+ to 0\.\d+ for 200 Wh; "
        r"that one has 0\.900 for 20 Wh"
    )
    assert re.fullmatch(pattern, stop.message)


def test_what_may_come_to_the_front_goes_on() -> None:
    assert taught().judge(curve(9, 0.5, 22.0, epochs=10)) is None


def test_the_most_accurate_and_the_cheapest_are_never_stopped() -> None:
    assert taught(patience=1.0).judge(curve(9, 0.91, 4000.0, epochs=39)) is None
    assert taught(patience=1.0).judge(curve(9, 0.0, 5.0, epochs=30)) is None
    assert taught(patience=1.0).judge(curve(9, 0.5, 4000.0, epochs=39)) is not None


def test_a_running_trial_that_is_better_takes_the_protection_away() -> None:
    single = rule(patience=1.0)
    single.add(curve(0, 0.2, 20.0))
    dear = curve(1, 0.3, 4000.0, epochs=20)
    assert single.judge(dear) is None
    assert single.judge(dear, [curve(2, 0.8, 18.0, epochs=20)]) is not None


def test_no_patience_stops_nothing_and_more_patience_is_stricter() -> None:
    curves = made("plain", 40, 3)
    trained = []
    for patience in (0.0, 0.1, 0.5, 1.0):
        strict = rule(patience=patience, refuse=False)
        epochs = 0
        for one in curves:
            epoch = next((e for e in range(1, 40) if strict.judge(one.up_to(e))), 40)
            strict.add(one.up_to(epoch))
            epochs += epoch
        trained.append(epochs)
    assert trained[0] == 40 * 40
    assert trained == sorted(trained, reverse=True)
    assert trained[1] < 40 * 30


def late(trial: int, accuracy: float, wh: float, epochs: int = 40) -> Curve:
    """A curve that is at 0 in its first ten epochs."""
    accuracies = tuple(0.0 if epoch < 10 else accuracy * (epoch - 9) / 30 for epoch in range(epochs))
    return Curve(trial, WHOLE, 40, accuracies, tuple(wh / 40 * (epoch + 1) for epoch in range(epochs)))


@pytest.mark.parametrize("accuracy", [0.0, 0.9])
def test_where_all_begin_at_0_one_is_trained_to_its_end_before_others_are_stopped(accuracy: float) -> None:
    single = rule()
    first = next(epoch for epoch in range(1, 40) if single.judge(late(0, accuracy, 20.0, epoch)))
    single.add(late(0, accuracy, 20.0, first))
    for epoch in range(1, 40):
        assert single.judge(late(1, accuracy, 30.0, epoch)) is None
    single.add(late(1, accuracy, 30.0))
    dear = (late(2, accuracy, 300.0, epoch) for epoch in range(1, 40))
    assert any(single.judge(one) is not None for one in dear)


def test_of_many_that_run_beside_one_another_the_best_alone_is_trained_on_until_one_has_ended() -> None:
    many = rule()
    many.add(late(0, 0.0, 20.0, 3))
    running = [late(trial, 0.0, 20.0 + trial, 5) for trial in range(1, 9)]
    stopped = [one.trial for one in running if many.judge(one, [other for other in running if other is not one])]
    assert stopped == list(range(2, 9))


def test_of_equally_accurate_trials_the_one_that_needs_least_leads() -> None:
    equal = rule(patience=1.0)
    equal.add(curve(0, 1.0, 20.0))
    assert equal.judge(curve(1, 1.0, 10.0, epochs=39)) is None
    assert equal.judge(curve(1, 1.0, 40.0, epochs=39)) is not None


def test_the_first_epochs_are_everybodys() -> None:
    hopeless = curve(9, 0.01, 400.0, epochs=4)
    assert taught(min_epochs=5).judge(hopeless) is None
    assert taught(min_epochs=4).judge(hopeless) is not None


def test_a_setting_whose_energy_rules_out_a_gain_is_not_started() -> None:
    learned = rule(patience=0.5)
    for trial in range(30):
        width = (1, 2, 4)[trial % 3]
        learned.add(curve(trial, 0.8 - 0.1 * (trial % 4), {1: 10.0, 2: 60.0, 4: 2000.0}[width], width=width))
    refusal = learned.refuse(30, {**WHOLE, "width": 4}, 40)
    assert refusal is not None
    assert refusal.forecast_wh == pytest.approx(2000, rel=0.2)
    assert refusal.message.startswith("not started: it would take ")
    assert learned.refuse(30, {**WHOLE, "width": 1}, 40) is None


def test_without_a_finished_trial_nothing_is_refused() -> None:
    fresh = rule()
    fresh.add(curve(0, 0.1, 20.0, epochs=3))
    fresh.add(curve(1, 0.1, 4000.0, epochs=3, width=4))
    assert fresh.refuse(2, {**WHOLE, "width": 4}, 40) is None


def test_audited_trials_are_the_same_however_often_one_asks_and_about_as_many_as_said() -> None:
    audits = []
    for trial in range(10, 1010):
        one = taught(audit=0.2).judge(curve(trial, 0.02, 17.0, epochs=20))
        again = taught(audit=0.2).judge(curve(trial, 0.02, 17.0, epochs=20))
        assert one is not None
        assert again is not None
        assert one.is_audited == again.is_audited
        audits.append(one.is_audited)
    # 17 Wh lies between the trials seen; its share is 0.2 x 17^-2 over their mean of the same.
    share = 0.2 * 17**-2 / np.mean([wh**-2 for wh in (20.0, 10.0, 40.0, 12.0)])
    assert np.mean(audits) == pytest.approx(share, abs=0.04)


def test_no_rule_stops_nothing() -> None:
    none = taught("none")
    assert none.judge(curve(9, 0.0, 4000.0, epochs=39)) is None
    assert none.refuse(9, WHOLE, 40) is None


def test_successive_halving_keeps_the_best_third_at_each_rung() -> None:
    halving = rule("moasha", reduction_factor=3.0)
    kept = []
    for trial in range(12):
        accuracy, wh = (0.9 - 0.05 * trial), 10.0 + trial
        one = curve(trial, accuracy, wh, epochs=40)
        kept.append(halving.judge(one.up_to(1)) is None)
    assert kept[0]
    assert sum(kept) == 1
    assert halving.judge(curve(20, 0.9, 5.0).up_to(2)) is None, "no rung"
    stop = halving.judge(curve(21, 0.01, 50.0).up_to(3))
    assert stop is None, "the first at its rung"
    assert halving.judge(curve(22, 0.0, 90.0).up_to(3)) is not None


def test_points_are_ranked_by_fronts_and_spread_within_one() -> None:
    values = np.array([[0.0, 10.0], [5.0, 5.0], [10.0, 0.0], [0.5, 9.5], [6.0, 6.0], [11.0, 11.0]])
    order = rank(values)
    assert order[0] == 0
    assert order[1] == 2, "the farthest from the first"
    assert order[2] == 1
    assert set(order[:4]) == {0, 1, 2, 3}
    assert order[4:] == [4, 5]
