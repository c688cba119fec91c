"""`greenopt report` as the real command."""

import os
import stat

import pytest

from tests.end_to_end.conftest import Bench

pytestmark = pytest.mark.end_to_end


def test_a_study_and_its_report(bench: Bench) -> None:
    assert bench.run("run", "tiny.toml", "--plain").returncode == 0
    done = bench.run("report", "tiny")
    assert done.returncode == 0, done.stderr
    target = bench.run_folder().path / "report.pdf"
    assert f"report: {target}" in done.stdout
    assert target.read_bytes().startswith(b"%PDF")
    page = bench.run("report", "tiny", "-o", "here.html")
    assert page.returncode == 0, page.stderr
    text = (bench.folder / "here.html").read_text()
    assert "Keras" in text
    assert "2 of 2 trials completed" in text
    if bench.rows()[0]["energy_source"] == "estimate":
        assert "Wh est." in text
        assert "est.." not in text
        assert "estimated: CPU time x an assumed power" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nothing"], "no study here"),
        (["report", "tiny", "-o", "x.docx"], "x.docx: unknown suffix"),
        (["report", "tiny", "-o", "nowhere/x.pdf"], "folder nowhere does not exist"),
        (["report", "tiny", "--format", "docx"], "docx"),
        (["confirm", "tiny", "--pick", "best"], "--pick best: is neither efficiency, accuracy, energy nor a trial's"),
        (["confirm", "tiny", "--seeds", "0"], "--seeds"),
        (["confirm", "tiny", "--name", "a/b"], "study.name: 'a/b'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2_and_writes_nothing(
    made: Bench, arguments: list[str], message: str
) -> None:
    before = sorted(made.folder.rglob("*"))
    done = made.run(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(made.folder.rglob("*")) == before


def test_a_folder_without_room_is_said_in_one_line(made: Bench) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    folder = made.run_folder().path
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        done = made.run("report", "tiny")
    finally:
        folder.chmod(stat.S_IRWXU)
    assert done.returncode == 2
    assert "figures: cannot be created" in done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A study of two scripted trials, which no test changes."""
    from tests.fakes import completes
    from tests.unit.report.studies import run_study

    folder = tmp_path_factory.mktemp("made")
    run_study(folder / "runs", completes, 2, study={"name": "tiny", "trials": 2})
    return Bench(folder)
