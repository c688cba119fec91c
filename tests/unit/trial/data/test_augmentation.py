from typing import Any

import keras
import keras_cv
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from greenopt.spec import Augmentation
from greenopt.trial.data.augmentation import Equalization, RandAugment, as_function, build_augmentation
from greenopt.trial.data.mixing import CutMix, MixUp, beta_shares
from tests.unit.trial.workbench import fed, prepared, trial_spec

KINDS = ("random", "mixup", "cutmix")


def epochs_of(kind: str, seed: int = 2, **setting: Any) -> list[list[tuple[Any, Any, Any]]]:
    """What the model is trained on in two epochs: (ids, images, labels) of each block."""
    prepared_trial, _, _ = prepared(trial_spec(augmentation=kind, batch_size=16, seed=seed, **setting))
    trainer = prepared_trial.trainer
    blocks: list[tuple[Any, Any, Any]] = []
    original = trainer.pipeline._augmented

    def recorded(*block: Any) -> Any:
        x, y = original(*block)
        blocks.append((ids[len(blocks)], x.numpy().reshape(-1, 16, 16, 3), y.numpy().reshape(-1, 4)))
        return x, y

    trainer.warm_up()
    ids = fed(trainer)
    trainer.pipeline._augmented = recorded
    epochs = []
    for epoch in (1, 2):
        trainer.train_epoch(epoch)
        epochs.append(list(blocks))
        blocks.clear()
        ids.clear()
    return epochs


def by_id(blocks: list[tuple[Any, Any, Any]]) -> dict[int, Any]:
    return {int(number): image for ids, images, _ in blocks for number, image in zip(ids, images, strict=True)}


@pytest.mark.parametrize("kind", KINDS)
def test_augmentation_is_fresh_in_every_epoch_and_block_and_follows_the_seed(kind: str) -> None:
    first, again, other = epochs_of(kind), epochs_of(kind), epochs_of(kind, seed=3)
    one, two = by_id(first[0]), by_id(first[1])
    shared = set(one) & set(two)
    assert len(shared) > 100
    assert np.mean([np.array_equal(one[number], two[number]) for number in shared]) < 0.05
    for before, after in zip(first[0] + first[1], again[0] + again[1], strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))
    assert np.mean([np.array_equal(x[1], y[1]) for x, y in zip(first[0], other[0], strict=True)]) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["float32", "global_policy_float16"])
def test_augmented_images_stay_in_range_and_labels_add_up_under_any_policy(kind: str, precision: str) -> None:
    blocks = epochs_of(kind, precision=precision)[0]
    images, labels = (np.concatenate([block[part] for block in blocks]) for part in (1, 2))
    assert labels.dtype == np.float32
    assert images.dtype == (np.float32 if precision == "float32" else np.float16)
    assert images.min() >= -1e-3
    assert 200 < images.max() <= 255 + 1e-3
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)


def test_the_layers_are_those_of_the_design_with_the_studys_numbers() -> None:
    training = trial_spec(
        training={"mixup_alpha": 0.7, "cutmix_alpha": 0.6, "random_layers": 3, "random_magnitude": 0.25}
    ).training
    assert build_augmentation(Augmentation.NONE, training, 0) is None
    mixup = build_augmentation(Augmentation.MIXUP, training, 0)
    cutmix = build_augmentation(Augmentation.CUTMIX, training, 0)
    random = build_augmentation(Augmentation.RANDOM, training, 0)
    assert isinstance(mixup, keras_cv.layers.MixUp)
    assert isinstance(cutmix, keras_cv.layers.CutMix)
    assert isinstance(random, keras.layers.RandAugment)
    assert (mixup.alpha, cutmix.alpha) == (0.7, 0.6)
    assert (random.num_ops, random.factor[1], tuple(random.value_range)) == (3, 0.25, (0, 255))


def mixed(layer: keras.layers.Layer, count: int, height: int, width: int) -> tuple[Any, Any, Any]:
    """Each image is one number of its own, as is its label: (numbers, images, labels) after mixing."""
    keras.utils.set_random_seed(1)
    numbers = np.random.default_rng(0).permutation(count).astype(np.float32) * (255 / count)
    x = tf.constant(numbers).numpy().reshape(-1, 1, 1, 1) * np.ones((1, height, width, 1), np.float32)
    images, labels = as_function(layer)(tf.constant(x), tf.constant(np.stack([numbers, np.ones(count)], 1), tf.float32))
    return numbers, images.numpy(), labels.numpy()


