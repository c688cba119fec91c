"""What every engine promises, asked of the local one and of one on a Ray cluster; a script stands for the training."""

import shutil
import socket
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenopt.errors import UsageError
from greenopt.events import TrialStarted
from greenopt.execution import (
    Engine,
    EventArrived,
    GpuLeases,
    LocalEngine,
    Message,
    ProcessEnded,
    Slot,
    ray_engine,
)
from greenopt.execution.processes import FreshInterpreter
from greenopt.execution.ray_cluster import connected, survey
from greenopt.execution.ray_engine import RayEngine, RayOptions
from greenopt.spec import TrialSpec
from tests.ray_clusters import ROOT, FakeCluster, fake_cluster
from tests.unit.execution.test_local import CHILD, spec

NUMBERS = count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[FakeCluster]:
    with fake_cluster() as made:
        made.add("GPU-2a")
        made.add("GPU-3a")
        with connected(made.address):
            yield made


@pytest.fixture(scope="module", params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made: Any
    if request.param == "local":
        made = LocalEngine([Slot("gpu 0", "GPU-2a"), Slot("gpu 1", "GPU-3a")], FreshInterpreter(CHILD))
    else:
        request.getfixturevalue("cluster")
        made = RayEngine(RayOptions(command=CHILD))
        made.open()
    yield made
    made.close()


class Started:
    """A trial with its folder, and what has been heard of it."""

    def __init__(self, engine: Engine, folder: Path, behaviour: str, at: int = 0, **training: Any) -> None:
        whole = spec(behaviour, next(NUMBERS))
        self.spec = whole.model_copy(update={"training": whole.training.model_copy(update=training)})
        self.folder, self.engine, self.messages = folder / str(self.spec.trial), engine, list[Message]()
        self.folder.mkdir()
        slot = engine.slots[at]
        self.log = self.folder / "log.txt"
        engine.start(self.spec, slot, self.log)

    def hear(self, limit_s: float = 60.0) -> ProcessEnded:
        """Everything until its end."""
        return hear_all([self], limit_s)[0]

    def begun(self, limit_s: float = 60.0) -> TrialStarted:
        deadline = time.monotonic() + limit_s
        while not self.messages:
            assert time.monotonic() < deadline
            self.messages += self.engine.receive(0.2)
        assert isinstance(self.messages[0], EventArrived)
        assert isinstance(self.messages[0].event, TrialStarted)
        return self.messages[0].event


def hear_all(trials: list[Started], limit_s: float = 60.0) -> list[ProcessEnded]:
    by_number = {trial.spec.trial: trial for trial in trials}
    deadline = time.monotonic() + limit_s
    while not all(trial.messages and isinstance(trial.messages[-1], ProcessEnded) for trial in trials):
        assert time.monotonic() < deadline, f"still waiting; so far {[trial.messages for trial in trials]}"
        for message in trials[0].engine.receive(0.2):
            by_number[message.trial].messages.append(message)
    return [trial.messages[-1] for trial in trials if isinstance(trial.messages[-1], ProcessEnded)]


def test_each_gpu_is_a_slot_with_a_name_of_its_own(engine: Engine) -> None:
    assert {slot.gpu_uuid for slot in engine.slots} == {"GPU-2a", "GPU-3a"}
    assert len({slot.name for slot in engine.slots}) == 2


@pytest.mark.parametrize("behaviour", ["speaks", "halves", "babbles", "lingers"])
def test_events_arrive_whole_and_then_the_end(engine: Engine, tmp_path: Path, behaviour: str) -> None:
    trial = Started(engine, tmp_path, behaviour)
    end = trial.hear()
    (first, last) = trial.messages
    assert isinstance(first, EventArrived)
    assert isinstance(first.event, TrialStarted)
    assert last == end
    assert (end.exit_code, end.signal, end.exceeded_bytes, end.lost) == (0, None, None, None)


def test_trials_run_beside_one_another_and_each_sees_its_own_gpu_alone(engine: Engine, tmp_path: Path) -> None:
    trials = [Started(engine, tmp_path, "speaks", at) for at in range(2)]
    uuids = [slot.gpu_uuid for slot in engine.slots]
    hear_all(trials)
    assert [trial.begun().gpu_uuid for trial in trials] == uuids


def test_what_a_trial_prints_is_in_its_log_alone(
    engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trial = Started(engine, tmp_path, "raises")
    end = trial.hear()
    assert end.exit_code == 1
    assert end.log_tail.splitlines()[-1] == "KeyError: 'missing piece'"
    text = trial.log.read_text()
    assert text.startswith(f"trial {trial.spec.trial} says raises\n")
    assert text.count("Traceback") == 1
    assert trial.log.stat().st_mode & 0o077 == 0
    assert capfd.readouterr() == ("", "")


def test_the_specification_is_kept_beside_the_log(engine: Engine, tmp_path: Path) -> None:
    trial = Started(engine, tmp_path, "speaks")
    trial.hear()
    assert TrialSpec.model_validate_json((trial.folder / "spec.json").read_text()) == trial.spec
    assert {path.name for path in trial.folder.iterdir()} == {"spec.json", "log.txt"}


def test_a_fatal_signal_is_named(engine: Engine, tmp_path: Path) -> None:
    end = Started(engine, tmp_path, "segfaults").hear()
    assert (end.exit_code, end.signal) == (None, "SIGSEGV")
    assert "about to fault" in end.log_tail


def test_a_trial_that_is_ended_ends_and_leaves_its_slot_free(engine: Engine, tmp_path: Path) -> None:
    trial = Started(engine, tmp_path, "hangs")
    event = trial.begun()
    engine.end(trial.spec.trial)
    assert trial.hear().signal == "SIGTERM"
    assert event.pid is not None
    assert not psutil.pid_exists(event.pid)
    assert Started(engine, tmp_path, "speaks").hear().exit_code == 0


def test_a_log_is_capped_and_keeps_both_its_ends(engine: Engine, tmp_path: Path) -> None:
    trial = Started(engine, tmp_path, "floods", log_limit=1_000_000)
    assert trial.hear().exit_code == 0
    content = trial.log.read_bytes()
    assert 600_000 < len(content) <= 1_000_000
    lines = content.decode().splitlines()
    assert lines[:2] == [f"trial {trial.spec.trial} says floods", "line 0"]
    assert lines[-1] == "line 1199999"
    assert len([line for line in lines if line.startswith("[greenopt:")]) == 1
    numbers = [int(line.split()[1]) for line in lines if line.startswith("line ")]
    assert numbers == sorted(set(numbers))


def test_a_trial_over_its_memory_limit_is_ended_and_says_so(engine: Engine, tmp_path: Path) -> None:
    end = Started(engine, tmp_path, "grows", memory_limit=300_000_000).hear()
    assert end.signal == "SIGTERM"
    assert end.exceeded_bytes is not None
    assert end.exceeded_bytes > 300_000_000


def test_to_end_what_does_not_run_is_no_error(engine: Engine) -> None:
    engine.end(987)
    assert engine.receive(0.0) == []


def test_gpus_that_another_study_has_are_not_taken(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(engine, LocalEngine):
        with GpuLeases(["GPU-2a"]), pytest.raises(UsageError, match="GPU-2a is in use by another study"):
            GpuLeases(["GPU-2a"]).__enter__()
        return
    assert [(slot.gpu_uuid, slot.gpu_name) for slot in sorted(survey(None), key=lambda slot: str(slot.gpu_uuid))] == [
        ("GPU-2a", "Made-up board"),
        ("GPU-3a", "Made-up board"),
    ]
    monkeypatch.setattr(ray_engine, "BUSY_S", 0.5)
    other = RayEngine(RayOptions())
    with pytest.raises(UsageError, match="the 2 GPUs of the cluster are in use by another study or program"):
        other.open()
    # What a study cannot get now it would take later; this one does not want it any more.
    other.close()


def test_closing_leaves_no_process(engine: Engine, tmp_path: Path) -> None:
    """The last one of an engine, which it closes."""
    trial = Started(engine, tmp_path, "stubborn")
    pid = trial.begun().pid
    assert pid is not None
    process = psutil.Process(pid)
    engine.close()
    assert psutil.wait_procs([process], timeout=5)[1] == []


def test_a_slot_whose_process_is_killed_is_there_again_and_its_trial_is_lost(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    said: list[str] = []
    engine = RayEngine(RayOptions(command=CHILD, limit=1), say=said.append)
    engine.open()
    (slot,) = engine.slots
    trial = Started(engine, tmp_path, "hangs")
    process = psutil.Process(trial.begun().pid)
    worker = next(parent for parent in process.parents() if "node_process" in " ".join(parent.cmdline()))
    worker.kill()
    end = trial.hear()
    assert (end.exit_code, end.signal) == (None, None)
    assert end.lost is not None
    assert "ended with -9" in end.lost
    assert psutil.wait_procs([process], timeout=5)[1] == []
    assert any(slot.name in line for line in said)
    deadline = time.monotonic() + 60
    while len(engine.slots) < 1:
        assert time.monotonic() < deadline
        engine.receive(0.2)
    assert Started(engine, tmp_path, "speaks").hear().exit_code == 0
    engine.close()


def test_a_node_with_another_greenopt_is_named(cluster: FakeCluster, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "greenopt", other / "greenopt", ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "greenopt" / "errors.py").open("a") as file:
        file.write("# changed\n")
    node = cluster.add("GPU-f1", PYTHONPATH=f"{other}:{ROOT}")
    with pytest.raises(UsageError, match="is not the same source as the one here") as refusal:
        survey(None)
    assert str(refusal.value).startswith(f"{socket.gethostname()}: ")
    cluster.kill(node)
