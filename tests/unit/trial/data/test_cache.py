from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from greenopt.spec import DataSet, DataSpec
from greenopt.trial.data.cache import cached_images
from greenopt.trial.data.images import Images, load_images
from greenopt.trial.data.rows import Rows
from greenopt.trial.failures import DataMissingError, WrongSettingError


class Loader:
    """Loads images, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, spec: DataSpec, rows: Rows | None) -> Images:
        self.calls += 1
        return load_images(spec, rows)


def synthetic(**more: int) -> DataSpec:
    return DataSpec.model_validate({"name": "synthetic", "images": 60, "classes": 3, "image_size": 8, **more})


def npz(path: Path, seed: int = 0) -> DataSpec:
    x = np.random.default_rng(seed).integers(0, 256, (12, 8, 8, 3), np.uint8)
    np.savez(path, x=x, y=np.arange(12) % 3)
    return DataSpec.model_validate({"name": "npz", "path": str(path)})


def equal(a: Images, b: Images) -> bool:
    return np.array_equal(a.x, b.x) and np.array_equal(a.y, b.y) and (a.classes, a.title) == (b.classes, b.title)


@pytest.mark.parametrize("name", ["synthetic", "npz", "digits"])
def test_images_are_loaded_once_and_mapped_as_they_were(tmp_path: Path, name: str) -> None:
    specs: dict[str, Callable[[], DataSpec]] = {
        "synthetic": synthetic,
        "npz": lambda: npz(tmp_path / "a.npz"),
        "digits": lambda: DataSpec(name=DataSet.DIGITS),
    }
    spec, load = specs[name](), Loader()
    first, second = (cached_images(spec, tmp_path / "kept", load) for _ in range(2))
    assert load.calls == 1
    assert equal(first, load_images(spec))
    assert equal(second, first)
    assert isinstance(second.x, np.memmap)
    assert not second.x.flags.writeable


def test_another_size_number_or_file_is_another_entry(tmp_path: Path) -> None:
    load, kept = Loader(), tmp_path / "kept"
    for spec in (synthetic(), synthetic(image_size=16), synthetic(images=90), npz(tmp_path / "a.npz")):
        assert equal(cached_images(spec, kept, load), load_images(spec))
    assert load.calls == 4
    changed = npz(tmp_path / "a.npz", seed=1)
    assert equal(cached_images(changed, kept, load), load_images(changed))
    assert load.calls == 5


def test_the_limit_of_a_real_data_set_is_no_part_of_its_images(tmp_path: Path) -> None:
    load, spec = Loader(), npz(tmp_path / "a.npz")
    cached_images(spec, tmp_path / "kept", load)
    cached_images(spec.model_copy(update={"images": 6}), tmp_path / "kept", load)
    assert load.calls == 1


def test_a_damaged_entry_is_loaded_anew(tmp_path: Path) -> None:
    load, spec = Loader(), synthetic()
    cached_images(spec, tmp_path, load)
    (file,) = tmp_path.rglob("x.npy")
    file.write_bytes(b"half")
    assert equal(cached_images(spec, tmp_path, load), load_images(spec))
    assert equal(cached_images(spec, tmp_path, load), load_images(spec))
    assert load.calls == 3


def test_where_nothing_can_be_written_images_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    load = Loader()
    assert equal(cached_images(synthetic(), tmp_path / "file", load), load_images(synthetic()))


def test_problems_of_the_data_are_told_as_without_a_cache(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError):
        cached_images(DataSpec.model_validate({"name": "npz", "path": str(tmp_path / "none.npz")}), tmp_path)
    np.savez(tmp_path / "bad.npz", x=np.zeros((4, 8, 8, 3), np.uint8), y=np.array([0, 1, 3, 4]))
    with pytest.raises(WrongSettingError):
        cached_images(DataSpec.model_validate({"name": "npz", "path": str(tmp_path / "bad.npz")}), tmp_path)
