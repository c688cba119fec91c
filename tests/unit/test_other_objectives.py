"""Studies of other objectives than accuracy for energy, through every page: nothing fails, and nothing is claimed."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greenopt.cli import app
from greenopt.confirmation import confirmation_lines, confirming_study, end_lines, pick_trial, read_confirmation
from greenopt.dashboard.notes import study_note, trial_note
from greenopt.exchange.export import export_trials
from greenopt.exchange.reading import read_import
from greenopt.exchange.writing import write_import
from greenopt.execution import ProcessEnded
from greenopt.front import plane_of
from greenopt.report.build import Format, build_report
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, open_storage, read_study
from greenopt.spec import StudySpec, TrialSpec
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import Batch
from greenopt.tui.tabs.overview import summary_text
from greenopt.tui.tabs.parameters import effects_text
from greenopt.tui.tabs.pareto import _front_lines
from greenopt.tui.tabs.trials import trial_columns
from greenopt.tui.text.header import best_text
from tests.builders import ended, epoch, prepared_phases, reading, started
from tests.unit.report.studies import run_study

TEXT = {"f1_macro": "maximize", "latency_ms": "minimize"}
REGRESSION = {"mae": {"direction": "minimize", "range": [0, 10]}, "energy_wh": "minimize"}
ALONE = {"mae": "minimize"}
THREE = {"accuracy": "maximize", "energy_wh": "minimize", "size_bytes": "minimize"}
ALL = (TEXT, REGRESSION, ALONE, THREE)


def own(objectives: dict[str, Any], trials: int = 8) -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": "own", "trials": trials, "seed": 1, "objective": "mine:train"},
            "objectives": objectives,
            "sampler": {"name": "tpe", "n_startup_trials": 6},
            "space": {"depth": [1, 2, 3], "width": {"low": 1, "high": 64, "log": True}},
        }
    )


def trains(spec: TrialSpec) -> list[Any]:
    """A function whose figures follow its parameters; it has an accuracy where the study wants one."""
    depth, width = int(spec.parameters["depth"]), int(spec.parameters["width"])
    figures = {"f1_macro": 1 - 1 / (depth + width), "latency_ms": 0.5 * depth + width / 10, "size_bytes": 1e3 * width}
    figures |= {"mae": 9 / depth + width / 100, "extra": 7.0}
    accuracy = 1 - 1 / (1 + depth) if "accuracy" in spec.objectives else None
    energy = reading(0.1 * depth * (1 + width / 64), 20.0)
    one = epoch(1, 0.0, energy).model_copy(update={"val_accuracy": accuracy, "accuracy": None, "epochs": 1})
    last = ended(accuracy=accuracy, test_accuracy=None, energy=energy, figures=figures)
    return [started(spec.trial), *prepared_phases(), one, last, ProcessEnded(spec.trial, 0, None, "")]


@pytest.fixture(scope="module", params=ALL, ids=lambda objectives: "+".join(objectives))
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, StudySpec]:
    spec = own(request.param)
    return run_study(tmp_path_factory.mktemp("runs"), trains, spec.study.trials, spec)


def shown(folder: RunFolder, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--runs", str(folder.path.parent)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def best_of(folder: RunFolder, spec: StudySpec) -> dict[str, float]:
    rows = read_study("own", open_storage(folder.default_storage)).rows
    best = {"maximize": max, "minimize": min}
    return {str(name): best[way]([row[name] for row in rows]) for name, way in spec.objectives.items()}


def test_every_page_shows_the_objectives(study: tuple[RunFolder, StudySpec]) -> None:
    folder, spec = study
    best, names = best_of(folder, spec), list(spec.objectives)
    listed = shown(folder, "list")
    assert all(name in listed for name in names if name not in ("accuracy", "energy_wh"))
    assert json.loads(shown(folder, "list", "--json"))[0]["best"] == best
    analysed = shown(folder, "analyze", "own")
    document = json.loads(shown(folder, "analyze", "own", "--json"))
    assert document["objectives"] == {str(name): str(way) for name, way in spec.objectives.items()}
    assert set(document["hypervolume_box"]) == set(names)
    assert 0 < document["hypervolume"] <= 1
    for name in names:
        assert name in analysed
        assert name in document["importance"]
        assert best[str(name)] in [row["value"] for rows in document["ranking"].values() for row in rows]
    assert "dvice weighs accuracy against energy" in analysed
    others = [str(name) for name in names if name not in ("accuracy", "energy_wh")]
    assert others
    for name in others:
        assert f"What explains {name} (effective coding)" in analysed
        estimated = document["regression"].get(name, {}).get("effective")
        assert estimated is not None or name in [each["response"] for each in document["refused"]]
    is_told = any(row["accuracy"] is not None for row in read_study("own", open_storage(folder.default_storage)).rows)
    assert ("No advice: it weighs accuracy against energy" in analysed) is not is_told
    assert ("What explains accuracy" in analysed) is is_told
    notes = study_note(spec, ()) + trial_note(spec, read_study("own", open_storage(folder.default_storage)).rows[0])
    assert all(name.replace("_", "") in notes.replace("_", "").replace("\\", "") for name in names)
    assert "Best is the upper left" not in notes


def test_a_report_has_the_front_of_the_objectives(tmp_path: Path) -> None:
    folder, spec = run_study(tmp_path, trains, 4, own(TEXT, 4))
    build_report(folder, folder.path / "report.html", Format.HTML)
    text = (folder.path / "report.html").read_text()
    assert "The Pareto front of" in text
    for name in spec.objectives:
        assert name in ("accuracy", "energy_wh") or f"Regression of {name}" in text
    assert ("Regression of accuracy" in text) is ("Accuracy and energy of" in text)
    assert all(name in text for name in spec.objectives)
    assert "most accurate" not in text or "accuracy" in spec.objectives
    assert (folder.path / "figures" / "pareto-front.svg").exists()


def test_the_live_view_shows_the_objectives(study: tuple[RunFolder, StudySpec]) -> None:
    folder, spec = study
    model = StudyModel(spec)
    rows = read_study("own", open_storage(folder.default_storage)).rows
    model.apply(Batch(rows=tuple(dict(row) for row in rows)))
    assert len(model.front) > 0
    assert all(name in best_text(model, 100).plain for name in spec.objectives)
    for text in (summary_text(model, 200).plain, _front_lines(model, 200).plain):
        assert all(name in text for name in spec.objectives)
    assert effects_text(model, 100).plain.count("\n") > 4
    keys = [column.key for column in trial_columns(model)]
    assert set(spec.objectives) <= set(keys)
    for column in trial_columns(model):
        assert all(column.text(row) for row in model.rows.values() if column.key in spec.objectives)


def test_a_table_brings_the_objectives_back(study: tuple[RunFolder, StudySpec], tmp_path: Path) -> None:
    folder, spec = study
    export_trials(folder, None, tmp_path / "own.parquet", "parquet")
    export_trials(folder, None, tmp_path / "own.csv", "csv")
    before = read_study("own", open_storage(folder.default_storage)).rows
    for name, given in (("again", None), ("table", spec)):
        source = tmp_path / ("own.parquet" if given is None else "own.csv")
        write_import(read_import(source, name, given), folder.path.parent)
        kept = read_study(name, open_storage(RunFolder(folder.path.parent / name).default_storage))
        assert kept.spec.objectives == spec.objectives
        assert [[row[each] for each in (*spec.objectives, "extra")] for row in kept.rows] == [
            [row[each] for each in (*spec.objectives, "extra")] for row in before
        ]
    compared = shown(folder, "compare", "own", "again")
    assert f"own optimises {plane_of(spec).title}" in compared
    assert all(f"best {name}:" in compared for name in plane_of(spec).others)


def test_a_confirmation_says_what_it_does_not_judge(study: tuple[RunFolder, StudySpec], tmp_path: Path) -> None:
    folder, spec = study
    before = read_study("own", open_storage(folder.default_storage))
    picked = pick_trial(before, "2")
    again, _ = run_study(tmp_path, trains, 2, confirming_study(spec, picked, 1, 2, "conf"))
    confirmed = read_confirmation(
        folder, before, picked, again, read_study("conf", open_storage(again.default_storage))
    )
    lines = confirmation_lines(confirmed)
    others = plane_of(spec).others
    assert any(line.startswith("A confirmation judges accuracy and energy") for line in lines)
    assert all(any(line.startswith(f"{name} at the end: ") for line in end_lines(confirmed)) for name in others)


def test_a_study_goes_on_with_its_objectives_and_refuses_others(study: tuple[RunFolder, StudySpec]) -> None:
    folder, spec = study
    storage = open_storage(folder.default_storage)
    search = Search(spec, storage)
    assert search.ask().trial == 8
    search.lease.release()
    with pytest.raises(Exception, match=r"objectives\."):
        Search(own({"r2": "maximize"}), storage)
