import os
from pathlib import Path

import pytest

from greenopt.trial.cache_folder import cache_folder, prune


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
