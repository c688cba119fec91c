"""The process of a trial as its parent sees it: events, exit code, signals, and its end when the parent is gone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from greenopt.events import (
    EpochEnded,
    Event,
    FailReason,
    Outcome,
    Phase,
    PhaseEnded,
    PowerSampled,
    TrialEnded,
    TrialStarted,
    decode,
)
from greenopt.spec import TrialSpec
from tests.unit.trial.workbench import trial_spec

LONG = {"epochs": 100_000}


@contextmanager
def child(spec: TrialSpec, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    file = folder / "spec.json"
    file.write_text(spec.model_dump_json())
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "greenopt.trial", str(file), "--events-fd", str(writing)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log.txt").open("wb"),
        pass_fds=[writing],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as events:
            yield process, events
    finally:
        process.kill()
        process.wait()


def until(events: BinaryIO, kind: type[Any]) -> list[Event]:
    """The events up to the first of a kind."""
    seen: list[Event] = []
    for line in events:
        seen.append(decode(line))
        if isinstance(seen[-1], kind):
            return seen
    pytest.fail(f"no {kind.__name__} among {[type(event).__name__ for event in seen]}")


def test_a_trial_tells_its_course_and_exits_with_0(tmp_path: Path) -> None:
    with child(trial_spec(training={"epochs": 2}), tmp_path) as (process, events):
        seen = [decode(line) for line in events]
        assert process.wait(30) == 0
    assert isinstance(seen[0], TrialStarted)
    assert seen[0].pid == process.pid
    assert [event.phase for event in seen if isinstance(event, PhaseEnded)] == [
        Phase.IMPORT,
        Phase.DATA,
        Phase.BUILD,
        Phase.COMPILE,
        Phase.TRAIN,
        Phase.TEST,
    ]
    assert any(isinstance(event, PowerSampled) for event in seen)
    ended = seen[-1]
    assert isinstance(ended, TrialEnded)
    assert ended.outcome is Outcome.COMPLETED
    assert ended.total is not None
    assert ended.total.energy_wh is not None
    phases = [event.energy for event in seen if isinstance(event, PhaseEnded)]
    assert ended.total.seconds == pytest.approx(sum(phase.seconds for phase in phases))


def test_a_trial_that_fails_exits_with_0_too_and_logs_why(tmp_path: Path) -> None:
    with child(trial_spec(training={"model": "tests.nowhere:build"}), tmp_path) as (process, events):
        ended = until(events, TrialEnded)[-1]
        assert process.wait(30) == 0
    assert isinstance(ended, TrialEnded)
    assert ended.reason == FailReason.WRONG_SETTING
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_sigterm_ends_it_with_a_last_word_and_the_energy_so_far(tmp_path: Path) -> None:
    with child(trial_spec(training=LONG), tmp_path) as (process, events):
        for _ in range(20):  # CPU time, of which this energy is an estimate, is told in steps
            until(events, EpochEnded)
        process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        ended = until(events, TrialEnded)[-1]
        assert process.wait(10) == 0
        assert time.monotonic() - told < 5
    assert isinstance(ended, TrialEnded)
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, FailReason.INTERRUPTED)
    assert ended.energy is not None
    assert ended.energy.energy_wh is not None
    assert "partial" in ended.energy.flags


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells a process of its parent's death on Linux only")
def test_it_dies_with_its_parent() -> None:
    program = """
import subprocess, sys, time
child = (
    "from greenopt.trial.parent_watchdog import die_with_parent; die_with_parent(); print('up', flush=True);"
    "import time; time.sleep(60)")
process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
process.stdout.readline()
print(process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
            return
        time.sleep(0.05)
    pytest.fail("the child outlived its parent")
