"""Data sets of TensorFlow Datasets and of Hugging Face, on small ones that these libraries write here."""

import json
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from pydantic import ValidationError

from greenopt.identity.digests import DataDigests
from greenopt.identity.inputs import InputReader
from greenopt.spec import DataSpec, StudySpec
from greenopt.trial.data import huggingface_data
from greenopt.trial.data.files import check_data, download_note
from greenopt.trial.data.hub import READERS, fetch_hub, hub_files, locate_hub
from greenopt.trial.data.hub_process import prepare
from greenopt.trial.data.images import Images, load_images
from greenopt.trial.failures import DataMissingError, WrongSettingError

COMMIT, OTHER = "0123456789abcdef" * 2 + "01234567", "f" * 40


def never(address: str) -> bool:
    return False


def picture(level: int, side: int = 8, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.full((side, side, 3), level, np.uint8)).convert(mode)


def split(levels: range, names: list[str] | None = ["cat", "dog"], **more: Any) -> datasets.Dataset:  # noqa: B006
    """Images of one gray level each, even ones of the first class."""
    columns: dict[str, Any] = {"image": [picture(level) for level in levels], "label": [level % 2 for level in levels]}
    label = datasets.ClassLabel(names=names) if names is not None else datasets.Value("int64")
    features = datasets.Features({"image": datasets.Image(), "label": label})
    return datasets.Dataset.from_dict(columns | more, features=features)


@pytest.fixture(autouse=True)
def _own_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def saved(tmp_path: Path, **splits: datasets.Dataset) -> DataSpec:
    datasets.disable_progress_bars()
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    return DataSpec.model_validate({"name": "huggingface", "path": str(tmp_path / "saved")})


def levels(images: Images, part: int = 0) -> list[int]:
    parts = images.parts if images.parts is not None else np.zeros(len(images.y))
    found = images.x[parts == part]
    assert (found == found[:, :1, :1, :1]).all()
    return [int(level) for level in found[:, 0, 0, 0]]


def test_splits_that_were_saved_stay_the_parts_and_classes_keep_their_names(tmp_path: Path) -> None:
    images = load_images(
        saved(tmp_path, test=split(range(6, 9)), train=split(range(6)), validation=split(range(9, 11)))
    )
    assert [levels(images, part) for part in range(3)] == [list(range(6)), [9, 10], [6, 7, 8]]
    assert images.y.tolist() == [0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 0]
    assert (images.class_names, images.classes, images.x.dtype) == (("cat", "dog"), 2, np.uint8)
    assert images.title == str(tmp_path / "saved")


def test_one_split_is_divided_whatever_its_name(tmp_path: Path) -> None:
    images = load_images(saved(tmp_path, all=split(range(6))))
    assert images.parts is None
    assert levels(images) == list(range(6))


def test_images_are_scaled_and_of_any_mode(tmp_path: Path) -> None:
    mixed = [picture(40, 8, "L"), picture(41, 16, "RGBA"), picture(42, 12), picture(43, 9, "LA")]
    spec = saved(tmp_path, train=split(range(4), image=mixed))
    with pytest.raises(WrongSettingError, match=r"differ in size, 8x8 and 16x16 among them; set data.image_size"):
        load_images(spec)
    images = load_images(spec.model_copy(update={"image_size": 10}))
    assert images.x.shape == (4, 10, 10, 3)
    assert levels(images) == [40, 41, 42, 43]


def test_splits_without_a_part_and_without_labels_are_left_out_and_told(tmp_path: Path) -> None:
    spec = saved(tmp_path, train=split(range(4)), extra=split(range(4)), test=split(range(3), label=[-1, -1, -1]))
    images = load_images(spec)
    assert levels(images) == [0, 1, 2, 3]
    assert images.left_out == "split extra (no part); split test (no labels)"


def test_a_class_without_images_is_no_class_and_told(tmp_path: Path) -> None:
    images = load_images(saved(tmp_path, train=split(range(4), ["cat", "dog", "yak"])))
    assert images.class_names == ("cat", "dog")
    assert images.left_out == "classes without images: yak"


