"""A study's folder, storage, code and data belong together: the real command, with a function that is soon done."""

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Bench

pytestmark = pytest.mark.end_to_end

TRAIN = """
import os, time
from numbers_of import accuracy

def run(trial):
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    trial.end_epoch(accuracy(trial.params["x"]))
    return accuracy(trial.params["x"])

def die(trial):
    os._exit(5)
"""
STUDY = """
[study]
name = "own"
objective = "train:{function}"
trials = {trials}
[space]
x = [1, 2, 3, 4, 5]
"""


@pytest.fixture
def own(bench: Bench) -> Bench:
    """A study file in a folder of its own, with its modules beside it; greenopt runs in the folder above."""
    bench.study_file.unlink()
    (bench.folder / "sub").mkdir()
    (bench.folder / "sub" / "train.py").write_text(TRAIN)
    (bench.folder / "sub" / "numbers_of.py").write_text("def accuracy(x):\n    return 0.5 + x / 100\n")
    write(bench)
    return bench


def write(bench: Bench, trials: int = 1, function: str = "run") -> None:
    (bench.folder / "sub" / "own.toml").write_text(STUDY.format(trials=trials, function=function))


def run(bench: Bench, *arguments: str, code: int = 0) -> str:
    done = bench.run("run", "sub/own.toml", "--plain", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def test_a_trial_that_dies_in_another_storage_never_shows_an_earlier_ones_figures(own: Bench) -> None:
    run(own)
    events = (own.run_folder("own").events(0)).read_bytes()
    write(own, function="die")
    said = run(own, "--storage", "sqlite:///other.db", "--seed", "9", code=2)
    assert said.count("\n") == 1
    assert "runs/own belongs to another study" in said
    assert not (own.folder / "other.db").exists()
    assert own.run_folder("own").events(0).read_bytes() == events
    died = own.run("run", "sub/own.toml", "--plain", "--name", "died")
    assert "trial 0 failed" in died.stdout
    assert own.rows("died")[0]["accuracy"] is None


def test_a_study_is_copied_moved_renamed_and_goes_on(own: Bench) -> None:
    run(own)
    shutil.copytree(own.folder / "runs", own.folder / "laptop")
    run(own, "--runs", "laptop", "--trials", "2")
    assert len(own.rows("own")) == 1
    assert own.run("rename", "own", "better", "--runs", "laptop").returncode == 0
    (own.folder / "laptop" / "better").rename(own.folder / "laptop" / "moved")
    listed = own.run("list", "--runs", "laptop").stdout
    assert "moved" in listed
    assert "2/2" in listed
    assert own.run("export", "moved", "--runs", "laptop", "-o", "x.csv").stdout == "2 trials -> x.csv\n"
    assert "study moved: 2 trials" in own.run("analyze", "moved", "--runs", "laptop").stdout
    run(own, "--runs", "laptop", "--name", "moved", "--trials", "3")
    assert "3/3" in own.run("list", "--runs", "laptop").stdout


def test_edited_code_is_refused_by_name_in_a_dry_run_too_and_marked_once_accepted(own: Bench) -> None:
    run(own)
    helper = own.folder / "sub" / "numbers_of.py"
    helper.write_text(helper.read_text().replace("0.5", "0.1"))
    for arguments in ((), ("--dry-run",)):
        said = run(own, "--trials", "2", *arguments, code=2)
        assert "module numbers_of changed since this study's trials ran" in said
        assert len(said) <= 200
    confirmed = own.run("confirm", "own", "--seeds", "1")
    assert confirmed.returncode == 2
    assert "the code changed since trial 0 ran" in confirmed.stderr
    run(own, "--trials", "2", "--accept-changes")
    analyzed = " ".join(own.run("analyze", "own").stdout.split())
    assert "trial 0 ran with other code than 1" in analyzed.lower()
    assert "(changed)" in own.run("list").stdout


def test_a_deleted_database_is_said_and_nothing_is_made_in_its_place(own: Bench) -> None:
    run(own)
    database: Path = own.run_folder("own").path / "study.db"
    database.unlink()
    for arguments in (["run", "sub/own.toml", "--plain"], ["analyze", "own"], ["export", "own"], ["report", "own"]):
        done = own.run(*arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert not database.exists()
    assert "no such file" in " ".join(own.run("list").stdout.split())


def test_verbose_shows_the_coordinator_here_and_each_trial_in_its_log(own: Bench) -> None:
    done = own.run("run", "sub/own.toml", "--plain", "--verbose")
    assert done.returncode == 0, done.stderr
    assert "INFO greenopt.coordination.coordinator: trial 0 started on " in done.stderr
    log = own.run_folder("own").log(0).read_text()
    assert "INFO greenopt.trial.journal: the trial ended: completed" in log
    assert "DEBUG greenopt.energy.meter_log: " in log


def test_without_verbose_nothing_of_it_is_shown(own: Bench) -> None:
    done = own.run("run", "sub/own.toml", "--plain")
    assert "greenopt.coordination" not in done.stdout + done.stderr
    assert "greenopt.trial.journal" not in own.run_folder("own").log(0).read_text()
