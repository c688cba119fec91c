"""Study files: what is read, and the one line that a wrong one gets."""

from pathlib import Path

import pytest

from greenopt.errors import UsageError
from greenopt.spec import Direction, Metric, StudySpec, load_study

GOOD = """
[study]
trials = 3
[data]
name = "synthetic"
[training]
epochs = 1
[space]
batch_size = [4, 8]
"""


def load(folder: Path, text: str) -> StudySpec:
    path = folder / "x.toml"
    path.write_text(text)
    return load_study(path)


def test_a_short_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD)
    assert spec.name == "x"
    assert spec.objectives == {Metric.ACCURACY: Direction.MAXIMIZE, Metric.ENERGY_WH: Direction.MINIMIZE}
    assert spec.sampler.name == "random"
    assert spec.training.model == "ResNet50"
    assert spec.seeds.model_dump() == {"sampler": 0, "split": 0, "training": 0}


def test_a_study_survives_json(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD.replace("[4, 8]", "{low = 4, high = 64, log = true}\nlr = {low = 1e-4, high = 0.1}"))
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec


def test_seeds_of_split_and_training_can_differ_from_the_samplers(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD.replace("trials = 3", "trials = 3\nseed = 5\nsplit_seed = 6"))
    assert spec.seeds.model_dump() == {"sampler": 5, "split": 6, "training": 5}


