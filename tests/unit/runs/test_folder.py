"""The run folder: one coordinator, and what others may know of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from greenopt.errors import UsageError
from greenopt.runs.folder import RunFolder, run_folders


def test_a_second_coordinator_is_refused_with_the_firsts_pid_and_host(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from greenopt.runs.folder import RunFolder
with RunFolder(Path({str(tmp_path / "s")!r})).claim():
    print("held", flush=True)
    input()
"""
    first = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    folder = RunFolder(tmp_path / "s")
    with pytest.raises(UsageError, match=rf"study s is being run by pid {first.pid} on \S+"):
        folder.claim()
    assert folder.holder_pid() == first.pid
    first.kill()
    first.wait()
    assert folder.holder() is None
    folder.claim().release()


def test_the_storage_is_found_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "s")
    folder.path.mkdir()
    folder.write_study({"a": 1}, f"sqlite:///{tmp_path}/s/x.db")
    assert folder.storage() == f"sqlite:///{tmp_path}/s/x.db"
    assert [found.name for found in run_folders(tmp_path)] == ["s"]


def test_no_study_and_a_damaged_one_are_told_apart(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "s")
    with pytest.raises(UsageError, match="no study here"):
        folder.storage()
    folder.path.mkdir()
    folder.study_file.write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match="is damaged"):
        folder.storage()
    folder.study_file.write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(UsageError, match="is damaged"):
        folder.storage()


def test_looking_at_a_study_leaves_nothing_behind(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "nowhere").holder() is None
    assert list(tmp_path.iterdir()) == []
