import logging
import os
import threading

import pytest

from greenopt.energy.meter import PowerSample
from greenopt.energy.source import DeviceStats
from greenopt.events import Event, FailReason, Outcome, Phase, PowerSampled, StepsDone, TrialEnded, decode
from greenopt.trial.failures import Failure
from greenopt.trial.journal import EventPipe, Journal
from greenopt.trial.training.trainer import Score
from tests.unit.trial.workbench import FakeMeter


def journal() -> tuple[Journal, list[Event], FakeMeter]:
    events: list[Event] = []
    meter = FakeMeter()
    return Journal(meter, events.append), events, meter


def test_an_interruption_waits_for_nothing_and_keeps_what_was_drawn_so_far() -> None:
    told, events, meter = journal()
    told.begin_training(1, {}, {})
    marks = meter.marks
    told.interrupt()
    (ended,) = (event for event in events if isinstance(event, TrialEnded))
    assert meter.marks == marks
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, FailReason.INTERRUPTED)
    assert ended.energy is not None
    assert (ended.energy.energy_wh, ended.energy.flags) == (0.5, ("partial",))


def test_whoever_is_second_says_no_last_word() -> None:
    told, events, _ = journal()
    told.fail(Failure(FailReason.CRASH, "first"))
    told.interrupt()
    assert [event.message for event in events if isinstance(event, TrialEnded)] == ["first"]


def test_a_loss_that_is_not_finite_is_recorded_as_missing() -> None:
    told, events, _ = journal()
    told.begin_training(1, {}, {})
    told.end_epoch(1, 1, Score(float("nan"), 0.5), Score(float("inf"), 0.25), 0.1)
    line = events[-1].model_dump()
    assert (line["loss"], line["accuracy"], line["val_loss"], line["val_accuracy"]) == (None, 0.5, None, 0.25)


def test_lines_of_several_threads_arrive_whole() -> None:
    reading, writing = os.pipe()
    pipe = EventPipe(writing)

    def work() -> None:
        for step in range(300):
            pipe.emit(StepsDone(t_s=0.0, epoch=1, step=step, steps=300))
            pipe.emit_sample(PowerSample(1.0, 250.0, None, None, DeviceStats(temperature_c=40.0)))

    received = bytearray()

    def read() -> None:
        while chunk := os.read(reading, 65536):
            received.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(writing)
    reader.join()
    os.close(reading)
    events = [decode(line) for line in bytes(received).splitlines()]
    assert len(events) == 2400
    assert sum(isinstance(event, PowerSampled) and event.power_w == 250.0 for event in events) == 1200


def test_an_event_longer_than_the_pipe_takes_at_once_is_written_to_its_end() -> None:
    reading, writing = os.pipe()
    received: list[bytes] = []

    def read() -> None:
        with os.fdopen(reading, "rb") as file:
            received.extend(file)

    reader = threading.Thread(target=read)
    reader.start()
    ended = TrialEnded(t_s=0.0, outcome=Outcome.FAILED, message="x" * 300_000)
    EventPipe(writing).emit(ended)
    os.close(writing)
    reader.join()
    assert decode(received[0]) == ended


def test_the_log_says_which_phase_ended_and_how_the_trial_did(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "greenopt.trial.journal"):
        told, _, _ = journal()
        told.end_phase(Phase.IMPORT)
        told.fail(Failure(FailReason.CRASH, "it broke"))
    phase, end = (record.getMessage() for record in caplog.records)
    assert phase.startswith("phase import ended after ")
    assert end == "the trial ended: failed crash it broke"
