"""Opening a study to be run: what belongs to another study is refused before anything is written."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from greenopt.coordination.coordinator import Coordinator
from greenopt.errors import UsageError
from greenopt.events import AttemptBegan, encode, first_event
from greenopt.execution import Slot
from greenopt.identity.snapshot import read_folder
from greenopt.identity.start import OpenStudy, open_study
from greenopt.runs.folder import RunFolder
from greenopt.spec import StudySpec
from tests.builders import ended, epoch, started, study
from tests.fakes import FakeEngine, Script, completes, dies

SLOTS = [Slot("gpu 0", "GPU-0")]
SMALL = {"study": {"trials": 2}}


class Runs:
    """A folder of studies, run one after another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(exist_ok=True)

    def folder(self, name: str = "tried") -> RunFolder:
        return RunFolder(self.path / name)

    def open(self, spec: StudySpec, storage: str | None = None, **rest: Any) -> OpenStudy:
        folder = self.folder(spec.name)
        folder.path.mkdir(exist_ok=True)
        opened = open_study(spec, folder, storage, SLOTS, **rest)
        search = opened.search
        folder.write_study(spec.model_dump(mode="json"), opened.url, study_id=search.study_id, run_id=search.run_id)
        opened.search.lease.release()
        return opened

    def run(self, spec: StudySpec, script: Script = completes, storage: str | None = None) -> OpenStudy:
        opened = self.open(spec, storage)
        folder = self.folder(spec.name)
        Coordinator(opened.search.spec, opened.search, FakeEngine(script), folder, inputs=opened.guard).run()
        opened.search.lease.release()
        return opened

    def rows(self, name: str = "tried", storage: str | None = None) -> list[dict[str, Any]]:
        return list(read_folder(self.folder(name), storage).rows)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


@pytest.fixture
def ran(runs: Runs) -> Runs:
    runs.run(study(**SMALL))
    return runs


def refusal(runs: Runs, spec: StudySpec | None = None, storage: str | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        runs.open(spec or study(**SMALL), storage)
    text = str(caught.value)
    assert "\n" not in text
    return text


def contents(folder: RunFolder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.trials.rglob("*")) if path.is_file()}


def test_storage_folder_and_every_events_file_name_the_study_and_the_attempt(ran: Runs) -> None:
    rows, folder = ran.rows(), ran.folder()
    heads = [first_event(folder.events(row["trial"])) for row in rows]
    begun = [head for head in heads if isinstance(head, AttemptBegan)]
    assert begun == heads
    assert [head.attempt_id for head in begun] == [row["attempt_id"] for row in rows]
    assert {head.study_id for head in begun} == {folder.study_id}
    assert len({row["attempt_id"] for row in rows}) == 2


def test_another_storage_for_one_folder_is_refused_and_makes_nothing(ran: Runs, tmp_path: Path) -> None:
    before = contents(ran.folder())
    text = refusal(ran, study(study={"trials": 2, "seed": 9}), f"sqlite:///{tmp_path}/other.db")
    assert "belongs to another study" in text
    assert "--name" in text
    assert not (tmp_path / "other.db").exists()
    assert contents(ran.folder()) == before


@pytest.mark.parametrize("loss", ["deleted", "emptied", "replaced"])
def test_trials_whose_storage_was_lost_are_never_taken_for_new_ones(ran: Runs, tmp_path: Path, loss: str) -> None:
    before, database = contents(ran.folder()), ran.folder().path / "study.db"
    if loss == "deleted":
        database.unlink()
    elif loss == "emptied":
        database.write_bytes(b"")
    else:
        other = Runs(tmp_path / "elsewhere")
        other.run(study(**SMALL))
        shutil.copy(other.folder().path / "study.db", database)
    text = refusal(ran)
    assert "storage back" in text
    assert len(text) <= 200
    assert contents(ran.folder()) == before
    assert database.exists() is (loss != "deleted")
    assert loss != "emptied" or database.stat().st_size == 0
    with pytest.raises(UsageError):
        ran.rows()


def test_reading_a_study_whose_database_is_gone_makes_no_file(ran: Runs) -> None:
    database = ran.folder().path / "study.db"
    database.unlink()
    with pytest.raises(UsageError, match="no such file"):
        ran.rows()
    assert not database.exists()