@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [([3, 7, 3, 7], "int64", ("3", "7")), (["b", "a", "b", "b"], "string", ("a", "b")), ([True, False], "bool", None)],
)
def test_labels_that_are_numbers_or_text_name_the_classes(
    tmp_path: Path, labels: list[Any], kind: str, names: tuple[str, ...] | None
) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value(kind)})
    given = {"image": [picture(level) for level in range(len(labels))], "label": labels}
    images = load_images(saved(tmp_path, train=datasets.Dataset.from_dict(given, features=features)))
    assert images.class_names == (names or ("False", "True"))
    assert [images.class_names[label] for label in images.y] == [str(label) for label in labels]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": split(range(4), label=[0, 0, 0, 0])}, "has fewer than two classes"),
        ({"train": split(range(4), label=[0, 1, -1, 0])}, "split train has images without a label"),
        ({"a": split(range(4)), "test": split(range(4))}, "its splits are a, test; there must be one for training"),
        (
            {"train": split(range(4)), "val": split(range(4)), "valid": split(range(4))},
            "its splits are train, val, val",
        ),
        (
            {"train": split(range(4), ["a", "b", "c"]), "test": split(range(3), ["a", "b", "c"], label=[0, 1, 2])},
            "split test has the class c, which train lacks",
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(tmp_path: Path, splits: Any, message: str) -> None:
    with pytest.raises(WrongSettingError, match=message) as caught:
        load_images(saved(tmp_path, **splits))
    assert str(caught.value).startswith(str(tmp_path / "saved"))


def test_columns_are_found_by_their_types_or_named(tmp_path: Path) -> None:
    kinds = {"photo": datasets.Image(), "mask": datasets.Image(), "kind": datasets.ClassLabel(names=["x", "y"])}
    given = {
        "photo": [picture(level) for level in range(4)],
        "mask": [picture(9) for _ in range(4)],
        "kind": [0, 1, 1, 0],
        "when": [1, 2, 3, 4],
    }
    features = datasets.Features(kinds | {"when": datasets.Value("int64")})
    spec = saved(tmp_path, train=datasets.Dataset.from_dict(given, features=features))
    with pytest.raises(WrongSettingError, match=r"has the image columns photo, mask; name one: data.image_column"):
        load_images(spec)
    named = spec.model_copy(update={"image_column": "photo"})
    assert levels(load_images(named)) == [0, 1, 2, 3]
    assert load_images(named).y.tolist() == [0, 1, 1, 0]
    assert load_images(named.model_copy(update={"label_column": "when"})).classes == 4
    with pytest.raises(WrongSettingError, match=r"label_column: what: its columns are photo, mask, kind and 1 more"):
        load_images(named.model_copy(update={"label_column": "what"}))
    with pytest.raises(WrongSettingError, match=r"column when holds no images"):
        load_images(named.model_copy(update={"image_column": "when"}))


def test_published_files_as_they_are_are_read(tmp_path: Path) -> None:
    """As a copy of a repository of the hub: parquet files, here one for each split."""
    (tmp_path / "repository").mkdir()
    for name, some in (("train", range(6)), ("test", range(6, 9))):
        split(some).to_parquet(str(tmp_path / "repository" / f"{name}-00000-of-00001.parquet"))
    images = load_images(DataSpec.model_validate({"name": "huggingface", "path": str(tmp_path / "repository")}))
    assert [levels(images, part) for part in (0, 2)] == [list(range(6)), [6, 7, 8]]
    assert images.class_names == ("cat", "dog")


def test_images_in_files_of_their_own_are_read_where_they_are_plain_files(tmp_path: Path) -> None:
    for level in range(4):
        picture(level).save(tmp_path / f"{level}.png")
    paths: list[Any] = [str(tmp_path / f"{level}.png") for level in range(4)]
    assert levels(load_images(saved(tmp_path, train=split(range(4), image=paths)))) == [0, 1, 2, 3]
    assert huggingface_data._file_bytes("/dev/zero") == b""
    assert huggingface_data._file_bytes(str(tmp_path / "gone.png")) == b""


def in_cache(tmp_path: Path, commit: str = COMMIT, config: str = "default", start: int = 0) -> Path:
    """Lay a data set where the library keeps what it has brought from the hub, as far as it is looked at."""
    raw = tmp_path / f"raw-{commit}-{config}"
    raw.mkdir()
    split(range(start, start + 6)).to_parquet(str(raw / "train.parquet"))
    builder = datasets.load_dataset_builder(str(raw))
    builder.download_and_prepare()
    place = tmp_path / "hf" / "owner___my_pets" / config / "0.0.0" / commit
    place.parent.mkdir(parents=True, exist_ok=True)
    made = Path(builder.cache_dir)
    for file in made.glob("*.arrow"):
        file.rename(made / f"my_pets-{file.name.split('-', 1)[1]}")
    made.rename(place)
    return place


def hub_spec(**more: Any) -> DataSpec:
    return DataSpec.model_validate({"name": "hf:owner/MyPets", **more})


def test_what_was_brought_from_the_hub_is_found_by_name_with_its_exact_state(tmp_path: Path) -> None:
    place = in_cache(tmp_path)
    assert locate_hub(hub_spec()) == place
    images = load_images(hub_spec())
    assert levels(images) == list(range(6))
    assert images.title == f"hf:owner/MyPets {COMMIT}"
    assert (check_data(hub_spec(), never), download_note(hub_spec())) == (None, None)


def test_the_library_finds_a_data_set_in_the_same_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the layout of its folders is what is taken for it here."""
    in_cache(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    found = datasets.load.CachedDatasetModuleFactory("owner/MyPets", cache_dir=str(tmp_path / "hf")).get_module()
    assert found.builder_kwargs["repo_id"] == "owner/MyPets"


def test_a_revision_is_that_and_no_other(tmp_path: Path) -> None:
    first, second = in_cache(tmp_path), in_cache(tmp_path, OTHER, start=10)
    assert locate_hub(hub_spec(revision=COMMIT)) == first
    assert locate_hub(hub_spec(revision=OTHER)) == second
    assert locate_hub(hub_spec(revision="a" * 40)) is None
    assert levels(load_images(hub_spec(revision=OTHER))) == list(range(10, 16))


def test_of_several_configurations_one_is_named(tmp_path: Path) -> None:
    in_cache(tmp_path), in_cache(tmp_path, config="large", start=20)
    problem = check_data(hub_spec(), never)
    assert problem == 'hf:owner/MyPets has the configurations default, large; name one: config = "default"'
    assert levels(load_images(hub_spec(config="large"))) == list(range(20, 26))


def study(data: DataSpec) -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": "s", "trials": 1},
            "data": data.model_dump(),
            "training": {"epochs": 1},
            "space": {"lr": [0.1]},
        }
    )


def test_the_fingerprint_is_of_the_contents_and_not_of_what_passes(tmp_path: Path) -> None:
    place = in_cache(tmp_path)

    def digest() -> dict[str, str]:
        return dict(InputReader(study(hub_spec()), DataDigests(None)).read().data)

    before = digest()
    assert list(before) == ["huggingface"]
    (place / "cache-0123.arrow").write_bytes(b"what a map left")
    (place / ".hidden").write_bytes(b"")
    assert digest() == before
    (info,) = place.glob("dataset_info.json")
    info.write_text(info.read_text().replace("cat", "cow"))
    assert digest() != before


def test_a_data_set_is_called_by_its_name_there() -> None:
    labels = {"tfds:beans/small:1.0.0": "tfds:beans/small", "hf:a/b": "hf:a/b", "digits": "digits"}
    for name, label in labels.items():
        assert DataSpec.model_validate({"name": name}).label == label
    assert DataSpec.model_validate({"name": "huggingface", "path": "x"}).label == "huggingface"


# Before the start


def test_a_missing_extra_says_how_to_install_it_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenopt.trial.data.hub.find_spec", lambda name: None)
    assert check_data(hub_spec(), never) == (
        "huggingface needs datasets, not installed; pip install 'greenopt[huggingface]'"
    )
    problem = check_data(DataSpec.model_validate({"name": "tfds:mnist"}), never)
    assert problem == (
        "tfds needs tensorflow_datasets and importlib_resources, not installed; pip install 'greenopt[tfds]'"
    )


def test_what_is_not_here_and_cannot_be_fetched_is_said_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = check_data(hub_spec(), never)
    assert problem is not None
    assert problem.startswith(f"hf:owner/MyPets is not in {tmp_path / 'hf'}, and huggingface.co cannot be reached; ")
    assert check_data(hub_spec(), lambda address: True) is None
    note = download_note(hub_spec(revision=COMMIT))
    assert note == f"hf:owner/MyPets, {COMMIT} is downloaded to {tmp_path / 'hf'} (from https://huggingface.co)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "tfds"}, "needs source .* or path"),
        ({"name": "hf:a/b", "path": "x"}, "needs source .* or path, one of them"),
        ({"name": "huggingface", "path": "x", "config": "c"}, "config is for source"),
        ({"name": "hf:../etc"}, "is not of the form OWNER/NAME"),
        ({"name": "tfds:../etc"}, "is not of the form NAME"),
        ({"name": "hf:a/b", "config": "../c"}, "config: .*: is no name"),
        ({"name": "hf:a/b", "revision": "main"}, "40 hexadecimal digits"),
        ({"name": "tfds:mnist:3"}, "is not the version"),
        ({"name": "tfds:mnist:3.0.1", "revision": "3.0.1"}, "revision is in name already"),
        ({"name": "digits", "revision": "1.0.0"}, "is for name = 'tfds' and 'huggingface' only"),
        ({"name": "hug:a/b"}, "Input should be"),
    ],
)
def test_a_table_that_says_no_data_set_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSpec.model_validate(data)


def test_the_library_is_asked_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is prepared and checked; what is wrong comes back in one line."""
    monkeypatch.setenv("GREENOPT_CACHE", str(tmp_path / "kept"))
    (tmp_path / "kept").mkdir(mode=0o700)
    prepare(saved(tmp_path, train=split(range(6))))
    assert list((tmp_path / "kept" / "images").glob("huggingface-*/x.npy"))
    shutil.rmtree(tmp_path / "saved")
    bad = saved(tmp_path, train=split(range(6), label=[0] * 6))
    with pytest.raises(DataMissingError, match="has fewer than two classes") as caught:
        fetch_hub(bad)
    assert str(caught.value) == f"{tmp_path / 'saved'}: its training split has fewer than two classes"


# TensorFlow Datasets


class Pets(tfds.core.GeneratorBasedBuilder):
    """Images of one gray level each, even ones of the first class."""

    VERSION = tfds.core.Version("1.2.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="small"), tfds.core.BuilderConfig(name="large")]  # noqa: RUF012

    def _info(self) -> Any:
        features = {"image": tfds.features.Image(shape=(8, 8, 3)), "label": tfds.features.ClassLabel(names=["x", "y"])}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> Any:
        return {"train": self._generate_examples(range(6)), "test": self._generate_examples(range(6, 9))}

    def _generate_examples(self, some: range) -> Iterator[tuple[int, dict[str, Any]]]:
        for level in some:
            yield level, {"image": np.full((8, 8, 3), level, np.uint8), "label": level % 2}


@pytest.fixture
def pets(tmp_path: Path) -> Callable[[str], Path]:
    def make(config: str) -> Path:
        builder = Pets(data_dir=str(tmp_path / "tfds"), config=config)
        builder.download_and_prepare()
        return Path(builder.data_path)

    return make


def test_a_prepared_data_set_of_tfds_is_found_and_read(tmp_path: Path, pets: Callable[[str], Path]) -> None:
    place = pets("small")
    spec = DataSpec.model_validate({"name": "tfds:pets/small"})
    assert locate_hub(spec) == place == tmp_path / "tfds" / "pets" / "small" / "1.2.0"
    images = load_images(spec)
    assert (sorted(levels(images)), sorted(levels(images, 2))) == (list(range(6)), [6, 7, 8])
    assert [level % 2 for level in (*levels(images), *levels(images, 2))] == images.y.tolist()
    assert (images.class_names, images.title) == (("x", "y"), "tfds:pets/small 1.2.0")
    by_path = load_images(DataSpec.model_validate({"name": "tfds", "path": str(place)}))
    assert np.array_equal(by_path.x, images.x)
    assert locate_hub(spec.model_copy(update={"revision": "1.1.0"})) is None
    problem = check_data(DataSpec.model_validate({"name": "tfds:pets"}), never)
    assert problem == 'tfds:pets has the configurations small; name one: config = "small"'
    assert "dataset_info.json" in hub_files(place)


def test_of_several_versions_the_newest_is_taken(tmp_path: Path) -> None:
    for version in ("1.9.0", "1.10.0", "incomplete.XY_2.0.0"):
        (tmp_path / "tfds" / "pets" / version).mkdir(parents=True)
        (tmp_path / "tfds" / "pets" / version / "dataset_info.json").write_text(json.dumps({}))
    found = locate_hub(DataSpec.model_validate({"name": "tfds:pets"}))
    assert found is not None
    assert found.name == "1.10.0"


def test_a_folder_that_no_library_wrote_is_refused(tmp_path: Path) -> None:
    for name, text in (("tfds", "has no dataset_info.json"), ("huggingface", "does not exist")):
        folder = tmp_path if name == "tfds" else tmp_path / "nothing"
        problem = check_data(DataSpec.model_validate({"name": name, "path": str(folder)}), never)
        assert problem is not None
        assert text in problem
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataMissingError, match=r"empty: is no data set that can be read"):
        load_images(DataSpec.model_validate({"name": "huggingface", "path": str(tmp_path / "empty")}))


def test_every_reader_is_there() -> None:
    assert all(find_spec(module) is not None for module in READERS.values())
