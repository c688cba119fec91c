from pathlib import Path

import pytest
from PIL import Image

from greenopt.coordination.preflight import input_notes
from tests.builders import study


def test_downloads_and_files_that_are_left_out_are_told_before_a_study_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    plain = {"images": None, "classes": None}
    for name, title, size in (
        ("mnist", "MNIST", "11 MB"),
        ("fashion_mnist", "Fashion-MNIST", "31 MB"),
        ("cifar100", "CIFAR-100", "169 MB"),
        ("cifar10", "CIFAR-10", "170 MB"),
    ):
        (note,) = input_notes(study(data={**plain, "name": name}))
        assert note.startswith(f"{title} is downloaded to {tmp_path / 'datasets'}")
        assert f"({size}, from " in note
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "photos" / name / "1.png")
    data = {**plain, "name": "folder", "path": str(tmp_path / "photos")}
    assert input_notes(study(data=data)) == []
    (tmp_path / "photos" / "a" / "notes.txt").write_text("x")
    assert input_notes(study(data=data)) == [f"{tmp_path / 'photos'}: left out, as no images of a class: a/notes.txt"]
    assert input_notes(study()) == []
