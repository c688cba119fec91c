"""A whole trial on a folder of images with parts of its own."""

from pathlib import Path

import numpy as np
from PIL import Image

from greenopt.events import ConfusionCounted, Outcome
from tests.unit.trial.workbench import run, trial_spec

CLASSES = {"blue": (0, 0, 200), "red": (200, 0, 0)}


def draw(root: Path, part: str, count: int) -> None:
    random = np.random.default_rng(len(part))
    for name, colour in CLASSES.items():
        (root / part / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(np.array(colour) + random.integers(-40, 40, (20, 24, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(root / part / name / f"{number}.png")


def test_a_trial_learns_from_a_folder_and_records_its_classes_and_parts(tmp_path: Path) -> None:
    for part, count in (("train", 40), ("val", 6), ("test", 5)):
        draw(tmp_path, part, count)
    (tmp_path / "labels.csv").write_text("x")
    data = {"name": "folder", "path": str(tmp_path), "image_size": 16}
    told = run(trial_spec(data, {"epochs": 3}, batch_size=8, preprocessing="minmax", lr=0.05, optimizer="Adam"))
    assert told.ended.outcome is Outcome.COMPLETED, told.ended.message
    assert {name: told.facts[name] for name in ("class_names", "own_parts", "left_out", "image_shape")} == {
        "class_names": "blue, red",
        "own_parts": "validation and test",
        "left_out": "labels.csv (no images of a class)",
        "image_shape": "16x16x3 uint8",
    }
    assert [told.facts[f"{part}_images"] for part in ("train", "validation", "test")] == [80, 12, 10]
    assert told.inert["partitioning"] == "the images have validation and test parts of their own"
    assert told.ended.test_accuracy == 1
    (counted,) = [event for event in told.events if isinstance(event, ConfusionCounted)]
    assert (counted.class_names, counted.counts) == (("blue", "red"), ((5, 0), (0, 5)))
