"""A training on images that stay on the disk is the training on the same images in memory, to the last bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.trial.workbench import prepared, run, trial_spec


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    random = np.random.default_rng(5)
    for number in range(150):
        place = tmp_path / "photos" / f"class {number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 200, (12, 12, 3)) + 20 * (number % 3)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number:03}.png")
    return tmp_path / "photos"


def test_an_epoch_gives_equal_weights_to_the_bit(photos: Path) -> None:
    """In blocks of three steps, so that the order of blocks counts, on the host as on the device."""
    found: list[Any] = []
    for images_on, device_bytes in (("memory", 10**9), ("memory", 0), ("disk", 10**9)):
        data = {"name": "folder", "path": str(photos), "image_size": 12, "images_on": images_on}
        training = {"device_images_bytes": device_bytes, "block_images": 48}
        spec = trial_spec(data, training, batch_size=16, augmentation="mixup", preprocessing="robust_scaling")
        trial, _, split = prepared(spec)
        trial.trainer.warm_up()
        scores = trial.trainer.train_epoch(1), trial.trainer.evaluate(split.validation)
        found.append((trial.trainer.pipeline.place, scores, trial.model.get_weights()))
    assert [place for place, _, _ in found] == ["device", "host", "disk"]
    for _, scores, weights in found[1:]:
        assert scores == found[0][1]
        assert all(np.array_equal(a, b) for a, b in zip(weights, found[0][2], strict=True))


def test_a_trial_says_that_its_images_were_on_the_disk(photos: Path) -> None:
    data = {"name": "folder", "path": str(photos), "image_size": 12, "images_on": "disk"}
    told = run(trial_spec(data, batch_size=16))
    assert told.facts["images_on"] == "disk", told.ended.message
