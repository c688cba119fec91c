"""Parameters that not every setting has: from the sampler through storage, views, analysis and files."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import statsmodels.api as sm
from typer.testing import CliRunner

from greenopt.analysis.analyse import analyse
from greenopt.analysis.results import Analysis, Coding, Response
from greenopt.analysis.trials import analysed_trials, count_trials
from greenopt.cli import app
from greenopt.comparison.equal_settings import compare_equal_settings
from greenopt.comparison.read import ComparedStudy
from greenopt.confirmation import confirming_study, pick_trial
from greenopt.dashboard.notes import study_note
from greenopt.events import Outcome
from greenopt.exchange.export import export_trials
from greenopt.exchange.reading import read_import
from greenopt.exchange.writing import write_import
from greenopt.execution import ProcessEnded
from greenopt.forecast import ended_trials
from greenopt.forecast.draws import draw_settings
from greenopt.formatting import format_setting
from greenopt.identity.snapshot import read_folder
from greenopt.report.environment import Environment
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, open_storage, read_study
from greenopt.search.check import check_sampler
from greenopt.spec import StudySpec, TrialSpec
from greenopt.storage.snapshot import StudySnapshot
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import Batch
from tests.builders import ended, epoch, prepared_phases, reading, started
from tests.fakes import scripted_run

SPACE: dict[str, Any] = {
    "optimizer": ["Adam", "SGD", "RMSProp"],
    "lr": [0.1, 0.01],
    "optimizer_momentum": {"values": [0.5, 0.9], "when": {"optimizer": ["SGD", "RMSProp"]}},
    "lr_schedule": ["constant", "cosine"],
    "cosine_alpha": {"low": 0.0, "high": 0.2, "step": 0.1, "when": {"lr_schedule": "cosine"}},
}
SIZE = 2 * (1 + 2 + 2) * (1 + 3)
TRIALS = 9
"""Of the study with a storage on disk; what needs more is kept in memory."""
SAMPLERS: list[dict[str, Any]] = [
    {"name": "random"},
    {"name": "tpe", "n_startup_trials": 5},
    {"name": "tpe", "n_startup_trials": 5, "multivariate": False},
    {"name": "tpe", "n_startup_trials": 5, "group": True},
    {"name": "nsga2", "population_size": 6},
    {"name": "nsga3", "population_size": 6},
    {"name": "energy_aware", "n_startup_trials": 3, "n_candidates": 40},
    {"name": "qmc"},
    {"name": "brute_force"},
]


def conditional(sampler: dict[str, Any] | None = None, **study: Any) -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": "conditional", "trials": 10, "seed": 5, **study},
            "sampler": sampler or {"name": "random"},
            "data": {"name": "synthetic", "images": 100, "classes": 4},
            "training": {"epochs": 2},
            "space": SPACE,
        }
    )


def is_whole(spec: StudySpec, params: dict[str, Any]) -> bool:
    return spec.space.whole(params).keys() == params.keys() and spec.space.holds(params)


def measured(params: dict[str, Any]) -> list[float]:
    """Accuracy and energy that depend on every parameter that there is."""
    energy = 2.0 if params["optimizer"] == "Adam" else 1.0 + params["optimizer_momentum"]
    accuracy = 0.5 + 0.3 * (params["lr"] == 0.1) + params.get("cosine_alpha", 0.05)
    return [accuracy, energy * (1.5 if params["lr_schedule"] == "cosine" else 1.0)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_every_sampler_proposes_whole_settings_and_the_same_ones_again(sampler: dict[str, Any]) -> None:
    spec = conditional(sampler)
    check_sampler(spec)
    runs = []
    for _ in range(2):
        search, settings = Search(spec, None), []
        for _ in range(18):
            proposal = search.ask()
            assert is_whole(spec, proposal.values), proposal.values
            settings.append(proposal.values)
            outcome = Outcome.FAILED if proposal.trial == 4 else Outcome.COMPLETED
            values = None if outcome is Outcome.FAILED else measured(proposal.values)
            search.tell(proposal.trial, outcome, {}, values)
        runs.append(settings)
        assert {len(setting) for setting in settings} > {9} or len({len(setting) for setting in settings}) > 1
    assert runs[0] == runs[1]


def test_several_running_trials_are_no_matter_for_qmc(caplog: pytest.LogCaptureFixture) -> None:
    optuna.logging.enable_propagation()
    try:
        search = Search(conditional({"name": "qmc"}), None)
        assert all(is_whole(search.spec, search.ask().values) for _ in range(6))
    finally:
        optuna.logging.disable_propagation()
    assert not caplog.records


@pytest.mark.parametrize("name", ["cmaes", "gp"])
def test_samplers_of_other_packages_take_conditions_or_are_missing(name: str) -> None:
    spec = conditional({"name": name})
    if name == "cmaes":
        spec = spec.model_copy(update={"objectives": {"accuracy": spec.objectives["accuracy"]}})
    modules = {"cmaes": "cmaes", "gp": "torch"}
    pytest.importorskip(modules[name], reason=f"{name} needs {modules[name]}, which is not installed")
    check_sampler(spec)
    search = Search(spec, None)
    for _ in range(14):
        proposal = search.ask()
        assert is_whole(spec, proposal.values)
        search.tell(proposal.trial, Outcome.COMPLETED, {}, measured(proposal.values)[: len(spec.objectives)])


@pytest.mark.parametrize("sampler", ["brute_force", "grid"])
def test_each_setting_is_visited_once(sampler: str) -> None:
    spec = conditional({"name": sampler})
    if sampler == "grid":
        raw = {**SPACE, "cosine_alpha": {"values": [0.0, 0.1, 0.2], "when": {"lr_schedule": "cosine"}}}
        spec = StudySpec.model_validate({**spec.model_dump(mode="json"), "space": raw})
    assert spec.space.size == SIZE
    search, seen = Search(spec, None), []
    while search.has_more():
        proposal = search.ask()
        seen.append(tuple(sorted(proposal.values.items())))
        search.tell(proposal.trial, Outcome.COMPLETED, {}, measured(proposal.values))
    assert len(seen) == len(set(seen)) == SIZE


def test_settings_that_differ_in_what_is_left_out_are_the_same() -> None:
    spec = conditional(enqueue=[{"optimizer": "Adam"}, {"optimizer": "Adam", "lr": 0.1}, {"optimizer": "SGD"}])
    search = Search(spec, None)
    search.enqueue_listed()
    first, second, third = search.ask(), search.ask(), search.ask()
    assert second.same_as == (first.trial,)
    assert third.same_as == ()
    assert "optimizer_momentum" not in first.values
    assert search.upcoming(3) == [search._random_setting(3 + index) for index in range(3)]
    assert all(is_whole(spec, setting) for setting in search.upcoming(3))
    assert search.upcoming(1)[0] == search.ask().values


def trains(spec: TrialSpec) -> list[Any]:
    accuracy, energy_wh = measured(spec.values)
    each = [epoch(number, accuracy, reading(energy_wh / 2)) for number in (1, 2)]
    whole = reading(energy_wh, 20.0)
    last = ended(accuracy=accuracy, test_accuracy=accuracy, energy=whole, total=whole)
    return [started(spec.trial), *prepared_phases(), *each, last, ProcessEnded(spec.trial, 0, None, "")]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, StudySpec, list[TrialSpec]]:
    spec = conditional({"name": "brute_force"}, trials=TRIALS, seed=2)
    folder, given = scripted_run(spec, tmp_path_factory.mktemp("runs") / "conditional", trains)
    return folder, spec, given


Ran = tuple[RunFolder, StudySpec, list[TrialSpec]]


@pytest.fixture(scope="module")
def in_memory() -> StudySnapshot:
    spec, storage = conditional({"name": "brute_force"}, trials=26), optuna.storages.InMemoryStorage()
    search = Search(spec, storage)
    for _ in range(26):
        proposal = search.ask()
        accuracy, energy_wh = measured(proposal.values)
        energy_wh *= 1 + 0.01 * (proposal.trial * 7 % 5)  # as trainings differ
        figures = {"accuracy": accuracy, "energy_wh": energy_wh, "epochs_done": 2, "wh_per_epoch": energy_wh / 2}
        search.tell(proposal.trial, Outcome.COMPLETED, figures, [accuracy, energy_wh])
    return read_study("conditional", storage)


@pytest.fixture(scope="module")
def analysed(in_memory: StudySnapshot) -> Analysis:
    return analyse(in_memory.spec, in_memory.rows)


def test_a_trial_is_told_what_is_left_out(ran: Ran) -> None:
    folder, spec, trials = ran
    rows = read_study("conditional", open_storage(folder.default_storage)).rows
    for row, trial in zip(rows, trials, strict=True):
        left_out = spec.space.left_out(row)
        assert trial.left_out == left_out
        assert left_out == spec.space.left_out(trial.values)
        assert not set(left_out) & (trial.values.keys() | trial.varied.keys() | trial.parameters.keys())
        assert all(row[name] is None for name in left_out)
        # What the process trains with is the default, or the table's.
        assert trial.image_setting.optimizer_momentum == (row["optimizer_momentum"] or 0.0)
        assert trial.training.cosine_alpha == (row["cosine_alpha"] or 0.0)
        assert not set(left_out) & set(str(row.get("inert") or "").split())
    assert {"optimizer_momentum", "cosine_alpha"} == {name for trial in trials for name in trial.left_out}


def test_views_show_no_value_of_what_is_left_out(ran: Ran) -> None:
    folder, spec, _ = ran
    snapshot = read_folder(folder)
    model = StudyModel(spec)
    model.apply(Batch(rows=tuple(dict(row) for row in snapshot.rows)))
    for row in snapshot.rows:
        text = format_setting({name: row[name] for name in spec.space.distributions})
        assert "None" not in text
        assert not {"optimizer_momentum", "cosine_alpha"} & set(spec.space.trimmed(row)) ^ {
            name for name in ("optimizer_momentum", "cosine_alpha") if row[name] is not None
        }
    assert "`optimizer_momentum` (only with optimizer = SGD or RMSProp)" in study_note(spec, [])
    momentum = dict(model.effects)["optimizer_momentum"]
    assert sum(each.effect.up.count for each in momentum) == sum(
        row["optimizer_momentum"] is not None for row in snapshot.rows
    )


@pytest.mark.parametrize("command", [["analyze", "conditional"], ["analyze", "conditional", "--json"]])
def test_commands_take_them(ran: Ran, command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--runs", str(ran[0].path.parent)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "nan" not in result.output.lower().split()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_exports_have_empty_cells_and_are_read_again(ran: Ran, tmp_path: Path, ending: str) -> None:
    folder, spec, _ = ran
    export_trials(folder, None, tmp_path / f"all.{ending}", ending)
    if ending == "csv":
        with open(tmp_path / "all.csv", newline="") as file:
            cells = list(csv.DictReader(file))
        assert {row["optimizer_momentum"] for row in cells if row["optimizer"] == "Adam"} == {""}
        assert "optimizer_momentum" not in " ".join(row.get("inert") or "" for row in cells)
    if ending == "csv":
        alone = read_import(tmp_path / "all.csv", "alone", None)
        assert all(
            why.endswith("is empty; if a condition leaves it out there, give the study file with --study")
            for why in alone.skipped.values()
        )
        assert alone.skipped
    imported = read_import(tmp_path / f"all.{ending}", "again", spec if ending == "csv" else None)
    assert not imported.skipped
    assert not imported.outside_space()
    write_import(imported, tmp_path)
    kept = read_folder(RunFolder(tmp_path / "again"))
    names = tuple(spec.space.distributions)
    assert kept.spec.space == spec.space
    assert [[row[name] for name in names] for row in kept.rows] == [
        [row[name] for name in names] for row in read_folder(folder).rows
    ]


def test_trials_of_before_the_condition_lose_what_did_nothing(tmp_path: Path) -> None:
    table = tmp_path / "old.csv"
    table.write_text(
        "trial,optimizer,lr,optimizer_momentum,lr_schedule,accuracy,energy_wh\n"
        "0,Adam,0.1,0.9,constant,0.5,2.0\n1,Adam,0.1,0.5,constant,0.5,2.0\n2,SGD,0.1,0.9,constant,0.5,2.0\n"
    )
    raw = {name: given for name, given in SPACE.items() if name != "cosine_alpha"}
    spec = StudySpec.model_validate({**conditional().model_dump(mode="json"), "space": raw})
    write_import(read_import(table, "old", spec), tmp_path)
    rows = read_folder(RunFolder(tmp_path / "old")).rows
    assert [row["optimizer_momentum"] for row in rows] == [None, None, 0.9]
    assert analyse(spec, rows).counts.settings == 2


def test_models_of_energy_and_draws_leave_out_what_is_left_out(ran: Ran) -> None:
    folder, spec, _ = ran
    drawn = draw_settings(spec.space, 50, np.random.default_rng(0))
    assert all(is_whole(spec, setting) for setting in drawn)
    snapshot = read_folder(folder)
    trials = list(ended_trials(spec, snapshot.rows))
    assert all(is_whole(spec, dict(trial.setting)) for trial in trials)
    picked = pick_trial(snapshot, str(next(row["trial"] for row in snapshot.rows if row["optimizer"] == "Adam")))
    confirming = confirming_study(spec, picked, 2, 2, None)
    assert confirming.space.size == 1
    assert confirming.setting_of(confirming.space.baseline).optimizer == "Adam"


def test_a_study_of_before_and_one_with_conditions_share_settings(in_memory: StudySnapshot) -> None:
    spec, rows = in_memory.spec, [dict(row) for row in in_memory.rows]
    plain = StudySpec.model_validate(
        {
            **spec.model_dump(mode="json"),
            "space": {
                **SPACE,
                "optimizer_momentum": [0.5, 0.9],
                "cosine_alpha": {"low": 0.0, "high": 0.2, "step": 0.1},
            },
        }
    )
    before = [{**row, "optimizer_momentum": row["optimizer_momentum"] or 0.9, "cosine_alpha": 0.2} for row in rows]
    first, other = (
        ComparedStudy(study.name, study, analysed_trials(study, each), counts, Environment(0, 0), {})
        for study, each in ((plain, before), (spec, rows))
        for counts in [count_trials(analysed_trials(study, each), study)]
    )
    found = compare_equal_settings(first, other, "energy_wh")
    ending = sum(row["lr_schedule"] == "constant" or row["cosine_alpha"] == 0.2 for row in rows)
    assert found.settings == ending


def test_advice_and_the_next_trials_are_whole_settings(analysed: Analysis) -> None:
    spec, found = analysed.study, analysed.advice
    assert found.next_settings
    assert all(is_whole(spec, dict(setting)) for setting in found.next_settings)
    assert found.setting is None or is_whole(spec, dict(found.setting))
    texts = [one.text for one in found.values if one.parameter == "optimizer_momentum"]
    assert texts
    assert texts[0].startswith("optimizer_momentum (with optimizer = SGD or RMSProp): ")


def test_regressions_nest_an_effect_within_its_condition(in_memory: StudySnapshot, analysed: Analysis) -> None:
    """Against statsmodels with columns made by hand: 1 where the setting has the parameter and that value, else 0."""
    rows = in_memory.rows
    columns = {
        "const": [1.0 for _ in rows],
        "lr_0.01": [float(row["lr"] == 0.01) for row in rows],
        "lr_schedule_cosine": [float(row["lr_schedule"] == "cosine") for row in rows],
        "optimizer_SGD": [float(row["optimizer"] == "SGD") for row in rows],
        "optimizer_RMSProp": [float(row["optimizer"] == "RMSProp") for row in rows],
        "optimizer_momentum_0.9": [
            float(row["optimizer"] != "Adam" and row["optimizer_momentum"] == 0.9) for row in rows
        ],
        "cosine_alpha": [row["cosine_alpha"] if row["lr_schedule"] == "cosine" else 0.0 for row in rows],
    }
    by_hand = sm.OLS([row["energy_wh"] for row in rows], np.column_stack(list(columns.values()))).fit()
    regression = analysed.regressions[Response.ENERGY_WH][Coding.TREATMENT]
    assert any("effects within optimizer = SGD or RMSProp" in note for note in regression.notes)
    found = {one.name: one for one in regression.coefficients}
    assert set(found) == set(columns)
    for name, coefficient, error in zip(columns, by_hand.params, by_hand.bse, strict=True):
        assert found[name].coef == pytest.approx(coefficient, abs=1e-9)
        assert found[name].std_err == pytest.approx(error, rel=1e-6, abs=1e-9)
