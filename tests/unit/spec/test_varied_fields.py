"""A field of [training] that varies has to fit the rest of the study with each of its values."""

from typing import Any

import pytest
from pydantic import ValidationError

from greenopt.spec import StudySpec, inert_parameters


def study(space: dict[str, Any], **training: Any) -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": "varied", "trials": 3},
            "data": {"name": "digits"},
            "training": {"epochs": 2, **training},
            "space": space,
        }
    )


def test_layers_that_train_may_vary_where_the_others_have_weights() -> None:
    spec = study({"trainable": ["all", "head", 20]}, model="MobileNetV2", weights="imagenet")
    assert [spec.training_of({"trainable": value}).trainable for value in ("all", "head", 20)] == ["all", "head", 20]
    with pytest.raises(ValidationError, match=r"space.trainable: 'head': .*needs weights"):
        study({"trainable": ["all", "head"]}, model="MobileNetV2")


def test_dropout_is_refused_where_one_of_the_models_is_ones_own() -> None:
    assert study({"dropout": [0.0, 0.5], "label_smoothing": {"low": 0.0, "high": 0.2}}).varied
    with pytest.raises(ValidationError, match=r"space.dropout: 0.5: .*write it into your function"):
        study({"dropout": [0.5, 0.6], "model": ["ResNet50", "mine:build"]})


def test_weight_decay_has_an_effect_where_the_optimizer_decays() -> None:
    for decayed, is_inert in (("adamw", True), ("all", False)):
        spec = study({"weight_decay": [1e-3, 1e-2], "optimizer": ["SGD"]}, weight_decay_applies_to=decayed)
        setting = spec.setting_of({"optimizer": "SGD"})
        inert = inert_parameters(setting, spec.training, further=spec.further)
        assert ("weight_decay" in inert) is is_inert
