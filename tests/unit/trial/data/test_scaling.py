import numpy as np
import pytest

from greenopt.spec import Preprocessing
from greenopt.trial.data.scaling import Scaling, fit_scaling
from tests.unit.trial.workbench import prepared, trial_spec


def images(dtype: str = "uint8", count: int = 50) -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.integers(0, 200, (count, 4, 5, 3)) // [1, 2, 3]).astype(dtype)


def test_none_fits_nothing() -> None:
    assert fit_scaling(Preprocessing.NONE, images()) is None


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_each_kind_fits_its_own_statistics_of_each_channel(dtype: str) -> None:
    x = images(dtype)
    flat = x.reshape(-1, 3).astype(np.float64)

    def fitted(kind: Preprocessing) -> Scaling:
        scaling = fit_scaling(kind, x)
        assert scaling is not None
        return scaling

    standard = fitted(Preprocessing.STANDARDIZATION)
    np.testing.assert_allclose(standard.shift, flat.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(standard.scale, flat.std(axis=0), rtol=1e-12)
    robust = fitted(Preprocessing.ROBUST_SCALING)
    low, middle, high = np.quantile(flat, [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose(robust.shift, middle)
    np.testing.assert_allclose(robust.scale, high - low)
    least = fitted(Preprocessing.MINMAX)
    np.testing.assert_allclose(least.shift, flat.min(axis=0))
    np.testing.assert_allclose(least.scale, flat.max(axis=0) - flat.min(axis=0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [3, 4, 5, 8])
def test_counted_statistics_are_numpys_however_many_pixels_there_are(
    count: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenopt.trial.data.scaling._COUNTED_AT_ONCE", 4)
    x = np.random.default_rng(seed).integers(0, 256, (count, 3, 3, 2)).astype(np.uint8)
    for kind in (Preprocessing.ROBUST_SCALING, Preprocessing.STANDARDIZATION, Preprocessing.MINMAX):
        counted, plain = fit_scaling(kind, x), fit_scaling(kind, x.astype(np.float32))
        assert counted is not None
        assert plain is not None
        assert counted.shift == pytest.approx(plain.shift, rel=1e-12)
        assert counted.scale == pytest.approx(plain.scale, rel=1e-12)
    low, middle, high = np.quantile(x[..., 0], [0.25, 0.5, 0.75])
    robust = fit_scaling(Preprocessing.ROBUST_SCALING, x)
    assert robust is not None
    assert (robust.shift[0], robust.scale[0]) == pytest.approx((middle, high - low))


def test_a_channel_without_spread_is_shifted_and_not_scaled() -> None:
    x = np.full((4, 2, 2, 3), 9, np.uint8)
    for kind in (Preprocessing.STANDARDIZATION, Preprocessing.ROBUST_SCALING, Preprocessing.MINMAX):
        scaling = fit_scaling(kind, x)
        assert scaling == Scaling((9.0, 9.0, 9.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("none", lambda x: x.max() > 200 and np.array_equal(x, np.rint(x))),
        (
            "standardization",
            lambda x: np.allclose(x.mean(axis=(0, 1, 2)), 0, atol=1e-3) and np.allclose(x.std((0, 1, 2)), 1, atol=1e-3),
        ),
        ("robust_scaling", lambda x: np.allclose(np.median(x, axis=(0, 1, 2)), 0, atol=1e-3)),
        ("minmax", lambda x: x.min() == 0 and x.max() == 1),
    ],
)
def test_the_model_gets_training_images_scaled_by_statistics_of_the_training_part_alone(
    kind: str, check: object
) -> None:
    prepared_trial, found, split = prepared(trial_spec(preprocessing=kind))
    assert check(prepared_trial.trainer.pipeline.prepared(split.train).astype(np.float64))  # type: ignore[operator]
    scaling = prepared_trial.trainer._config.preprocessing.scaling
    assert scaling == fit_scaling(Preprocessing(kind), found.x[split.train])
    if kind == "standardization":
        assert scaling != fit_scaling(Preprocessing(kind), found.x)
