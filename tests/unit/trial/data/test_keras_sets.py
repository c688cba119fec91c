"""The image sets of `keras.datasets`: found where Keras keeps them, checked, fetched by name, their test parts kept."""

import gzip
import hashlib
import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from greenopt.cache_folder import say_once
from greenopt.coordination.image_checks import image_problem
from greenopt.spec import DataSet, DataSpec, Shares
from greenopt.trial.data import keras_sets
from greenopt.trial.data.cache import cached_images
from greenopt.trial.data.files import check_data, download_note
from greenopt.trial.data.images import load_images, split_images
from greenopt.trial.data.keras_sets import KERAS_SETS, PublishedFile
from greenopt.trial.failures import DataMissingError
from tests.builders import study

RANDOM = np.random.default_rng(0)
TRAIN, TEST = (RANDOM.integers(0, 256, (count, 28, 28), dtype=np.uint8) for count in (40, 20))
LABELS = (np.arange(40) % 10).astype(np.uint8)


def npz_bytes() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x_train=TRAIN, y_train=LABELS, x_test=TEST, y_test=LABELS[:20])
    return stream.getvalue()


def idx_bytes(array: Any) -> bytes:
    header = struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


CONTENTS = {
    DataSet.MNIST: [npz_bytes()],
    DataSet.FASHION_MNIST: [idx_bytes(array) for array in (TRAIN, LABELS, TEST, LABELS[:20])],
}


@pytest.fixture(params=list(CONTENTS), ids=str)
def small(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """A set of 60 images in place of the published one, nowhere on this machine."""
    name: DataSet = request.param
    published = KERAS_SETS[name]
    files = tuple(
        PublishedFile(file.name, hashlib.sha256(content).hexdigest(), len(content))
        for file, content in zip(published.files, CONTENTS[name], strict=True)
    )
    monkeypatch.setitem(KERAS_SETS, name, replace(published, files=files, train_images=40, test_images=20))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return name


def stored(name: DataSet, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / file.name for file in KERAS_SETS[name].files]
    for file, content in zip(files, CONTENTS[name], strict=True):
        file.write_bytes(content)
    return files


def place(name: DataSet, tmp_path: Path) -> Path:
    return tmp_path / "keras" / "datasets" / KERAS_SETS[name].folder


def test_files_that_keras_keeps_are_used_and_their_test_part_stays_the_test_part(
    small: DataSet, tmp_path: Path
) -> None:
    stored(small, place(small, tmp_path))
    spec = DataSpec(name=small, image_size=28)
    assert check_data(spec, can_reach=lambda _: False) is None
    assert download_note(spec) is None
    images = load_images(spec)
    assert (images.classes, images.class_names) == (10, KERAS_SETS[small].class_names)
    split = split_images(images, Shares(60, 20, 20), seed=0)
    np.testing.assert_array_equal(images.x[split.test], np.repeat(TEST[..., None], 3, axis=3))
    np.testing.assert_array_equal(images.y[split.test], LABELS[:20])
    assert (len(split.train), len(split.validation)) == (30, 10)
    assert set(split.train) | set(split.validation) == set(range(40))


def test_a_path_of_the_users_holds_them_or_is_told(small: DataSet, tmp_path: Path) -> None:
    files = stored(small, tmp_path / "mine")
    assert check_data(DataSpec(name=small, path=str(tmp_path / "mine")), can_reach=lambda _: False) is None
    problem = check_data(DataSpec(name=small, path=str(tmp_path)), can_reach=lambda _: True) or ""
    assert f"{files[0].name} is not there; data.path is a folder with" in problem
    if len(files) == 1:
        assert check_data(DataSpec(name=small, path=str(files[0])), can_reach=lambda _: False) is None


def test_a_damaged_file_is_named_and_left_as_it_is(small: DataSet, tmp_path: Path) -> None:
    file = stored(small, place(small, tmp_path))[-1]
    file.write_bytes(file.read_bytes()[:-3])
    problem = check_data(DataSpec(name=small), can_reach=lambda _: True) or ""
    assert problem.startswith(f"{file}: is not the published {file.name} (its SHA-256 differs)")
    assert file.exists()


def test_what_is_nowhere_is_named_before_it_is_fetched(
    small: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = DataSpec(name=small, image_size=28)
    assert check_data(spec, can_reach=lambda _: True) is None
    assert str(place(small, tmp_path)) in (check_data(spec, can_reach=lambda _: False) or "")
    note = download_note(spec) or ""
    assert note.startswith(f"{KERAS_SETS[small].title} is downloaded to {place(small, tmp_path)} (0 MB")
    say_once.cache_clear()
    asked: list[str] = []

    def opened(url: str, **_: Any) -> io.BytesIO:
        asked.append(url)
        assert f"greenopt: downloading {url} (" in capsys.readouterr().err
        names = [file.name for file in KERAS_SETS[small].files]
        return io.BytesIO(CONTENTS[small][names.index(url.rpartition("/")[2])])

    monkeypatch.setattr("urllib.request.urlopen", opened)
    assert len(load_images(spec).x) == 60
    assert len(asked) == len(KERAS_SETS[small].files)
    load_images(spec)
    assert len(asked) == len(KERAS_SETS[small].files)


@pytest.mark.parametrize("answer", [b"something else", None])
def test_a_download_that_goes_wrong_leaves_nothing_and_says_what_to_do(
    small: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    def opened(*_: Any, **__: Any) -> io.BytesIO:
        if answer is None:
            raise URLError("no route")
        return io.BytesIO(answer)

    monkeypatch.setattr("urllib.request.urlopen", opened)
    with pytest.raises(DataMissingError, match=r"could not be downloaded from https.*; put .* or set data\.path"):
        load_images(DataSpec(name=small))
    assert [file for file in place(small, tmp_path).iterdir() if not file.name.endswith(".lock")] == []


def test_they_are_cached_as_the_others_are(small: DataSet, tmp_path: Path) -> None:
    stored(small, place(small, tmp_path))
    spec = DataSpec(name=small, image_size=28)
    first = cached_images(spec, tmp_path / "kept")
    second = cached_images(spec, tmp_path / "kept", load=lambda *_: pytest.fail("loaded again"))
    np.testing.assert_array_equal(first.x, second.x)
    assert second.parts is not None
    assert second.class_names == first.class_names


def test_the_published_sets_have_images_enough_for_the_shipped_values() -> None:
    for name in KERAS_SETS:
        data: dict[str, Any] = {"name": str(name), "images": None, "classes": None}
        assert image_problem(study(data=data, space={"batch_size": [128]})) is None
        assert "data.images: 70001" in (image_problem(study(data={**data, "images": 70_001})) or "")


def test_the_names_and_digests_are_those_of_keras() -> None:
    """Read, not imported: Keras takes many seconds to import."""
    import importlib.util

    found = importlib.util.find_spec("keras")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "src" / "datasets"
    mnist, fashion = ((folder / f"{name}.py").read_text() for name in ("mnist", "fashion_mnist"))
    assert KERAS_SETS[DataSet.MNIST].files[0].sha256 in mnist
    assert all(file.name in fashion for file in KERAS_SETS[DataSet.FASHION_MNIST].files)
    assert all(keras_sets._BASE in text for text in (mnist, fashion))
