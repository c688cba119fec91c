"""What a trial came to, from whatever it could still say."""

from typing import Any

import pytest

from greenopt.events import Event, MeterOpened, Outcome, Phase, PhaseEnded, PowerSampled
from greenopt.reading import EnergyReading, EnergySource, sum_of_windows
from greenopt.summary import summarise
from tests.builders import ended, epoch, prepared_phases, reading, started


def test_a_finished_trial_is_taken_at_its_own_word() -> None:
    summary = summarise([started(0), *prepared_phases(), epoch(1), epoch(2), ended()])
    assert summary.energy.energy_wh == 2.0
    assert summary.total.energy_wh == 2.5
    assert summary.setup.energy_wh == pytest.approx(0.2)
    assert summary.compile.energy_wh == pytest.approx(0.1)
    assert summary.accuracy == 0.6
    assert summary.wh_per_epoch == 1.0
    assert summary.efficiency == pytest.approx(0.6)


def test_the_papers_final_run_gives_the_papers_efficiency() -> None:
    run: list[Event] = [started(0), epoch(1, energy=reading(0.143583)), ended(accuracy=0.885045)]
    assert summarise(run).efficiency == pytest.approx(6.164, abs=5e-4)


def test_a_dead_trial_keeps_its_epochs_and_its_last_sample() -> None:
    sample = PowerSampled(t_s=25.0, power_w=300.0, energy_wh=1.7, source=EnergySource.NVML_COUNTER)
    summary = summarise([started(0, 5.0), epoch(1), sample])
    assert summary.energy.energy_wh == 1.0
    assert summary.total.energy_wh == 1.7
    assert summary.total.seconds == 20.0
    assert "partial" in summary.energy.flags
    assert "partial" in summary.total.flags


def test_a_dead_trial_keeps_what_its_host_had_drawn() -> None:
    told = epoch(1).model_copy(update={"cpu": reading(3.0)})
    summary = summarise([started(0), told])
    assert summary.cpu is not None
    assert (summary.cpu.energy_wh, "partial" in summary.cpu.flags, summary.dram) == (3.0, True, None)


@pytest.mark.parametrize("events", [[], [started(0)], [started(0), PowerSampled(t_s=1.0)]])
def test_what_was_not_measured_is_missing_with_a_reason_and_never_zero(events: list[Event]) -> None:
    summary = summarise(events)
    for missing in (summary.energy, summary.total, summary.setup, summary.compile):
        assert missing.energy_wh is None
        assert missing.reason
    assert summary.accuracy is summary.wh_per_epoch is summary.efficiency is None


def sample(t_s: float, energy_wh: float) -> PowerSampled:
    return PowerSampled(t_s=t_s, power_w=300.0, energy_wh=energy_wh, source=EnergySource.NVML_COUNTER)


def opened(t_s: float) -> MeterOpened:
    return MeterOpened(t_s=t_s, device="a GPU", source=EnergySource.NVML_COUNTER, idle_origin="a test")


def phase(t_s: float, which: Phase, energy_wh: float | None) -> PhaseEnded:
    energy = EnergyReading.missing("too short", 0.01) if energy_wh is None else reading(energy_wh, 2.0)
    return PhaseEnded(t_s=t_s, phase=which, energy=energy)


NOTHING: dict[str, Any] = {
    "energy": EnergyReading.missing("no reading"),
    "total": EnergyReading.missing("the window has no length"),
}
SETUP: list[Event] = [phase(4.0, Phase.IMPORT, 0.3), phase(6.0, Phase.DATA, None), phase(8.0, Phase.BUILD, 0.2)]

DEATHS: dict[str, tuple[list[Event], float]] = {
    "in set-up, between samples": ([sample(3.0, 0.2)], 0.2),
    "after a phase and before a sample": ([SETUP[0]], 0.3),
    "after a phase that is newer than the sample": ([sample(3.0, 0.2), SETUP[0]], 0.3),
    "after a sample that is newer than the phase": ([SETUP[0], sample(5.0, 0.4)], 0.4),
    "in the first epoch": ([*SETUP, sample(9.0, 0.7)], 0.7),
    "in the first epoch, without a sample": (SETUP, 0.5),
    "in the second epoch, without a sample": ([*SETUP, epoch(1)], 1.5),
    "in the test, without a sample": ([*SETUP, epoch(1), epoch(2), phase(20.0, Phase.TRAIN, 2.1)], 2.6),
    "out of memory, and could not measure it": ([*SETUP, ended(Outcome.FAILED, **NOTHING)], 0.5),
    "diverged, and could not measure it": ([*SETUP, epoch(1), ended(Outcome.DIVERGED, **NOTHING)], 1.5),
    "told to end, with a last word": ([*SETUP, ended(Outcome.FAILED, total=reading(0.9).flagged("partial"))], 0.9),
    "with samples alone": ([sample(3.0, 0.2), sample(4.0, 0.3), PowerSampled(t_s=5.0)], 0.3),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_trial_that_dies_early_keeps_the_total_that_it_had(death: str) -> None:
    events, total_wh = DEATHS[death]
    summary = summarise([started(0), opened(2.0), *events])
    assert summary.total.energy_wh == pytest.approx(total_wh)
    assert "partial" in summary.total.flags
    assert "partial" in summary.flags
    assert summary.total.seconds > 0


def test_the_seconds_of_a_dead_trials_total_are_those_that_were_metered() -> None:
    assert summarise([started(0), opened(12.0), sample(15.0, 0.2)]).total.seconds == 3.0


def test_a_completed_trial_whose_total_was_not_measured_has_none() -> None:
    """A part must not become the value of an objective."""
    summary = summarise([started(0), opened(2.0), *SETUP, epoch(1), sample(15.0, 1.4), ended(**NOTHING)])
    assert (summary.total.energy_wh, summary.energy.energy_wh) == (None, None)


def test_a_trial_that_failed_keeps_the_energy_of_its_epochs() -> None:
    summary = summarise([started(0), epoch(1), ended(Outcome.FAILED, **NOTHING)])
    assert (summary.energy.energy_wh, summary.energy.flags) == (1.0, ("partial",))


def test_an_epoch_without_energy_leaves_the_mean_missing() -> None:
    unmetered = epoch(2, energy=EnergyReading.missing("no reading", 10.0))
    assert summarise([started(0), epoch(1), unmetered]).wh_per_epoch is None


def test_an_epoch_too_short_to_measure_does_not_hide_the_mean() -> None:
    trained = PhaseEnded(t_s=20.0, phase=Phase.TRAIN, energy=reading(3.0))
    summary = summarise([epoch(1), epoch(2, energy=EnergyReading.missing("too short")), trained])
    assert summary.wh_per_epoch == 1.5


def test_a_sum_is_as_good_as_its_worst_part() -> None:
    estimate = EnergyReading(energy_wh=1.0, source=EnergySource.ESTIMATE, seconds=10.0, coverage=0.5, flags=("gap",))
    total = sum_of_windows([reading(2.0, 30.0, uncertainty_wh=0.1), estimate])
    assert total.energy_wh == 3.0
    assert total.source is EnergySource.ESTIMATE
    assert total.coverage == pytest.approx((30.0 + 5.0) / 40.0)
    assert total.uncertainty_wh is None
    assert total.flags == ("gap",)


def test_a_sum_with_a_missing_part_is_missing() -> None:
    total = sum_of_windows([reading(2.0), EnergyReading.missing("sensor lost", 5.0)])
    assert total.energy_wh is None
    assert total.reason == "sensor lost"
    assert total.seconds == 15.0
