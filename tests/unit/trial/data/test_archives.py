"""Archives of images that somebody made: no link is followed, no code runs, and what they hold has a limit."""

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenopt.spec import DataSet
from greenopt.trial.data import archives
from greenopt.trial.data.archives import read_archive
from greenopt.trial.data.files import ARCHIVES
from greenopt.trial.failures import DataMissingError

CIFAR = ARCHIVES[DataSet.CIFAR100]


def batch(count: int = 2) -> bytes:
    return pickle.dumps({"data": np.zeros((count, 3072), np.uint8), CIFAR.label_key: list(range(count))})


def packed(path: Path, content: bytes | None, **entry: Any) -> Path:
    """An archive with one entry in the place of the published file of images."""
    with tarfile.open(path, "w:gz") as file:
        member = tarfile.TarInfo(f"{CIFAR.folder}/{CIFAR.batches[0]}")
        member.size = len(content or b"")
        for name, value in entry.items():
            setattr(member, name, value)
        file.addfile(member, io.BytesIO(content) if content is not None else None)
    return path


def test_images_are_read(tmp_path: Path) -> None:
    x, y = read_archive(packed(tmp_path / "a.tar.gz", batch()), CIFAR)
    assert x.shape == (2, 32, 32, 3)
    assert y.tolist() == [0, 1]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused_in_one_line(tmp_path: Path, kind: bytes) -> None:
    path = packed(tmp_path / "a.tar.gz", None, type=kind, linkname="../../../etc/passwd")
    with pytest.raises(DataMissingError, match="is no file but a link or a device") as raised:
        read_archive(path, CIFAR)
    assert "\n" not in str(raised.value)


def test_nothing_is_unpacked_outside(tmp_path: Path) -> None:
    """Entries of such names are not looked at: nothing is unpacked to the disk at all."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as file:
        for name in ("../outside", "/tmp/greenopt-outside", f"{CIFAR.folder}/{CIFAR.batches[0]}"):
            content = batch()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    before = sorted(tmp_path.rglob("*"))
    read_archive(tmp_path / "a.tar.gz", CIFAR)
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "outside").exists()


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("ran",))


class Nested:
    def __reduce__(self) -> Any:
        return (__import__, ("os",))


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Evil()),
        pickle.dumps({"data": Nested()}),
        b"cos\nsystem\n(S'true'\ntR.",
        b"",
        b"\x80\x05.",
        b"(" * 9999,
    ],
    ids=repr,
)
def test_a_pickle_runs_nothing(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataMissingError) as raised:
        read_archive(packed(tmp_path / "a.tar.gz", content), CIFAR)
    assert len(str(raised.value).splitlines()) == 1
    assert capsys.readouterr().out == ""


def test_more_than_a_data_set_can_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "a.tar.gz", batch(100))
    monkeypatch.setattr(archives, "MAX_BATCH_BYTES", 1 << 10)
    with pytest.raises(DataMissingError, match="is larger than"):
        read_archive(path, CIFAR)
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 1 << 10)
    with pytest.raises(DataMissingError, match="it holds more than"):
        read_archive(path, CIFAR)


def test_a_pipe_in_an_unpacked_folder_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / CIFAR.batches[0])
    with pytest.raises(DataMissingError, match="is not a regular file"):
        read_archive(tmp_path, CIFAR)
