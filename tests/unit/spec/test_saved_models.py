"""A study names models by name or function; the file of a model, which may hold code, is refused with the way out."""

import pytest
from pydantic import ValidationError

from greenopt.spec import describe
from tests.builders import study


@pytest.mark.parametrize(
    "name",
    ["my.keras", "models/evil.h5", "/tmp/x.pkl", "saved.PB", "x.pickle", "net.pt", "a.joblib", "m.tflite", "m.zip"],
)
def test_the_file_of_a_model_is_not_loaded(name: str) -> None:
    with pytest.raises(ValidationError) as raised:
        study(training={"model": name})
    text = describe(raised.value)
    assert "is a saved model, which may hold code and is not loaded" in text
    assert "package.module:function" in text
    assert len(text) <= 200


def test_a_misspelt_name_is_still_told_its_neighbour() -> None:
    with pytest.raises(ValidationError) as raised:
        study(training={"model": "ResNet5"})
    assert "did you mean ResNet50" in describe(raised.value)
