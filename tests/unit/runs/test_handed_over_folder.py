"""A run folder of somebody else: no link in it is followed out of it, and what may hold secrets is private."""

import json
import os
import stat
from pathlib import Path

import pytest
from optuna.artifacts.exceptions import ArtifactNotFound

from greenopt.errors import GreenoptError, UsageError
from greenopt.events import AttemptBegan
from greenopt.execution import Slot, child_environment
from greenopt.files import (
    PRIVATE,
    LogTail,
    append_privately,
    last_lines,
    leads_out,
    requested_file,
    tail_text,
    write_whole,
)
from greenopt.identity.belongings import take_trial_folder
from greenopt.runs.background import launch
from greenopt.runs.folder import RunFolder, run_folders
from greenopt.search.storage import artifact_store
from greenopt.storage.url import without_password


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "home" / "id_rsa"
    file.parent.mkdir()
    file.write_text("PRIVATE KEY\n")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "runs" / "s")
    made.trial(0).mkdir(parents=True)
    return made


def test_a_trials_log_that_is_a_link_is_not_read(folder: RunFolder, secret: Path) -> None:
    assert folder.own_log(0, None) == folder.log(0)
    folder.log(0).symlink_to(secret)
    assert folder.own_log(0, None) is None
    assert folder.own_events(0, None) == folder.events(0)


def test_a_trials_folder_that_is_a_link_is_not_read(folder: RunFolder, secret: Path) -> None:
    (secret.parent / "log.txt").write_text("PRIVATE KEY\n")
    folder.trial(1).symlink_to(secret.parent)
    assert folder.own_log(1, None) is None
    assert folder.own_events(1, None) is None
    head = AttemptBegan(study_id="s", run_id="r", attempt_id="a", trial=1)
    with pytest.raises(FileExistsError):
        take_trial_folder(folder.trial(1), head)


def test_a_link_within_the_folder_is_followed(folder: RunFolder) -> None:
    (folder.path / "log.txt").write_text("mine\n")
    folder.log(0).symlink_to(folder.path / "log.txt")
    assert folder.own_log(0, None) == folder.log(0)


