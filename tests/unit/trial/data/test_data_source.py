import numpy as np
import pytest

from greenopt.trial.data.data_source import DeviceDataSource, HostDataSource, build_data_source
from greenopt.trial.data.images import Images
from tests.unit.trial.workbench import prepared, run, trial_spec


def images(count: int = 50) -> Images:
    x = np.random.default_rng(1).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return Images(x, np.arange(count, dtype=np.int32) % 3, 3, "made")


@pytest.mark.parametrize("kind", [DeviceDataSource, HostDataSource])
def test_blocks_hold_the_images_with_their_ids_in_order(kind: type) -> None:
    all_images = images()
    parts = [np.array([7, 3, 3]), np.array([49, 0, 1])]
    blocks = list(kind(all_images).blocks(parts))
    assert len(blocks) == 2
    for ids, (x, y) in zip(parts, blocks, strict=True):
        assert np.array_equal(x.numpy(), all_images.x[ids])
        assert np.array_equal(y.numpy(), all_images.y[ids])
        assert (x.dtype, y.dtype) == ("uint8", "int32")


def test_the_size_of_the_images_chooses_the_feed() -> None:
    size = images().x.nbytes
    assert build_data_source(images(), size).place == "device"
    assert build_data_source(images(), size - 1).place == "host"


def test_images_fed_from_the_host_train_to_the_same_figures() -> None:
    scores = []
    for device_bytes in (10**9, 0):
        spec = trial_spec(augmentation="mixup", training={"device_images_bytes": device_bytes})
        prepared_trial, _, split = prepared(spec)
        trainer = prepared_trial.trainer
        trainer.warm_up()
        scores.append((trainer.train_epoch(1), trainer.train_epoch(2), trainer.evaluate(split.validation)))
    assert scores[0] == scores[1]


def test_a_trial_says_where_its_images_are() -> None:
    assert run(trial_spec()).facts["images_on"] == "device"
    assert run(trial_spec(training={"device_images_bytes": 1000})).facts["images_on"] == "host"
