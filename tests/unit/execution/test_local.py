"""Child processes, with a small script in the place of a training."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from greenopt.events import TrialStarted
from greenopt.execution import EventArrived, LocalEngine, Message, ProcessEnded, Slot, child_environment, local
from greenopt.execution.processes import FreshInterpreter
from greenopt.execution.supervisor import CappedLog
from greenopt.spec import Setting, TrialSpec
from tests.builders import study

CHILD = (sys.executable, str(Path(__file__).with_name("child.py")))
GPU_0, GPU_1 = Slot("gpu 0", "GPU-aaaa"), Slot("gpu 1", "GPU-bbbb")


def spec(behaviour: str, trial: int = 0) -> TrialSpec:
    whole = study()
    return TrialSpec(
        study=behaviour,
        trial=trial,
        setting=Setting(**whole.space.baseline),
        data=whole.data,
        training=whole.training,
        energy=whole.energy,
        split_seed=1,
        training_seed=1,
    )


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine([GPU_0, GPU_1], FreshInterpreter(CHILD))
    yield engine
    engine.close()


def receive_until_end(engine: LocalEngine, trials: int = 1, limit_s: float = 30.0) -> list[Message]:
    messages: list[Message] = []
    deadline = time.monotonic() + limit_s
    while sum(isinstance(message, ProcessEnded) for message in messages) < trials:
        assert time.monotonic() < deadline, f"still waiting after {limit_s} s; so far {messages}"
        messages += engine.receive(0.2)
    return messages


def last(messages: list[Message]) -> ProcessEnded:
    assert isinstance(messages[-1], ProcessEnded)
    return messages[-1]


@pytest.mark.parametrize("behaviour", ["speaks", "halves", "babbles"])
def test_events_arrive_whole_and_then_the_end(engine: LocalEngine, tmp_path: Path, behaviour: str) -> None:
    engine.start(spec(behaviour), GPU_0, tmp_path / "log.txt")
    first, end = receive_until_end(engine)
    assert isinstance(first, EventArrived)
    assert isinstance(first.event, TrialStarted)
    assert isinstance(end, ProcessEnded)
    assert (end.exit_code, end.signal) == (0, None)


def test_a_child_sees_its_own_gpu_alone(engine: LocalEngine, tmp_path: Path) -> None:
    for trial, slot in enumerate((GPU_0, GPU_1)):
        (tmp_path / str(trial)).mkdir()
        engine.start(spec("speaks", trial), slot, tmp_path / str(trial) / "log.txt")
    events = [m.event for m in receive_until_end(engine, 2) if isinstance(m, EventArrived)]
    seen = {event.trial: event.gpu_uuid for event in events if isinstance(event, TrialStarted)}
    assert seen == {0: "GPU-aaaa", 1: "GPU-bbbb"}


def test_on_the_cpu_no_gpu_is_visible() -> None:
    environment = child_environment({"CUDA_VISIBLE_DEVICES": "0,1", "PATH": "/bin"}, Slot("cpu"))
    assert environment["CUDA_VISIBLE_DEVICES"] == "-1"
    assert environment["PATH"] == "/bin"


def test_what_a_child_prints_goes_to_its_log_and_not_to_the_screen(
    engine: LocalEngine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.start(spec("raises"), GPU_0, tmp_path / "log.txt")
    end = last(receive_until_end(engine))
    assert end.exit_code == 1
    assert end.log_tail.splitlines()[-1] == "KeyError: 'missing piece'"
    assert "trial 0 says raises" in (tmp_path / "log.txt").read_text()
    assert capfd.readouterr() == ("", "")


def test_a_fatal_signal_is_named(engine: LocalEngine, tmp_path: Path) -> None:
    engine.start(spec("segfaults"), GPU_0, tmp_path / "log.txt")
    end = last(receive_until_end(engine))
    assert (end.exit_code, end.signal) == (None, "SIGSEGV")
    assert "about to fault" in end.log_tail


def test_a_child_that_closed_its_pipe_is_waited_for(engine: LocalEngine, tmp_path: Path) -> None:
    engine.start(spec("lingers"), GPU_0, tmp_path / "log.txt")
    assert last(receive_until_end(engine)).exit_code == 0


def test_ending_a_trial_terminates_it(engine: LocalEngine, tmp_path: Path) -> None:
    engine.start(spec("hangs"), GPU_0, tmp_path / "log.txt")
    assert isinstance(engine.receive(30)[0], EventArrived)
    engine.end(0)
    assert last(receive_until_end(engine)).signal == "SIGTERM"


def test_a_trial_that_ignores_the_request_is_killed(
    engine: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.3)
    engine.start(spec("stubborn"), GPU_0, tmp_path / "log.txt")
    heard: list[Message] = []
    while len(heard) < 2:
        heard += engine.receive(1)
    engine.end(0)
    assert last(receive_until_end(engine)).signal == "SIGKILL"


def test_ctrl_c_in_the_terminal_does_not_reach_a_child(engine: LocalEngine, tmp_path: Path) -> None:
    """A terminal signals its whole session's foreground group; a child has a session of its own."""
    engine.start(spec("hangs"), GPU_0, tmp_path / "log.txt")
    message = engine.receive(30)[0]
    assert isinstance(message, EventArrived)
    assert isinstance(message.event, TrialStarted)
    assert message.event.pid is not None
    assert os.getsid(message.event.pid) == message.event.pid != os.getsid(0)


