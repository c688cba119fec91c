from typing import Any

import keras
import keras_cv
import numpy as np
import pytest
import tensorflow as tf

from greenopt.spec import Augmentation
from greenopt.trial.augment import Equalization, RandAugment, as_function, build_augmentation
from tests.unit.trial.workbench import fed, prepared, trial_spec

KINDS = ("random", "mixup", "cutmix")


def epochs_of(kind: str, seed: int = 2, **setting: Any) -> list[list[tuple[Any, Any, Any]]]:
    """What the model is trained on in two epochs: (ids, images, labels) of each block."""
    assembly, _, _ = prepared(trial_spec(augmentation=kind, batch_size=16, seed=seed, **setting))
    trainer, blocks = assembly.trainer, []
    original = trainer.blocks._augmented

    def recorded(*block: Any) -> Any:
        x, y = original(*block)
        blocks.append((ids[len(blocks)], x.numpy().reshape(-1, 16, 16, 3), y.numpy().reshape(-1, 4)))
        return x, y

    trainer.warm_up()
    ids = fed(trainer)
    trainer.blocks._augmented = recorded
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


def test_mixup_blends_two_images_and_their_labels_alike() -> None:
    keras.utils.set_random_seed(1)
    x = tf.reshape(tf.range(8, dtype=tf.float32) * 10, (8, 1, 1, 1)) * tf.ones((8, 4, 4, 3))
    mixed, labels = as_function(keras_cv.layers.MixUp(alpha=1.0))(x, tf.one_hot(tf.range(8), 8))
    np.testing.assert_allclose(mixed[:, 0, 0, 0], labels.numpy() @ (np.arange(8) * 10), rtol=1e-5)
    assert len(set(np.round(labels.numpy().max(axis=1), 4))) > 4  # a share of its own for each image


def test_cutmix_pastes_a_rectangle_of_another_image() -> None:
    keras.utils.set_random_seed(1)
    x = tf.reshape(tf.range(8, dtype=tf.float32) * 10, (8, 1, 1, 1)) * tf.ones((8, 8, 8, 3))
    mixed, labels = as_function(keras_cv.layers.CutMix(alpha=1.0))(x, tf.one_hot(tf.range(8), 8))
    values = [set(image.numpy().ravel()) for image in mixed]
    assert all(len(value) <= 2 for value in values)
    assert sum(len(value) == 2 for value in values) >= 4
    for value, label in zip(values, labels.numpy(), strict=True):
        assert value <= {10.0 * number for number in np.flatnonzero(label > 0)} | {10.0 * np.argmax(label)}


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
    original, largest = trainer.blocks._augment, []

    def recorded(images: Any, labels: Any) -> Any:
        largest.append(images)
        return original(images, labels)

    trainer.blocks._augment = recorded
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
