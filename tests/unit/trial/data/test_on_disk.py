"""Images that stay on the disk: the same as those in memory, whatever asks for them, and never all at once."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from greenopt.spec import DataSpec, ImagesOn, Preprocessing
from greenopt.trial.data.cache import cached_images
from greenopt.trial.data.images import Images, load_images
from greenopt.trial.data.npz_file import read_npz
from greenopt.trial.data.pictures import tried
from greenopt.trial.data.rows import FileRows, MemoryRows, Rows
from greenopt.trial.data.scaling import fit_scaling
from greenopt.trial.data.stored_array import StoredArray
from greenopt.trial.failures import WrongSettingError

RANDOM = np.random.default_rng(3)


def stored(path: Path, x: Any) -> StoredArray:
    np.save(path, x)
    return StoredArray(path)


@pytest.mark.parametrize("side", [4, 200])
def test_rows_are_read_in_the_order_asked_for(tmp_path: Path, side: int) -> None:
    """Large ones by several threads."""
    x = RANDOM.integers(0, 256, (60, side, side, 3), np.uint8)
    found = stored(tmp_path / "x.npy", x)
    assert (found.shape, found.dtype, found.nbytes, len(found)) == (x.shape, x.dtype, x.nbytes, 60)
    for ids in ([], [5], [59, 0, 0, 59], [*range(60)], RANDOM.permutation(60), [3, 4, 5, 9, 10, 2]):
        np.testing.assert_array_equal(found.rows(np.array(ids, np.int64)), x[np.array(ids, np.int64)])
    for ids in ([60], [-1]):
        with pytest.raises(IndexError):
            found.rows(np.array(ids))


def test_a_file_that_is_cut_short_is_no_array(tmp_path: Path) -> None:
    stored(tmp_path / "x.npy", np.zeros((9, 4, 4, 3), np.uint8))
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-1])
    with pytest.raises(ValueError, match="is damaged"):
        StoredArray(tmp_path / "x.npy")


def test_a_file_that_shrinks_while_it_is_read_is_an_error_and_no_noise(tmp_path: Path) -> None:
    found = stored(tmp_path / "x.npy", np.ones((9, 4, 4, 3), np.uint8))
    os.truncate(tmp_path / "x.npy", 200)
    with pytest.raises(OSError, match="ends before its last image"):
        found.rows(np.array([8]))


@pytest.mark.parametrize("written", [0, 1, 10])
def test_rows_in_a_file_are_those_in_memory(tmp_path: Path, written: int) -> None:
    """Fewer may come than there is room for; the header says how many there are, and its length stays."""
    x = RANDOM.integers(0, 256, (10, 3, 2), np.uint8)
    both: tuple[Rows, Rows] = (FileRows(tmp_path / "x.npy"), MemoryRows())
    for rows in both:
        rows.open(10_000_000, (3, 2), "uint8") if isinstance(rows, FileRows) else rows.open(10, (3, 2), "uint8")
        for row in x[:written]:
            rows.append(row)
    for closed in (*(rows.close() for rows in both), np.load(tmp_path / "x.npy")):
        np.testing.assert_array_equal(closed, x[:written])


def npz(path: Path, **arrays: Any) -> DataSpec:
    np.savez_compressed(path, **arrays)
    return DataSpec.model_validate({"name": "npz", "path": str(path)})


def many(count: int, kind: str = "uint8", shape: tuple[int, ...] = (8, 8, 3)) -> Any:
    return RANDOM.integers(0, 2 if kind == "bool" else 250, (count, *shape)).astype(kind)


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": many(40), "y": np.arange(40) % 3},
        {"x": many(40, "int64", (8, 8)), "y": np.arange(40) % 3},
        {"x": many(40, "uint16", (8, 8, 4)), "y": np.arange(40) % 3},
        {"x": many(40, "bool", (8, 8, 1)), "y": np.arange(40) % 3},
        {"x": np.asfortranarray(many(40)), "y": np.arange(40) % 3},
        {"x_train": many(30), "y_train": np.arange(30) % 3, "x_test": many(9, "int32"), "y_test": np.arange(9) % 3},
    ],
)
@pytest.mark.parametrize("side", [None, 5])
def test_arrays_of_whole_numbers_are_streamed_as_they_are_read(
    tmp_path: Path, arrays: dict[str, Any], side: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = npz(tmp_path / "a.npz", **arrays).model_copy(update={"image_size": side})
    # Some at a time, several times.
    monkeypatch.setattr("greenopt.trial.data.npz_file._CHUNK_BYTES", 7 * 8 * 8 * 3)
    monkeypatch.setattr("greenopt.trial.data.images._RESIZE_AT_ONCE", 7)
    whole = load_images(spec)
    kept = cached_images(spec.model_copy(update={"images_on": ImagesOn.DISK}), tmp_path / "kept")
    assert isinstance(kept.x, StoredArray)
    np.testing.assert_array_equal(kept.rows(np.arange(len(kept.y))), whole.x)
    for name in ("y", "parts"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(whole, name))


def test_wrong_values_are_refused_where_they_are_streamed_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=many(40, "int64") + 10, y=np.arange(40) % 3)
    with pytest.raises(WrongSettingError, match=r"outside 0\.\.255"):
        read_npz(tmp_path / "a.npz", FileRows(tmp_path / "x.npy"))


def test_fractions_are_for_the_memory_and_a_line_says_so(tmp_path: Path) -> None:
    x = RANDOM.random((12, 8, 8, 3)).astype(np.float32)
    spec = npz(tmp_path / "a.npz", x=x, y=np.arange(12) % 3).model_copy(update={"images_on": ImagesOn.DISK})
    with pytest.raises(WrongSettingError, match=r"data\.images_on: .disk. is for images of whole numbers"):
        cached_images(spec, tmp_path / "kept")


def folder(root: Path, count: int, side: int, classes: int = 2) -> DataSpec:
    for number in range(count):
        place = root / "images" / f"class {number % classes}"
        place.mkdir(parents=True, exist_ok=True)
        colour = tuple(int(level) for level in RANDOM.integers(0, 256, 3))
        Image.new("RGB", (side, side), colour).save(place / f"{number:04}.png", compress_level=1)
    return DataSpec.model_validate({"name": "folder", "path": str(root / "images"), "images_on": "disk"})


def test_one_file_serves_both_and_broken_images_are_left_out(tmp_path: Path) -> None:
    spec = folder(tmp_path, 11, 6).model_copy(update={"skip_broken": True})
    (tmp_path / "images" / "class 0" / "0002.png").write_bytes(b"no image")
    in_memory = cached_images(spec.model_copy(update={"images_on": ImagesOn.MEMORY}), tmp_path / "kept")
    on_disk = cached_images(spec, tmp_path / "kept")
    assert len(list((tmp_path / "kept" / "images").glob("folder-*/x.npy"))) == 1
    np.testing.assert_array_equal(on_disk.rows(np.arange(10)), in_memory.x)
    assert on_disk.left_out == in_memory.left_out == "class 0/0002.png (cannot be read)"


def test_scaling_is_fitted_some_images_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenopt.trial.data.images._BLOCK_BYTES", 1000)
    x = RANDOM.integers(0, 256, (50, 8, 8, 3), np.uint8)
    images = Images(stored(tmp_path / "x.npy", x), np.arange(50, dtype=np.int32) % 2, 2, "made")
    ids = np.arange(3, 40)
    assert len(list(images.blocks(ids))) > 5
    for kind in ("standardization", "robust_scaling", "minmax"):
        assert fit_scaling(Preprocessing(kind), images.blocks(ids)) == fit_scaling(Preprocessing(kind), x[ids])


def test_a_damaged_file_is_prepared_again(tmp_path: Path) -> None:
    spec = folder(tmp_path, 6, 6)
    cached_images(spec, tmp_path / "kept")
    (file,) = (tmp_path / "kept").rglob("x.npy")
    file.write_bytes(file.read_bytes()[:-5])
    images = cached_images(spec, tmp_path / "kept")
    np.testing.assert_array_equal(images.rows(np.arange(6)), load_images(spec).x)


def test_where_nothing_can_be_kept_a_line_says_so_and_nothing_is_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = folder(tmp_path, 6, 6)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(FileRows, "append", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(WrongSettingError, match=r"images cannot be kept in .*images: No space left on device"):
        cached_images(spec, tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept" / "images").iterdir() if not path.name.endswith(".lock")] == []
    monkeypatch.setenv("GREENOPT_CACHE", "")
    with pytest.raises(WrongSettingError, match="'disk' needs greenopt's cache folder; GREENOPT_CACHE is empty"):
        cached_images(spec)


MEASURED = """
import json, os, sys
from collections.abc import Iterator
from pathlib import Path
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:2])
import numpy as np
from greenopt.spec import DataSpec, ImagesOn, Preprocessing
from greenopt.trial.data.cache import cached_images
from greenopt.trial.data.scaling import fit_scaling

