"""Modules and data on their way to other machines, without a cluster."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from greenopt.execution.ray_slot import RaySlot, locked_folder, node_environment, remove_abandoned
from greenopt.execution.travel import Parcel, archive_pieces, digest_of, module_files, unpack


def parcel_of(path: Path) -> Parcel:
    digest = digest_of(path)
    assert digest is not None
    return Parcel(str(path), digest)


def images(folder: Path) -> Path:
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png"):
        file = folder / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode() * 10_000)
    return folder / "images"


@pytest.fixture
def slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RaySlot:
    """An actor's object, on a node with a cache of its own."""
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path / "cache"))
    return RaySlot()


def sent(slot: RaySlot, parcel: Parcel, piece_bytes: int = 7_000) -> str | None:
    pieces, offset, problem = list(archive_pieces(parcel, piece_bytes)), 0, None
    for number, piece in enumerate(pieces):
        problem = slot.store(parcel, piece, offset, number == len(pieces) - 1)
        offset += len(piece)
    return problem


@pytest.mark.parametrize("name", ["images", "images/cats/1.png"])
def test_data_arrive_as_they_were_and_are_kept_for_the_next_study(tmp_path: Path, slot: RaySlot, name: str) -> None:
    images(tmp_path)
    parcel = parcel_of(tmp_path / name)
    moved = tmp_path / "elsewhere"
    elsewhere = Parcel(str(moved / Path(name).name), parcel.digest)
    assert slot.missing([parcel]) == []
    assert slot.missing([elsewhere]) == [elsewhere]
    pieces = list(archive_pieces(parcel, 7_000))
    for number, piece in enumerate(pieces):
        problem = slot.store(elsewhere, piece, sum(map(len, pieces[:number])), number == len(pieces) - 1)
        assert problem is None
    assert len(pieces) > 1
    assert RaySlot().missing([elsewhere]) == []
    kept = tmp_path / "cache" / "travelled" / parcel.digest / Path(name).name
    assert digest_of(kept) == parcel.digest


def test_without_a_cache_data_that_travelled_last_as_long_as_their_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENOPT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "unused"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "slots"))
    (tmp_path / "slots").mkdir()
    elsewhere = Parcel(str(tmp_path / "moved" / "images"), parcel_of(images(tmp_path)).digest)
    slot = RaySlot()
    pieces = b"".join(archive_pieces(Parcel(str(tmp_path / "images"), elsewhere.digest), 7_000))
    assert slot.store(elsewhere, pieces, 0, is_last=True) is None
    assert (slot.missing([elsewhere]), RaySlot().missing([elsewhere])) == ([], [elsewhere])
    assert not (tmp_path / "unused").exists()
    slot.close()
    assert not list((tmp_path / "slots").rglob("1.png"))


def test_data_of_the_same_path_and_other_contents_travel(tmp_path: Path, slot: RaySlot) -> None:
    folder = images(tmp_path)
    parcel = parcel_of(folder)
    (folder / "cats" / "1.png").write_bytes(b"changed on the node")
    assert slot.missing([parcel]) == [parcel]
    assert "what arrived is not what was sent" in str(sent(slot, parcel))
    assert slot.missing([parcel]) == [parcel]
    assert list((tmp_path / "cache" / "travelled").iterdir()) == []


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/greenopt-out.txt"])
def test_an_archive_is_unpacked_into_its_folder_alone(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "data.tar"
    with tarfile.open(archive, "w") as file:
        member = tarfile.TarInfo(name)
        member.size = 3
        file.addfile(member, io.BytesIO(b"out"))
    with pytest.raises(OSError, match="is no file of the data"):
        unpack(archive, tmp_path / "in")
    assert not (tmp_path / "out.txt").exists()


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "data.tar"
    with tarfile.open(archive, "w") as file:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(member)
    with pytest.raises(OSError, match="is no file of the data"):
        unpack(archive, tmp_path / "in")


def test_data_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        list(archive_pieces(Parcel(str(tmp_path / "nowhere"), "0"), 1000))


def test_modules_travel_with_what_they_import(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import beside\nfrom pack import part\nimport json, numpy\n")
    (tmp_path / "beside.py").write_text("A = 1\n")
    (tmp_path / "unused.py").write_text("B = 1\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "part.py").write_text("from . import deeper\n")
    (tmp_path / "pack" / "deeper.py").write_text("")
    files = module_files(["own"], str(tmp_path))
    assert sorted(files) == ["beside.py", "own.py", "pack/__init__.py", "pack/deeper.py", "pack/part.py"]
    assert files["beside.py"] == b"A = 1\n"


def test_folders_of_slots_that_were_killed_are_removed_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (held, lock), (killed, lost_lock) = locked_folder(), locked_folder()
    beginning = tmp_path / "greenopt-ray-beginning"
    beginning.mkdir()
    os.close(lost_lock)
    remove_abandoned()
    assert (held.exists(), killed.exists(), beginning.exists()) == (True, False, True)
    os.close(lock)


def test_a_trial_does_not_get_what_ray_sets_for_its_workers() -> None:
    worker = {"PATH": "/bin", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "2", "RAY_JOB_ID": "01", "TF_X": "1"}
    assert node_environment(worker, {"OMP_NUM_THREADS": "8"}) == {"PATH": "/bin", "OMP_NUM_THREADS": "8", "TF_X": "1"}
    assert node_environment(worker, {}) == {"PATH": "/bin", "TF_X": "1"}