def test_a_folder_under_another_path_is_its_own(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(folder.path)
    folder.log(0).write_text("mine\n")
    assert RunFolder(tmp_path / "elsewhere").own_log(0, None) is not None


@pytest.mark.parametrize("name", ["trials", "artifacts", "study.json", "study.db", "figures", "coordinator.json"])
def test_no_study_runs_in_a_folder_that_leads_out(folder: RunFolder, secret: Path, name: str) -> None:
    if name == "trials":
        folder.trial(0).rmdir()
        folder.trials.rmdir()
    (folder.path / name).symlink_to(secret)
    with pytest.raises(UsageError, match=f"{name}: is a link that leads out of the study's folder"):
        folder.claim()
    assert secret.read_text() == "PRIVATE KEY\n"


@pytest.mark.parametrize("name", ["coordinator.log", "coordinator.lock", "study.json"])
def test_nothing_is_written_through_a_link(folder: RunFolder, secret: Path, name: str) -> None:
    (folder.path / name).symlink_to(secret)
    with pytest.raises(GreenoptError, match="leads out"):
        launch(["list"], folder)
    with pytest.raises(OSError, match="symbolic"):
        append_privately(folder.path / name)
    write_whole(folder.path / name, b"new")
    assert secret.read_text() == "PRIVATE KEY\n"
    assert not (folder.path / name).is_symlink()


def test_an_artifact_that_is_a_link_is_not_served(folder: RunFolder, secret: Path) -> None:
    folder.artifacts.mkdir()
    (folder.artifacts / "a").symlink_to(secret)
    (folder.artifacts / "b").write_bytes(b"mine")
    with pytest.raises(ArtifactNotFound):
        artifact_store(folder.artifacts).open_reader("a")
    with artifact_store(folder.artifacts).open_reader("b") as opened:
        assert opened.read() == b"mine"


def test_a_pipe_or_a_device_is_not_waited_for(folder: RunFolder) -> None:
    """Opened as a file, it would be read for ever."""
    os.mkfifo(folder.log(0))
    os.mkfifo(folder.events(0))
    os.mkfifo(folder.study_file)
    assert tail_text(folder.log(0)) == ""
    assert last_lines(folder.log(0), 3) == []
    assert LogTail(folder.log(0)).new_lines() == []
    assert tail_text(Path("/dev/zero")) == ""
    folder.own_events(0, "a")
    assert run_folders(folder.path.parent) == []


def test_leads_out_follows_every_link(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").symlink_to(tmp_path / "a" / "c")
    (tmp_path / "a" / "c").symlink_to("..")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a" / "loop")
    assert leads_out(tmp_path / "a" / "b", tmp_path / "a")
    assert leads_out(tmp_path / "a" / "b" / "x", tmp_path / "a")
    assert not leads_out(tmp_path / "a" / "x", tmp_path / "a")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_may_hold_a_secret_is_private_from_its_creation(folder: RunFolder, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder.write_study({}, "postgresql://u:***@h/db")
        append_privately(folder.coordinator_log).close()
    finally:
        os.umask(before)
    assert mode(folder.study_file) == mode(folder.coordinator_log) == PRIVATE == 0o600


def test_no_moment_leaves_the_file_readable(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def note(path: Path, content: bytes) -> int:
        seen.append(mode(path))
        with path.open("wb") as file:
            return file.write(content)

    monkeypatch.setattr(Path, "write_bytes", note)
    folder.write_study({}, "x")
    assert seen == [0o600]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    calls: list[tuple[list[str], dict[str, str]]] = []

    class Process:
        pid = 1

        def __init__(self, command: list[str], env: dict[str, str], **_: object) -> None:
            calls.append((command, env))

    monkeypatch.setattr("greenopt.runs.background.subprocess.Popen", Process)
    return calls


@pytest.mark.parametrize("form", [["--storage", "{}"], ["--storage={}"]])
def test_a_background_process_has_no_password_in_its_command_line(
    folder: RunFolder, started: list[tuple[list[str], dict[str, str]]], form: list[str]
) -> None:
    """Every user of a machine sees the command lines of all processes."""
    url = "postgresql://u:hunter2@h/db"
    launch(["run", "a.toml", *(part.format(url) for part in form), "--plain"], folder)
    ((command, environment),) = started
    assert "hunter2" not in " ".join(command)
    assert command[-3:] == ["run", "a.toml", "--plain"]
    assert environment["GREENOPT_STORAGE"] == url


def test_a_trial_does_not_inherit_the_storage() -> None:
    found = child_environment({"GREENOPT_STORAGE": "postgresql://u:hunter2@h/db", "HOME": "/h"}, Slot("cpu"))
    assert "hunter2" not in json.dumps(found)
    assert found["HOME"] == "/h"


def test_a_study_keeps_no_secret(folder: RunFolder) -> None:
    for url in ("postgresql://u:hunter2@h/db", "postgresql://h/db?user=u&password=hunter2&token=hunter2"):
        folder.write_study({}, without_password(url))
        assert "hunter2" not in folder.study_file.read_text()
        assert "***" in folder.storage()


def test_a_file_that_is_asked_for_is_not_written_through_anybodys_link(tmp_path: Path, secret: Path) -> None:
    """In a folder of many users, such as /tmp, the path of what is being written could be guessed."""
    target = tmp_path / "table.csv"
    target.with_name(f"table.part-{os.getpid()}.csv").symlink_to(secret)
    with requested_file(target) as scratch:
        assert not scratch.is_symlink()
        scratch.write_text("mine")
    assert target.read_text() == "mine"
    assert secret.read_text() == "PRIVATE KEY\n"
