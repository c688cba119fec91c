"""Requests, and the dashboard's address or its error."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from greenopt.errors import GreenoptError, UsageError
from greenopt.runs.folder import RunFolder
from greenopt.runs.requests import Request, send
from greenopt.tui.actions import StudyActions, _await_address


def started(code: str) -> str:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=subprocess.STDOUT)
        try:
            return _await_address(process, output)
        finally:
            process.kill()
            process.wait()


def test_the_address_that_it_prints_is_told() -> None:
    code = "import time; print('dashboard of paper: http://127.0.0.1:8080/', flush=True); time.sleep(60)"
    assert started(code) == "http://127.0.0.1:8080/"


def test_a_dashboard_that_ends_says_why() -> None:
    with pytest.raises(GreenoptError, match="ended with exit code 2: greenopt: port 8080 is taken"):
        started("import sys; print('greenopt: port 8080 is taken'); sys.exit(2)")


def test_a_study_that_does_not_run_takes_no_requests(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "paper")
    with pytest.raises(GreenoptError, match="run folder is not on this machine"):
        StudyActions(folder, "", tmp_path).ask(Request.PAUSE)
    folder.path.mkdir()
    folder.write_study({}, folder.default_storage)
    with pytest.raises(UsageError, match="not running on this host"):
        send(folder, Request.STOP)


def test_a_coordinator_on_another_host_is_not_taken_for_a_process_here(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "paper")
    lock = folder.claim()
    folder.write_study({}, folder.default_storage)
    (folder.path / "coordinator.json").write_text('{"pid": 1, "host": "elsewhere"}')
    with pytest.raises(UsageError, match="runs on elsewhere; run the command there"):
        send(folder, Request.STOP_NOW)
    lock.release()


@pytest.mark.parametrize(
    ("request_", "number"),
    [
        (Request.PAUSE, signal.SIGUSR1),
        (Request.RESUME, signal.SIGUSR2),
        (Request.STOP, signal.SIGINT),
        (Request.STOP_NOW, signal.SIGTERM),
    ],
)
def test_a_request_is_the_signal_that_the_coordinator_listens_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: Request, number: signal.Signals
) -> None:
    folder, sent = RunFolder(tmp_path / "paper"), []
    lock = folder.claim()
    folder.write_study({}, folder.default_storage)
    monkeypatch.setattr(os, "kill", lambda *call: sent.append(call))
    assert send(folder, request_) == os.getpid()
    assert sent == [(os.getpid(), number)]
    lock.release()
