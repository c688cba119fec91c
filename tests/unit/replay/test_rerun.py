"""Replays of made studies."""

from collections.abc import Mapping, Sequence

import pytest

from greenopt.events import StopReason
from greenopt.replay import replay
from greenopt.spec import StoppingSpec, Value
from greenopt.stopping import Curve, Refusal, Stop, build_rule
from tests.unit.stopping.families import SPACE, made


class AtEpoch:
    """A rule that stops some trials after an epoch and refuses others."""

    def __init__(self, epoch: int, stopped: set[int], refused: set[int], audited: bool = False) -> None:
        self._epoch, self._stopped, self._refused, self._audited = epoch, stopped, refused, audited
        self.added: list[Curve] = []

    def refuse(self, trial: int, setting: Mapping[str, Value], epochs: int) -> Refusal | None:
        return Refusal(setting, "no", 1.0, 0) if trial in self._refused else None

    def judge(self, curve: Curve, running: Sequence[Curve] = ()) -> Stop | None:
        ends = curve.trial in self._stopped and curve.epochs == self._epoch
        return Stop(StopReason.DOMINATED, "why", is_audited=self._audited) if ends else None

    def add(self, curve: Curve) -> None:
        self.added.append(curve)


def trial(number: int, accuracy: float, wh: float) -> Curve:
    return Curve(number, {}, 4, (0.1, 0.1, 0.1, accuracy), (wh / 4, wh / 2, 3 * wh / 4, wh))


TRIALS = [trial(0, 0.5, 10.0), trial(1, 0.9, 40.0), trial(2, 0.3, 100.0), trial(3, 0.2, 50.0)]


def test_no_stopping_spends_and_keeps_all() -> None:
    done = replay(TRIALS, lambda seed: AtEpoch(9, set(), set()), orders=3)
    for figure in (done.energy_share, done.hypervolume_ratio, done.log_hypervolume_ratio):
        assert (figure.mean, figure.worst) == (1.0, 1.0)
    assert (done.front_lost.mean, done.finished, done.energy_wh) == (0.0, 4.0, 200.0)


def test_figures_by_hand() -> None:
    done = replay(TRIALS, lambda seed: AtEpoch(1, {1, 3}, {2}), orders=2)
    assert done.energy_share.mean == pytest.approx((10 + 40 / 4 + 50 / 4) / 200)
    whole = (30 * 0.5 + 60 * 0.9) / 100
    assert done.hypervolume_ratio.worst == pytest.approx(90 * 0.5 / 100 / whole)
    assert (done.front, done.front_lost.worst, done.finished, done.refused) == (2, 1.0, 1.0, 1.0)


def test_the_audited_are_trained_to_their_end_and_counted_where_the_rule_was_wrong() -> None:
    done = replay(TRIALS, lambda seed: AtEpoch(2, {1, 3}, set(), audited=True), orders=4)
    assert (done.audited, done.wrongly_stopped, done.finished) == (2.0, 1.0, 4.0)
    assert done.energy_share.mean == 1.0


def test_equal_energies_are_compared_by_accuracy_alone() -> None:
    equal = [trial(0, 0.8, 10.0), trial(1, 0.4, 10.0)]
    done = replay(equal, lambda seed: AtEpoch(1, {0}, set()), orders=1)
    assert done.hypervolume_ratio.mean == pytest.approx(0.5, abs=1e-6)


def test_rules_learn_each_trial_as_far_as_it_got_and_orders_differ_by_seed() -> None:
    rules = [AtEpoch(2, {1}, set()) for _ in range(2)]
    replay(TRIALS, lambda seed: rules[seed], orders=2)
    for rule in rules:
        assert {curve.trial: curve.epochs for curve in rule.added} == {0: 4, 1: 2, 2: 4, 3: 4}
    assert [curve.trial for curve in rules[0].added] != [curve.trial for curve in rules[1].added]


@pytest.mark.parametrize("family", ["plain", "crossing", "cyclic"])
def test_the_pareto_rule_keeps_the_hypervolume_for_a_part_of_the_energy(family: str) -> None:
    spec = StoppingSpec(kind="pareto")
    done = replay(made(family, 40, 2), lambda seed: build_rule(spec, SPACE, seed), orders=2)
    assert done.hypervolume_ratio.mean > 0.9
    assert done.energy_share.mean < 0.6


def test_the_same_seed_gives_the_same_figures() -> None:
    spec = StoppingSpec(kind="pareto")
    curves = made("slow_start", 25, 1)
    a, b = (replay(curves, lambda seed: build_rule(spec, SPACE, seed), orders=2, seed=7) for _ in range(2))
    assert a == b
