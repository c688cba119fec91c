"""Fields of the study file and parameters of one's own model in `[space]`: from the file to every page."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from greenopt.analysis.analyse import analyse
from greenopt.cli import app
from greenopt.confirmation import confirming_study, pick_trial
from greenopt.exchange.export import export_trials
from greenopt.exchange.reading import read_import
from greenopt.exchange.writing import write_import
from greenopt.execution import ProcessEnded
from greenopt.forecast import ended_trials
from greenopt.formatting import format_setting
from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage, read_study
from greenopt.spec import Range, StudySpec, TrialSpec, describe, inert_parameters
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import Batch
from tests.builders import ended, epoch, prepared_phases, reading, started
from tests.fakes import scripted_run

OWN = "tests.unit.trial.tiny:build"
SPACE = {
    "epochs": [2, 4],
    "mixup_alpha": {"low": 0, "high": 1, "step": 0.25},
    "image_size": [16, 32],
    "width": [8, 16],
    "lr": [0.1, 0.01],
    "optimizer": ["SGD", "AdamW"],
    "weight_decay": {"low": 0.001, "high": 0.1, "log": True},
}


def varied(space: dict[str, Any] | None = None, model: str = OWN, **tables: dict[str, Any]) -> StudySpec:
    raw: dict[str, Any] = {
        "study": {"name": "varied", "trials": 10, "seed": 3},
        "data": {"name": "synthetic", "images": 100, "classes": 4},
        "training": {"model": model},
        "space": {**SPACE, "mixup_alpha": {"low": 0.25, "high": 1, "step": 0.25}} if space is None else space,
    }
    return StudySpec.model_validate({**raw, **{name: {**raw.get(name, {}), **table} for name, table in tables.items()}})


def trains(spec: TrialSpec) -> list[Any]:
    """A trial of as many epochs as it is told, whose energy follows them."""
    epochs = spec.training.epochs
    each = [
        epoch(number, 0.1 * number, reading(0.5)).model_copy(update={"epochs": epochs})
        for number in range(1, epochs + 1)
    ]
    energy = reading(0.5 * epochs, 10.0 * epochs)
    last = ended(accuracy=0.1 * epochs, test_accuracy=0.1 * epochs, energy=energy, total=energy)
    return [started(spec.trial), *prepared_phases(), *each, last, ProcessEnded(spec.trial, 0, None, "")]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, StudySpec, list[TrialSpec]]:
    spec = varied()
    folder, given = scripted_run(spec, tmp_path_factory.mktemp("runs") / "varied", trains)
    return folder, spec, given


def test_each_trial_has_its_values_where_its_process_looks_for_them(
    ran: tuple[RunFolder, StudySpec, list[TrialSpec]],
) -> None:
    folder, spec, trials = ran
    rows = read_study("varied", open_storage(folder.default_storage)).rows
    assert len({trial.training.epochs for trial in trials}) == 2
    for row, trial in zip(rows, trials, strict=True):
        training, data = trial.training, trial.data
        assert data is not None
        assert (training.epochs, training.mixup_alpha, training.weight_decay, data.image_size) == (
            row["epochs"],
            row["mixup_alpha"],
            row["weight_decay"],
            row["image_size"],
        )
        assert trial.parameters == {"width": row["width"]}
        assert trial.values == {name: row[name] for name in spec.space.distributions}
        assert TrialSpec.model_validate_json(trial.model_dump_json()) == trial


def test_trials_of_fewer_epochs_are_whole_and_not_left_out(ran: tuple[RunFolder, StudySpec, list[TrialSpec]]) -> None:
    folder, spec, _ = ran
    rows = read_study("varied", open_storage(folder.default_storage)).rows
    assert {row["epochs_done"] for row in rows} == {2, 4}
    analysis = analyse(spec, rows)
    assert not any("number of epochs" in one.reason for one in analysis.exclusions)
    assert all(trial.share == 1 for trial in ended_trials(spec, rows))
    model = StudyModel(spec)
    model.apply(Batch(rows=tuple(dict(row) for row in rows)))
    running = {**rows[0], "trial": 99, "state": "running", "epochs": 4}
    model.apply(Batch(rows=(running,), lines={99: []}))
    assert model.live[99].progress == (0, 4)


def test_every_command_takes_them(ran: tuple[RunFolder, StudySpec, list[TrialSpec]], tmp_path: Path) -> None:
    folder, spec, _ = ran
    for command in (["list"], ["analyze", "varied"], ["analyze", "varied", "--json"]):
        result = CliRunner().invoke(app, [*command, "--runs", str(folder.path.parent)], env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
    export_trials(folder, None, tmp_path / "varied.csv", "csv")
    write_import(read_import(tmp_path / "varied.csv", "again", spec), folder.path.parent)
    kept = read_study("again", open_storage(RunFolder(folder.path.parent / "again").default_storage))
    before = read_study("varied", open_storage(folder.default_storage))
    names = tuple(spec.space.distributions)
    assert [[row[name] for name in names] for row in kept.rows] == [
        [row[name] for name in names] for row in before.rows
    ]
    picked = pick_trial(before, "3")
    confirming = confirming_study(spec, picked, 7, 2, None)
    assert confirming.epochs_of(confirming.space.baseline) == 7
    assert confirming.training_of(confirming.space.baseline).mixup_alpha == picked.row["mixup_alpha"]


@pytest.mark.parametrize(
    ("space", "model", "message"),
    [
        ({"epochs": [0]}, OWN, "space.epochs[0]: 0: input should be greater than 0"),
        ({"epochs": {"low": 1.5, "high": 3}}, OWN, "space.epochs.low: 1.5: input should be a valid integer"),
        ({"model": {"low": 1, "high": 2}}, OWN, "space.model.low"),
        ({"model": ["ResNet50", "ResNet5"]}, OWN, "did you mean ResNet50?"),
        ({"wieght_decay": [0.1]}, "ResNet50", "did you mean weight_decay?"),
        ({"width": [8]}, "ResNet50", "others are passed on to a model of your own"),
        ({"class": [8]}, OWN, "cannot be a name there"),
        ({"memory_limit": ["1 GB"]}, OWN, "is the same for all trials: it stands in [training]"),
        ({"image_size": [16, 32]}, "ResNet50", "needs images of at least 32x32"),
        ({"model": ["ResNet50", "Xception"]}, OWN, "space.model: Xception needs images of at least 71x71"),
    ],
    ids=str,
)
def test_what_cannot_vary_is_refused(space: dict[str, Any], model: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        varied(space, model, training={"epochs": 2})
    assert message in describe(caught.value)


def test_stopping_rules_refuse_trainings_of_other_lengths() -> None:
    with pytest.raises(ValidationError, match=r"space\.epochs varies it"):
        varied(stopping={"kind": "pareto"})


def test_a_range_of_a_fraction_is_one_though_its_bounds_are_whole() -> None:
    found = varied({"weight_decay": {"low": 0, "high": 1}}, training={"epochs": 1}).space.distributions["weight_decay"]
    assert isinstance(found, Range)
    assert not found.is_integer


def test_epochs_need_not_stand_twice_and_studies_of_before_are_read_as_they_were() -> None:
    spec = varied()
    assert (spec.training.epochs, spec.epochs_text) == (4, "2 to 4")
    assert StudySpec.model_validate(spec.model_dump(mode="json")) == spec


def test_what_has_no_effect_in_a_setting_is_told() -> None:
    spec = varied()
    values = {**spec.space.baseline, "augmentation": "none", "optimizer": "SGD"}
    inert = inert_parameters(spec.setting_of(values), spec.training_of(values), further=spec.further)
    assert inert["mixup_alpha"] == "augmentation is none"
    assert inert["weight_decay"] == "SGD has no weight decay"
    assert not {"epochs", "image_size", "width"} & set(inert)
    values = {**values, "augmentation": "mixup", "optimizer": "AdamW"}
    other = inert_parameters(spec.setting_of(values), spec.training_of(values), further=spec.further)
    assert not {"mixup_alpha", "weight_decay"} & set(other)


def test_a_setting_in_a_line_has_the_further_parameters_too() -> None:
    assert format_setting(varied().space.baseline).endswith(
        "epochs 2 · mixup_alpha 0.25 · image_size 16 · width 8 · weight_decay 0.001"
    )
