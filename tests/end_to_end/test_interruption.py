"""Killed at whatever moment, a study goes on; nothing that was finished or spent is lost."""

import os
import signal
import time

import psutil
import pytest

from greenopt.events import EpochEnded, TrialStarted, read_events
from tests.end_to_end.conftest import Bench

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def long_study(bench: Bench) -> Bench:
    bench.write_study(epochs=400)
    return bench


@pytest.fixture
def long_function(bench: Bench) -> Bench:
    """As long, of a function that trains nothing: for what happens around a trial's process, not in a training."""
    bench.write_function(epochs=4000)
    return bench


def child_pid(bench: Bench, trial: int = 0) -> int:
    """The process of a trial that has finished an epoch."""

    def found() -> int | None:
        events = list(read_events(bench.run_folder().events(trial)))
        trained = any(isinstance(event, EpochEnded) for event in events)
        return next((event.pid for event in events if isinstance(event, TrialStarted)), None) if trained else None

    return int(bench.wait_for(found))


def test_a_killed_coordinator_takes_its_child_along_and_its_successor_goes_on(long_study: Bench) -> None:
    bench = long_study
    first = bench.start("run", "tiny.toml", "--plain", "--trials", "1")
    child = psutil.Process(child_pid(bench))

    second = bench.run("run", "tiny.toml", "--plain", "--trials", "1")
    assert second.returncode == 2
    assert f"is being run by pid {first.pid} on {os.uname().nodename}" in second.stderr

    first.kill()
    first.wait()
    began = time.monotonic()
    bench.wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 5.0)
    assert time.monotonic() - began < 5.0

    successor = bench.start("run", "tiny.toml", "--plain", "--trials", "1")
    child_pid(bench, 1)
    rows = bench.rows()
    assert (rows[0]["state"], rows[0]["fail_reason"]) == ("fail", "interrupted")
    assert rows[0]["energy_wh"] > 0
    assert "partial" in rows[0]["flags"]
    assert rows[1]["retry_of"] == 0
    assert (rows[1]["lr"], rows[1]["batch_size"]) == (rows[0]["lr"], rows[0]["batch_size"])
    successor.send_signal(signal.SIGTERM)
    assert successor.wait(timeout=30) == 3


def test_a_killed_child_is_recorded_with_its_energy_and_runs_again(long_function: Bench) -> None:
    bench = long_function
    bench.start("run", "tiny.toml", "--plain", "--trials", "1")
    os.kill(child_pid(bench), signal.SIGKILL)
    child_pid(bench, 1)
    rows = bench.rows()
    assert (rows[0]["fail_reason"], rows[1]["retry_of"]) == ("killed", 0)
    assert rows[0]["energy_wh"] > 0


def test_ctrl_c_twice_ends_the_trial_and_keeps_what_it_spent(long_study: Bench) -> None:
    bench = long_study
    process = bench.start("run", "tiny.toml", "--plain")
    child_pid(bench)
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3, out + err
    assert "no new trials" in out
    assert "stopped; run the same command to resume" in out
    row = bench.rows()[0]
    assert row["fail_reason"] == "interrupted"
    assert row["total_wh"] > 0


def test_stop_from_another_terminal(long_function: Bench) -> None:
    bench = long_function
    process = bench.start("run", "tiny.toml", "--plain")
    child_pid(bench)
    assert bench.run("stop", "tiny", "--now").returncode == 0
    assert process.wait(timeout=30) == 3
    assert bench.run("stop", "tiny").returncode == 2
