"""An imported study is a study like any other, and appears whole or not at all."""

from dataclasses import replace
from pathlib import Path

import pytest

from greenopt.errors import UsageError
from greenopt.events import read_epochs
from greenopt.exchange import read_import, write_import
from greenopt.reading import EnergySource
from greenopt.runs.folder import RunFolder, run_folders
from greenopt.search import open_storage, read_study
from tests.paper_layout import write_run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_run(tmp_path / "paper" / "001", batch_size="1")
    write_run(tmp_path / "paper" / "002", accuracy=0.7)
    write_run(tmp_path / "paper" / "003", post=False)
    return tmp_path / "paper"


def test_the_storage_holds_figures_states_and_settings(source: Path, tmp_path: Path) -> None:
    path = write_import(read_import(source, "paper"), tmp_path / "runs")
    folder = RunFolder(path)
    assert [found.path for found in run_folders(tmp_path / "runs")] == [path]
    rows = read_study("paper", open_storage(folder.storage())).rows
    assert [row["state"] for row in rows] == ["complete", "complete", "fail"]
    assert [row["run"] for row in rows] == ["001", "002", "003"]
    assert rows[0]["batch_size"] == 1
    assert rows[1]["accuracy"] == 0.7
    assert rows[1]["energy_source"] == "nvidia_smi_snapshot"
    assert rows[1]["wh_per_epoch"] == pytest.approx(3.125 / 4)
    assert rows[1]["inert"] == "optimizer_momentum"
    assert rows[1]["uncertainty_wh"] is rows[1]["coverage"] is None
    assert rows[2]["fail_reason"] == "interrupted"
    assert str(rows[1]["began"]) == "2023-02-25 14:39:12"


def test_the_epochs_are_read_from_the_events(source: Path, tmp_path: Path) -> None:
    path = write_import(read_import(source, "paper"), tmp_path / "runs")
    with (path / "trials" / "0002" / "events.jsonl").open("ab") as file:
        file.write(b'{"kind":"epoch_ended","t_s":1')
    folder = RunFolder(path)
    epochs = [read_epochs(folder.events(trial)) for trial in range(3)]
    assert [len(found) for found in epochs] == [3, 3, 3]
    assert [epoch.t_s for epoch in epochs[0]] == [36.0, 72.0, 108.0]
    together = [epoch for found in epochs for epoch in found]
    assert [epoch.energy.energy_wh for epoch in together] == pytest.approx([1.0] * 9)
    assert all(epoch.val_loss is None for epoch in together)
    assert {epoch.energy.source for epoch in together} == {EnergySource.NVIDIA_SMI_SNAPSHOT}


def test_an_existing_study_is_left_alone(source: Path, tmp_path: Path) -> None:
    write_import(read_import(source, "paper"), tmp_path / "runs")
    with pytest.raises(UsageError, match="exists already; give the import another name"):
        write_import(read_import(source, "paper"), tmp_path / "runs")


def test_nothing_is_left_of_an_import_that_fails(source: Path, tmp_path: Path) -> None:
    imported = read_import(source, "paper")
    impossible = replace(imported.trials[2], metrics={"wh_per_epoch": {1, 2}})
    with pytest.raises(TypeError):
        write_import(replace(imported, trials=(*imported.trials[:2], impossible)), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_nothing_is_left_of_it_in_a_storage_of_its_own(source: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    imported = read_import(source, "paper")
    impossible = replace(imported.trials[2], metrics={"wh_per_epoch": {1, 2}})
    with pytest.raises(TypeError):
        write_import(replace(imported, trials=(*imported.trials[:2], impossible)), tmp_path / "runs", url)
    with pytest.raises(UsageError, match="not in this storage"):
        read_study("paper", open_storage(url))
    write_import(imported, tmp_path / "runs", url)
    assert len(read_study("paper", open_storage(url)).rows) == 3
