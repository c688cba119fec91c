"""The study files that come with greenopt."""

from pathlib import Path

import pytest

from greenopt.spec import PARAMETERS, Choice, Setting, load_study

STUDIES = Path(__file__).parents[3] / "studies"

PAPER = {
    "preprocessing": ("none", "standardization", "robust_scaling", "minmax"),
    "augmentation": ("none", "random", "mixup", "cutmix"),
    "precision": ("float16", "float32", "float64", "global_policy_float16"),
    "batch_size": (4, 32, 64, 128),
    "partitioning": ("60-20-20", "70-15-15", "80-10-10", "90-5-5"),
    "lr": (0.01, 1.5e-4, 8e-4, 6.25e-3),
    "lr_schedule": ("constant", "exponential", "polynomial", "cosine"),
    "optimizer": ("RMSProp", "SGD", "Adam", "AdamW"),
    "optimizer_momentum": (0.0, 0.5, 0.9, 0.99),
    "internal": ("none", "jit_compilation", "pre_quantization", "post_quantization"),
}


def test_the_papers_study_is_the_papers_protocol() -> None:
    spec = load_study(STUDIES / "paper.toml")
    assert (spec.study.trials, spec.training.epochs, spec.training.model) == (100, 50, "ResNet50")
    assert spec.data is not None
    assert (spec.data.name, spec.sampler.name, spec.training.decay_steps) == ("cifar100", "random", 1000)
    assert spec.study.baseline
    values = {name: d.values for name, d in spec.space.distributions.items() if isinstance(d, Choice)}
    assert values == PAPER
    assert spec.space.size == 4**10


def test_the_baseline_is_the_first_value_of_each_parameter() -> None:
    baseline = load_study(STUDIES / "paper.toml").space.baseline
    assert baseline == {name: values[0] for name, values in PAPER.items()}


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.name)
def test_every_study_that_comes_with_greenopt_is_valid(path: Path) -> None:
    spec = load_study(path)
    assert spec.study.description
    assert set(spec.space.distributions) == set(PARAMETERS) == set(Setting.model_fields)
