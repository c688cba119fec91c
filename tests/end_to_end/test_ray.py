"""Studies on a Ray cluster of made-up boards: nodes that are lost and that join, coordinators that are killed."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from greenopt.coordination.coordinator import Coordinator
from greenopt.coordination.study_log_writer import StudyLogWriter
from greenopt.events import EpochEnded, TrialEnded, TrialStarted, read_events
from greenopt.execution.ray_cluster import connected
from greenopt.execution.ray_engine import RayEngine, RayOptions
from greenopt.execution.travel import Parcel, digest_of
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import SlotsChanged, StudyEnd, TrialPlaced, read_entries
from greenopt.search import Search, open_storage, read_study
from tests.builders import encoded, ended, epoch, reading, started, study
from tests.ray_clusters import ROOT, FakeCluster, fake_cluster

pytestmark = pytest.mark.end_to_end

TRIAL = Path(__file__).parent / "on_a_cluster" / "trial.py"
TRIALS = 40
OWN = """
import time
from beside import ACCURACY

def run(trial):
    trial.begin()
    for _ in range(trial.epochs):
        time.sleep(trial.params["epoch_s"])
        trial.end_epoch(ACCURACY)
    return ACCURACY
"""
STUDY = """
[study]
name = "own"
trials = 2
seed = 1
objective = "own:run"
[training]
epochs = 2
[space]
epoch_s = [0.3, 0.31, 0.32, 0.33]
"""


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder that no disk is waited for."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def head() -> Iterator[FakeCluster]:
    with fake_cluster() as made:
        yield made


@pytest.fixture
def cluster(head: FakeCluster) -> Iterator[FakeCluster]:
    """The cluster without a node that could run trials."""
    yield head
    head.clear()


def wait_for(condition: Callable[[], Any], limit_s: float = 120.0) -> Any:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {limit_s} s")


def caught_in_mid_trial(folder: RunFolder, uuid: str) -> int | None:
    """Stop a board's trial, the fourth or a later one, where it has ended its first epoch alone; its number."""
    for file in sorted(folder.path.glob("trials/*/events.jsonl"))[3:]:
        events = list(read_events(file))
        begun = [event for event in events if isinstance(event, TrialStarted) and event.gpu_uuid == uuid]
        if begun and isinstance(events[-1], EpochEnded) and events[-1].epoch == 1 and begun[0].pid is not None:
            with suppress(psutil.Error):
                psutil.Process(begun[0].pid).suspend()
                return int(file.parent.name)
    return None


def boards_of(folder: RunFolder) -> set[str]:
    """The boards on which a trial was begun."""
    events = (event for file in folder.path.glob("trials/*/events.jsonl") for event in read_events(file))
    return {event.gpu_uuid for event in events if isinstance(event, TrialStarted) and event.gpu_uuid}


