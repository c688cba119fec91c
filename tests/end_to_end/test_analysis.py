"""Import, list, export and analyze as their user calls them, in a fresh folder."""

import json
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Bench
from tests.paper_layout import write_log, write_run

pytestmark = pytest.mark.end_to_end


def finished(bench: Bench, *arguments: str, code: int = 0) -> tuple[str, str]:
    process = bench.start(*arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return out, err


@pytest.fixture
def source(bench: Bench) -> Path:
    folder = bench.folder / "theirs"
    for number, (batch, optimizer) in enumerate(
        [("4", "SGD"), ("32", "Adam"), ("4", "Adam"), ("32", "SGD"), ("32", "SGD")]
    ):
        write_run(folder / f"{number:03d}", accuracy=0.1 + 0.1 * number, batch_size=batch, optimizer=optimizer)
    write_run(folder / "005", batch_size="1")
    write_log(write_run(folder / "006"), [])
    return folder


def test_runs_become_a_study_that_every_command_reads(bench: Bench, source: Path) -> None:
    out, _ = finished(bench, "import", str(source), "--name", "theirs")
    assert "6 trials imported (6 completed, 0 stopped early, 0 failed), 1 skipped" in out
    assert f"skipped {source / '006'}: logs.csv does not begin with a row `pre`" in out
    assert "run 005: batch_size = 1 is outside the study's space; imported, and left out of regressions" in out
    assert "theirs" in finished(bench, "list")[0]
    assert "6 trials -> theirs.csv" in finished(bench, "export", "theirs")[0]
    shown, _ = finished(bench, "analyze", "theirs")
    assert "Pareto front of accuracy against energy" in shown
    assert "left out of regressions: trial 5: batch_size = 1 is outside the study's space" in " ".join(shown.split())
    document = json.loads(finished(bench, "analyze", "theirs", "--json")[0])
    assert document["regression"]["accuracy"]["treatment"]["n"] == 5
    assert document["ranking"]["accuracy"][0]["run"] == "005"
    finished(bench, "import", "theirs.csv", "--name", "again")
    assert (bench.folder / "runs" / "again" / "study.json").exists()


def test_what_cannot_be_used_gets_one_line_and_leaves_nothing(bench: Bench, source: Path) -> None:
    finished(bench, "import", str(source), "--name", "theirs")
    wrong = {
        ("import", str(source), "--name", "theirs"): "exists already; give the import another name with --name",
        ("import", str(source), "--name", "a b"): "--name: 'a b': may hold letters",
        ("import", "nowhere"): "nowhere: is neither a folder of runs nor a .csv or .parquet file",
        ("analyze", "nothing"): "no study here",
        ("analyze", "theirs", "--next", "no/such/next.toml"): "no/such/next.toml: ",
    }
    for arguments, message in wrong.items():
        _, err = finished(bench, *arguments, code=2)
        assert message in err
        assert len(err.splitlines()) == 1
    assert sorted(path.name for path in (bench.folder / "runs").iterdir()) == ["theirs"]