def test_closing_the_engine_leaves_no_process(tmp_path: Path) -> None:
    engine = LocalEngine([GPU_0], FreshInterpreter(CHILD))
    engine.start(spec("hangs"), GPU_0, tmp_path / "log.txt")
    message = engine.receive(30)[0]
    assert isinstance(message, EventArrived)
    assert isinstance(message.event, TrialStarted)
    engine.close()
    assert message.event.pid is not None
    assert not psutil.pid_exists(message.event.pid)


def test_children_end_when_their_coordinator_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves the parent no chance to clean up; the supervisor must do."""
    program = f"""
import sys
from pathlib import Path
from greenopt.execution import LocalEngine
from greenopt.execution.processes import FreshInterpreter
from tests.unit.execution.test_local import CHILD, GPU_0, spec
engine = LocalEngine([GPU_0], FreshInterpreter(CHILD))
engine.start(spec("hangs"), GPU_0, Path({str(tmp_path / "log.txt")!r}))
print(engine.receive(30)[0].event.pid, flush=True)
engine.receive(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=os.getcwd())
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    assert child.wait(timeout=5) is not None or not child.is_running()


def test_the_specification_is_kept_beside_the_log(engine: LocalEngine, tmp_path: Path) -> None:
    given = spec("speaks").model_copy(update={"gpu_uuid": GPU_1.gpu_uuid})
    engine.start(given, GPU_1, tmp_path / "log.txt")
    receive_until_end(engine)
    kept = TrialSpec.model_validate_json((tmp_path / "spec.json").read_text())
    assert kept == given


def test_a_log_is_capped_and_keeps_both_its_ends(engine: LocalEngine, tmp_path: Path) -> None:
    limited = spec("floods")
    limited = limited.model_copy(update={"training": limited.training.model_copy(update={"log_limit": 1_000_000})})
    engine.start(limited, GPU_0, tmp_path / "log.txt")
    assert last(receive_until_end(engine)).exit_code == 0
    content = (tmp_path / "log.txt").read_bytes()
    assert 600_000 < len(content) <= 1_000_000
    lines = content.decode().splitlines()
    assert lines[:2] == ["trial 0 says floods", "line 0"]
    assert lines[-1] == "line 1199999"
    (note,) = [line for line in lines if line.startswith("[greenopt:")]
    left_out = int(note.split()[1])
    printed = len("trial 0 says floods\n") + sum(len(f"line {number}\n") for number in range(1_200_000))
    assert left_out + len(content) - len(note) - 2 == printed
    numbers = [int(line.split()[1]) for line in lines if line.startswith("line ")]
    assert numbers == sorted(numbers), "whole lines, in their order"


def test_a_log_on_a_full_disk_loses_what_is_printed_and_nothing_else() -> None:
    log = CappedLog("/dev/full", 1000)
    for _ in range(20):
        log.write(b"x" * 100)
    log.close()


def test_a_trial_over_its_memory_limit_is_ended_and_says_so(engine: LocalEngine, tmp_path: Path) -> None:
    limited = spec("grows")
    limited = limited.model_copy(update={"training": limited.training.model_copy(update={"memory_limit": 300_000_000})})
    engine.start(limited, GPU_0, tmp_path / "log.txt")
    end = last(receive_until_end(engine))
    assert end.signal == "SIGTERM"
    assert end.exceeded_bytes is not None
    assert end.exceeded_bytes > 300_000_000


def test_a_supervisor_that_is_stopped_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CLOSE_S", 0.3)
    engine = LocalEngine([GPU_0], FreshInterpreter(CHILD))
    engine.start(spec("hangs"), GPU_0, tmp_path / "log.txt")
    message = engine.receive(30)[0]
    assert isinstance(message, EventArrived)
    assert isinstance(message.event, TrialStarted)
    trial = psutil.Process(message.event.pid)
    supervisor = trial.parent()
    assert supervisor is not None
    supervisor.suspend()
    engine.close()
    assert psutil.wait_procs([trial, supervisor], timeout=5)[1] == []
