import io
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenopt.spec import DataSet, DataSpec, Shares
from greenopt.trial.data import files as data_files
from greenopt.trial.data.files import ARCHIVES
from greenopt.trial.data.images import Images, load_images, resized, split_images, stratified_order
from greenopt.trial.failures import DataMissingError, WrongSettingError
from tests.unit.trial.workbench import fed, prepared, trial_spec


def labelled(counts: list[int]) -> Images:
    y = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    return Images(np.zeros((len(y), 2, 2, 3), np.uint8), y, len(counts), "made up")


@pytest.mark.parametrize("partitioning", [(60, 20, 20), (70, 15, 15), (80, 10, 10), (90, 5, 5)])
def test_a_split_is_disjoint_complete_and_has_the_shares(partitioning: tuple[int, int, int]) -> None:
    images = labelled([500] * 10)
    split = split_images(images, Shares(*partitioning), seed=3)
    parts = (split.train, split.validation, split.test)
    assert [len(part) for part in parts] == [50 * percent for percent in partitioning]
    assert sorted(np.concatenate(parts)) == list(range(5000))
    for part, percent in zip(parts, partitioning, strict=True):
        assert np.bincount(images.y[part]).tolist() == [5 * percent] * 10


def test_classes_of_unequal_size_keep_their_proportion_within_one_image() -> None:
    images = labelled([37, 101, 200])
    split = split_images(images, Shares(70, 15, 15), seed=0)
    for part, share in ((split.train, 0.7), (split.validation, 0.15), (split.test, 0.15)):
        assert np.abs(np.bincount(images.y[part]) - share * np.array([37, 101, 200])).max() <= 1


def test_a_split_follows_its_seed_alone() -> None:
    images = labelled([50] * 4)
    first, again, other = (split_images(images, Shares(60, 20, 20), seed) for seed in (1, 1, 2))
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)


def test_a_limit_takes_a_stratified_sample() -> None:
    images = labelled([300, 600])
    split = split_images(images, Shares(60, 20, 20), seed=1, limit=90)
    ids = np.concatenate([split.train, split.validation, split.test])
    assert np.bincount(images.y[ids]).tolist() == [30, 60]
    with pytest.raises(WrongSettingError, match=r"data\.images: 901: made up has 900 images"):
        split_images(images, Shares(60, 20, 20), seed=1, limit=901)


def test_a_class_that_a_part_would_lack_is_refused_by_name() -> None:
    with pytest.raises(WrongSettingError, match="the validation part would have none of class 1"):
        split_images(labelled([300, 4]), Shares(90, 5, 5), seed=0)


def test_any_stretch_of_the_order_has_the_classes_in_proportion() -> None:
    labels = labelled([100, 300]).y
    order = stratified_order(labels, seed=5)
    for start in range(0, 400, 40):
        assert abs(int((labels[order[start : start + 40]] == 0).sum()) - 10) <= 1


def test_no_image_of_validation_or_test_is_ever_trained_on_and_each_training_image_is_at_most_once_an_epoch() -> None:
    """Follows image ids through real epochs: pixel 0 of each image holds its id."""
    spec = trial_spec(batch_size=16, training={"epochs": 2, "block_images": 48})
    prepared_trial, _, split = prepared(spec)
    trainer = prepared_trial.trainer
    trained = fed(trainer)
    trainer.warm_up()
    trained.clear()
    for epoch in (1, 2):
        trainer.train_epoch(epoch)
        used = np.concatenate([block.reshape(-1, 16) for block in trained])[: trainer.steps].ravel()
        assert len(set(used)) == len(used) == len(split.train) // 16 * 16
        assert set(used) <= set(split.train)
        assert not set(used) & (set(split.validation) | set(split.test))
        trained.clear()


def test_synthetic_images_are_the_same_each_time_and_can_be_learned() -> None:
    from sklearn.linear_model import RidgeClassifier

    spec = DataSpec(name=DataSet.SYNTHETIC, images=1500, classes=5, image_size=16)
    images = load_images(spec)
    assert images.x.shape == (1500, 16, 16, 3)
    assert images.x.dtype == np.uint8
    assert np.array_equal(images.x, load_images(spec).x)
    flat = images.x.reshape(1500, -1)
    assert RidgeClassifier().fit(flat[:1000], images.y[:1000]).score(flat[1000:], images.y[1000:]) > 0.6


def test_synthetic_defaults_are_10000_images_of_100_classes() -> None:
    images = load_images(DataSpec(name=DataSet.SYNTHETIC))
    assert (images.x.shape, images.classes) == ((10_000, 32, 32, 3), 100)


def test_digits_are_colour_images_of_the_asked_size_over_the_whole_range() -> None:
    images = load_images(DataSpec(name=DataSet.DIGITS))
    assert (images.x.shape, images.x.dtype, images.classes) == ((1797, 32, 32, 3), np.uint8, 10)
    assert (images.x.min(), images.x.max()) == (0, 255)
    assert load_images(DataSpec(name=DataSet.DIGITS, image_size=8)).x.shape == (1797, 8, 8, 3)


@pytest.mark.parametrize("side", [8, 64])
def test_resizing_keeps_colours_and_directions(side: int) -> None:
    ramp = np.broadcast_to(np.linspace(0, 240, 16)[:, None, None], (16, 16, 3))
    x = np.stack([ramp, np.full((16, 16, 3), 77)]).astype(np.uint8)
    scaled = resized(Images(x, np.array([0, 1], np.int32), 2, "made up"), side).x
    assert (scaled.shape, scaled.dtype) == ((2, side, side, 3), np.uint8)
    assert (scaled[1] == 77).all()
    assert (np.diff(scaled[0, :, 0, 0].astype(int)) >= 0).all()
    assert scaled[0].mean() == pytest.approx(x[0].mean(), abs=1)


def archive_bytes(archive: data_files.Archive, images: int) -> tuple[bytes, np.ndarray, list[int]]:
    """An archive of the published form: rows hold the red plane, then green, then blue."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    labels = [number % archive.classes for number in range(images)]
    rows, names = pictures.transpose(0, 3, 1, 2).reshape(images, -1), archive.batches
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for index, name in enumerate(names):
            part = slice(index * images // len(names), (index + 1) * images // len(names))
            text = pickle.dumps({"data": rows[part], archive.label_key: labels[part]}, protocol=2)
            member = tarfile.TarInfo(f"{archive.folder}/{name}")
            member.size = len(text)
            file.addfile(member, io.BytesIO(text))
    return buffer.getvalue(), pictures, labels


@pytest.mark.parametrize("name", [DataSet.CIFAR10, DataSet.CIFAR100])
def test_published_data_sets_are_read_from_archive_and_folder(
    name: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    content, pictures, labels = archive_bytes(ARCHIVES[name], 200)
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(ARCHIVES, name, replace(ARCHIVES[name], sha256=digest))
    file = tmp_path / ARCHIVES[name].file_name
    file.write_bytes(content)
    with tarfile.open(file) as opened:
        opened.extractall(tmp_path, filter="data")
    for path in (file, tmp_path / ARCHIVES[name].folder):
        images = load_images(DataSpec(name=name, path=str(path)))
        assert np.array_equal(images.x, pictures)
        assert images.y.tolist() == labels


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "harmed",))

    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    (folder / "train").write_bytes(pickle.dumps({"data": Harmful()}))
    with pytest.raises(DataMissingError, match="is not CIFAR-100 as published"):
        load_images(DataSpec(name=DataSet.CIFAR100, path=str(folder)))
    assert not (tmp_path / "harmed").exists()
