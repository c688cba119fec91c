"""Whole commands: what they print, write and exit with."""

import json
from pathlib import Path

import pandas as pd
import pytest

from greenopt.events import EpochEnded, PhaseEnded, TrialEnded, TrialPrepared, read_events
from tests.end_to_end.conftest import ROOT, Bench
from tests.fuzzing.judge import Verdict, judged

pytestmark = pytest.mark.end_to_end


def test_a_study_from_its_file_to_its_exports(bench: Bench) -> None:
    done = bench.run("run", "tiny.toml", "--plain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all trials are done (2 completed, 0 stopped early, 0 failed)" in done.stdout
    rows = bench.rows()
    assert [row["state"] for row in rows] == ["complete", "complete"]
    for row in rows:
        assert 0 < row["accuracy"] <= 1
        assert row["energy_wh"] > 0
        assert row["energy_source"] in ("rapl", "estimate")
        assert row["total_wh"] > row["energy_wh"]
        assert row["efficiency"] == pytest.approx(row["accuracy"] / row["wh_per_epoch"])
    if rows[0]["energy_source"] == "estimate":
        assert "Wh est." in done.stdout

    events = list(read_events(bench.run_folder().events(0)))
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert {event.phase for event in events if isinstance(event, PhaseEnded)} >= {"import", "data", "build", "compile"}
    assert any(isinstance(event, TrialPrepared) for event in events)
    assert isinstance(events[-1], TrialEnded)
    assert events[-1].accuracy == epochs[-1].val_accuracy

    listed = bench.run("list")
    assert "tiny" in listed.stdout
    assert "2/2" in listed.stdout
    for ending, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        assert bench.run("export", "tiny", "-o", f"out.{ending}").returncode == 0
        frame = read(bench.folder / f"out.{ending}")
        assert frame["accuracy"].tolist() == pytest.approx([row["accuracy"] for row in rows])
        assert frame["energy_source"].tolist() == [row["energy_source"] for row in rows]

    again = bench.run("run", "tiny.toml", "--plain")
    assert again.returncode == 0
    assert len(bench.rows()) == 2


def test_carbon_and_cost_are_shown_and_can_be_named_later(bench: Bench) -> None:
    bench.write_function()
    assert "CO2e" not in bench.run("run", "tiny.toml", "--plain", "--trials", "1").stdout
    named = bench.run("run", "tiny.toml", "--plain", "--trials", "1", "--country", "fr")
    assert named.returncode == 0, named.stderr
    assert "g CO2e (FR 2023, Ember" in named.stdout
    assert bench.run("export", "tiny", "-o", "out.csv").returncode == 0
    frame = pd.read_csv(bench.folder / "out.csv")
    assert frame["carbon_g"].tolist() == pytest.approx((frame["energy_wh"] * 56 / 1000).tolist())


def test_resnet50_learns_real_digits(bench: Bench) -> None:
    """One trial of the quickstart, as its file has it."""
    done = bench.run("run", str(ROOT / "studies" / "quickstart.toml"), "--plain", "--trials", "1", timeout_s=600)
    assert done.returncode == 0, done.stdout + done.stderr
    row = bench.rows("quickstart")[0]
    assert row["accuracy"] > 0.3
    prepared = [
        event for event in read_events(bench.run_folder("quickstart").events(0)) if isinstance(event, TrialPrepared)
    ]
    assert prepared[0].facts["weights"] == 23_608_202


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.toml"], "nowhere.toml: no such file"),
        (["run", "tiny.toml", "--sampler", "tep"], "sampler.name: 'tep': unknown sampler"),
        (["run", "tiny.toml", "--gpus", "7"], "--gpus '7': no visible GPU"),
        (["run", "tiny.toml", "--gpus", "all"], "--gpus all: no NVIDIA GPU is visible"),
        (["run", "tiny.toml", "--storage", "nonsense"], "not a database URL"),
        (["run", "tiny.toml", "--name", "a/b"], "study.name: 'a/b'"),
        (["run", "tiny.toml", "--trials", "0"], "--trials"),
        (["run", "tiny.toml", "--country", "QQ"], "tiny.toml: energy.country: QQ: not in the table of 2023"),
        (["run", "broken.toml"], "broken.toml: space.batch_size[0]: 0"),
        (["run", "lost.toml"], "lost.toml: data.path: "),
        (["export", "tiny"], "no study here"),
        (["export", "tiny", "-o", "x.xlsx"], "x.xlsx: unknown suffix"),
        (["stop", "tiny"], "no study here"),
        (["ruin", "tiny.toml"], "No such command 'ruin'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2_and_writes_nothing(
    bench: Bench, arguments: list[str], message: str
) -> None:
    text = bench.study_file.read_text()
    (bench.folder / "broken.toml").write_text(text.replace("[16, 32]", "[0]"))
    (bench.folder / "lost.toml").write_text(
        text.replace('"synthetic"\nimages = 400\nclasses = 4', '"npz"\npath = "no.npz"')
    )
    before = sorted(bench.folder.rglob("*"))
    # In this process, by what the command's own process runs, and without its seconds.
    ended = judged(arguments, bench.folder)
    assert (ended.verdict, ended.exit_code) == (Verdict.REFUSED, 2), ended
    assert message in ended.err
    assert sorted(bench.folder.rglob("*")) == before


def test_a_study_is_forecast_from_seconds_of_training_before_its_first_trial(bench: Bench) -> None:
    bench.write_study(30, **{"[16, 32]": "16"})
    done = bench.run("run", "tiny.toml", "--dry-run", "--measure")
    assert done.returncode == 0, done.stderr
    measured = [line for line in done.stdout.splitlines() if " of " in line and " a trial" in line]
    assert measured, done.stdout
    assert "est.," in measured[0]
    assert "by what was measured" in done.stdout
    assert "nothing was written" in done.stdout
    assert not (bench.folder / "runs").exists()


def test_a_dry_run_shows_the_plan_and_writes_nothing(bench: Bench) -> None:
    done = bench.run("run", "tiny.toml", "--dry-run")
    assert done.returncode == 0
    assert "2 trials x 2 epochs" in done.stdout
    assert "nothing was written" in done.stdout
    assert [path.name for path in bench.folder.iterdir()] == ["tiny.toml"]


def test_doctor_says_what_is_there_and_what_is_missing(bench: Bench) -> None:
    done = bench.run("doctor", "--json")
    findings = {finding["topic"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0
    assert findings["tensorflow"]["health"] == "good"
    assert findings["data digits"]["health"] == "good"
    if not Path("/proc/driver/nvidia").exists():
        assert findings["GPU"]["health"] == "limited"
        assert "driver" in findings["GPU"]["advice"]
    assert all(finding["advice"] for finding in findings.values() if finding["health"] != "good")
