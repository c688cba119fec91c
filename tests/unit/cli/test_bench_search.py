"""`greenopt bench-search` on imported and on made trials."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from greenopt.errors import UsageError
from tests.paper_layout import write_run
from tests.unit.cli.test_replay import run

ROOT = Path(__file__).parents[3]
FAST = ("--seeds", "2", "--sampler", "random", "--sampler", "energy_aware", "--stopping", "none")


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number, accuracy in enumerate((0.9, 0.5, 0.4, 0.3)):
        write_run(tmp_path / "logs" / f"{number:03d}", epochs=3, accuracy=accuracy)
    run("import", "logs", "--name", "made")
    return tmp_path


def test_what_was_left_out_is_said(imported: Path) -> None:
    write_run(imported / "logs" / "004", epochs=2, post=False)
    run("import", "logs", "--name", "cut")
    text = run("bench-search", "cut", *FAST)
    assert "left out: 1 trial that did not complete" in text
    document = json.loads(run("bench-search", "cut", *FAST, "--json"))
    assert document["notes"] == ["left out: 1 trial that did not complete"]


def test_on_an_imported_study(imported: Path) -> None:
    written = sorted(path for path in imported.rglob("*") if path.is_file())
    text = run("bench-search", "made", *FAST)
    assert "made: 4 recorded trials, 2 seeds; random settings without stopping spend" in text
    assert "1.000 [" in text
    assert "energy_aware" in text
    document = json.loads(run("bench-search", "made", *FAST, "--json"))
    assert [(each["sampler"], each["stopping"]) for each in document["contenders"]] == [
        ("random", "none"),
        ("energy_aware", "none"),
    ]
    goals = document["contenders"][0]["goals"]
    assert [(each["scale"], each["goal"]) for each in goals] == [
        ("linear", 0.95),
        ("linear", 0.99),
        ("log", 0.95),
        ("log", 0.99),
    ]
    assert {each["median"] for each in goals} == {1.0}
    assert len(document["contenders"][0]["searches"]) == 2
    assert (document["origin"], document["trials"]) == ("recorded", 4)
    assert sorted(path for path in imported.rglob("*") if path.is_file()) == written


def test_made_trials_need_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("bench-search", "cyclic", "--seeds", "2", "--sampler", "random", "--stopping", "pareto", "--json")
    document = json.loads(run(*arguments))
    assert (document["origin"], document["trials"]) == ("made", 120)
    goals = {(each["scale"], each["goal"]): each for each in document["contenders"][0]["goals"]}
    assert goals["log", 0.95]["median"] < 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere",), "nowhere: is neither a study in .* nor one of additive, interactions"),
        (("additive", "--sampler", "tep"), "--sampler: sampler.name: 'tep': unknown sampler"),
        (("additive", "--sampler", "cmaes"), "--sampler: .* optimises one objective"),
        (("../made",), "is not the name of a study"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        run("bench-search", *arguments)
    assert "\n" not in str(caught.value)


def test_zeus_traces_are_imported_from_a_table_and_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch size x power limit x epochs on an A40, as published by ml-energy/zeus; a part of its batch sizes."""
    monkeypatch.chdir(tmp_path)
    traces = ROOT / "tests" / "data" / "zeus"
    script = [
        sys.executable,
        str(ROOT / "scripts/zeus_table"),
        str(traces),
        "a40",
        "cifar100",
        "shufflenetv2",
        "zeus.csv",
    ]
    subprocess.run(script, check=True)
    assert "270 trials imported (270 completed" in run("import", "zeus.csv")
    arguments = ("bench-search", "zeus", "--seeds", "2", "--sampler", "random", "--stopping", "none", "--json")
    document = json.loads(run(*arguments))
    assert (document["origin"], document["trials"]) == ("recorded", 270)
    goals = {(each["scale"], each["goal"]): each for each in document["contenders"][0]["goals"]}
    assert {each["median"] for each in goals.values()} == {1.0}
    with pytest.raises(UsageError, match="no completed trial has accuracy and energy of all its planned epochs"):
        run("replay", "zeus")
