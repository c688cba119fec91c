"""Trials as runs of the real trackers, in files of this machine."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage, read_study
from tests.end_to_end.conftest import Bench
from tests.showcase import Lifelike, run_showcase, showcase_study

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def finished(bench: Bench) -> RunFolder:
    """Four trials, of which one crashed."""
    folder = bench.run_folder("showcase")
    folder.path.mkdir(parents=True)
    run_showcase(
        showcase_study(4), open_storage(folder.default_storage), folder, Lifelike({2: "crash"}), exhibited=False
    )
    return folder


def test_trials_become_runs_of_mlflow_once(bench: Bench, finished: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{bench.folder / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(bench.folder)
    sent = bench.run("track", "showcase", "--to", "mlflow", "--project", "my experiment")
    assert sent.stdout == "4 trials -> mlflow, my experiment\n", sent.stderr
    again = bench.run("track", "showcase", "--to", "mlflow", "--project", "my experiment")
    assert again.stdout == "nothing new for mlflow, my experiment\n"
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("my experiment")
    assert experiment is not None
    runs: dict[str, Any] = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    rows = {row["trial"]: row for row in read_study("showcase", open_storage(finished.default_storage)).rows}
    assert sorted(runs) == [f"trial {number}" for number in rows]
    run, row = runs["trial 1"], rows[1]
    assert run.info.status == "FINISHED"
    assert run.data.params["lr"] == str(row["lr"])
    assert run.data.params["precision"] == row["precision"]
    assert run.data.metrics["energy_wh"] == row["energy_wh"]
    assert run.data.metrics["accuracy"] == row["accuracy"]
    assert run.data.tags["energy_source"] == row["energy_source"]
    assert abs(run.info.start_time / 1000 - row["began"].timestamp()) < 0.01
    curve = client.get_metric_history(run.info.run_id, "val_accuracy")
    assert [point.step for point in curve] == list(range(1, row["epochs_done"] + 1))
    so_far = client.get_metric_history(run.info.run_id, "energy_so_far_wh")
    assert [point.value for point in so_far] == sorted(point.value for point in so_far)
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["log.txt"]
    failed = runs["trial 2"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["fail_reason"] == "crash"
    assert failed.data.metrics["accuracy"] == rows[2]["accuracy"]
    assert failed.data.metrics["epochs_done"] < row["epochs_done"]
    assert "fail_reason" not in run.data.tags


@pytest.fixture
def offline(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(bench.folder))
    return bench.folder / "wandb"


@dataclass
class KeptRun:
    """What a file of the offline mode holds of a run."""

    name: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0


def chunks(file: Path) -> Iterator[bytes]:
    """The records of a file in LevelDB's log format: blocks of 32 KiB with chunks of a length, after 7 bytes."""
    content, at, record = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<xxxxHB", content, at)
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def kept_runs(folder: Path) -> dict[str, KeptRun]:
    """The runs in an offline mode's files, by name."""
    records: Any = import_module("wandb.proto.wandb_internal_pb2")
    found = {}
    for file in folder.glob("offline-run-*/*.wandb"):
        run = KeptRun()
        for data in chunks(file):
            record = records.Record.FromString(data)
            match record.WhichOneof("record_type"):
                case "run":
                    run.name = record.run.display_name
                    run.parameters |= {u.key: json.loads(u.value_json) for u in record.run.config.update}
                case "history":
                    run.epochs += 1
                case "summary":
                    run.summary |= {u.key or u.nested_key[0]: json.loads(u.value_json) for u in record.summary.update}
        found[run.name] = run
    return found


def test_trials_are_sent_to_wandb_while_a_study_runs(bench: Bench, offline: Path) -> None:
    bench.write_function()
    ran = bench.run("run", str(bench.study_file), "--plain", "--track", "wandb")
    assert ran.returncode == 0, ran.stderr
    assert "not all trials were sent" not in ran.stdout, (bench.run_folder().path / "tracking.log").read_text()
    runs = kept_runs(offline)
    rows = {f"trial {row['trial']}": row for row in bench.rows()}
    assert len(rows) == 2
    assert sorted(runs) == sorted(rows)
    for name, row in rows.items():
        assert runs[name].parameters["x"] == row["x"]
        assert runs[name].summary["energy_wh"] == row["energy_wh"]
        assert runs[name].epochs == 4
    assert bench.run("track", "tiny", "--to", "wandb").stdout == "nothing new for wandb, tiny\n"


def test_a_tracker_that_refuses_does_not_reach_the_study(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    bench.write_function()
    ran = bench.run("run", str(bench.study_file), "--plain", "--track", "mlflow")
    assert ran.returncode == 0
    assert "2 completed" in ran.stdout
    assert "greenopt track tiny --to mlflow" in ran.stdout
    log = (bench.run_folder().path / "tracking.log").read_text()
    assert "mlflow did not take trial 0" in log
    assert not (bench.run_folder().path / "tracking.json").exists()
