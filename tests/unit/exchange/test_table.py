"""Exported tables come back as the study that they were."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from greenopt.cli import app
from greenopt.errors import UsageError
from greenopt.events import Outcome
from greenopt.exchange import read_import, write_import
from greenopt.reading import EnergySource
from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage, read_study
from tests.known_effects import paper_study, write_known_study

HEAD = "trial,state,batch_size,lr,accuracy,energy_wh,energy_source"


def greenopt(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_export_comes_back(tmp_path: Path, ending: str) -> None:
    runs = tmp_path / "runs"
    write_known_study(runs, 12, pruned=2, failed=1)
    target = tmp_path / f"back.{ending}"
    greenopt("export", "known", "-o", target, "--runs", runs)
    greenopt("import", target, "--runs", runs)
    before, after = (read_study(name, open_storage(RunFolder(runs / name).storage())) for name in ("known", "back"))
    assert len(after.rows) == 12
    for old, new in zip(before.rows, after.rows, strict=True):
        compared = [name for name in old if name not in ("run", "energy_missing", "attempt_id")]
        assert {name: new[name] for name in compared} == {name: pytest.approx(old[name]) for name in compared}
    is_the_same = after.spec.space == before.spec.space
    assert is_the_same is (ending == "parquet")


def table(tmp_path: Path, *lines: str, head: str = HEAD) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def test_broken_rows_are_named_and_skipped(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "0,complete,4,0.01,0.5,2.0,nvml_counter",
        "1,running,4,0.01,,,",
        "2,complete,,0.01,0.5,2.0,nvml_counter",
        "3,complete,0,0.01,0.5,2.0,nvml_counter",
        "4,complete,4,0.01,0.5,-2.0,nvml_counter",
        "5,complete,4,0.01,50,2.0,nvml_counter",
        "5,complete,4,0.01,half,2.0,nvml_counter",
        "0,complete,4,0.01,0.5,2.0,nvml_counter",
        "7,fail,32,0.01,,,",
    )
    imported = read_import(path, "t")
    assert [trial.run for trial in imported.trials] == ["0", "7"]
    assert [trial.verdict.outcome for trial in imported.trials] == [Outcome.COMPLETED, Outcome.FAILED]
    reasons = [why for _, why in imported.skipped.items()]
    assert [str(where).rsplit(" ", 1)[1] for where in imported.skipped] == ["2", "3", "4", "5", "6", "7", "8"]
    for words, why in zip(
        (
            "running",
            "batch_size is empty",
            "batch_size: 0",
            "-2.0, which cannot be",
            "50, which cannot be",
            "half, which is no number",
            "twice",
        ),
        reasons,
        strict=True,
    ):
        assert words in why


def test_what_a_table_does_not_say_stays_unknown(tmp_path: Path) -> None:
    path = table(tmp_path, "4,0.5,2.0", head="batch_size,accuracy,energy_wh")
    imported = read_import(path, "t")
    assert imported.trials[0].events[-1].energy.source is EnergySource.UNKNOWN  # type: ignore[union-attr]
    folder = RunFolder(write_import(imported, tmp_path / "runs"))
    (row,) = read_study("t", open_storage(folder.storage())).rows
    assert row["energy_source"] == "unknown"
    assert row["began"] is row["ended"] is row["wh_per_epoch"] is row["seconds"] is None


def test_columns_that_are_no_figures_are_parameters(tmp_path: Path) -> None:
    path = table(tmp_path, "32,relu,0.5,2.0", "64,tanh,0.6,3.0", head="width,activation,accuracy,energy_wh")
    imported = read_import(path, "t")
    assert imported.spec.space.own
    assert [distribution.first for distribution in imported.spec.space.distributions.values()] == [32, "relu"]


def test_marks_of_a_proposal_are_no_parameters(tmp_path: Path) -> None:
    head = "width,wanted,from_prior,accuracy,energy_wh"
    imported = read_import(table(tmp_path, '32,"{}",,0.5,2.0', "64,,pilot,0.6,3.0", head=head), "t")
    assert list(imported.spec.space.distributions) == ["width"]


def test_a_study_file_gives_the_space_and_the_baseline(tmp_path: Path) -> None:
    names = list(paper_study(1).space.distributions)
    row = ["none", "none", "float16", "1", "60-20-20", "0.01", "constant", "SGD", "0.9", "none", "0.5", "2.0"]
    path = table(tmp_path, ",".join(row), head=",".join([*names, "accuracy", "energy_wh"]))
    imported = read_import(path, "t", paper_study(1))
    assert imported.spec.name == "t"
    assert imported.outside_space() == {"0": ("batch_size", 1)}


@pytest.mark.parametrize(
    ("lines", "head", "message"),
    [
        (["0.5,2.0"], "accuracy,energy_wh", "no column that could be a parameter"),
        (["4,fine"], "batch_size,state", "nothing in it can be imported"),
        (["4"], "batch_size", "no completed row has a number in a column accuracy or energy_wh"),
        ([], "batch_size,accuracy", "nothing in it can be imported"),
    ],
)
def test_a_table_without_trials_is_refused(tmp_path: Path, lines: list[str], head: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_import(table(tmp_path, *lines, head=head), "t")


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"no")
    for name, message in (("t.parquet", "cannot be read as parquet"), ("no.csv", "no such file"), ("t.txt", "neither")):
        with pytest.raises(UsageError, match=message):
            read_import(tmp_path / name, "t")
