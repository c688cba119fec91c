"""What a study will take, and took, as commands and report say it, against its trials."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from greenopt.cli import app
from greenopt.coordination.study_log_writer import StudyLogWriter
from greenopt.execution import Slot
from greenopt.report.inputs import read_report_inputs
from greenopt.report.sections.summary import _forecast
from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage, read_study
from tests.showcase import run_showcase, showcase_study

TRIALS = 12
STUDY = """
[study]
name = "later"
trials = {trials}
seed = 9
[data]
name = "synthetic"
[training]
epochs = {epochs}
[space]
batch_size = [32, 64, 128]
lr = [0.01, 0.003, 0.001]
optimizer = ["SGD", "Adam", "RMSProp", "AdamW"]
optimizer_momentum = [0.0, 0.5, 0.9]
augmentation = ["none", "random", "mixup", "cutmix"]
precision = ["float32", "global_policy_float16"]
internal = ["none", "jit_compilation"]
lr_schedule = ["constant", "cosine"]
preprocessing = ["standardization", "minmax"]
partitioning = ["60-20-20", "80-10-10"]
"""


def run(folder: RunFolder, **study: Any) -> None:
    folder.path.mkdir(parents=True)
    log = StudyLogWriter(folder.study_log, [Slot("gpu0")])
    spec = showcase_study(TRIALS, name=folder.name, **study)
    run_showcase(spec, open_storage(folder.default_storage), folder, exhibited=False, observers=(log,))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that has all its trials, and one whose budget ended it."""
    runs = tmp_path_factory.mktemp("runs")
    run(RunFolder(runs / "whole"))
    run(RunFolder(runs / "cut"), budget=[f"{used_wh(runs, 'whole') / 2:.1f} Wh"])
    return runs


def used_wh(runs: Path, name: str) -> float:
    rows = read_study(name, open_storage(RunFolder(runs / name).default_storage)).rows
    return sum(float(row["total_wh"]) for row in rows if row["state"] != "waiting")


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list_as_json_has_what_was_used_and_what_is_forecast(runs: Path) -> None:
    whole, cut = sorted(json.loads(shown("list", "--json", "--runs", str(runs))), key=lambda each: each["completed"])[
        ::-1
    ]
    assert (whole["study"], whole["trials"], whole["forecast"]) == ("whole", TRIALS, None)
    assert whole["used_wh"] == pytest.approx(used_wh(runs, "whole"))
    assert cut["used_wh"] == pytest.approx(used_wh(runs, "cut"))
    assert len(cut["budgets"]) == 1
    told = cut["forecast"]
    assert told["left"] > 0
    assert told["used_wh"] == pytest.approx(cut["used_wh"])
    energy = told["energy_wh"]
    assert cut["used_wh"] < energy["low"] < energy["expected"] < energy["high"]
    assert energy["low"] < used_wh(runs, "whole") < energy["high"]


def test_the_list_says_what_a_study_that_is_not_done_will_take(runs: Path) -> None:
    lines = shown("list", "--runs", str(runs)).splitlines()
    cut, whole = (next(line for line in lines if line.startswith(name)) for name in ("cut", "whole"))
    assert "Wh (" in cut
    assert "Wh (" not in whole


@pytest.mark.parametrize(("trials", "epochs"), [(TRIALS, 12), (2 * TRIALS, 6)])
def test_a_plan_is_forecast_from_another_studys_trials(runs: Path, tmp_path: Path, trials: int, epochs: int) -> None:
    file = tmp_path / "later.toml"
    file.write_text(STUDY.format(trials=trials, epochs=epochs), encoding="utf-8")
    plain = shown("run", str(file), "--dry-run", "--gpus", "none", "--runs", str(runs))
    assert "--like STUDY forecasts from another's trials" in plain
    plan = shown("run", str(file), "--dry-run", "--like", "whole", "--gpus", "none", "--runs", str(runs))
    (line,) = [line for line in plan.splitlines() if line.startswith("forecast")]
    assert "by the trials of whole" in line
    forecast_wh = float(line.split()[1].lstrip("~"))
    # The same parameters, as many epochs in all: what the other study took, but for its settings.
    assert forecast_wh == pytest.approx(used_wh(runs, "whole"), rel=0.5)
    assert not (runs / "later").exists()


