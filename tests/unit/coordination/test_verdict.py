"""What the storage is told of a trial."""

from greenopt.coordination.verdict import Verdict, judge, objective_values, trial_metrics
from greenopt.events import FailReason, Outcome
from greenopt.reading import EnergySource
from greenopt.summary import summarise
from tests.builders import ended, epoch, reading, started, study


def test_figures_have_nine_digits_and_objectives_are_among_them() -> None:
    energy = reading(100 / 3, 70.1)
    summary = summarise([started(0), epoch(1, energy=energy), ended(accuracy=1 / 7, energy=energy)])
    metrics = trial_metrics(summary, Verdict(Outcome.COMPLETED), None)
    assert (metrics["accuracy"], metrics["energy_wh"]) == (0.142857143, 33.3333333)
    assert objective_values(summary, study()) == [metrics["accuracy"], metrics["energy_wh"]]
    assert all(len(str(value)) <= 14 for value in metrics.values() if isinstance(value, float))
    assert metrics["epochs_done"] == 1
    assert isinstance(metrics["epochs_done"], int)


def test_an_estimate_does_not_stand_among_measured_energies() -> None:
    """RAPL that becomes unreadable while a study runs, as after a kernel's update of its rights."""
    energy = reading(0.1, 60).model_copy(update={"source": EnergySource.ESTIMATE})
    summary = summarise([started(0), epoch(1, energy=energy), ended(accuracy=0.5, energy=energy)])
    verdict = judge(summary, study(), None, None, EnergySource.RAPL)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, FailReason.NOT_MEASURED)
    assert "measured by rapl" in verdict.message
    for metered_by in (EnergySource.ESTIMATE, None):
        assert judge(summary, study(), None, None, metered_by).outcome is Outcome.COMPLETED
