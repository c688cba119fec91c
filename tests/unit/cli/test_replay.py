"""`greenopt replay` on an imported study."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from greenopt.analysis.advice import as_toml
from greenopt.cli import app
from greenopt.cli.analyze import refuse_precious
from greenopt.errors import UsageError
from tests.golden.paper_runs import FOLDER
from tests.paper_layout import write_run


def run(*arguments: str) -> str:
    """Return what a command prints; raises what it raises."""
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, UsageError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study of five runs of 6 epochs, 1 Wh each epoch, one of them cut off."""
    monkeypatch.chdir(tmp_path)
    for number, accuracy in enumerate((0.9, 0.5, 0.4, 0.3)):
        write_run(tmp_path / "logs" / f"{number:03d}", epochs=6, accuracy=accuracy)
    write_run(tmp_path / "logs" / "004", epochs=2, post=False)
    run("import", "logs", "--name", "made")
    return tmp_path


def test_without_a_rule_everything_is_spent_and_kept(imported: Path) -> None:
    document = json.loads(run("replay", "made", "--stopping", "none", "--orders", "3", "--json"))
    for name in ("energy_share", "hypervolume_ratio", "log_hypervolume_ratio"):
        assert document[name] == {"mean": 1.0, "worst": 1.0}
    assert (document["trials"], document["energy_wh"]) == (4, pytest.approx(24.0))
    assert (document["front_lost"]["worst"], document["not_completed"], document["left_out"]) == (0.0, [4], [])
    assert document["stopping"]["kind"] == "none"


def test_a_rule_with_its_constants(imported: Path) -> None:
    written = sorted(path for path in imported.rglob("*") if path.is_file())
    arguments = ("replay", "made", "--orders", "4", "--seed", "2", "--set", "patience=1", "--set", "refuse=false")
    document = json.loads(run(*arguments, "--json"))
    assert document["stopping"]["patience"] == 1.0
    assert document["stopping"]["refuse"] is False
    assert document["orders"] == 4
    assert 0 < document["energy_share"]["mean"] <= 1
    text = run(*arguments, "--sensitivity")
    assert "made: rule pareto on 4 completed trials (24" in text
    assert "4 orders; 1 not completed left out" in text
    assert "patience = 0.25" in text
    assert "patience = 4" in text
    assert "not allowed" in text
    assert sorted(path for path in imported.rglob("*") if path.is_file()) == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("made", "--set", "patience"),
            "--set 'patience': the rule pareto: give KEY=VALUE with one of patience, growth, ",
        ),
        (("made", "--set", "kind=none"), "--set 'kind=none': the rule pareto: give KEY=VALUE with one of "),
        (("made", "--set", "zeal=1"), "--set 'zeal=1': the rule pareto: give KEY=VALUE with one of "),
        (("made", "--set", "patience=2"), "--set patience: "),
        (("made", "--set", "wander=1e-300"), "--set wander: "),
        (("made", "--stopping", "moasha", "--set", "patience=0.9"), "--set 'patience=0.9': the rule moasha: give "),
        (("made", "--stopping", "none", "--set", "audit=1"), "--set 'audit=1': the rule none: has no constants"),
        (("made", "--stopping", "none", "--sensitivity"), "--sensitivity: the rule none has no constants"),
        (("made", "--set", "patience=much"), "--set patience: "),
        (("other",), ""),
    ],
)
def test_wrong_use_is_one_line(imported: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        run("replay", *arguments)
    assert str(raised.value).startswith(message)
    assert message or "runs/other: no study here" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_study_without_whole_curves_cannot_be_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "logs" / "001", epochs=2, post=False)
    run("import", "logs", "--name", "made")
    with pytest.raises(UsageError, match="study made: no trial completed; nothing to replay"):
        run("replay", "made")


def test_the_papers_runs_keep_their_hypervolume_for_a_tenth_of_the_energy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not FOLDER.is_dir():
        pytest.skip(f"{FOLDER} is not here: the paper's runs are not part of the repository")
    monkeypatch.chdir(tmp_path)
    run("import", str(FOLDER), "--name", "paper")
    document = json.loads(run("replay", "paper", "--orders", "6", "--json"))
    assert document["trials"] == 51
    assert document["hypervolume_ratio"]["mean"] > 0.97
    assert document["energy_share"]["mean"] < 0.15


def test_trials_that_all_learned_nothing_have_no_front_to_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        write_run(tmp_path / "logs" / f"{number:03d}", epochs=4, accuracy=0.0)
    run("import", "logs", "--name", "made")
    for command in ("replay", "bench-search"):
        with pytest.raises(UsageError, match="no completed trial has an accuracy above 0"):
            run(command, "made")


def test_the_next_settings_are_written_over_next_settings_alone(imported: Path) -> None:
    study = imported / "study.toml"
    study.write_text("[study]\ntrials = 3\n[[study.enqueue]]\nlr = 0.1\n")
    with pytest.raises(UsageError, match=r"study\.toml: is there already, and holds more than next settings"):
        run("analyze", "made", "--next", "study.toml")
    assert study.read_text().startswith("[study]\ntrials = 3")
    study.write_text(as_toml([{"lr": 0.1}, {"lr": 0.2}], ["1 Wh", "2 Wh"]))
    refuse_precious(study)
    refuse_precious(imported / "new.toml")
