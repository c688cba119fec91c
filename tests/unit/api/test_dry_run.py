"""`run_study(..., dry_run=True)`: what `greenopt run --dry-run` says, from Python, and nothing written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import greenopt
from greenopt.errors import UsageError

TABLES: dict[str, Any] = {"study": {"trials": 3, "objective": "pretend:train"}, "space": {"width": [8, 16, 32]}}


def train(trial: Any) -> float:
    return float(trial.params["width"]) / 100


def test_it_prints_the_plan_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pretend.py").write_text("def train(trial):\n    return 0.5\n")
    (tmp_path / "s.toml").write_text('[study]\ntrials = 3\nobjective = "pretend:train"\n[space]\nwidth = [8, 16, 32]\n')
    study = greenopt.run_study(tmp_path / "s.toml", dry_run=True, gpus="none", runs=tmp_path / "runs")
    printed = capsys.readouterr().out
    assert "3 settings; 1 of 1 parameters vary" in printed
    assert "nothing was written" in printed
    assert repr(study) == f"Study s in {tmp_path}/runs/s: has not begun"
    assert "has not begun" in study._repr_html_()
    assert not (tmp_path / "runs").exists()


def test_a_function_of_the_script_is_checked_and_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = greenopt.run_study(
        TABLES, objective=train, name="mine", dry_run=True, gpus="none", runs=tmp_path / "runs", trials=2
    )
    assert "mine: 2 trials" in capsys.readouterr().out
    assert study.name == "mine"
    assert not any(tmp_path.iterdir())


def test_what_is_wrong_is_raised(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sampler\.name: 'tpee': unknown sampler; did you mean tpe\?"):
        greenopt.run_study(
            TABLES, objective=train, name="mine", sampler="tpee", dry_run=True, gpus="none", runs=tmp_path / "runs"
        )
    assert not any(tmp_path.iterdir())


def test_all_that_is_wrong_is_raised_at_once(tmp_path: Path) -> None:
    tables = {"study": {"trials": 0}, "space": {"width": [8, 8]}, "samplre": {}}
    with pytest.raises(UsageError) as raised:
        greenopt.run_study(tables, objective=train, name="mine", dry_run=True, gpus="none", runs=tmp_path / "runs")
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    assert all(any(part in line for line in lines) for part in ("study.trials", "is in the list twice", "samplre"))


@pytest.mark.parametrize("name", ["", "..", None, 5, "-x", "a\nb"])
def test_what_cannot_be_a_studys_name_is_refused(tmp_path: Path, name: Any) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(UsageError, match="name of a study"):
        greenopt.load_study(name, runs=tmp_path / "runs")


def test_a_study_without_a_completed_trial_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretend.py").write_text("def train(trial):\n    raise ValueError('no')\n")
    raw = {**TABLES, "study": {**TABLES["study"], "trials": 1}}
    with pytest.warns(UserWarning, match="study mine: no trial completed"):
        study = greenopt.run_study(raw, name="mine", gpus="none", runs=tmp_path / "runs", progress=False)
    assert study.trials["state"].tolist() == ["fail"]


@pytest.mark.parametrize("study", [7, None, [1]])
def test_what_is_no_study_is_refused(study: Any) -> None:
    with pytest.raises(UsageError, match="give the path of a study file, or a mapping with its tables"):
        greenopt.run_study(study, dry_run=True)


def test_keys_are_texts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"study\.space: the key 1 is no text"):
        greenopt.run_study({"space": {1: [1]}}, objective=train, name="mine", dry_run=True, runs=tmp_path / "runs")


def test_a_notebooks_numbers_and_sequences_are_those_of_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = {
        "study": {"trials": np.int64(3)},
        "space": {
            "width": range(1, 4),
            "rate": np.array([0.1, 0.2]),
            "kind": ("a", "b"),
            "lr": {"low": np.float32(0.5), "high": 1.0},
        },
    }
    greenopt.run_study(tables, objective=train, name="mine", dry_run=True, gpus="none", runs=tmp_path / "runs")
    printed = capsys.readouterr().out
    assert "mine: 3 trials" in printed
    assert "4 of 4 parameters vary" in printed
