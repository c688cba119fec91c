"""The course of a trial: power in bounded space, energy that ends where it was not measured."""

import pytest

from greenopt.dashboard.trial_curves import MAX_SAMPLES, CurvesByTrial, PowerCurve, TrialCurves
from greenopt.events import PowerSampled, TrialPrepared
from greenopt.reading import EnergyReading, EnergySource
from greenopt.runs.folder import RunFolder
from tests.builders import encoded, epoch, reading, started


@pytest.mark.parametrize("samples", [1, MAX_SAMPLES - 1, MAX_SAMPLES, 3 * MAX_SAMPLES + 17, 40_000])
def test_a_long_power_curve_stays_short_and_keeps_its_mean_and_its_ends(samples: int) -> None:
    curve = PowerCurve()
    for second in range(samples):
        curve.add(float(second), 100.0 if second < samples / 2 else 300.0)
    assert len(curve.t_s) == len(curve.power_w) < MAX_SAMPLES
    covered = len(curve.t_s) * curve.stride
    assert samples - curve.stride < covered <= samples
    truth = [100.0 if second < samples / 2 else 300.0 for second in range(covered)]
    assert sum(curve.power_w) / len(curve.power_w) == pytest.approx(sum(truth) / len(truth))
    assert curve.power_w[0] == 100.0
    assert curve.t_s == sorted(curve.t_s)
    assert curve.t_s[0] == pytest.approx((curve.stride - 1) / 2)


def test_times_count_from_the_trials_start() -> None:
    curves = TrialCurves()
    curves.take(started(0, t_s=1000.0))
    curves.take(PowerSampled(t_s=1002.0, power_w=50.0))
    curves.take(PowerSampled(t_s=1003.0, power_w=None))
    curves.take(TrialPrepared(t_s=1010.0, steps_per_epoch=5))
    assert (curves.power.t_s, curves.power.power_w, curves.prepared_s) == ([2.0], [50.0], 10.0)


def test_power_that_is_not_read_follows_from_counted_energy() -> None:
    curves = TrialCurves()
    curves.take(started(0, t_s=100.0))
    for t_s, energy_wh in ((101.0, 0.0), (103.0, 0.1), (103.0, 0.1), (104.0, None), (105.0, 0.2), (106.0, 0.25)):
        curves.take(PowerSampled(t_s=t_s, energy_wh=energy_wh, source=EnergySource.RAPL))
    assert curves.power.t_s == [3.0, 6.0]
    assert curves.power.power_w == pytest.approx([180.0, 180.0])
    assert curves.power_source is EnergySource.RAPL


def test_spent_energy_ends_where_an_epoch_was_not_measured() -> None:
    curves = TrialCurves()
    for number, energy in enumerate((reading(1.0), reading(2.0), EnergyReading.missing("gone"), reading(4.0)), 1):
        curves.take(epoch(number, energy=energy))
    assert curves.used_wh == [1.0, 3.0, None, None]


def test_courses_are_followed_or_read_from_events_and_forgotten(tmp_path: object) -> None:
    folder = RunFolder(tmp_path)  # type: ignore[arg-type]
    folder.trial(3).mkdir(parents=True)
    folder.events(3).write_bytes(encoded(started(3), epoch(1), epoch(2)))
    curves_by_trial = CurvesByTrial(folder)
    curves_by_trial.begin(5)
    curves_by_trial.add(5, epoch(1))
    curves_by_trial.add(4, epoch(1))
    assert [len(curves_by_trial.get(trial).epochs) for trial in (3, 4, 5)] == [2, 0, 1]
    curves_by_trial.keep({3})
    assert [len(curves_by_trial.get(trial).epochs) for trial in (3, 5)] == [2, 0]