@pytest.mark.parametrize("alpha", [0.003, 0.2, 1.0, 8.0])
@pytest.mark.parametrize(
    ("layer", "height", "width"), [(MixUp, 2, 3), (CutMix, 32, 32), (CutMix, 9, 40), (CutMix, 1, 5)]
)
def test_a_mixed_label_has_the_shares_of_the_pixels(layer: Any, height: int, width: int, alpha: float) -> None:
    _, images, labels = mixed(layer(alpha=alpha), 2000, height, width)
    assert np.isfinite(images).all()
    np.testing.assert_allclose(labels[:, 1], 1, atol=1e-5)
    np.testing.assert_allclose(labels[:, 0], images.mean(axis=(1, 2, 3)), atol=0.005)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 8.0])
def test_mixup_draws_a_share_for_each_image_from_the_beta_distribution(alpha: float) -> None:
    share = beta_shares((40_000,), alpha, alpha).numpy()
    deviation = np.sqrt(1 / (4 * (2 * alpha + 1)))
    assert share.mean() == pytest.approx(0.5, abs=4 * deviation / 200)
    assert share.std() == pytest.approx(deviation, rel=0.02)
    places = np.array([1e-6, 1e-3, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999])
    found = np.searchsorted(np.sort(share), places) / len(share)
    np.testing.assert_allclose(found, scipy.stats.beta(alpha, alpha).cdf(places), atol=1.95 / 200)
    assert scipy.stats.beta(2, 5).mean() == pytest.approx(beta_shares((40_000,), 2.0, 5.0).numpy().mean(), abs=0.004)


def test_mixup_blends_each_image_with_one_other_and_all_of_them_once() -> None:
    numbers = np.arange(500, dtype=np.float32)
    keras.utils.set_random_seed(1)
    x = tf.constant(numbers.reshape(-1, 1, 1, 1))
    _, share, order = MixUp(alpha=1.0)._mixup(x)
    assert sorted(order.numpy()) == list(range(500))
    assert (order.numpy() == np.arange(500)).mean() < 0.02
    assert len(set(np.round(share.numpy(), 4))) > 450


