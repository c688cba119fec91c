"""A table, a folder and a log of somebody else's: what they say reaches every command as text and commands nothing."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from greenopt.cli import main
from greenopt.dashboard.content import describe_trial
from greenopt.dashboard.store import DashboardStore
from greenopt.exchange import read_import
from greenopt.identity.snapshot import read_folder
from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage
from greenopt.tui.state.reader import StudyReader
from tests.hostile import COMMANDING, NAME, commands_in, write_table

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "table.csv")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["greenopt", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return command


def test_every_command_shows_it_as_text(run: Run, table: Path, tmp_path: Path) -> None:
    said: dict[tuple[str, ...], str] = {}
    for arguments in (
        ("import", str(table), "--name", "made"),
        ("list",),
        ("analyze", "made"),
        ("analyze", "made", "--json"),
        ("export", "made"),
        ("export", f"no{COMMANDING}"),
        ("run", f"no{COMMANDING}.toml"),
        ("list", f"--no{COMMANDING}"),
        (f"no{COMMANDING}",),
        ("rename", "made", f"x{COMMANDING}"),
    ):
        _, said[arguments] = run(*arguments)
        assert commands_in(said[arguments]) == [], arguments
        assert "internal error" not in said[arguments]
    assert NAME in said["analyze", "made"]
    assert "[@click=app.quit]SGD[/]" in said["analyze", "made"]
    assert NAME in json.loads(said["analyze", "made", "--json"])["advice"]["sentences"][0]
    (tmp_path / "runs" / "made").rename(tmp_path / "runs" / f"x{COMMANDING}[red]")
    code, shown = run("list")
    assert code == 0
    assert commands_in(shown) == []
    assert "[red]" in shown


def test_it_comes_back_from_a_table_that_no_spreadsheet_runs(run: Run, table: Path, tmp_path: Path) -> None:
    run("import", str(table), "--name", "made")
    run("export", "made")
    text = (tmp_path / "made.csv").read_text(encoding="utf-8")
    assert commands_in(text) == []
    with (tmp_path / "made.csv").open(encoding="utf-8", newline="") as file:
        assert not [cell for row in csv.reader(file) for cell in row if cell.startswith(("=", "+", "@", "\t", "\r"))]
    before, after = read_import(table, "a"), read_import(tmp_path / "made.csv", "a")
    assert [trial.values for trial in after.trials] == [trial.values for trial in before.trials]
    assert NAME in after.trials[0].values
    assert [trial.verdict.message for trial in after.trials] == [trial.verdict.message for trial in before.trials]
    assert after.trials[0].metrics["gpu_name"] == f"H100 [red]{COMMANDING}"


def test_next_settings_are_a_study_file_and_nothing_more(run: Run, table: Path, tmp_path: Path) -> None:
    import tomllib

    from greenopt.formatting import format_toml

    text = format_toml('x = 1\n[study]\nobjective = "os:system"\n#', 'a"\n[training]\x1b\x7f\U000e0041')
    assert tomllib.loads(text) == {'x = 1\n[study]\nobjective = "os:system"\n#': 'a"\n[training]\x1b\x7f\U000e0041'}
    assert commands_in(text) == []


def test_a_log_in_the_live_view_is_text(run: Run, table: Path, tmp_path: Path) -> None:
    run("import", str(table), "--name", "made")
    folder = RunFolder(tmp_path / "runs" / "made")
    folder.log(3).write_text(f"[bold]loss[/bold] {COMMANDING}\n\x1b[32mgreen\x1b[0m\n", encoding="utf-8")
    reader = StudyReader(folder, folder.storage())
    reader.read()
    lines = reader.log(3)
    reader.close()
    assert commands_in("".join(lines)) == []
    assert lines[1] == "green"
    assert lines[0].startswith("[bold]loss[/bold]")


def test_notes_of_the_dashboard_show_it_as_text(run: Run, table: Path, tmp_path: Path) -> None:
    run("import", str(table), "--name", "made")
    folder = RunFolder(tmp_path / "runs" / "made")
    snapshot, storage = read_folder(folder), open_storage(folder.storage())
    store = DashboardStore("made", storage, folder.artifacts)
    describe_trial(store, folder, snapshot.spec, {**snapshot.rows[3], "epochs_done": 1}, ended=True)
    kept = storage.get_study_system_attrs(1)
    notes = "".join(str(value) for key, value in kept.items() if ":note_str:" in key)
    assert "onerror" in notes
    assert "<img" not in notes
    assert commands_in(notes) == []
