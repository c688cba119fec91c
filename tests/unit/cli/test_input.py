"""What is wrong on a command line, in a file or in a folder ends with exit code 2 and one line; nothing is written."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from greenopt.runs.folder import RunFolder
from tests.fuzzing.judge import Verdict, files_under, judged, run_here
from tests.fuzzing.place import as_file
from tests.fuzzing.study_files import to_toml
from tests.known_effects import write_known_study

GOOD = """[study]
trials = 3
[data]
name = "synthetic"
[training]
epochs = 1
model = "MobileNet"
[space]
lr = [0.1]
"""


def refusal(folder: Path, *arguments: str) -> str:
    """The line that a command is refused with."""
    ended = judged(arguments, folder)
    assert ended.verdict is Verdict.REFUSED, ended
    return ended.err.removeprefix("greenopt: ").strip()


def study_file(folder: Path, old: str = "", new: str = "") -> str:
    assert old in GOOD
    (folder / "x.toml").write_text(GOOD.replace(old, new) if old else GOOD, encoding="utf-8")
    return "x.toml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('[training]\nepochs = 1\nmodel = "MobileNet"\n', "", "training: is missing"),
        ("[study]\ntrials = 3", "training = 3\n[study]\ntrials = 3\nobjective = 'a:b'", "not valid TOML"),
        ("trials = 3", "trials = 99999999999999999999", "study.trials: 99999999999999999999"),
        ("lr = [0.1]", "lr = {low = 0.1, high = 0.2, step = 1e-320}", "the step must be larger"),
        ("lr = [0.1]", "lr = {low = 0.1, high = inf}", "space.lr.high: inf: input should be a finite number"),
        ("lr = [0.1]", "batch_size = {low = 4, high = 1e308}", "a range of whole numbers has whole bounds"),
        ("lr = [0.1]", "batch_size = {low = 4, high = 99999999999999999999}", "space.batch_size.high: 999999999999"),
        ("lr = [0.1]", f"lr = {'[' * 900}{']' * 900}", "is nested too deeply"),
        ("trials = 3", "trials = 3\ntrials = 4", "not valid TOML: Cannot overwrite a value"),
        ("trials = 3", 'trials = 3\ndescription = "\\u001b[2J"', "may not hold control characters"),
        ("trials = 3", 'trials = 3\nname = "a\\n"', r"study.name: 'a\n': may hold letters"),
        ("MobileNet", "ResNеt50", "neither a model of keras.applications"),
        ("lr = [0.1]", f"{'x' * 400} = 1", "unknown parameter; the ten are"),
    ],
)
def test_a_wrong_study_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in refusal(tmp_path, "run", study_file(tmp_path, old, new), "--gpus", "none", "--plain")


def test_an_objective_functions_training_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("training = 3\n[study]\ntrials = 1\nobjective = 'a:b'\n[space]\nx = 1\n")
    assert "training: 3: input should be a valid dictionary" in refusal(tmp_path, "run", "x.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "study: is missing"),
        (GOOD.encode() + b"\0", "not valid TOML"),
        (b"# \xe9\n" + GOOD.encode(), "byte 2: is not UTF-8"),
        (b"x = " + b"9" * 5000, "not valid TOML"),
        (b"#" * 10_000_001, "is larger than 10 MB"),
    ],
)
def test_a_file_that_is_no_study(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    assert message in refusal(tmp_path, "run", "x.toml", "--dry-run")


def test_a_mark_before_the_first_letter_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(GOOD.encode("utf-8-sig"))
    assert judged(["run", "x.toml", "--gpus", "none", "--dry-run"], tmp_path, is_dry=True).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "loop"])
@pytest.mark.parametrize(
    "arguments", [("run", "x.csv"), ("import", "x.csv"), ("import", "good.csv", "--study", "x.csv")]
)
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path, kind: str, arguments: tuple[str, ...]) -> None:
    path = tmp_path / "x.csv"
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
    refusal(tmp_path, *arguments)


def test_a_device_is_never_replaced_by_an_export(tmp_path: Path) -> None:
    write_known_study(tmp_path / "runs", 3, epochs=1)
    os.mkfifo(tmp_path / "out.csv")
    assert "is not a file" in refusal(tmp_path, "export", "known", "-o", "out.csv")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/", "known/", "a\nb", "\x1b[31m", "x" * 300])
@pytest.mark.parametrize("command", ["watch", "stop", "analyze", "report", "confirm", "dashboard", "export"])
def test_a_name_that_is_none(tmp_path: Path, command: str, name: str) -> None:
    assert "is not the name of a study" in refusal(tmp_path, command, name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "run: Missing argument 'study'; see greenopt run --help"),
        (("run", "x.toml", "--tirals", "3"), "run: No such option: --tirals"),
        (("run", "x.toml", "--trials", "nan"), "run: Invalid value for '--trials'"),
        (("run", "x.toml", "--trials", "9" * 5000), "run: Invalid value for '--trials'"),
        (("nothing",), "No such command 'nothing'"),
        (("export", "known", "--format", "xls"), "export: Invalid value for '--format'"),
        (("list", "--runs", "x.toml"), "--runs x.toml: x.toml is not a folder"),
        (("run", "x.toml", "--storage", "redis://localhost", "--plain", "--gpus", "none"), "storage redis://localhost"),
    ],
)
def test_a_wrong_command_line_is_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    study_file(tmp_path)
    assert message in refusal(tmp_path, *arguments)


@pytest.mark.parametrize("storage", ["nowhere/x.db", "fifo", "folder", "zero", "loop", "x" * 300])
def test_a_study_that_is_refused_leaves_no_folder(tmp_path: Path, storage: str) -> None:
    study_file(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    before = set(files_under(tmp_path))
    refusal(tmp_path, "run", "x.toml", "--gpus", "none", "--plain", "--storage", f"sqlite:///{storage}")
    assert set(files_under(tmp_path)) == before


@pytest.mark.parametrize("kept", [{"pid": -1, "host": "HOST"}, {"pid": 0, "host": "HOST"}, {"pid": "1"}, [], 3])
def test_no_signal_goes_to_a_process_that_a_damaged_file_names(
    tmp_path: Path, kept: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_known_study(tmp_path / "runs", 3, epochs=1)
    folder = RunFolder(tmp_path / "runs" / "known")
    text = json.dumps(kept).replace("HOST", os.uname().nodename)
    with folder.claim():
        (folder.path / "coordinator.json").write_text(text)
        code, out, err = run_here(__import__("greenopt.cli").cli.main, ["stop", "known"], tmp_path)
    assert (code, out) == (2, "")
    assert "coordinator.json: is damaged" in err


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE study_directions SET direction = 'UP' WHERE objective = 1", "its storage is damaged"),
        ("DELETE FROM study_directions WHERE objective = 1", "it has 1 directions"),
        ("UPDATE alembic_version SET version_num = 'x'", "its tables are damaged, or of another version"),
        ("DROP TABLE trial_user_attributes", "it lacks trial_user_attributes"),
        ("DELETE FROM trial_values WHERE trial_id = 2 AND objective = 1", "trial 1 is complete and lacks values"),
        ("UPDATE trial_values SET value = 'NaN' WHERE trial_id = 3", "trial 2 is complete and lacks values"),
        (
            "UPDATE trial_params SET distribution_json = "
            """'{"name": "CategoricalDistribution", "attributes": {"choices": [9, 8, 7, 6, 5, 4, 3, 2, 1]}}'"""
            " WHERE param_id = 1",
            "of other values than the study's",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["--plain", "--dry-run"])
def test_a_study_whose_storage_is_damaged_is_not_gone_on_with(
    tmp_path: Path, statement: str, message: str, mode: str, known: Path
) -> None:
    shutil.copytree(known, tmp_path, dirs_exist_ok=True)
    with closing(sqlite3.connect(tmp_path / "runs" / "known" / "study.db")) as database:
        database.execute(statement)
        database.commit()
    assert message in refusal(tmp_path, "run", "known.toml", "--gpus", "none", mode)


def test_a_study_whose_storage_cannot_be_opened_is_not_renamed(tmp_path: Path, known: Path) -> None:
    shutil.copytree(known, tmp_path, dirs_exist_ok=True)
    with closing(sqlite3.connect(tmp_path / "runs" / "known" / "study.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'x'")
        database.commit()
    assert "cannot be opened" in refusal(tmp_path, "rename", "known", "other")


@pytest.mark.parametrize("name", ["1" * 400, "no/name", "-", ".."])
def test_what_cannot_be_a_study_s_name_is_refused_wherever_several_are_given(tmp_path: Path, name: str) -> None:
    assert "is not the name of a study" in refusal(tmp_path, "compare", "one", "--", name)


@pytest.mark.parametrize("command", ["pause", "stop", "resume"])
def test_a_request_to_nobody_makes_no_lock(tmp_path: Path, command: str, known: Path) -> None:
    shutil.copytree(known, tmp_path, dirs_exist_ok=True)
    (tmp_path / "runs" / "known" / "coordinator.json").write_text("")
    assert "is not running on this host" in refusal(tmp_path, command, "known")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study and its file, to be copied."""
    folder = tmp_path_factory.mktemp("known")
    path = write_known_study(folder / "runs", 4, epochs=1)
    (folder / "known.toml").write_text(to_toml(as_file(path)))
    return folder