def test_cutmix_pastes_one_rectangle_of_another_image_around_any_place() -> None:
    count, side = 4000, 16
    numbers, images, _ = mixed(CutMix(alpha=1.0), count, side, side)
    pasted = images[..., 0] != numbers.reshape(-1, 1, 1)
    for image, foreign in zip(images, pasted, strict=True):
        rows, columns = foreign.any(axis=1), foreign.any(axis=0)
        assert np.array_equal(foreign, np.outer(rows, columns))
        assert (np.abs(np.diff(np.r_[0, rows, 0])).sum(), np.abs(np.diff(np.r_[0, columns, 0])).sum()) in (
            (0, 0),
            (2, 2),
        )
        assert len(np.unique(image[foreign])) <= 1
    # The definition, image by image: a square of a uniform share of the area, centred anywhere, cut at the edge.
    random = np.random.default_rng(5)
    sizes = np.floor(np.sqrt(random.random(200_000)) * side)
    low = random.integers(0, side, (2, 200_000)) - sizes / 2
    inside = [(np.arange(side)[:, None] >= one) & (np.arange(side)[:, None] < one + sizes) for one in low]
    wanted = (inside[0].sum(axis=0) * inside[1].sum(axis=0)).mean() / side**2
    assert pasted.mean() == pytest.approx(wanted, abs=0.015)
    middle = pasted.mean(axis=0)
    assert middle[side // 2, side // 2] > middle[0, 0] > 0.05


def test_randaugment_draws_its_operations_for_each_image() -> None:
    x = tf.zeros((200, 8, 8, 3))
    ours = RandAugment(num_ops=2, seed=1).get_random_transformation(x, training=True)["layer_idxes"].numpy()
    assert ours.shape == (2, 200, 1, 1, 1)
    assert all(len(set(row.ravel())) == len(RandAugment._AUGMENT_LAYERS) for row in ours)
    keras_own = keras.layers.RandAugment(num_ops=2, seed=1).get_random_transformation(x, training=True)
    assert keras_own["layer_idxes"].shape == (2,), "Keras now draws for each image itself: RandAugment is not needed"


def test_randaugment_of_one_operation_does_what_that_operation_does() -> None:
    layer = RandAugment(num_ops=1, factor=0.5, seed=4)
    x = tf.constant(np.random.default_rng(0).integers(20, 200, (64, 8, 8, 3)), tf.float32)
    drawn = layer.get_random_transformation(x, training=True)
    chosen = drawn["layer_idxes"].numpy().ravel()
    images = layer.transform_images(x, drawn).numpy()
    for number, name in ((4, "random_color_degeneration"), (9, "auto_contrast"), (3, "random_brightness")):
        alone = getattr(layer, name).transform_images(x, drawn["transforms"][name]).numpy()
        assert (chosen == number).any()
        np.testing.assert_array_equal(images[chosen == number], alone[chosen == number])


def test_mixing_happens_on_raw_images_before_they_are_scaled() -> None:
    trainer = prepared(trial_spec(augmentation="mixup", preprocessing="standardization"))[0].trainer
    original, largest = trainer.pipeline._augment, []
    assert original is not None

    def recorded(images: Any, labels: Any) -> Any:
        largest.append(images)
        return original(images, labels)

    trainer.pipeline._augment = recorded
    tf.config.run_functions_eagerly(True)
    try:
        trainer.train_epoch(1)
    finally:
        tf.config.run_functions_eagerly(False)
    assert max(float(tf.reduce_max(images)) for images in largest) > 200
    assert min(float(tf.reduce_min(images)) for images in largest) >= 0


def test_equalization_is_kerass_of_each_image_alone() -> None:
    random = np.random.default_rng(0)
    x = np.concatenate(
        [random.integers(0, high, (2, 8, 6, 3)) for high in (256, 40, 3)] + [np.full((1, 8, 6, 3), 7)]
    ).astype(np.float32)
    x[1, ..., 1] = 255
    alone = np.concatenate([keras.layers.Equalization().transform_images(x[at : at + 1], None) for at in range(len(x))])
    # Keras takes some levels for the one below, since level / 255 * 255 is a little less than the level.
    exact = (x / np.float32(255) * np.float32(255)).astype(np.int32) == x
    assert exact.mean() > 0.9
    found = Equalization().transform_images(tf.constant(x)).numpy()
    np.testing.assert_array_equal(found[exact], alone[exact])
    assert found[0].min() == 0
    assert found[0].max() == 255
    np.testing.assert_array_equal(found[-1], x[-1])
    fractions = tf.constant(x[:1] + 0.25)
    np.testing.assert_array_equal(Equalization().transform_images(fractions).numpy(), found[:1])


@pytest.mark.parametrize("name", RandAugment._AUGMENT_LAYERS)
def test_no_operation_on_an_image_depends_on_the_other_images(name: str) -> None:
    layer = RandAugment(num_ops=1, factor=0.5, seed=4)
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.float32)
    drawn = layer.get_random_transformation(tf.constant(x), training=True)["transforms"][name]
    other = np.concatenate([x[:1], np.zeros_like(x[1:])])
    one, two = (getattr(layer, name).transform_images(tf.constant(images), drawn)[0] for images in (x, other))
    np.testing.assert_array_equal(one, two)
    changed = getattr(layer, name).transform_images(tf.constant(x), drawn)
    assert not np.array_equal(changed, x)


@pytest.mark.parametrize("name", RandAugment._AUGMENT_LAYERS)
def test_every_operation_stays_in_the_range_of_values(name: str) -> None:
    layer = RandAugment(value_range=(0, 255), num_ops=1, factor=1.0, seed=4)
    x = tf.constant(np.random.default_rng(0).choice([0, 1, 128, 254, 255], (64, 8, 8, 3)), tf.float32)
    drawn = layer.get_random_transformation(x, training=True)["transforms"][name]
    images = getattr(layer, name).transform_images(x, drawn).numpy()
    assert np.isfinite(images).all()
    assert images.min() >= -1e-3
    assert images.max() <= 255 + 1e-3
    assert images.max() > 100
