"""What users store as images and labels: used with its meaning, or refused before anything is trained."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenopt.spec import DataSet, DataSpec
from greenopt.trial.data import npz_file
from greenopt.trial.data.cache import cached_images
from greenopt.trial.data.files import check_data
from greenopt.trial.data.images import load_images
from greenopt.trial.failures import DataMissingError, WrongSettingError

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (12, 5, 6, 3), dtype=np.uint8)
BYTES[0, 0, 0] = (0, 255, 7)
LABELS = np.arange(12) % 3


def spec_of(path: Path) -> DataSpec:
    return DataSpec(name=DataSet.NPZ, path=str(path))


def saved(folder: Path, x: Any = BYTES, y: Any = LABELS, save: Any = np.savez) -> DataSpec:
    save(folder / "images.npz", x=x, y=y)
    return spec_of(folder / "images.npz")


@pytest.mark.parametrize(
    "x",
    [
        BYTES,
        BYTES.astype(np.float32),
        BYTES.astype(np.float64),
        BYTES.astype(np.float16),
        BYTES.astype(np.int64),
        BYTES.astype(np.uint16),
        BYTES.astype(">u2"),
        BYTES / 255,
        (BYTES / 255).astype(np.float32),
        np.asfortranarray(BYTES / 255),
    ],
    ids=lambda x: f"{x.dtype}-{x.max():g}-{x.flags.c_contiguous}",
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_picture_has_the_same_pixels_however_it_is_stored(tmp_path: Path, x: Any, save: Any) -> None:
    spec = saved(tmp_path, x, save=save)
    assert check_data(spec) is None
    images = load_images(spec)
    assert images.x.dtype == np.uint8
    np.testing.assert_array_equal(images.x, BYTES)
    assert (images.classes, images.y.dtype) == (3, np.int32)


def test_pixels_between_whole_numbers_stay_between_them(tmp_path: Path) -> None:
    fractions = RANDOM.random((12, 5, 6, 3))
    fractions[0, 0, 0, 0], fractions[0, 0, 0, 1] = 1 + 1e-7, -1e-7
    for x in (fractions, fractions * 255):
        spec = saved(tmp_path, x)
        assert check_data(spec) is None
        pixels = load_images(spec).x
        assert pixels.dtype == np.float32
        np.testing.assert_allclose(pixels, fractions * 255, atol=1e-4)
        assert pixels.min() >= 0
        assert pixels.max() <= 255


def test_truth_values_are_black_and_white_and_gray_images_have_equal_channels(tmp_path: Path) -> None:
    drawn = BYTES[..., 0] > 127
    np.testing.assert_array_equal(load_images(saved(tmp_path, drawn)).x, np.repeat(drawn[..., None] * 255, 3, axis=3))
    for gray in (BYTES[..., 0], BYTES[..., :1], BYTES[..., :1] / 255):
        spec = saved(tmp_path, gray)
        assert check_data(spec) is None
        np.testing.assert_array_equal(load_images(spec).x, np.repeat(BYTES[..., :1], 3, axis=3))


@pytest.mark.parametrize(
    "y", [LABELS.astype(np.uint8), LABELS[:, None], LABELS.astype(np.uint64), LABELS.astype(">i4")], ids=str
)
def test_labels_may_be_of_any_whole_type_and_stand_in_a_column(tmp_path: Path, y: Any) -> None:
    spec = saved(tmp_path, y=y)
    assert check_data(spec) is None
    np.testing.assert_array_equal(load_images(spec).y, LABELS)


def with_value(value: float, dtype: Any = np.float32) -> Any:
    x = BYTES.astype(dtype)
    x[3, 2, 1, 0] = value
    return x


def objects(count: int = 12) -> Any:
    x = np.empty(count, object)
    x[:] = [np.zeros((2, 3, 3))] * count
    return x


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": BYTES / 127.5 - 1}, r"x has values from -1 to 1; .*0\.\.1: store \(x \+ 1\) / 2"),
        ({"x": (BYTES - 120.0) / 60}, r"x has values from -2 to 2\.25; .* scale them to one of these"),
        ({"x": BYTES.astype(np.int16) - 128}, r"x has values from -128 to 127"),
        ({"x": with_value(300)}, r"x has values from 0 to 300, outside 0\.\.255"),
        ({"x": BYTES.astype(np.uint16) * 257}, r"from 0 to 65535, outside 0\.\.255.*: store x // 257"),
        ({"x": with_value(np.nan)}, "x has values that are NaN or infinite"),
        ({"x": with_value(np.inf)}, "x has values that are NaN or infinite"),
        ({"x": with_value(-np.inf, np.float16)}, "x has values that are NaN or infinite"),
        ({"x": BYTES // 16}, r"x has values from 0 to 15; .*: store x / 15"),
        ({"x": BYTES // 128}, r"x has values from 0 to 1; images are 0\.\.255.*: store x / 1"),
        ({"x": (BYTES // 16).astype(float)}, r"x has values from 0 to 15; "),
        ({"x": BYTES.astype(complex)}, "x has type complex128"),
        ({"x": BYTES.astype(str)}, "x has type <U3"),
        ({"x": BYTES.astype("datetime64[s]")}, r"x has type datetime64\[s\]"),
        ({"x": np.zeros(12, [("a", "u1")])}, "x has type "),
        ({"x": objects()}, r"x holds Python objects; .* numpy\.stack"),
        (
            {"x": np.zeros((12, 5, 6, 4), np.uint8)},
            r"x has shape \(12, 5, 6, 4\).*fourth channel: store x\[\.\.\., :3\]",
        ),
        ({"x": np.zeros((12, 3, 5, 6), np.uint8)}, r"channels first: store numpy\.moveaxis\(x, 1, 3\)"),
        ({"x": np.zeros((12, 1, 5, 4), np.uint8)}, "channels first"),
        ({"x": np.zeros((12, 5, 6, 2), np.uint8)}, r"second channel: store x\[\.\.\., :1\]"),
        ({"x": np.zeros((12, 90), np.uint8)}, r"x has shape \(12, 90\); images are \(images, height, width"),
        ({"x": np.uint8(3)}, r"x has shape \(\)"),
        ({"x": np.zeros((12, 0, 6, 3), np.uint8)}, "which holds no pixel"),
        ({"x": np.zeros((0, 5, 6, 3), np.uint8), "y": np.zeros(0, int)}, "which holds no pixel"),
        ({"y": LABELS.astype(str)}, r"y holds text; .*: store numpy\.unique\(y, return_inverse=True\)\[1\]"),
        ({"y": np.array([b"a", b"b"] * 6)}, "y holds text"),
        ({"y": np.array(["a", 1] * 6, object)}, "y holds Python objects"),
        ({"y": np.eye(3)[LABELS]}, r"y has shape \(12, 3\), a column for each class; .*: store y\.argmax\(axis=1\)"),
        ({"y": np.eye(3, dtype=int)[LABELS]}, "a column for each class"),
        ({"y": LABELS.reshape(12, 1, 1)}, r"y has shape \(12, 1, 1\)"),
        ({"y": np.int64(3)}, r"y has shape \(\)"),
        ({"y": LABELS.astype(float)}, r'y has type float64; .*: store y\.astype\("int64"\)'),
        ({"y": LABELS == 1}, "y has type bool"),
        ({"y": LABELS + 1}, r"y has 3 different labels from 1 to 3; labels are 0 to k - 1.*return_inverse"),
        ({"y": LABELS * 5}, "y has 3 different labels from 0 to 10"),
        ({"y": LABELS - 1}, "y has 3 different labels from -1 to 1"),
        ({"y": LABELS * 0}, "y has the one label 0; there must be at least two classes"),
        ({"y": LABELS[:11]}, "x has 12 images and y 11 labels"),
        ({"y": np.zeros(0, int)}, "x has 12 images and y 0 labels"),
    ],
    ids=lambda value: None if isinstance(value, str) else "+".join(value),
)
def test_what_has_no_meaning_is_refused_alike_before_the_study_and_in_the_trial(
    tmp_path: Path, arrays: dict[str, Any], text: str
) -> None:
    spec = saved(tmp_path, **arrays)
    problem = check_data(spec)
    assert problem is not None
    assert "\n" not in problem
    with pytest.raises(WrongSettingError, match=text) as caught:
        load_images(spec)
    assert str(caught.value) == problem
    assert problem.startswith(f"{spec.path}: ")
    with pytest.raises(WrongSettingError, match=text):
        cached_images(spec, tmp_path / "cache")


def test_files_that_are_no_such_file_are_refused_in_one_line(tmp_path: Path) -> None:
    def problem(name: str) -> str:
        spec = spec_of(tmp_path / name)
        text = check_data(spec) or ""
        with pytest.raises(DataMissingError) as caught:
            load_images(spec)
        assert str(caught.value) == text
        assert "\n" not in text
        return text

    (tmp_path / "folder.npz").mkdir()
    assert "is a folder" in problem("folder.npz")
    np.save(tmp_path / "one.npy", BYTES)
    assert "is not an .npz file; write it with numpy.savez" in problem("one.npy")
    (tmp_path / "empty.npz").write_bytes(b"")
    assert "is not an .npz file" in problem("empty.npz")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps({"x": BYTES, "y": LABELS}))
    assert "is not an .npz file" in problem("pickle.npz")
    np.savez(tmp_path / "named.npz", x_train=BYTES, y_train=LABELS)
    assert "has no array x and y but x_train, y_train; write it with" in problem("named.npz")
    whole = (tmp_path / "whole.npz", tmp_path / "damaged.npz")
    np.savez(whole[0], x=BYTES, y=LABELS)
    content = bytearray(whole[0].read_bytes())
    content[400] ^= 255
    whole[1].write_bytes(content)
    assert "is damaged (Bad CRC-32" in problem("damaged.npz")
    (tmp_path / "cut.npz").write_bytes(content[:-40])
    assert "is not an .npz file" in problem("cut.npz")


def test_only_the_first_images_of_a_large_file_are_looked_at_before_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz_file, "_CHUNK_BYTES", 64)
    monkeypatch.setattr(npz_file, "CHECKED_BYTES", 256)
    dark_first = BYTES.copy()
    dark_first[:6] = 0
    assert check_data(saved(tmp_path, dark_first)) is None
    late = BYTES.astype(np.float32)
    late[11] = -1
    spec = saved(tmp_path, late)
    assert check_data(spec) is None
    with pytest.raises(WrongSettingError, match="x has values from -1"):
        load_images(spec)
    early = BYTES.astype(np.float32)
    early[0] = -1
    assert "x has values from -1" in (check_data(saved(tmp_path, early)) or "")


def refusal(spec: DataSpec) -> str:
    """What is said before the study and in the trial alike."""
    with pytest.raises((DataMissingError, WrongSettingError)) as caught:
        load_images(spec)
    text = str(caught.value)
    assert check_data(spec) == text
    assert "\n" not in text
    return text


def test_a_file_that_unpacks_beyond_all_reason_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file of zeros must not fill the memory; an ordinary one that shrinks well stays welcome."""
    spec = saved(tmp_path, np.full((4000, 16, 16, 3), 200, np.uint8), np.arange(4000) % 3, np.savez_compressed)
    load_images(spec)
    monkeypatch.setattr(npz_file, "BOMB_BYTES", 1 << 20)
    assert "array x unpacks to 0.0 GiB, 200 times its size" in refusal(spec)


@pytest.mark.parametrize("shape", ["(1000000000000, 8, 8, 3)", "(12, 8, 8, 4)", "(-1, 8, 8, 3)"])
def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path: Path, shape: str) -> None:
    """NumPy makes room for what the header says before it reads anything."""
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(12 * 8 * 8 * 3))
        labels = io.BytesIO()
        np.save(labels, np.arange(12) % 3)
        file.writestr("y.npy", labels.getvalue())
    assert "a.npz: " in refusal(spec_of(tmp_path / "a.npz"))
