from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from greenopt.coordination.image_room import room_note, room_problem
from greenopt.coordination.preflight import check_study, input_notes
from greenopt.errors import UsageError
from greenopt.spec import StudySpec
from greenopt.trial.data.cache import cached_images


def study(data: dict[str, Any], space: dict[str, Any] | None = None, **training: Any) -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": "s", "trials": 1},
            "data": data,
            "training": {"epochs": 1, "model": "tests.unit.trial.tiny:build", **training},
            "space": {"batch_size": [4], **(space or {})},
        }
    )


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number in range(20):
        place = tmp_path / "photos" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (number, 0, 0)).save(place / f"{number}.png")
    (tmp_path / "kept").mkdir(mode=0o700)
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path / "kept"))
    return tmp_path / "photos"


def test_a_dry_run_says_how_large_images_on_the_disk_are_and_where(photos: Path, tmp_path: Path) -> None:
    data = {"name": "folder", "path": str(photos), "images_on": "disk"}
    place = tmp_path / "kept" / "images"
    begin, end = "20 images of 40x30 take 72 kB; they are", f"from {place}, 8 at a time (29 kB; training.block_images)"
    spec = study(data, block_images=8)
    assert input_notes(spec) == [f"{begin} prepared by the first trial and read {end}"]
    assert spec.data is not None
    cached_images(spec.data)
    assert input_notes(spec) == [f"{begin} read {end}"]
    assert input_notes(study({**data, "images_on": "memory"})) == []


def test_a_full_disk_is_told_before_the_start(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study({"name": "folder", "path": str(photos), "images_on": "disk", "image_size": 1000})
    assert room_problem(spec) is None
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=50_000_000))
    with pytest.raises(UsageError, match=r"20 images of 1000x1000 take 60 MB and 50 MB are free in .*GREENOPT_CACHE"):
        check_study(spec, Path("s.toml"))


def test_images_larger_than_the_memory_are_told_what_to_do(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=50_000_000))
    data = {"name": "folder", "path": str(photos), "image_size": 1000}
    assert room_problem(study(data)) == (
        'data: 20 images of 1000x1000 take 60 MB and this machine has 50 MB of memory; set data.images_on = "disk"'
    )
    assert room_problem(study({**data, "images_on": "disk"})) is None


@pytest.mark.parametrize("sizes", [[32, 1000, 64], {"low": 32, "high": 1000, "step": 8}])
def test_of_sizes_that_vary_the_largest_counts(
    photos: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int] | dict[str, int]
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=50_000_000))
    problem = room_problem(study({"name": "folder", "path": str(photos)}, space={"image_size": sizes}))
    assert problem is not None
    assert problem.startswith("data: 20 images of 1000x1000 take 60 MB")


def test_without_a_cache_folder_nothing_can_stay_on_the_disk(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENOPT_CACHE", "")
    spec = study({"name": "folder", "path": str(photos), "images_on": "disk"})
    assert "'disk' needs greenopt's cache folder" in str(room_problem(spec))
    assert room_note(spec) is None


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (lambda path: {"name": "npz", "path": str(path)}, "6 images of 9x7"),
        (lambda path: {"name": "synthetic", "images": 5000, "image_size": 64}, "5,000 images of 64x64"),
        (lambda path: {"name": "mnist", "image_size": 64}, "70,000 images of 64x64"),
        (lambda path: {"name": "cifar10"}, "50,000 images of 32x32"),
    ],
)
def test_the_size_of_every_set_is_known(
    photos: Path, tmp_path: Path, data: Callable[[Path], dict[str, Any]], size: str
) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((6, 7, 9, 3), np.uint8), y=np.arange(6) % 2)
    assert str(room_note(study({**data(tmp_path / "a.npz"), "images_on": "disk"}))).startswith(size)