def test_an_enqueued_setting_takes_the_baselines_values_for_what_it_leaves_out(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD + "[[study.enqueue]]\nbatch_size = 8\n")
    assert spec.enqueued == ({**spec.space.baseline, "batch_size": 8},)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "trials = 3",
            "trials = 3\nenqueue = [{}, {batch_size = 5}]",
            "study.enqueue[1].batch_size: 5: is not in the study's space",
        ),
        ("trials = 3", "trials = 3\nenqueue = [{batch = 4}]", "study.enqueue[0].batch: unknown parameter"),
        ("[4, 8]", "[4, 0]", "space.batch_size[1]: 0: input should be greater than 0"),
        ("[4, 8]", "[4, 4]", "space.batch_size[1]: 4: is in the list twice"),
        ("[4, 8]", "[1, true]", "space.batch_size[1]: True: "),
        ("[4, 8]", "[]", "space.batch_size: []: a list of values needs at least one"),
        ("[4, 8]", "[4.5]", "space.batch_size[0]: 4.5: input should be a valid integer"),
        ("batch_size", "batchsize", "space.batchsize: [4, 8]: unknown parameter; did you mean batch_size?"),
        ("batch_size = [4, 8]", 'optimizer = ["Adm"]', "space.optimizer[0]: 'Adm': input should be 'RMSProp', 'SGD'"),
        ("batch_size = [4, 8]", "optimizer = {low = 1, high = 2}", "space.optimizer: is not a number and takes a list"),
        ("batch_size = [4, 8]", "lr = {low = 1, high = 0.1}", "space.lr: low must be below high"),
        ("batch_size = [4, 8]", "lr = {low = 0.0, high = 0.1, log = true}", "low must be above 0 when log = true"),
        ("batch_size = [4, 8]", "lr = {low = 0.1, high = 1, log = true, step = 0.1}", "log = true or a step, not both"),
        ("batch_size = [4, 8]", "batch_size = {low = 4, high = 8.5}", "a range of whole numbers has whole bounds"),
        ("batch_size = [4, 8]", "lr = [-0.1]", "space.lr[0]: -0.1: input should be greater than 0"),
        ("batch_size = [4, 8]", "optimizer_momentum = [1.0]", "space.optimizer_momentum[0]: 1.0: input should be less"),
        ("batch_size = [4, 8]", 'partitioning = ["60-20-30"]', "at least 1 and add up to 100"),
        ("batch_size = [4, 8]", 'partitioning = ["60/20/20"]', "such as 60-20-20"),
        ("epochs = 1", "epochs = 0", "training.epochs: 0: input should be greater than 0"),
        ("epochs = 1", "", "training.epochs: is missing"),
        ("epochs = 1", "epochs = 1\nepoch = 2", "training.epoch: unknown key; did you mean epochs?"),
        (
            "epochs = 1",
            'epochs = 1\nmodel = "ResNet5O"',
            "neither a model of keras.applications nor package.module:func",
        ),
        ("epochs = 1", 'epochs = 1\nmodel = "Xception"', "training.model: Xception needs images of at least 71x71"),
        ("epochs = 1", "epochs = 1\ndecay_steps = 0", "training.decay_steps: 0"),
        ("trials = 3", "trials = 3\n[smapler]", "smapler: unknown key; did you mean sampler?"),
        ("trials = 3", 'trials = 3\nname = "a/b"', "study.name: 'a/b': may hold letters"),
        ('"synthetic"', '"cifar"', "data.name: 'cifar': input should be 'cifar100', 'cifar10'"),
        ('"synthetic"', '"npz"', "data: name = 'npz' needs path"),
        ('"synthetic"', '"digits"\nclasses = 3', "data: classes can be chosen for name = 'synthetic' only"),
        ("[space]", '[objectives]\ntest_accuracy = "maximize"\n[space]', "objectives.test_accuracy"),
        ("[space]", "[energy]\nprice_per_kwh = -1\n[space]", "energy.price_per_kwh: -1: input should be greater"),
        (
            "[space]",
            '[energy]\ncountry = "DE"\ncarbon_g_per_kwh = 300\n[space]',
            "energy: give country or carbon_g_per",
        ),
        ("[study]", "[study", "not valid TOML"),
    ],
)
def test_wrong_input_gets_one_line_with_file_key_value_and_what_would_be_right(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    text = str(caught.value)
    assert text.startswith(str(tmp_path / "x.toml") + ": ")
    assert message in text
    assert "\n" not in text


OWN = """
[study]
trials = 3
objective = "mine.digits:train"
[space]
alpha = { low = 1e-6, high = 1e-1, log = true }
layers = { low = 1, high = 4 }
solver = ["adam", "sgd"]
early = [true, false]
"""


def test_an_objective_function_has_parameters_of_its_own(tmp_path: Path) -> None:
    spec = load(tmp_path, OWN)
    assert list(spec.space.distributions) == ["alpha", "layers", "solver", "early"]
    assert spec.space.baseline == {"alpha": 1e-6, "layers": 1, "solver": "adam", "early": True}
    assert (spec.training.epochs, spec.data) == (1, None)
    assert StudySpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mine.digits:train", "mine.digits", "study.objective: 'mine.digits': is not of the form package.module:func"),
        ("[space]", '[data]\nname = "digits"\n[space]', "data: has no effect with study.objective"),
        ("[space]", '[training]\nmodel = "VGG16"\n[space]', "training.model: has no effect with study.objective"),
        ("[true, false]", "[[1], [2]]", "space.early[0]: [1]: a value is a text, a number, true or false"),
        ("high = 4", "high = 0", "space.layers: low must be below high"),
        ('objective = "mine.digits:train"', "", "training: is missing"),
    ],
)
def test_wrong_input_around_an_objective_function(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in OWN
    with pytest.raises(UsageError) as caught:
        load(tmp_path, OWN.replace(old, new))
    assert message in str(caught.value)


def test_a_study_of_images_needs_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="data: is missing"):
        load(tmp_path, "[study]\ntrials = 1\n[training]\nepochs = 1\n[space]\n")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere.toml: no such file"):
        load_study(tmp_path / "nowhere.toml")


def test_overrides_are_checked_like_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(GOOD)
    assert load_study(path, {"study.trials": 9, "sampler": {"name": "tpe"}}).study.trials == 9
    with pytest.raises(UsageError, match=r"study\.seed: -1"):
        load_study(path, {"study.seed": -1})