def test_a_study_of_other_parameters_tells_nothing(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "later.toml"
    (tmp_path / "computes.py").write_text("def train(trial):\n    return 0.5\n", encoding="utf-8")
    file.write_text('[study]\ntrials = 3\nobjective = "computes:train"\n[space]\nx = [1, 2]\n', encoding="utf-8")
    command = ["run", str(file), "--dry-run", "--like", "whole", "--gpus", "none", "--runs", str(runs)]
    result = CliRunner().invoke(app, command)
    assert str(result.exception) == "--like whole: its trials have other parameters than study later"


def test_the_report_says_what_was_forecast_and_what_came(runs: Path) -> None:
    whole = _forecast(read_report_inputs(RunFolder(runs / "whole")))
    assert whole.startswith("After 2 trials of 12 the study was forecast to take ")
    assert "side the interval of 90 %" in whole
    cut = _forecast(read_report_inputs(RunFolder(runs / "cut")))
    assert " of 12 trials the study is forecast to take " in cut


def test_a_plan_shows_the_settings_that_come_first(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "later.toml"
    text = STUDY.format(trials=4, epochs=6).replace("[data]", "enqueue = [{ batch_size = 64, lr = 0.003 }]\n[data]")
    file.write_text(text, encoding="utf-8")
    plan = shown("run", str(file), "--dry-run", "--gpus", "none", "--runs", str(runs)).splitlines()
    first = {line.split()[0]: line.split()[1] for line in plan if line.startswith(("batch_size", "lr "))}
    assert first == {"batch_size": "64", "lr": "0.003"}


def test_and_those_of_the_study_that_it_starts_from(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "later.toml"
    text = STUDY.format(trials=4, epochs=12) + '[sampler]\nname = "energy_aware"\nprior = "whole"\n'
    file.write_text(text, encoding="utf-8")
    plan = shown("run", str(file), "--dry-run", "--gpus", "none", "--runs", str(runs)).splitlines()
    assert f"prior      {TRIALS} trials of study whole" in plan
    rows = list(read_study("whole", open_storage(RunFolder(runs / "whole").default_storage)).rows)
    least = min((row for row in rows if row["state"] == "complete"), key=lambda row: float(row["energy_wh"]))
    first = {
        line.split()[0]: line.split()[1].strip("()") for line in plan if line.startswith(("batch_size", "lr ", "opt"))
    }
    assert first == {name: str(least[name]) for name in ("batch_size", "lr", "optimizer", "optimizer_momentum")}
    assert "at random" not in "\n".join(plan)


def test_a_plan_says_that_a_budget_is_spent_and_counts_what_was_used(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "computes.py").write_text(
        "import time\ndef train(trial):\n    end = time.process_time() + 0.2\n"
        "    while time.process_time() < end: pass\n    return 0.5\n",
    )
    text = '[study]\ntrials = {}\nobjective = "computes:train"\n[space]\nx = [1, 2, 3, 4, 5, 6]\n'
    file = tmp_path / "spent.toml"
    file.write_text(text.format(2), encoding="utf-8")
    command = ["run", str(file), "--gpus", "none", "--runs", str(tmp_path / "runs")]
    shown(*command, "--plain")
    used = used_wh(tmp_path / "runs", "spent")
    plan = shown(*command, "--dry-run", "--trials", "6", "--budget", f"{used / 2:.9f} Wh")
    assert "Wh is spent: no trial would start; give a larger one" in plan
    assert "is spent" not in shown(*command, "--dry-run", "--trials", "6", "--budget", "9 kWh")
    like = shown(*command, "--dry-run", "--trials", "6", "--like", "spent")
    (line,) = [line for line in like.splitlines() if line.startswith("forecast")]
    assert float(line.split()[1].lstrip("~")) > used


def test_a_study_all_of_whose_trials_have_ended_is_done_though_one_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "computes.py").write_text("def train(trial):\n    raise ValueError('never')\n", encoding="utf-8")
    (tmp_path / "lost.toml").write_text(
        '[study]\ntrials = 1\nobjective = "computes:train"\n[space]\nx = [1, 2]\n', encoding="utf-8"
    )
    CliRunner().invoke(app, ["run", "lost.toml", "--gpus", "none", "--plain", "--runs", "runs"])
    (line,) = [line for line in shown("list", "--runs", "runs").splitlines() if line.startswith("lost")]
    assert line.split()[1:4] == ["done", "0/1", "1"]
    shown("retry", "lost", "--runs", "runs")
    (line,) = [line for line in shown("list", "--runs", "runs").splitlines() if line.startswith("lost")]
    assert line.split()[1:3] == ["not", "running"]
