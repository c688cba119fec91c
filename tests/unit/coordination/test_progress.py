"""What a running study prints."""

import io

from rich.console import Console

from greenopt.coordination.progress import Forecast, PlainProgress
from greenopt.coordination.verdict import Verdict
from greenopt.events import FailReason, Outcome, TrialPrepared
from greenopt.execution import Slot
from greenopt.runs.study_log import RunState
from greenopt.spec import TrialSpec
from greenopt.summary import summarise
from tests.builders import ended, epoch, prepared_phases, started, study
from tests.unit.execution.test_local import spec


def tell(progress: PlainProgress, trial: TrialSpec) -> None:
    progress.study_began(study(), 1)
    progress.trial_began(trial, Slot("gpu 0", "GPU-0"))
    progress.event_arrived(0, TrialPrepared(t_s=1.0, steps_per_epoch=10, inert={"precision": "float64 is cast back"}))
    progress.event_arrived(0, epoch(1, 0.25))
    summary = summarise([started(0), *prepared_phases(), epoch(1), ended()])
    progress.trial_ended(0, summary, Verdict(Outcome.COMPLETED), 2)
    lost = Verdict(Outcome.FAILED, FailReason.OUT_OF_MEMORY, "the GPU has no 3 GB left")
    progress.trial_ended(1, summarise([started(1)]), lost, 3)
    progress.run_state_changed(RunState.PAUSED)


def test_plain_lines_say_what_happened() -> None:
    out = io.StringIO()
    tell(PlainProgress(Console(file=out), Forecast(4, 1)), spec("tried"))
    text = out.getvalue()
    assert "study tried: 4 trials x 2 epochs, 1 of them finished earlier" in text
    assert "trial 0 started on gpu 0: b4 SGD 0.0 lr 0.1 constant" in text
    assert "precision has no effect: float64 is cast back" in text
    assert "trial 0 epoch 1/2: loss 1.000, validation accuracy 0.250, 1 Wh" in text
    assert "trial 0 done: accuracy 0.600 (test 0.550), 2 Wh, 20.0 s [2/4" in text
    assert "paused: no new trials until it is resumed" in text
    assert "trial 1 failed: out_of_memory: the GPU has no 3 GB left (– spent) [3/4" in text


def test_what_others_wrote_is_printed_letter_by_letter() -> None:
    out = io.StringIO()
    progress = PlainProgress(Console(file=out), Forecast(4, 1))
    failed = Verdict(Outcome.FAILED, FailReason.CRASH, "study.objective: mine:train: [bold]no[/bold] :smile:")
    progress.trial_ended(1, summarise([started(1)]), failed, 3)
    assert "mine:train: [bold]no[/bold] :smile:" in out.getvalue()


def test_the_forecast_follows_the_mean_duration_and_the_number_of_slots() -> None:
    now = [0.0]
    forecast = Forecast(trials=5, slots=2, clock=lambda: now[0])
    assert forecast.remaining_s(0) is None
    forecast.began(0)
    now[0] = 10.0
    forecast.ended(0)
    assert forecast.remaining_s(1) == 20.0
    forecast.began(1)
    now[0] = 14.0
    assert forecast.remaining_s(1) == 18.0


def test_a_full_disk_costs_the_line_and_not_the_study() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    progress = PlainProgress(Console(file=Full()), Forecast(1, 1))
    progress.storage_changed("sqlite:///study.db", None)
