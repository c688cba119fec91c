import os
from pathlib import Path

import pytest

from greenopt.cache_folder import cache_folder, prune


def test_the_folder_is_the_named_one_and_an_empty_name_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path / "kept"))
    assert cache_folder() == tmp_path / "kept"
    assert (tmp_path / "kept").is_dir()
    monkeypatch.setenv("GREENOPT_CACHE", "")
    assert cache_folder() is None
    monkeypatch.delenv("GREENOPT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_folder() == tmp_path / "user" / "greenopt"


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "x").write_bytes(bytes(100))
        os.utime(tmp_path / str(number) / "x", (number, number))
    (tmp_path / "file").write_bytes(bytes(100))
    os.utime(tmp_path / "file", (0.5, 0.5))
    prune(tmp_path, 300)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "2", "3"]
    prune(tmp_path, 0)
    assert not list(tmp_path.iterdir())


def mode_of(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def test_a_new_folder_is_its_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path / "a" / "kept"))
    assert cache_folder() == tmp_path / "a" / "kept"
    assert mode_of(tmp_path / "a" / "kept") == 0o700


def test_a_named_folder_that_others_could_write_to_is_not_used_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path))
    for mode in (0o777, 0o1777, 0o775, 0o720):
        tmp_path.chmod(mode)
        (tmp_path / "graphs").mkdir(exist_ok=True)
        assert cache_folder(said.append) is None
        assert f"can be written to by others (mode {mode:04o})" in said[-1]
        assert (mode_of(tmp_path), (tmp_path / "graphs").is_dir()) == (mode & 0o777, True)
    tmp_path.chmod(0o755)
    assert cache_folder(said.append) == tmp_path
    assert len(said) == 4


def test_the_default_folder_is_closed_and_what_others_may_have_laid_there_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GREENOPT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "greenopt"
    (folder / "graphs").mkdir(parents=True)
    (folder / "graphs" / "laid.json").write_text("[]")
    (tmp_path / "precious").write_text("precious")
    (folder / "link").symlink_to(tmp_path)
    (folder / "idle.json").write_text("{}")
    folder.chmod(0o755)
    assert cache_folder() == folder
    assert (mode_of(folder), (folder / "graphs" / "laid.json").exists()) == (0o700, True)
    folder.chmod(0o777)
    assert cache_folder() == folder
    assert (mode_of(folder), [entry.name for entry in folder.iterdir()]) == (0o700, ["idle.json"])
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    (tmp_path / "link").symlink_to(theirs)
    for named in ("theirs", "link"):
        monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path / named))
        assert cache_folder(said.append) is None
        assert "belongs to another user (uid 65534)" in said[-1]
    assert not list(theirs.iterdir())
