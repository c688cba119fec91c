"""What users store as images and labels: used with its meaning, or refused before anything is trained."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greenopt.spec import DataSet, DataSpec, Shares
from greenopt.trial.data import npz_file
from greenopt.trial.data.cache import cached_images
from greenopt.trial.data.files import check_data
from greenopt.trial.data.images import load_images, split_images
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
        ({"x": np.zeros((12, 5, 6, 5), np.uint8)}, r"x has shape \(12, 5, 6, 5\); images are"),
        ({"x": np.zeros((12, 4, 5, 6), np.uint8)}, "channels first"),
        ({"x": np.zeros((12, 3, 5, 6), np.uint8)}, r"channels first: store numpy\.moveaxis\(x, 1, 3\)"),
        ({"x": np.zeros((12, 1, 5, 4), np.uint8)}, "channels first"),
        ({"x": np.zeros((12, 90), np.uint8)}, r"x has shape \(12, 90\); images are \(images, height, width"),
        ({"x": np.uint8(3)}, r"x has shape \(\)"),
        ({"x": np.zeros((12, 0, 6, 3), np.uint8)}, "which holds no pixel"),
        ({"x": np.zeros((0, 5, 6, 3), np.uint8), "y": np.zeros(0, int)}, "which holds no pixel"),
        ({"y": np.array(["a"] * 12)}, "y has the one label a; there must be at least two classes"),
        ({"y": np.array([["a", "b"]] * 12)}, r"y has shape \(12, 2\)"),
        ({"y": np.array(["a", 1] * 6, object)}, r"y holds Python objects; .*, or text: store y\.astype\(str\)"),
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
    np.savez(tmp_path / "named.npz", images=BYTES, labels=LABELS)
    assert "has no array x and y but images, labels; write it with" in problem("named.npz")
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


def opaque(x: Any, opacity: Any) -> Any:
    return np.concatenate([x, np.full((*x.shape[:3], 1), opacity, x.dtype)], axis=3)


@pytest.mark.parametrize(
    ("x", "wanted"),
    [
        (opaque(BYTES, 255), BYTES),
        (opaque(BYTES / 255, 1), BYTES),
        (opaque((BYTES / 1.0), 255), BYTES),
        (opaque(BYTES, 0), np.full_like(BYTES, 255)),
        (opaque(BYTES * 0, 51), np.full_like(BYTES, 204)),
        (opaque(BYTES[..., :1], 255), np.repeat(BYTES[..., :1], 3, axis=3)),
    ],
)
def test_transparent_images_lie_on_white(tmp_path: Path, x: Any, wanted: Any) -> None:
    spec = saved(tmp_path, x)
    assert check_data(spec) is None
    np.testing.assert_array_equal(load_images(spec).x, wanted)


def test_opacity_on_another_scale_than_the_colours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongSettingError, match="last channel, opacity, up to 1; store both on the same scale"):
        load_images(saved(tmp_path, opaque(BYTES.astype(np.float32), 1)))


@pytest.mark.parametrize("dtype", [str, "S3", "U20"])
def test_labels_that_are_text_are_the_names_of_the_classes(tmp_path: Path, dtype: Any) -> None:
    spec = saved(tmp_path, y=np.array(["emu", "cat", "dog"])[LABELS].astype(dtype))
    assert check_data(spec) is None
    images = load_images(spec)
    assert images.class_names == ("cat", "dog", "emu")
    assert [images.class_names[label] for label in images.y[:3]] == ["emu", "cat", "dog"]
    assert (images.classes, images.y.dtype) == (3, np.int32)


def test_text_that_a_terminal_would_obey_is_shown_as_escapes(tmp_path: Path) -> None:
    assert load_images(saved(tmp_path, y=np.array(["a\x1b[2J", "b", "c"])[LABELS])).class_names[0] == r"a\x1b[2J"


def keras_arrays(**other: Any) -> dict[str, Any]:
    return {
        "x_train": BYTES,
        "y_train": LABELS,
        "x_test": BYTES[:6, ::-1],
        "y_test": LABELS[:6],
        **{name: array for name, array in other.items() if array is not None},
    }


def of_keras(folder: Path, leave_out: tuple[str, ...] = (), **other: Any) -> DataSpec:
    arrays = keras_arrays(**other)
    np.savez(folder / "images.npz", **{name: array for name, array in arrays.items() if name not in leave_out})
    return spec_of(folder / "images.npz")


@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_the_parts_of_a_file_as_keras_has_it_stay_the_parts(tmp_path: Path, name: str) -> None:
    spec = of_keras(tmp_path, leave_out=(), **{f"x_{name}": BYTES[:9, :, ::-1], f"y_{name}": LABELS[:9, None]})
    assert check_data(spec) is None
    images = load_images(spec)
    assert images.parts is not None
    split = split_images(images, Shares(60, 20, 20), seed=1)
    np.testing.assert_array_equal(images.x[split.train], BYTES)
    np.testing.assert_array_equal(images.x[split.validation], BYTES[:9, :, ::-1])
    np.testing.assert_array_equal(images.x[split.test], BYTES[:6, ::-1])
    np.testing.assert_array_equal(images.y[split.validation], LABELS[:9])


def test_without_a_validation_part_it_is_split_off_the_training_images_alone(tmp_path: Path) -> None:
    images = load_images(of_keras(tmp_path))
    split = split_images(images, Shares(60, 20, 20), seed=1)
    assert (len(split.train), len(split.validation), len(split.test)) == (9, 3, 6)
    assert set(split.test) == set(range(12, 18))
    alone = load_images(of_keras(tmp_path, leave_out=("x_test", "y_test")))
    assert alone.parts is None


def test_parts_of_different_types_have_the_same_pixels(tmp_path: Path) -> None:
    images = load_images(of_keras(tmp_path, x_test=(BYTES[:6, ::-1] / 255).astype(np.float32)))
    np.testing.assert_array_equal(images.x, load_images(of_keras(tmp_path)).x)
    assert load_images(of_keras(tmp_path, x_test=RANDOM.random((6, 5, 6, 3)))).x.dtype == np.float32
    names = np.array(["b", "a", "c"])
    text = load_images(of_keras(tmp_path, y_train=names[LABELS], y_test=names[LABELS[:6]]))
    assert (text.class_names, text.y[12:].tolist()) == (("a", "b", "c"), [1, 0, 2, 1, 0, 2])
    few = load_images(of_keras(tmp_path, y_train=names[LABELS], y_test=np.array(["c"] * 6)))
    assert few.y[12:].tolist() == [2] * 6


@pytest.mark.parametrize(
    ("leave_out", "other", "text"),
    [
        (("y_test",), {}, "has no array y_test but x_test, x_train, y_train"),
        (("x_train", "y_train"), {}, "has no array x_train and y_train but x_test, y_test"),
        ((), {"x": BYTES}, "has x or y beside "),
        ((), {"x_val": BYTES, "x_validation": BYTES}, "two arrays for the validation part"),
        ((), {"x_test": BYTES[:6, :4]}, r"x_train has shape \(12, 5, 6, 3\) and x_test \(6, 4, 6, 3\)"),
        ((), {"x_test": BYTES[:6, ..., 0]}, "images of all parts have the same size and channels"),
        ((), {"y_test": LABELS[:6] + 1}, "y_test has the label 3, which y_train has not"),
        ((), {"y_test": LABELS[:6].astype(str)}, "text in one part and numbers in another"),
        ((), {"y_test": LABELS[:5]}, "x_test, y_test: x has 6 images and y 5 labels"),
        ((), {"x_test": BYTES[:6] / 127.5 - 1}, r"x_test, y_test: x has values from -1 to "),
        ((), {"x_train": BYTES.astype(np.float32), "x_test": BYTES[:6] / 255}, "x_train has values up to 255 and x_te"),
        ((), {"y_train": LABELS * 2}, "x_train, y_train: y has 3 different labels from 0 to 4"),
    ],
)
def test_parts_that_do_not_fit_one_another_are_refused_in_one_line(
    tmp_path: Path, leave_out: tuple[str, ...], other: dict[str, Any], text: str
) -> None:
    spec = of_keras(tmp_path, leave_out, **other)
    problem = check_data(spec) or ""
    with pytest.raises((DataMissingError, WrongSettingError), match=text) as raised:
        load_images(spec)
    assert str(raised.value) == problem


def test_pickled_labels_of_a_part_stay_refused(tmp_path: Path) -> None:
    spec = of_keras(tmp_path, y_test=np.array(["a", 1, None] * 2, object))
    assert "y holds Python objects" in (check_data(spec) or "")
