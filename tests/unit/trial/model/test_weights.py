"""Pretrained weights: the right arithmetic, only files that hold arrays, only the wanted layers trained."""

import os
import pickle
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.saving import legacy_h5_format
from pydantic import ValidationError

from greenopt.coordination.preflight import check_study, input_notes
from greenopt.errors import UsageError
from greenopt.identity.digests import DataDigests
from greenopt.identity.inputs import InputReader
from greenopt.spec import MODEL_NAMES, imagenet_url, inert_parameters, load_study
from greenopt.trial.data.files import weights_problem
from greenopt.trial.data.images import Images
from greenopt.trial.data.pipeline import BlockShape, ImagePreprocessing, InputPipeline
from greenopt.trial.data.scaling import Scaling
from greenopt.trial.failures import DataMissingError, WrongSettingError
from greenopt.trial.model.applications import imagenet_scaling
from greenopt.trial.model.build import ModelShape, batchnorm_layers, build_model, weighted_layers
from greenopt.trial.model.weights_file import check_weights_file
from tests.builders import setting_of, study
from tests.unit.trial.workbench import TINY, prepared, run, trial_spec

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3)).astype(np.float32)


def scaled(x: Any, scaling: Scaling | None) -> Any:
    if scaling is None:
        return x
    x = x[..., ::-1] if scaling.is_bgr else x
    return (x - np.array(scaling.shift)) / np.array(scaling.scale)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_images_are_scaled_as_keras_scales_them_for_each_model(name: str) -> None:
    module: Any = sys.modules[getattr(keras.applications, name).__module__]
    wanted = module.preprocess_input(IMAGES.copy())
    np.testing.assert_allclose(scaled(IMAGES, imagenet_scaling(name)), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("MobileNetV2", Scaling((127.5,) * 3, (127.5,) * 3)),
        ("ResNet50", Scaling((103.939, 116.779, 123.68), (1.0,) * 3, is_bgr=True)),
        ("DenseNet121", Scaling((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))),
        ("EfficientNetV2B0", None),
    ],
)
def test_known_models_have_the_published_scaling(name: str, wanted: Scaling | None) -> None:
    found = imagenet_scaling(name)
    if wanted is None or found is None:
        assert found is wanted
        return
    np.testing.assert_allclose(found.shift, wanted.shift, rtol=1e-5)
    np.testing.assert_allclose(found.scale, wanted.scale, rtol=1e-5)
    assert found.is_bgr == wanted.is_bgr


def features_of(name: str, folder: Path, side: int = 32) -> tuple[Path, keras.Model]:
    """A file of weights without output layers as Keras publishes them, drawn anew, and the model they are of."""
    model = getattr(keras.applications, name)(
        weights=None, include_top=False, pooling="avg", input_shape=(side, side, 3)
    )
    random = np.random.default_rng(1)
    model.set_weights([np.abs(random.normal(0.05, 0.02, w.shape)) if w.ndim == 1 else w for w in model.get_weights()])
    file = folder / f"{name}.weights.h5"
    model.save_weights(file)
    return file, model


def part(model: keras.Model, layer: str) -> keras.Model:
    """A model up to one of its layers."""
    return keras.Model(model.input, model.get_layer(layer).output)


