"""What is checked before a study starts."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from greenopt.coordination import preflight
from greenopt.coordination.image_checks import image_problem
from greenopt.coordination.preflight import check_study
from greenopt.errors import UsageError
from greenopt.spec import load_study
from tests.builders import study

FILE = Path("study.toml")


def without(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(preflight, "find_spec", lambda name: None if name == missing else found(name))


def test_int8_needs_its_runtime_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"batch_size": [4], "internal": ["none", "post_quantization"]}
    check_study(study(space=space), FILE)
    without("ai_edge_litert", monkeypatch)
    with pytest.raises(UsageError, match=r"study.toml: space.internal: .*ai-edge-litert, which is not installed"):
        check_study(study(space=space), FILE)
    check_study(study(space={"internal": ["none"]}), FILE)
    check_study(study(space={"lr": [0.1]}), FILE)


def refused(**tables: Any) -> str:
    """What a study is refused with, or an empty text."""
    try:
        check_study(study(**tables), FILE)
    except UsageError as error:
        return str(error)
    return ""


def npz(folder: Path, side: int = 8, count: int = 40, **rest: Any) -> dict[str, Any]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", **{"x": pixels, "y": np.arange(count) % 4, **rest})
    return {"name": "npz", "path": str(folder / "images.npz"), "images": None, "classes": None}


def test_images_that_cannot_be_used_are_refused_before_the_study_with_file_key_and_way_out(tmp_path: Path) -> None:
    assert refused(data=npz(tmp_path)) == ""
    problem = refused(data=npz(tmp_path, x=np.linspace(-1, 1, 40 * 64 * 3).reshape(40, 8, 8, 3)))
    assert problem.startswith(f"study.toml: data.path: {tmp_path}/images.npz: x has values from -1 to 1; ")
    assert "y has shape (40, 4), a column for each class" in refused(data=npz(tmp_path, y=np.eye(4)[np.arange(40) % 4]))


@pytest.mark.parametrize(
    ("tables", "text"),
    [
        (
            {"data": {"images": 7}},
            "data: 7 images of synthetic are too few for partitioning 60-20-20: a part would have 1",
        ),
        ({"data": {"images": None, "classes": 2001}}, "10000 images of synthetic are too few"),
        ({"data": {"name": "digits", "images": 45, "classes": None}}, "a part would have 9 images for 10 classes"),
        ({"data": {"name": "digits", "images": 1798, "classes": None}}, "data.images: 1798: digits has 1797 images"),
        ({"space": {"batch_size": [4, 61]}}, "space.batch_size: 61: the training part of partitioning 60-20-20 has 60"),
        ({"space": {"batch_size": {"low": 4, "high": 99}, "partitioning": ["90-5-5", "60-20-20"]}}, "99: the training"),
    ],
)
def test_images_that_are_too_few_for_a_setting_are_refused(tables: dict[str, Any], text: str) -> None:
    assert text in refused(**tables)


def test_the_labels_of_a_file_are_split_as_a_trial_would(tmp_path: Path) -> None:
    y = np.arange(40) % 4
    y[y == 3] = 2
    y[0] = 3
    assert "would have none of class" in refused(data=npz(tmp_path, y=y))
    assert "data.images: 41: " in refused(data={**npz(tmp_path), "images": 41})
    assert "training part of partitioning 60-20-20 has 6 images" in refused(
        data=npz(tmp_path, count=10, y=np.arange(10) % 2)
    )


def test_a_models_smallest_image_holds_for_files_too(tmp_path: Path) -> None:
    data, model = npz(tmp_path), {"model": "ResNet50"}
    problem = refused(data=data, training=model)
    assert "training.model: ResNet50 needs images of at least 32x32" in problem
    assert "have a side of 8; set data.image_size = 32" in problem
    assert refused(data={**data, "image_size": 32}, training=model) == ""
    assert refused(data=npz(tmp_path, side=32), training=model) == ""


def test_only_models_that_train_have_a_smallest_image(tmp_path: Path) -> None:
    data, default = npz(tmp_path), {"model": "ResNet50"}
    own = "tests.unit.trial.tiny:build"
    assert refused(data=data, training=default, space={"batch_size": [4], "model": [own]}) == ""
    problem = refused(data=data, training=default, space={"batch_size": [4], "model": [own, "Xception", "ResNet50"]})
    assert "space.model: Xception needs images of at least 71x71" in problem


def folder(root: Path, *parts: str, side: int = 8, count: int = 20) -> dict[str, Any]:
    for part in parts or (".",):
        for name in ("cat", "dog"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (side, side), (number, 9, 9)).save(root / part / name / f"{number}.png")
    return {"name": "folder", "path": str(root), "images": None, "classes": None}


def test_a_folder_of_images_is_checked_as_files_are(tmp_path: Path) -> None:
    data = folder(tmp_path)
    assert refused(data=data) == ""
    assert "have a side of 8; set data.image_size = 32" in refused(data=data, training={"model": "ResNet50"})
    assert "training part of partitioning 60-20-20 has 24" in refused(data=data, space={"batch_size": [25]})
    assert "data.images: 41" in refused(data={**data, "images": 41})
    (tmp_path / "cat" / "1.png").write_text("no image")
    assert "study.toml: data.path: " in refused(data=data)
    assert refused(data={**data, "skip_broken": True}) == ""


def test_partitioning_may_not_vary_where_nothing_is_split(tmp_path: Path) -> None:
    data, partitioning = folder(tmp_path / "a", "train", "val", "test"), {"partitioning": ["60-20-20", "80-10-10"]}
    assert "study.toml: space.partitioning: has no effect, since " in refused(data=data, space=partitioning)
    assert refused(data=data) == ""
    assert "has 40 images" in refused(data=data, space={"batch_size": [41]})
    assert refused(data=folder(tmp_path / "b", "train", "test"), space={**partitioning, "batch_size": [4]}) == ""


def test_checking_images_brings_no_tensorflow(tmp_path: Path) -> None:
    npz(tmp_path)
    program = (
        "import sys; from pathlib import Path; from greenopt.spec import DataSpec; "
        "from greenopt.trial.data.files import check_data; from greenopt.trial.data import images; "
        "import greenopt.coordination.preflight; "
        f"print(check_data(DataSpec(name='npz', path={str(tmp_path / 'images.npz')!r})), *sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert told[0] == "None"
    assert {"tensorflow", "keras", "sklearn"}.isdisjoint(told)


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[3] / "studies").glob("*.toml")), ids=lambda file: file.stem
)
def test_the_studies_that_come_with_greenopt_have_images_enough(file: Path) -> None:
    spec = load_study(file)
    assert spec.data is None or image_problem(spec) is None