def peak():
    status = dict(line.split(":") for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) * 1024

spec, kept = DataSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2])
before = peak()
images = cached_images(spec, kept)
fit_scaling(Preprocessing.STANDARDIZATION, images.blocks(np.arange(len(images.y))))
order = np.random.default_rng(0).permutation(len(images.y))
read = sum(images.rows(order[at : at + 8]).nbytes for at in range(0, len(order), 8))
print(json.dumps({"grown": peak() - before, "read": read, "file": images.x.nbytes}))
"""


def test_memory_stays_bounded_while_a_set_larger_than_it_is_prepared_and_read(tmp_path: Path) -> None:
    """By the most that a process ever held: preparing, fitting and an epoch of reading, against the file's size."""
    spec = folder(tmp_path, 200, 600)
    command = [sys.executable, "-c", MEASURED, spec.model_dump_json(), str(tmp_path / "kept")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    measured = json.loads(ended.stdout)
    assert measured["read"] == measured["file"] == 200 * 600 * 600 * 3
    assert measured["grown"] < measured["file"] / 3, measured


def test_a_read_that_gives_less_than_asked_for_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = RANDOM.integers(0, 256, (20, 16, 16, 3), np.uint8)
    found, whole = stored(tmp_path / "x.npy", x), os.preadv
    monkeypatch.setattr("os.preadv", lambda file, parts, place: whole(file, [parts[0][:100]], place))
    ids = np.array([3, 4, 5, 19, 0])
    np.testing.assert_array_equal(found.rows(ids), x[ids])


def test_images_are_not_read_far_ahead_of_where_they_go() -> None:
    """Else a slow disk would have all of them wait in memory."""
    taken: list[int] = []

    def sources() -> Iterator[int]:
        for number in range(10_000):
            taken.append(number)
            yield number

    results = tried(lambda number: number, sources())
    assert [next(results), next(results)] == [0, 1]
    assert len(taken) <= 4 * len(os.sched_getaffinity(0)) + 2
    assert list(results) == list(range(2, 10_000))
