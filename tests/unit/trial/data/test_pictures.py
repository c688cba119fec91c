"""Image files of any mode, depth, format and orientation: the same picture gives the same pixels."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from greenopt.trial.data.pictures import BrokenImageError, image_suffixes, picture_size, read_picture, to_rgb

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (6, 8, 3), dtype=np.uint8)
GRAY = RANDOM.integers(0, 256, (6, 8), dtype=np.uint8)
GRAY_COLOURS = np.repeat(GRAY[..., np.newaxis], 3, axis=2)


def opaque(pixels: Any, alpha: int = 255) -> Any:
    return np.concatenate([pixels, np.full((*pixels.shape[:2], 1), alpha, np.uint8)], axis=2)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm", ".tga", ".qoi"])
def test_a_picture_is_the_same_in_every_format_that_loses_nothing(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(COLOURS).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_picture(tmp_path / f"a{suffix}"), COLOURS)


@pytest.mark.parametrize(("suffix", "how"), [(".webp", {"lossless": True}), (".gif", {}), (".jpg", {"quality": 100})])
def test_pictures_of_other_formats_are_close(tmp_path: Path, suffix: str, how: dict[str, Any]) -> None:
    flat = np.full((6, 8, 3), (200, 100, 50), np.uint8)
    Image.fromarray(flat).save(tmp_path / f"a{suffix}", **how)
    assert np.abs(read_picture(tmp_path / f"a{suffix}").astype(int) - flat).max() <= 3


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (Image.fromarray(GRAY), GRAY_COLOURS),
        (Image.fromarray(GRAY > 127), np.where(GRAY_COLOURS > 127, 255, 0)),
        (Image.fromarray(GRAY.astype(np.uint16) * 257), GRAY_COLOURS),
        (Image.fromarray((GRAY.astype(np.uint16) * 257).astype(">u2")), GRAY_COLOURS),
        (Image.fromarray(GRAY.astype(np.int32) * 257), GRAY_COLOURS),
        (Image.fromarray(GRAY.astype(np.float32)), GRAY_COLOURS),
        (Image.fromarray(GRAY.astype(np.float32) / 255), GRAY_COLOURS),
        (Image.fromarray(GRAY).convert("LA"), GRAY_COLOURS),
        (Image.fromarray(COLOURS).convert("RGBA"), COLOURS),
        (Image.fromarray(opaque(COLOURS, 0)), np.full_like(COLOURS, 255)),
        (Image.fromarray(opaque(np.zeros_like(COLOURS), 51)), np.full_like(COLOURS, 204)),
        (Image.fromarray(GRAY).convert("P"), GRAY_COLOURS),
        (Image.fromarray(COLOURS).convert("CMYK"), COLOURS),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_mode_becomes_the_same_three_channels(image: Image.Image, wanted: Any) -> None:
    np.testing.assert_array_equal(np.asarray(to_rgb(image)), wanted)


def test_a_transparent_palette_lies_on_white_and_deep_gray_survives_its_file(tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 200, 210, 220])
    palette.save(tmp_path / "a.png", transparency=1)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png")[0], [[10, 20, 30], [255, 255, 255]])
    Image.fromarray(GRAY.astype(np.uint16) * 257).save(tmp_path / "b.png")
    Image.fromarray(GRAY.astype(np.uint16) * 257).save(tmp_path / "b.tif")
    for name in ("b.png", "b.tif"):
        np.testing.assert_array_equal(read_picture(tmp_path / name), GRAY_COLOURS)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(1, COLOURS), (3, COLOURS[::-1, ::-1]), (6, np.rot90(COLOURS, -1)), (2, COLOURS[:, ::-1])],
)
def test_the_orientation_tag_is_heeded(tmp_path: Path, orientation: int, turned: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), turned)
    Image.fromarray(COLOURS).save(tmp_path / "a.jpg", exif=exif)
    assert picture_size(tmp_path / "a.jpg") == turned.shape[1::-1]


def test_a_picture_is_scaled_to_a_square_without_aliasing(tmp_path: Path) -> None:
    stripes = np.zeros((90, 120, 3), np.uint8)
    stripes[:, ::2] = 200
    for name in ("a.png", "a.jpg"):
        Image.fromarray(stripes).save(tmp_path / name)
        scaled = read_picture(tmp_path / name, side=10)
        assert scaled.shape == (10, 10, 3)
        assert np.abs(scaled.astype(int) - 100).max() < 12


def test_the_first_of_several_frames_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "cut.png")
    content = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "away.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "program.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.fromarray(np.full((2, 2), -5, np.float32)).save(tmp_path / "low.tiff")
    for name, text in {
        "cut.png": "truncated",
        "text.jpg": "is not an image",
        "empty.jpg": "is not an image",
        "away.jpg": "is a link to a file that is not there",
        "program.png": "is not an image",
        "low.tiff": r"its gray levels are -5 to -5, outside 0\.\.1",
    }.items():
        with pytest.raises(BrokenImageError, match=text):
            read_picture(tmp_path / name)


def test_no_format_that_starts_another_program_is_among_the_suffixes() -> None:
    assert {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"} <= image_suffixes()
    assert not {".eps", ".ps", ".wmf", ".mpg", ".h5", ".txt", ".csv"} & image_suffixes()


def test_reading_a_picture_brings_no_tensorflow() -> None:
    code = "import sys, greenopt.trial.data.folder_images; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
