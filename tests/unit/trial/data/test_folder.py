"""Folders of class folders as users have them: read with their meaning, or refused in one line before anything runs."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from greenopt.identity.digests import DataDigests
from greenopt.identity.inputs import InputReader
from greenopt.spec import DataSpec, Shares
from greenopt.trial.data.cache import cached_images
from greenopt.trial.data.files import check_data
from greenopt.trial.data.folder import list_folder
from greenopt.trial.data.images import Images, load_images, split_images
from greenopt.trial.data.rows import Rows
from greenopt.trial.failures import DataMissingError, WrongSettingError
from tests.builders import study

COLOURS = {"cat": (200, 30, 30), "dog": (30, 200, 30), "emu": (30, 30, 200)}


def draw(file: Path, colour: tuple[int, int, int] = (9, 9, 9), size: tuple[int, int] = (8, 8)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file)


def made(root: Path, count: int = 10, size: tuple[int, int] = (8, 8)) -> Path:
    for name, colour in COLOURS.items():
        for number in range(count):
            draw(root / name / f"{number}.png", colour, size)
    return root


def spec_of(root: Path, **more: Any) -> DataSpec:
    return DataSpec.model_validate({"name": "folder", "path": str(root), **more})


def problem(root: Path, **more: Any) -> str:
    """What the check says, which is what loading says too."""
    spec = spec_of(root, **more)
    text = check_data(spec)
    assert text is not None
    assert "\n" not in text
    assert text.startswith(str(root))
    with pytest.raises((DataMissingError, WrongSettingError)) as raised:
        load_images(spec)
    assert str(raised.value) == text
    return text


def test_class_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    spec = spec_of(made(tmp_path))
    assert check_data(spec) is None
    images = load_images(spec)
    assert (images.x.shape, images.x.dtype, images.classes) == ((30, 8, 8, 3), np.uint8, 3)
    assert images.class_names == ("cat", "dog", "emu")
    assert images.parts is None
    for image, label in zip(images.x, images.y, strict=True):
        assert tuple(image[0, 0]) == COLOURS[images.class_names[label]]


def test_images_of_several_sizes_need_a_size_and_are_scaled_to_it(tmp_path: Path) -> None:
    draw(made(tmp_path) / "cat" / "wide.png", COLOURS["cat"], (30, 20))
    assert "its images have 2 sizes, from 8x8 to 30x20; set data.image_size" in problem(tmp_path)
    spec = spec_of(tmp_path, image_size=12)
    assert check_data(spec) is None
    images = load_images(spec)
    assert images.x.shape == (31, 12, 12, 3)
    assert (images.x[images.y == 0] == COLOURS["cat"]).all()


def test_traces_of_systems_are_not_seen_and_other_files_are_told(tmp_path: Path) -> None:
    made(tmp_path)
    before = load_images(spec_of(tmp_path))
    for name in (".DS_Store", "cat/.DS_Store", "cat/._1.png", "Thumbs.db", ".git/x.png", "__MACOSX/cat/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\0")
    (tmp_path / "labels.csv").write_text("1,2")
    (tmp_path / "dog" / "notes.txt").write_text("hello")
    spec = spec_of(tmp_path)
    assert check_data(spec) is None
    images = load_images(spec)
    np.testing.assert_array_equal(images.x, before.x)
    assert images.left_out == "dog/notes.txt, labels.csv (no images of a class)"


def test_images_in_no_class_folder_are_told_too(tmp_path: Path) -> None:
    made(tmp_path / "a")
    draw(tmp_path / "a" / "loose.png")
    assert load_images(spec_of(tmp_path / "a")).left_out == "loose.png (no images of a class)"
    for part in ("train", "test"):
        made(tmp_path / "b" / part)
    draw(tmp_path / "b" / "loose.png")
    (tmp_path / "b" / "x.csv").write_text("x")
    draw(tmp_path / "b" / "test" / "loose.png")
    assert load_images(spec_of(tmp_path / "b")).left_out == ("loose.png, test/loose.png, x.csv (no images of a class)")


def test_a_test_part_may_lack_a_class_and_keeps_the_labels_of_the_others(tmp_path: Path) -> None:
    for part in ("train", "test"):
        made(tmp_path / part)
    shutil.rmtree(tmp_path / "test" / "cat")
    images = load_images(spec_of(tmp_path))
    assert images.parts is not None
    assert set(images.y[images.parts == 2].tolist()) == {1, 2}


def test_folders_in_class_folders_belong_to_the_class_and_links_are_followed_once(tmp_path: Path) -> None:
    made(tmp_path / "data")
    draw(tmp_path / "data" / "cat" / "young" / "deep" / "1.png", COLOURS["cat"])
    (tmp_path / "data" / "cat" / "young" / "loop").symlink_to(tmp_path / "data" / "cat")
    draw(tmp_path / "elsewhere" / "1.png", COLOURS["emu"])
    (tmp_path / "data" / "emu" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "emu" / "link.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    images = load_images(spec_of(tmp_path / "data"))
    assert np.bincount(images.y).tolist() == [11, 10, 12]


def test_broken_images_are_refused_by_name_or_left_out_where_the_study_says_so(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "cat" / "3.png").write_bytes((tmp_path / "cat" / "3.png").read_bytes()[:40])
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "nowhere")
    assert "2 of 31 images cannot be read, the first cat/3.png: " in problem(tmp_path)
    assert "data.skip_broken = true" in problem(tmp_path)
    (tmp_path / "cat" / "3.png").write_text("no image")
    assert "cat/3.png: is not an image that can be read" in problem(tmp_path)
    images = load_images(spec_of(tmp_path, skip_broken=True))
    assert np.bincount(images.y).tolist() == [9, 10, 10]
    assert images.left_out == "cat/3.png, dog/gone.png (cannot be read)"
    for file in (tmp_path / "emu").iterdir():
        file.write_text("no image")
    assert "no image of class emu can be read" in problem(tmp_path, skip_broken=True)


def test_what_is_no_folder_of_class_folders_is_told_in_one_line(tmp_path: Path) -> None:
    assert "does not exist" in problem(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    assert "is a file; data.path is a folder with a folder of images for each class" in problem(tmp_path / "file")
    (tmp_path / "bare").mkdir()
    assert "has no class folders with images" in problem(tmp_path / "bare")
    draw(tmp_path / "flat" / "1.png")
    assert "has 1 images and no class folders; put those of each class into" in problem(tmp_path / "flat")
    made(tmp_path / "hole")
    (tmp_path / "hole" / "fox").mkdir()
    assert "the class folder fox has no image to train on" in problem(tmp_path / "hole")
    made(tmp_path / "outer" / "photos")
    text = problem(tmp_path / "outer")
    assert "has the one class folder photos" in text
    assert text.endswith(f"set data.path = {tmp_path / 'outer' / 'photos'}")
    (tmp_path / "words" / "a").mkdir(parents=True)
    (tmp_path / "words" / "a" / "x.txt").write_text("x")
    assert "has no class folders with images that can be read" in problem(tmp_path / "words")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "cat").chmod(0)
    try:
        assert "cannot be read: Permission denied" in (check_data(spec_of(tmp_path)) or "")
    finally:
        (tmp_path / "cat").chmod(0o755)


@pytest.mark.parametrize(
    ("names", "codes"),
    [
        (("train", "validation", "test"), {0, 1, 2}),
        (("Training", "val", "testing"), {0, 1, 2}),
        (("train", "test"), {0, 2}),
        (("train", "valid"), {0, 1}),
    ],
)
def test_own_parts_are_kept_apart_whatever_the_split(tmp_path: Path, names: tuple[str, ...], codes: set[int]) -> None:
    for at, name in enumerate(names):
        made(tmp_path / name, count=10 - 2 * at)
    spec = spec_of(tmp_path)
    assert check_data(spec) is None
    images = load_images(spec)
    assert images.parts is not None
    assert set(images.parts.tolist()) == codes
    assert images.classes == 3
    for seed in range(3):
        split = split_images(images, Shares(60, 20, 20), seed)
        everything = np.concatenate([split.train, split.validation, split.test])
        assert sorted(everything) == list(range(len(images.y)))
        assert (images.parts[split.train] == 0).all()
        for part, ids in ((1, split.validation), (2, split.test)):
            if part in codes:
                np.testing.assert_array_equal(ids, np.flatnonzero(images.parts == part))
            else:
                assert np.bincount(images.y[ids]).min() > 0
                assert (images.parts[ids] == 0).all()


def test_what_own_parts_do_not_give_is_split_off_the_rest_in_proportion() -> None:
    y = np.tile(np.arange(2), 100).astype(np.int32)
    parts = np.repeat([0, 2], [160, 40]).astype(np.uint8)
    images = Images(np.zeros((200, 1, 1, 3), np.uint8), y, 2, "made up", parts=parts)
    split = split_images(images, Shares(60, 20, 20), 0)
    assert (len(split.train), len(split.validation), len(split.test)) == (120, 40, 40)
    limited = split_images(images, Shares(60, 20, 20), 0, limit=50)
    assert (len(limited.train), len(limited.validation), len(limited.test)) == (30, 10, 10)
    assert (parts[limited.test] == 2).all()


def test_parts_that_cannot_be_right_are_told(tmp_path: Path) -> None:
    for name in ("train", "test"):
        made(tmp_path / "a" / name)
    draw(tmp_path / "a" / "test" / "yak" / "1.png")
    assert "the test part has a class yak that the training part lacks" in problem(tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "test")
    draw(tmp_path / "a" / "test" / "1.png")
    assert "test: has 1 images and no class folders" in (check_data(spec_of(tmp_path / "a")) or "")
    made(tmp_path / "b" / "validation", 2)
    made(tmp_path / "b" / "test", 2)
    assert "has test, validation but no folder train" in problem(tmp_path / "b")
    made(tmp_path / "b" / "train", 2)
    made(tmp_path / "b" / "extra", 2)
    assert "move the others away" in problem(tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / "extra")
    made(tmp_path / "b" / "val", 2)
    assert "one folder validation" in problem(tmp_path / "b")


def test_a_class_may_be_called_as_a_part_where_it_is_the_only_one(tmp_path: Path) -> None:
    made(tmp_path)
    draw(tmp_path / "train" / "1.png")
    assert list_folder(tmp_path).class_names == ("cat", "dog", "emu", "train")


def test_names_that_a_terminal_would_obey_are_shown_as_escapes(tmp_path: Path) -> None:
    for name in ("a\x1b[31m", "b\u202e"):
        draw(tmp_path / name / "1.png")
    assert list_folder(tmp_path).class_names == (r"a\x1b[31m", r"b\u202e")


def test_the_cache_follows_the_contents(tmp_path: Path) -> None:
    loaded = []

    def load(spec: DataSpec, rows: Rows | None) -> Images:
        loaded.append(spec)
        return load_images(spec, rows)

    for name in ("train", "val", "test"):
        made(tmp_path / "data" / name, 3)
    spec, kept = spec_of(tmp_path / "data", image_size=6), tmp_path / "kept"
    first, second = cached_images(spec, kept, load), cached_images(spec, kept, load)
    assert len(loaded) == 1
    assert isinstance(second.x, np.memmap)
    for name in ("x", "y", "parts"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    assert (second.class_names, second.left_out) == (first.class_names, first.left_out)
    (tmp_path / "data" / ".DS_Store").write_bytes(b"x")
    os.utime(tmp_path / "data" / "train" / "cat" / "0.png")
    cached_images(spec, kept, load)
    assert len(loaded) == 1
    draw(tmp_path / "data" / "train" / "cat" / "0.png", (1, 2, 3))
    assert (cached_images(spec, kept, load).x == (1, 2, 3)).all(axis=-1).any()
    assert len(loaded) == 2


def test_the_study_sees_a_changed_image_and_not_a_hidden_file(tmp_path: Path) -> None:
    made(tmp_path / "data", 3)
    spec = study(data={"name": "folder", "path": str(tmp_path / "data"), "images": None, "classes": None})
    reader = InputReader(spec, DataDigests(tmp_path / "kept.json"))
    before = reader.read()
    assert set(before.data) == {"folder"}
    (tmp_path / "data" / "cat" / ".DS_Store").write_bytes(b"x")
    assert reader.read() == before
    draw(tmp_path / "data" / "cat" / "0.png", (1, 2, 3))
    assert reader.read().changes_since(before) == ["data folder changed"]
    os.rename(tmp_path / "data" / "cat" / "1.png", tmp_path / "data" / "dog" / "x.png")
    assert reader.read() != before


def test_the_study_file_says_what_a_folder_needs() -> None:
    with pytest.raises(ValidationError, match="name = 'folder' needs path = 'FOLDER'"):
        DataSpec.model_validate({"name": "folder"})
    with pytest.raises(ValidationError, match="skip_broken is for name = 'folder' only"):
        DataSpec.model_validate({"name": "digits", "skip_broken": True})
