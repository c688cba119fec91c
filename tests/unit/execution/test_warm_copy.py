"""Trials as copies of a warm process, by the real program on the tiny model; fresh interpreters are in test_local."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenopt.events import FailReason, Outcome, Phase, PhaseEnded, TrialEnded, TrialStarted
from greenopt.execution import EventArrived, LocalEngine, ProcessEnded, Slot
from greenopt.execution.processes import FreshInterpreter, Starter, WarmCopy
from greenopt.spec import TrialSpec
from tests.unit.execution.test_local import receive_until_end
from tests.unit.trial.workbench import trial_spec

CPU = Slot("cpu")
LONG: dict[str, Any] = {"epochs": 100_000}


@pytest.fixture(scope="module")
def starter() -> WarmCopy:
    return WarmCopy()


def ran(starter: Starter, spec: TrialSpec, folder: Path) -> tuple[list[Any], ProcessEnded]:
    """What a trial said, and how its process ended."""
    engine = LocalEngine([CPU], starter)
    try:
        engine.start(spec, CPU, folder / "log.txt")
        *said, ended = receive_until_end(engine, limit_s=120)
    finally:
        engine.close()
    assert isinstance(ended, ProcessEnded)
    return [message.event for message in said if isinstance(message, EventArrived)], ended


def begun(engine: LocalEngine, spec: TrialSpec, folder: Path) -> TrialStarted:
    engine.start(spec, CPU, folder / "log.txt")
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for message in engine.receive(1):
            if isinstance(message, EventArrived) and isinstance(message.event, TrialStarted):
                return message.event
    pytest.fail("the trial did not begin")


def test_copies_train_one_after_the_other_and_import_nothing(starter: WarmCopy, tmp_path: Path) -> None:
    pids = set()
    for trial in range(3):
        folder = tmp_path / str(trial)
        folder.mkdir()
        said, ended = ran(starter, trial_spec(augmentation="mixup"), folder)
        assert (ended.exit_code, ended.signal) == (0, None)
        assert said[-1].outcome is Outcome.COMPLETED, said[-1].message
        pids.add(said[0].pid)
        imported = next(event for event in said if isinstance(event, PhaseEnded) and event.phase is Phase.IMPORT)
        assert imported.energy.seconds < 3, "TensorFlow alone takes longer to import"
    assert len(pids) == 3


def test_a_copy_gives_the_figures_of_a_fresh_interpreter(starter: WarmCopy, tmp_path: Path) -> None:
    scores = []
    starters: dict[str, Starter] = {"copy": starter, "fresh": FreshInterpreter()}
    for name, how in starters.items():
        (tmp_path / name).mkdir()
        said, _ = ran(how, trial_spec(augmentation="cutmix", lr_schedule="cosine"), tmp_path / name)
        assert isinstance(said[-1], TrialEnded)
        scores.append((said[-1].accuracy, said[-1].test_accuracy))
    assert scores[0] == scores[1]


def test_a_model_in_the_folder_where_the_study_was_started_is_found(
    starter: WarmCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from tests.unit.trial.tiny import build\n"
    (tmp_path / "my_model.py").write_text(f"import sys\nsys.path.insert(0, {str(Path.cwd())!r})\n{source}")
    monkeypatch.chdir(tmp_path)
    said, _ = ran(starter, trial_spec(training={"model": "my_model:build"}), tmp_path)
    assert said[-1].outcome is Outcome.COMPLETED, said[-1].message


def test_a_copy_prints_to_its_log_and_sees_its_slot_alone(starter: WarmCopy, tmp_path: Path) -> None:
    said, ended = ran(starter, trial_spec(training={"model": "tests.nowhere:build"}), tmp_path)
    assert said[-1].outcome is Outcome.FAILED
    assert "Traceback" in (tmp_path / "log.txt").read_text()
    assert "Traceback" in ended.log_tail


def test_a_signal_to_the_whole_group_ends_no_trial_by_itself(starter: WarmCopy, tmp_path: Path) -> None:
    """`timeout`, a batch system or a closed terminal signal every process; what ends a trial is for the coordinator."""
    engine = LocalEngine([CPU], starter)
    started = begun(engine, trial_spec(training=LONG), tmp_path)
    assert started.pid is not None
    _, source, *_ = psutil.Process(started.pid).parents()  # above its supervisor, what both are copied from
    assert source.pid != os.getpid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        source.send_signal(number)
    assert not any(isinstance(message, ProcessEnded) for message in engine.receive(2))
    engine.end(0)
    *said, ended = receive_until_end(engine)
    assert isinstance(ended, ProcessEnded)
    assert (ended.exit_code, ended.signal) == (0, None)
    last = [message.event for message in said if isinstance(message, EventArrived)][-1]
    assert isinstance(last, TrialEnded)
    assert last.reason == FailReason.INTERRUPTED


def test_a_copy_has_a_session_of_its_own_and_ends_when_told(starter: WarmCopy, tmp_path: Path) -> None:
    engine = LocalEngine([CPU], starter)
    started = begun(engine, trial_spec(training=LONG), tmp_path)
    assert started.pid is not None
    assert os.getsid(started.pid) == started.pid != os.getsid(0)
    assert psutil.Process(started.pid).environ()  # it runs
    engine.end(0)
    messages = receive_until_end(engine)
    ended = messages[-2]
    assert isinstance(ended, EventArrived)
    assert isinstance(ended.event, TrialEnded)
    assert ended.event.reason == "interrupted"
    engine.close()


def test_a_copy_that_is_killed_is_told_apart(starter: WarmCopy, tmp_path: Path) -> None:
    engine = LocalEngine([CPU], starter)
    started = begun(engine, trial_spec(training=LONG), tmp_path)
    psutil.Process(started.pid).kill()
    ended = receive_until_end(engine)[-1]
    assert isinstance(ended, ProcessEnded)
    assert (ended.exit_code, ended.signal) == (None, "SIGKILL")
    engine.close()


def test_copies_and_what_they_are_copied_from_end_when_the_coordinator_is_killed(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from greenopt.execution import LocalEngine
from tests.unit.execution.test_warm_copy import CPU, LONG, begun
from tests.unit.trial.workbench import trial_spec
engine = LocalEngine([CPU])
print(begun(engine, trial_spec(training=LONG), Path({str(tmp_path)!r})).pid, flush=True)
engine.receive(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=os.getcwd())
    assert parent.stdout is not None
    trial = psutil.Process(int(parent.stdout.readline()))
    others = psutil.Process(parent.pid).children(recursive=True)
    assert trial in others
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(others, timeout=10)
    assert not alive
    parent.stdout.close()


def test_without_a_process_to_copy_trials_run_in_fresh_interpreters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: WarmCopy, *arguments: Any) -> Any:
        raise EOFError

    monkeypatch.setattr(WarmCopy, "start", refused)
    engine = LocalEngine([CPU])
    assert begun(engine, trial_spec(training=LONG), tmp_path).pid
    engine.close()


def test_the_user_can_have_fresh_interpreters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(LocalEngine([CPU])._warm, WarmCopy)
    monkeypatch.setenv("GREENOPT_START", "fresh")
    assert isinstance(LocalEngine([CPU])._warm, FreshInterpreter)