def test_a_node_is_lost_in_mid_trial_and_another_joins(
    cluster: FakeCluster, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On each node this is another place, as on other machines.
    monkeypatch.setenv("HOME", str(memory))
    (memory / "images.npz").write_text("images from afar")
    images = "~/images.npz"
    script = memory / "script.jsonl"
    script.write_bytes(encoded(started(0), epoch(1), epoch(2), ended(energy=reading(2.0), total=reading(2.5))))
    spec = study(
        study={"trials": TRIALS},
        data={"name": "npz", "path": images, "images": None, "classes": None},
        training={"epochs": 2, "keep_model": True},
        space={"batch_size": [4, 8, 16, 32], "lr": {"low": 1e-5, "high": 1.0, "log": True}},
    )
    cluster.add("GPU-a1", "GPU-a2")
    dies = cluster.add("GPU-b1")
    folder = RunFolder(memory / "tried")
    folder.path.mkdir()
    search = Search(spec, open_storage(folder.default_storage))
    folder.write_study(spec.model_dump(mode="json"), folder.default_storage, {})
    said: list[str] = []
    with connected(cluster.address):
        engine = RayEngine(RayOptions(command=(sys.executable, str(TRIAL), str(script))), say=said.append)
        engine.open()
        engine.bring(dict, [Parcel(images, str(digest_of(memory / "images.npz")))])
        log = StudyLogWriter(folder.study_log, engine.slots)
        coordinator = Coordinator(spec, search, engine, folder, [log], gpus=engine)
        ends: list[StudyEnd] = []
        running = threading.Thread(target=lambda: ends.append(coordinator.run()))
        running.start()
        caught = wait_for(lambda: caught_in_mid_trial(folder, "GPU-b1"))
        wait_for(lambda: folder.log(caught).read_text())  # it follows each second
        cluster.kill(dies)
        cluster.add("GPU-c1", "GPU-c2")
        wait_for(lambda: {"GPU-c1", "GPU-c2"} <= boards_of(folder))
        (memory / "go").touch()
        running.join()
        engine.close()
    search.lease.release()
    assert ends == [StudyEnd.DONE]
    rows = {row["trial"]: row for row in read_study(spec.name, open_storage(folder.default_storage)).rows}
    states = Counter((row["state"], row.get("fail_reason")) for row in rows.values())
    assert states == {("complete", None): TRIALS, ("fail", "node_lost"): 1}
    (lost,) = [row for row in rows.values() if row["state"] == "fail"]
    (again,) = [row for row in rows.values() if row.get("retry_of") == lost["trial"]]
    assert (again["batch_size"], again["lr"]) == (lost["batch_size"], lost["lr"])
    assert (lost["trial"], lost["gpu_uuid"]) == (caught, "GPU-b1")
    assert "was lost" in lost["message"]
    assert any("was lost" in line for line in said)
    told_wh = 0.0
    for number, row in rows.items():
        events = list(read_events(folder.events(number)))
        begun = [event for event in events if isinstance(event, TrialStarted)]
        epochs = [event for event in events if isinstance(event, EpochEnded)]
        lasts = [event for event in events if isinstance(event, TrialEnded)]
        epochs_wh = sum(event.energy.energy_wh or 0.0 for event in epochs)
        told_wh += epochs_wh
        assert (len(begun), [event.epoch for event in epochs]) == (1, [1, 2][: len(epochs)])
        assert not psutil.pid_exists(begun[0].pid or 0)
        assert (row.get("energy_wh") or 0.0) == pytest.approx(epochs_wh)
        assert folder.log(number).read_text() == f"trial {number} on {row['gpu_uuid']}: images from afar\n"
        model = folder.trial(number) / "model.keras"
        if row is lost:
            assert (len(lasts), model.exists()) == (0, False)
        else:
            assert (len(lasts), len(epochs)) == (1, 2)
            assert model.read_bytes() == bytes([number]) * (9_000_000 if number % 20 == 0 else 1000)
    assert not list(folder.path.rglob("*.part"))
    assert sum(row.get("energy_wh") or 0.0 for row in rows.values()) == pytest.approx(told_wh)
    assert told_wh >= 2 * TRIALS + 1
    boards = Counter(row["gpu_uuid"] for row in rows.values())
    assert set(boards) == {"GPU-a1", "GPU-a2", "GPU-b1", "GPU-c1", "GPU-c2"}
    entries = read_entries(folder.study_log, None)
    changes = [entry for entry in entries if isinstance(entry, SlotsChanged)]
    assert sum(len(entry.gone) for entry in changes) == 1
    assert sum(len(entry.joined) for entry in changes) == 2
    assert sorted(uuid for uuid in changes[-1].slots.values() if uuid) == ["GPU-a1", "GPU-a2", "GPU-c1", "GPU-c2"]
    assert len([entry for entry in entries if isinstance(entry, TrialPlaced)]) == TRIALS + 1


class Bench:
    """A folder with a study of two own modules, and commands run in it on a cluster."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        (folder / "own.py").write_text(OWN)
        (folder / "beside.py").write_text("ACCURACY = 0.5\n")
        (folder / "own.toml").write_text(STUDY)
        self.run_folder = RunFolder(folder / "runs" / "own")

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "greenopt", "run", "own.toml", "--executor", "ray", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": self.address, "GREENOPT_RUNS": "runs"}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def rows(self) -> list[dict[str, Any]]:
        return list(read_study("own", open_storage(self.run_folder.default_storage)).rows)

    def running(self) -> psutil.Process | None:
        """The process of a trial that trains."""
        for file in self.run_folder.path.glob("trials/*/events.jsonl"):
            events = list(read_events(file))
            if any(isinstance(event, EpochEnded) for event in events) and not isinstance(events[-1], TrialEnded):
                begun = next(event for event in events if isinstance(event, TrialStarted))
                return psutil.Process(begun.pid)
        return None


def test_a_coordinator_that_is_killed_leaves_no_trial_and_the_study_goes_on(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.add("GPU-d1")
    bench = Bench(tmp_path, cluster.address)
    first = bench.start("--plain")
    trial = wait_for(lambda: bench.running() or first.poll() is not None)
    assert first.poll() is None, first.communicate()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert psutil.wait_procs([trial], timeout=20)[1] == []
    second = bench.start("--plain")
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, out + err
    assert err == ""
    rows = bench.rows()
    assert Counter((row["state"], row.get("fail_reason")) for row in rows) == {
        ("complete", None): 2,
        ("fail", "interrupted"): 1,
    }
    assert len([row for row in rows if row.get("retry_of") is not None]) == 1
    assert all((row.get("energy_wh") or 0.0) > 0 for row in rows)
    assert {(row["energy_source"], row["gpu_uuid"]) for row in rows} == {("nvml_counter", "GPU-d1")}