def test_features_and_images_of_mobilenet_are_those_of_keras(tmp_path: Path) -> None:
    """Followed through a prepared trial: stored pixels, the pipeline's scaling, the loaded weights, their output."""
    file, theirs = features_of("MobileNet", tmp_path)
    data = {"name": "synthetic", "images": 60, "classes": 3, "image_size": 32}
    training = {"model": "MobileNet", "weights": str(file), "trainable": "head", "batchnorm_momentum": None}
    spec = trial_spec(data, training, batch_size=8, preprocessing="standardization", optimizer="SGD", lr=0.1)
    trial, images, split = prepared(spec)
    assert trial.weights_loaded == "features"
    pixels = images.x[split.validation][:4].astype(np.float32)
    theirs_scaled = keras.applications.mobilenet.preprocess_input(pixels.copy())
    mine_scaled = trial.trainer.pipeline.prepared(split.validation[:4])
    for layer in ("conv1", "global_average_pooling2d"):
        name = next(one.name for one in theirs.layers if one.name.startswith(layer))
        wanted = part(theirs, name)(theirs_scaled, training=False)
        mine = part(trial.model, next(one.name for one in trial.model.layers if one.name.startswith(layer)))
        np.testing.assert_allclose(mine(mine_scaled, training=False), wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(part(theirs, "conv1")(pixels) - part(theirs, "conv1")(theirs_scaled)).max() > 0.1
    before = [weight.numpy() for weight in trial.model.weights]
    trial.trainer.train_epoch(1)
    moved = [not np.array_equal(a, b.numpy()) for a, b in zip(before, trial.model.weights, strict=True)]
    assert moved == [False] * (len(moved) - 2) + [True, True]


def test_an_efficientnet_with_a_file_of_imagenet_weights_computes_what_keras_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras adds a layer for its own download alone; without it, the same file would mean other images."""
    _, drawn = features_of("EfficientNetB0", tmp_path)
    legacy = tmp_path / "legacy.h5"
    with h5py.File(legacy, "w") as opened:
        legacy_h5_format.save_weights_to_hdf5_group(opened, drawn)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(legacy))
    theirs = keras.applications.EfficientNetB0(include_top=False, pooling="avg", input_shape=(32, 32, 3))
    training = trial_spec(training={"model": "EfficientNetB0", "weights": str(legacy)}).training
    model, loaded = build_model(training, "float32", ModelShape((32, 32, 3), 3))
    assert loaded == "features"
    pixels = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    mine, wanted, without = (part(one, "stem_conv")(pixels) for one in (model, theirs, drawn))
    np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-5)
    assert np.abs(without - wanted).max() > 0.1


def test_channels_are_reversed_before_the_means_are_taken_off() -> None:
    """Of ResNet50's weights, through the pipeline that feeds a trial."""
    pixels = IMAGES.astype(np.uint8)
    preprocessing = ImagePreprocessing(imagenet_scaling("ResNet50"), "float32", "float32", None)
    images = Images(pixels, np.arange(4, dtype=np.int32), 4, "drawn")
    pipeline = InputPipeline(images, preprocessing, BlockShape(1, 4), BlockShape(1, 4), device_bytes=10**9)
    wanted = keras.applications.resnet50.preprocess_input(IMAGES.copy())
    np.testing.assert_allclose(pipeline.prepared(np.arange(4)), wanted, atol=1e-4)
    np.testing.assert_allclose(next(pipeline.evaluation(np.arange(4)))[0][0], wanted, atol=1e-4)


def tiny(**training: Any) -> Any:
    """A prepared trial of the tiny model."""
    setting = training.pop("setting", {})
    return prepared(trial_spec(training={"model": TINY, **training}, batch_size=16, **setting))[0]


@pytest.mark.parametrize(
    ("internal", "trainable", "trained"),
    [
        ("none", "all", 5),
        ("none", "head", 1),
        ("none", 1, 1),
        ("none", 4, 4),
        ("jit_compilation", 3, 3),
        ("pre_quantization", 3, 3),
    ],
)
def test_only_the_last_layers_are_trained_and_batchnorm_before_them_is_as_in_inference(
    internal: str, trainable: Any, trained: int
) -> None:
    trial = tiny(trainable=trainable, setting={"internal": internal, "optimizer": "AdamW", "lr": 0.01})
    layers = list(weighted_layers(trial.model))
    assert len(layers) == 5
    before = [[weight.numpy() for weight in layer.weights] for layer in layers]
    trial.trainer.warm_up()
    trial.trainer.train_epoch(1)
    for index, (layer, weights) in enumerate(zip(layers, before, strict=True)):
        # A bias in front of BatchNormalization has no effect, and is trained only where that costs nothing.
        left = ("low", "high", *(("bias",) if isinstance(layer, keras.layers.Conv2D) else ()))
        own = [at for at, weight in enumerate(layer.weights) if weight.path.split("/")[-1] not in left]
        moved = {not np.array_equal(layer.weights[at].numpy(), weights[at]) for at in own}
        assert moved == ({True} if index >= 5 - trained else {False}), layer.name


def test_a_frozen_batchnorm_gives_in_training_what_it_gives_in_inference() -> None:
    model = tiny(trainable=2).model
    frozen, trained = batchnorm_layers(model)
    frozen.moving_mean.assign(np.full(8, 0.3))
    x = tf.random.normal((4, 8, 8, 8)) * 3 + 2
    np.testing.assert_allclose(frozen(x, training=True), frozen(x, training=False), rtol=1e-5, atol=1e-5)
    y = tf.random.normal((4, 4, 4, 16)) * 3 + 2
    assert np.abs(trained(y, training=True) - trained(y, training=False)).max() > 0.1


def test_more_layers_than_there_are_is_an_error_with_their_number() -> None:
    with pytest.raises(WrongSettingError, match=r"training.trainable: 6: .* has 5 layers with weights"):
        tiny(trainable=6)


@pytest.mark.parametrize("form", ["weights.h5", "keras", "h5"])
def test_a_whole_model_is_loaded_from_every_format(tmp_path: Path, form: str) -> None:
    first = tiny().model
    file = tmp_path / f"mine.{form}"
    if form == "h5":
        with h5py.File(file, "w") as opened:
            legacy_h5_format.save_weights_to_hdf5_group(opened, first)
    else:
        (first.save_weights if form == "weights.h5" else first.save)(file)
    second = tiny(weights=str(file))
    assert second.weights_loaded == "all"
    other = prepared(trial_spec(training={"model": TINY, "weights": str(file)}, seed=9, batch_size=16))[0]
    for a, b in zip(first.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_of_keras_begins_with_all_of_its_own_weights_or_with_its_features(tmp_path: Path) -> None:
    training = trial_spec(training={"model": "MobileNet", "dropout": 0.5}).training
    first, _ = build_model(training, "float32", ModelShape((32, 32, 3), 3))
    first.save_weights(tmp_path / "whole.weights.h5")
    again = training.model_copy(update={"weights": str(tmp_path / "whole.weights.h5")})
    second, loaded = build_model(again, "mixed_float16", ModelShape((32, 32, 3), 3))
    assert loaded == "all"
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(WrongSettingError, match=r"whole.weights.h5: does not fit mobilenetv3small: "):
        build_model(again.model_copy(update={"model": "MobileNetV3Small"}), "float32", ModelShape((32, 32, 3), 3))


class _Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("bomb",)


def test_only_arrays_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def refused(name: str) -> str:
        with pytest.raises((WrongSettingError, DataMissingError)) as raised:
            check_weights_file(tmp_path / name)
        text = str(raised.value)
        assert "\n" not in text
        assert text.startswith(str(tmp_path / name))
        return text

    assert "no such file" in refused("none.h5")
    (tmp_path / "folder.h5").mkdir()
    assert "is a folder" in refused("folder.h5")
    for name in ("a.pkl", "a.pt", "a.pb", "a.ckpt", "a.npz", "a.joblib"):
        (tmp_path / name).write_bytes(pickle.dumps(_Bomb()))
        assert "is not read, since such a file may hold code; training.weights is" in refused(name)
    for name in ("b.h5", "b.weights.h5", "b.keras"):
        (tmp_path / name).write_bytes(pickle.dumps(_Bomb()))
        assert "is damaged, or no" in refused(name)
    assert not (tmp_path / "bomb").exists()
    with zipfile.ZipFile(tmp_path / "c.keras", "w") as file:
        file.writestr("config.json", "{}")
    assert "holds no model.weights.h5" in refused("c.keras")
    with h5py.File(tmp_path / "other.h5", "w") as opened:
        opened["secret"] = np.zeros(3)
    with h5py.File(tmp_path / "d.h5", "w") as opened:
        opened.create_group("layers")["x"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")
    assert "x is a link" in refused("d.h5")
    with h5py.File(tmp_path / "e.h5", "w") as opened:
        opened.create_dataset("x", (3,), "f8", external=[(str(tmp_path / "other.h5"), 0, 24)])
    assert "x is in another file" in refused("e.h5")
    with h5py.File(tmp_path / "f.h5", "w") as opened:
        opened.create_dataset("x", (1 << 20, 1 << 14), "f4", chunks=(1 << 10, 1 << 10))
    assert "its weights unpack to 64.0 GiB" in refused("f.h5")
    with h5py.File(tmp_path / "g.h5", "w") as opened:
        opened.create_group("a")["b"] = opened["/"]
    assert "is damaged" in refused("g.h5")


def test_the_description_in_a_keras_file_is_never_built(tmp_path: Path) -> None:
    """Loading it as a model would run the lambda's code."""
    first = tiny().model
    first.save(tmp_path / "mine.keras")
    with zipfile.ZipFile(tmp_path / "mine.keras") as file:
        weights = file.read("model.weights.h5")
    with zipfile.ZipFile(tmp_path / "evil.keras", "w") as file:
        file.writestr("config.json", '{"class_name": "Lambda", "module": "os", "config": {"code": "boom"}}')
        file.writestr("model.weights.h5", weights)
    model = tiny(weights=str(tmp_path / "evil.keras")).model
    np.testing.assert_array_equal(model.get_weights()[0], first.get_weights()[0])


def test_a_study_with_weights_is_checked_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.h5"
    with h5py.File(file, "w") as opened:
        opened["x"] = np.zeros(3)
    (tmp_path / "mine.toml").write_text(
        "[study]\ntrials = 1\n[data]\nname = 'digits'\n[training]\nepochs = 1\nmodel = 'MobileNetV2'\n"
        "weights = 'mine.h5'\ntrainable = 'head'\n[space]\nlr = [0.1]\n"
    )
    spec = load_study(tmp_path / "mine.toml")
    assert spec.training.weights == str(file)
    check_study(spec, tmp_path / "mine.toml")
    reader = InputReader(spec, DataDigests())
    before = reader.read()
    file.write_bytes(b"changed")
    assert reader.read().changes_since(before) == ["data weights changed"]
    with pytest.raises(UsageError, match=r"mine.toml: training.weights: .*mine.h5: is damaged"):
        check_study(spec, tmp_path / "mine.toml")
    file.unlink()
    with pytest.raises(UsageError, match=r"training.weights: mine.h5: no such file; it is relative to the study file"):
        check_study(load_study(tmp_path / "mine.toml"), tmp_path / "mine.toml")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    tables = {"training": {"model": "MobileNetV2", "weights": "imagenet"}, "data": {"image_size": 96}}
    (note,) = input_notes(study(**tables))
    assert f"are downloaded to {tmp_path / 'models'} (from https://storage.googleapis.com/" in note
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5"
    assert name in note
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / name).write_bytes(b"")
    assert input_notes(study(**tables)) == []


def test_imagenet_weights_are_looked_for_before_a_study_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    of, name = (
        partial(weights_problem, "MobileNetV2"),
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5",
    )
    assert of(96, is_any_side=True, can_reach=lambda url: url.endswith(name)) is None
    problem = of(96, is_any_side=True, can_reach=lambda _: False) or ""
    assert problem.endswith(f"put {name} into {tmp_path / 'models'}, or set training.weights to its path")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / name).write_bytes(b"")
    assert of(96, is_any_side=True, can_reach=lambda _: False) is None
    assert of(None, is_any_side=True, can_reach=lambda _: False) is None
    assert of(None, is_any_side=False, can_reach=lambda _: False) is not None
    assert of(128, is_any_side=True, can_reach=lambda _: False) is not None
    monkeypatch.setattr("greenopt.trial.data.files._answers", lambda _: False)
    with pytest.raises(UsageError, match=r"study.toml: training.weights: the ImageNet weights of VGG16 are not on"):
        check_study(study(training={"model": "VGG16", "weights": "imagenet"}), Path("study.toml"))


def test_imagenet_weights_that_cannot_be_had_are_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(_: str, origin: str, **__: Any) -> str:
        asked.append(origin)
        raise Exception(f"URL fetch failure on {origin}: None -- no route")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", refuse)
    for name, side in (("MobileNetV2", 96), ("VGG16", 32)):
        training = trial_spec(training={"model": name, "weights": "imagenet"}).training
        with pytest.raises(DataMissingError, match=f"ImageNet weights of {name} cannot be had.*training.weights to"):
            build_model(training, "float32", ModelShape((side, side, 3), 3))
        assert asked[-1] == imagenet_url(name, side)


@pytest.mark.parametrize(
    ("training", "text"),
    [
        ({"model": "mine:build", "weights": "imagenet"}, "is for models of keras.applications"),
        ({"model": "mine:build", "dropout": 0.1}, "dropout is for models of keras.applications"),
        ({"model": "ResNet50", "trainable": "head"}, "trainable needs weights"),
        ({"trainable": 0}, "greater than 0"),
        ({"trainable": "tail"}, "'all' or 'head'"),
        ({"trainable": True}, "trainable"),
        ({"label_smoothing": 1.0}, "less than 1"),
        ({"dropout": -0.1}, "greater than or equal to 0"),
        ({"weight_decay_applies_to": "sgd"}, "'adamw' or 'all'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(training: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        trial_spec(training=training)


def test_preprocessing_is_inert_where_the_weights_decide_how_images_are_scaled() -> None:
    spec = trial_spec(preprocessing="minmax")
    of_keras = {"model": "MobileNetV2", "weights": "imagenet"}
    for more, is_inert in (({}, True), ({"imagenet_scaling": False}, False)):
        training = trial_spec(training={**of_keras, **more}).training
        assert ("preprocessing" in inert_parameters(setting_of(spec), training)) == is_inert
    own = trial_spec(training={"weights": "mine.h5"}).training
    assert "preprocessing" not in inert_parameters(setting_of(spec), own)


def test_dropout_drops_features_in_training_alone_and_has_a_seed() -> None:
    training = trial_spec(training={"model": "MobileNet", "dropout": 0.5}).training
    keras.utils.set_random_seed(1)
    model, _ = build_model(training, "float32", ModelShape((32, 32, 3), 3))
    layer = model.get_layer("features_dropout")
    ones = tf.ones((1, 2000))
    assert float(tf.reduce_mean(tf.cast(layer(ones, training=True) == 0, tf.float32))) == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(layer(ones, training=False), ones)


def test_label_smoothing_is_in_the_training_loss_alone() -> None:
    model = tiny(label_smoothing=0.2).model
    y, answers = tf.constant([[1.0, 0, 0, 0]]), tf.constant([[0.7, 0.1, 0.1, 0.1]])
    smoothed = np.array([0.85, 0.05, 0.05, 0.05])
    assert float(model.compute_loss(None, y, answers)) == pytest.approx(
        -(smoothed * np.log(answers[0])).sum(), rel=1e-5
    )
    spec = trial_spec(batch_size=16, training={"label_smoothing": 0.9}, lr=1e-9, optimizer="SGD")
    (smooth,), (sharp,) = run(spec).epochs, run(trial_spec(batch_size=16, lr=1e-9, optimizer="SGD")).epochs
    assert smooth.val_loss == pytest.approx(sharp.val_loss, rel=1e-3)
    assert smooth.loss != pytest.approx(sharp.loss, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["SGD", "RMSProp", "Adam", "AdamW"])
@pytest.mark.parametrize("applies_to", ["adamw", "all"])
def test_weight_decay_is_decoupled_and_reaches_the_optimizers_that_are_named(optimizer: str, applies_to: str) -> None:
    """Of a gradient of 0, nothing is left but the decay."""
    training = {"weight_decay": 0.5, "weight_decay_applies_to": applies_to, "trainable": "head"}
    model = tiny(**training, setting={"optimizer": optimizer, "lr": 0.1}).model
    head, frozen = model.layers[-1].kernel, model.layers[1].kernel
    before, kept = head.numpy(), frozen.numpy()
    model.optimizer.apply([tf.zeros_like(weight.value) for weight in model.trainable_weights])
    decays = applies_to == "all" or optimizer == "AdamW"
    np.testing.assert_allclose(head.numpy(), before * (1 - 0.1 * 0.5) if decays else before, rtol=1e-5)
    np.testing.assert_array_equal(frozen.numpy(), kept)