def test_a_trial_folder_from_elsewhere_is_not_read_and_not_written_over(runs: Runs, tmp_path: Path) -> None:
    other = Runs(tmp_path / "elsewhere")
    other.run(study(**SMALL))
    runs.run(study(study={"trials": 1}))
    shutil.copytree(other.folder().trial(1), runs.folder().trial(1))
    assert "trials/0001: not of the study in study.db" in refusal(runs)
    shutil.rmtree(runs.folder().trial(1))
    shutil.rmtree(runs.folder().trial(0))
    shutil.copytree(other.folder().trial(0), runs.folder().trial(0))
    assert runs.folder().own_events(0, runs.rows()[0]["attempt_id"]) is None
    assert "trials/0000: not of the study" in refusal(runs)


def test_a_folder_that_appears_while_the_study_runs_is_left_alone(runs: Runs) -> None:
    def script(spec: Any) -> list[Any]:
        if spec.trial == 0:
            runs.folder().trial(1).mkdir()
            runs.folder().events(1).write_bytes(encode(started(1)) + encode(epoch(1)) + encode(ended()))
        return dies(signal=None, exit_code=5)(spec)

    with pytest.raises(UsageError, match="not written over"):
        runs.run(study(**SMALL), script)
    assert "attempt_began" not in runs.folder().events(1).read_text()


def test_a_trial_that_died_without_a_word_has_no_figures_of_another(ran: Runs, tmp_path: Path) -> None:
    """The other study's trial 0 lies in a folder of its own name and is not this one's."""
    ran.run(study(study={"name": "again", "trials": 1}), lambda spec: dies(signal=None, exit_code=5)(spec)[-1:])
    (row,) = ran.rows("again")
    assert (row["state"], row["accuracy"], row["energy_wh"]) == ("fail", None, None)


def test_a_coordinator_that_died_between_folder_and_first_line_hinders_nobody(ran: Runs) -> None:
    ran.folder().trial(2).mkdir()
    ran.folder().events(2).touch()
    ran.run(study(study={"trials": 3}))
    assert [row["state"] for row in ran.rows()] == ["complete"] * 3


def test_a_study_from_before_there_were_identities_is_read_and_goes_on(ran: Runs) -> None:
    make_old(ran.folder(), study(**SMALL))
    rows = ran.rows()
    assert [row.get("attempt_id") for row in rows] == [None, None]
    assert ran.folder().own_events(0, None) is not None
    ran.run(study(study={"trials": 3}))
    rows = ran.rows()
    assert [row["state"] for row in rows] == ["complete"] * 3
    assert [row.get("attempt_id") is None for row in rows] == [True, True, False]
    assert ran.folder().own_events(1, None) is not None
    assert ran.folder().study_id is not None


def test_an_old_study_whose_database_was_deleted_is_refused_too(ran: Runs) -> None:
    make_old(ran.folder(), study(**SMALL))
    (ran.folder().path / "study.db").unlink()
    assert "not of the study in study.db" in refusal(ran)


def test_without_storage_option_a_study_goes_on_where_it_was(runs: Runs, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/own.db"
    runs.run(study(study={"trials": 1}), storage=url)
    runs.run(study(**SMALL))
    assert len(runs.rows()) == 2
    assert not (runs.folder().path / "study.db").exists()


def make_old(folder: RunFolder, spec: StudySpec) -> None:
    """Take away what older versions did not write."""
    import json
    import sqlite3

    with sqlite3.connect(folder.path / "study.db") as connection:
        connection.execute("DELETE FROM study_user_attributes WHERE key IN ('greenopt:id', 'greenopt:inputs')")
        connection.execute("DELETE FROM study_user_attributes WHERE key = 'greenopt:device'")
        connection.execute("DELETE FROM trial_user_attributes WHERE key IN ('attempt_id', 'code_id', 'data_id')")
    for events in folder.trials.glob("*/events.jsonl"):
        _, _, rest = events.read_bytes().partition(b"\n")
        events.write_bytes(rest)
    document = {"storage": f"sqlite:///{folder.path / 'study.db'}", "code": {}, "spec": spec.model_dump(mode="json")}
    folder.study_file.write_text(json.dumps(document))
