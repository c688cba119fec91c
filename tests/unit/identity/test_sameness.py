"""A study file is compared with the study that was begun by meaning, key by key."""

from pathlib import Path
from typing import Any

import pytest

from greenopt.errors import UsageError
from greenopt.identity.sameness import as_begun, difference
from greenopt.search import Search, open_storage, read_study
from greenopt.spec import StudySpec, load_study
from tests.builders import study

OWN = {"objective": "train:run"}


def own(space: dict[str, Any], **tables: Any) -> StudySpec:
    raw: dict[str, Any] = {"study": {"name": "tried", "trials": 4, **OWN}, "space": space}
    return StudySpec.model_validate({**raw, **tables})


def changed(before: StudySpec, after: StudySpec) -> str | None:
    found = difference(before, after)
    return None if found is None else found.key


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"space": {"batch_size": [4, 8], "lr": [0.1, 0.01, 0.002]}}, "space.lr[2]"),
        ({"space": {"batch_size": [4, 8], "lr": [0.1, 0.01]}}, "space.lr[2]"),
        ({"space": {"batch_size": [4, 8, 16], "lr": [0.1, 0.01, 0.001]}}, "space.batch_size[2]"),
        ({"space": {"batch_size": [8, 4], "lr": [0.1, 0.01, 0.001]}}, "space.batch_size[0]"),
        ({"space": {"batch_size": [4, 8], "lr": {"low": 0.01, "high": 0.1}}}, "space.lr[0]"),
        ({"objectives": {"accuracy": "maximize", "energy_wh": "maximize"}}, "objectives.energy_wh"),
        ({"objectives": {"accuracy": "maximize"}}, "objectives.energy_wh"),
        ({"objectives": {"accuracy": "maximize", "total_wh": "minimize"}}, "objectives.energy_wh"),
        ({"study": {"seed": 8}}, "study.seed"),
        ({"study": {"training_seed": 8}}, "study.training_seed"),
        ({"training": {"epochs": 3}}, "training.epochs"),
        ({"data": {"classes": 5}}, "data.classes"),
        ({"energy": {"cpu_w_per_core": 11.0}}, "energy.cpu_w_per_core"),
        ({"energy": {"idle_w": 11.0}}, "energy.idle_w"),
    ],
)
def test_what_changes_the_meaning_of_values_is_refused_by_its_key_in_one_line(tables: Any, key: str) -> None:
    with pytest.raises(UsageError) as caught:
        as_begun(study(), study(**tables))
    text = str(caught.value)
    assert text.startswith(f"{key}: ")
    assert "study tried was begun with" in text
    assert len(text) <= 200


@pytest.mark.parametrize(
    "tables",
    [
        {"objectives": {"energy_wh": "minimize", "accuracy": "maximize"}},
        {"space": {"lr": [0.1, 0.01, 0.001], "batch_size": [4, 8]}},
        {"space": {"batch_size": [4, 8], "lr": [0.1, 0.01, 0.001], "optimizer": "SGD"}},
        {"study": {"description": "in other words", "split_seed": 7, "trials": 99}},
        {"training": {"momentum_as_beta_1": False, "cosine_alpha": 0, "weight_decay": 1e-3}},
        {"data": {"image_size": 32}},
        {"energy": {"country": "DE"}},
        {"sampler": {"name": "tpe"}},
    ],
)
def test_what_keeps_the_meaning_goes_on_in_the_form_in_which_the_study_was_begun(tables: Any) -> None:
    kept = as_begun(study(), study(**tables))
    assert list(kept.objectives) == ["accuracy", "energy_wh"]
    assert kept.space == study().space


def test_parameters_of_a_function_keep_their_order_and_their_kinds_of_numbers() -> None:
    begun = own({"a": [1, 2], "b": {"low": 1, "high": 9}})
    assert list(as_begun(begun, own({"b": {"high": 9, "low": 1, "step": 1}, "a": [1.0, 2]})).space.distributions) == [
        "a",
        "b",
    ]
    assert repr(as_begun(begun, own({"a": [1.0, 2.0], "b": {"low": 1, "high": 9}})).space) == repr(begun.space)
    assert changed(begun, own({"a": [True, 2], "b": {"low": 1, "high": 9}})) == "space.a[0]"
    assert changed(begun, own({"a": ["1", 2], "b": {"low": 1, "high": 9}})) == "space.a[0]"
    assert changed(begun, own({"a": [1, 2], "b": {"low": 1.0, "high": 9.0}})) is not None
    assert changed(begun, own({"a": [1, 2]})) == "space.b.low"
    assert changed(begun, own({"a": [1, 2], "b": {"low": 1, "high": 9}, "c": 1})) == "space.c[0]"
    assert changed(begun, own({"a": [1, 2], "b": {"low": 1, "high": 9, "log": True}})) is not None


