import hashlib
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from greenopt.spec import DataSet, DataSpec
from greenopt.trial.data import files as data_files
from greenopt.trial.data.files import ARCHIVES, check_data, fetch_archive, find_archive
from greenopt.trial.failures import DataMissingError

CONTENT = b"as published"
CIFAR = replace(ARCHIVES[DataSet.CIFAR100], sha256=hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setitem(ARCHIVES, DataSet.CIFAR100, CIFAR)
    folder = tmp_path / "keras" / "datasets"
    folder.mkdir(parents=True)
    return folder


def cifar100(path: Path | None = None) -> DataSpec:
    return DataSpec(name=DataSet.CIFAR100, path=None if path is None else str(path))


@pytest.mark.parametrize("name", ["cifar-100-python-target_archive", "cifar-100-python.tar.gz"])
def test_an_archive_in_kerass_folder_is_found_under_both_names(keras_home: Path, name: str) -> None:
    (keras_home / name).write_bytes(CONTENT)
    assert find_archive(cifar100()) == keras_home / name
    assert check_data(cifar100()) is None


def test_a_damaged_archive_is_named_and_left_as_it_is(keras_home: Path) -> None:
    file = keras_home / "cifar-100-python-target_archive"
    file.write_bytes(b"cut sho")
    problem = check_data(cifar100(), can_reach=lambda _: True)
    assert problem is not None
    assert str(file) in problem
    assert "SHA-256" in problem
    assert file.read_bytes() == b"cut sho"


def test_what_is_nowhere_can_be_had_where_its_address_answers(keras_home: Path) -> None:
    assert check_data(cifar100(), can_reach=lambda _: True) is None
    problem = check_data(cifar100(), can_reach=lambda _: False)
    assert problem is not None
    assert "put cifar-100-python.tar.gz into" in problem
    assert str(keras_home) in problem
    assert "data.path" in problem


def test_a_path_of_the_user_may_be_the_file_or_a_folder_around_it(keras_home: Path, tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(CONTENT)
    for path in (tmp_path, tmp_path / "cifar-100-python.tar.gz"):
        assert find_archive(cifar100(path)) == tmp_path / "cifar-100-python.tar.gz"
    with pytest.raises(DataMissingError, match="does not exist"):
        find_archive(cifar100(tmp_path / "nowhere"))
    with pytest.raises(DataMissingError, match="holds neither"):
        find_archive(cifar100(keras_home))


def test_a_download_appears_whole_and_checked(keras_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(CONTENT))
    target = fetch_archive(CIFAR)
    assert target.read_bytes() == CONTENT
    assert find_archive(cifar100()) == target


@pytest.mark.parametrize("answer", [b"something else", None])
def test_a_download_that_goes_wrong_leaves_nothing_and_says_where_to_put_the_file(
    keras_home: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    def opened(*_: Any, **__: Any) -> io.BytesIO:
        if answer is None:
            raise URLError("no route")
        return io.BytesIO(answer)

    monkeypatch.setattr("urllib.request.urlopen", opened)
    with pytest.raises(DataMissingError, match=r"could not be downloaded.*put cifar-100-python.tar.gz into"):
        fetch_archive(CIFAR)
    assert [file for file in keras_home.iterdir() if not file.name.endswith(".lock")] == []


def test_npz_files_are_checked_without_being_loaded(tmp_path: Path) -> None:
    def problem(name: str) -> str:
        return check_data(DataSpec(name=DataSet.NPZ, path=str(tmp_path / name))) or ""

    assert "no such file" in problem("absent.npz")
    (tmp_path / "text.npz").write_text("no")
    assert "is not an .npz file" in problem("text.npz")
    np.savez(tmp_path / "half.npz", x=np.zeros(1))
    assert "has no array y" in problem("half.npz")
    np.savez(tmp_path / "whole.npz", x=np.full((2, 4, 4), 99, np.uint8), y=np.arange(2))
    assert problem("whole.npz") == ""


def test_generated_data_need_no_check() -> None:
    assert check_data(DataSpec(name=DataSet.DIGITS)) is None
    assert check_data(DataSpec(name=DataSet.SYNTHETIC)) is None


def test_checking_data_imports_nothing_heavy() -> None:
    program = f"import sys, {data_files.__name__}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "tensorflow", "keras", "sklearn"}.isdisjoint(loaded)