def test_a_long_name_and_long_values_stay_one_short_line() -> None:
    begun = own({"p" * 60: ["x" * 300]})
    now = own({"p" * 60: ["y" * 300]}, study={"name": "n" * 100, "trials": 4, **OWN})
    with pytest.raises(UsageError) as caught:
        as_begun(begun, now)
    assert len(str(caught.value)) <= 200


def test_paths_that_lead_to_one_file_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.npz").touch()
    (tmp_path / "link.npz").symlink_to("d.npz")
    monkeypatch.chdir(tmp_path)
    data = {"name": "npz", "images": None, "classes": None}
    begun = study(data={**data, "path": "d.npz"})
    for same in ("./d.npz", "link.npz", str(tmp_path / "d.npz")):
        assert difference(begun, study(data={**data, "path": same})) is None
    other = study(data={**data, "path": "other.npz"})
    assert changed(begun, other) == "data.path"
    assert difference(begun, other, is_same_data=True) is None


def test_objectives_in_another_order_never_swap_recorded_values(tmp_path: Path) -> None:
    """Optuna keeps the first order of directions, and values by position."""
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    Search(study(), storage).lease.release()
    turned = study(objectives={"energy_wh": "minimize", "accuracy": "maximize"})
    search = Search(turned, storage)
    assert list(search.spec.objectives) == ["accuracy", "energy_wh"]
    assert list(read_study("tried", storage).spec.objectives) == ["accuracy", "energy_wh"]


def test_an_order_that_an_older_version_turned_is_put_right_by_the_stored_directions(tmp_path: Path) -> None:
    import optuna

    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    Search(study(), storage).lease.release()
    turned = study(objectives={"energy_wh": "minimize", "accuracy": "maximize"})
    kept = optuna.load_study(study_name="tried", storage=storage)
    kept.set_user_attr("greenopt:spec", turned.model_dump(mode="json"))
    kept.set_metric_names(["energy_wh", "accuracy"])
    assert list(Search(turned, storage).spec.objectives) == ["accuracy", "energy_wh"]
    assert optuna.load_study(study_name="tried", storage=storage).metric_names == ["accuracy", "energy_wh"]


def test_an_enqueued_setting_is_one_setting_however_its_numbers_are_written(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    for value in (2, 2.0):
        enqueue = {"name": "tried", "trials": 4, "enqueue": [{"a": value}], **OWN}
        search = Search(own({"a": [1, 2]}, study=enqueue), storage)
        search.enqueue_listed()
        search.lease.release()
    assert len(read_study("tried", storage).rows) == 1


STUDY = """
[study]
objective = "train:run"
trials = 1
[space]
x = 1
"""


def test_modules_and_data_are_looked_for_beside_the_study_file_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "d.npz").touch()
        (folder / "train.py").touch()
    (there / "s.toml").write_text(STUDY)
    text = '[study]\ntrials = 1\n[data]\nname = "npz"\npath = "d.npz"\n[training]\nepochs = 1\n[space]\nlr = 0.1\n'
    (there / "n.toml").write_text(text)
    monkeypatch.chdir(here)
    assert load_study(Path("../there/s.toml")).modules_folder == str(there)
    data = load_study(Path("../there/n.toml")).data
    assert data is not None
    assert data.path == str(there / "d.npz")
    (there / "d.npz").unlink()
    (there / "train.py").unlink()
    assert load_study(Path("../there/s.toml")).modules_folder is None
    data = load_study(Path("../there/n.toml")).data
    assert data is not None
    assert data.path == str(here / "d.npz")


def test_a_wider_range_is_counted_anew() -> None:
    space: dict[str, Any] = {
        "batch_size": [4, 8],
        "lr": {"low": 0.1, "high": 0.3, "step": 0.1, "when": {"batch_size": 4}},
    }
    begun, now = study(space=space), study(space={**space, "lr": {**space["lr"], "high": 0.5}})
    assert (begun.space.size, now.space.size) == (4, 6)
    assert as_begun(begun, now).space.size == 6
