"""The live view and the dashboard show nothing of another study that lies in the folder."""

import shutil
from pathlib import Path

import pytest

from greenopt.dashboard.trial_curves import CurvesByTrial
from greenopt.report.environment import read_environment
from greenopt.runs.study_log import CoordinatorStarted, TrialPlaced, append_entry
from greenopt.tui.state.reader import StudyReader
from tests.builders import study
from tests.unit.identity.test_start import Runs

SMALL = {"study": {"trials": 1}}


@pytest.fixture
def mixed(tmp_path: Path) -> Runs:
    """A study in whose folder another one's trial, log and course lie."""
    runs, other = Runs(tmp_path / "runs"), Runs(tmp_path / "elsewhere")
    for each in (runs, other):
        each.run(study(**SMALL))
    shutil.rmtree(runs.folder().trial(0))
    shutil.copytree(other.folder().trial(0), runs.folder().trial(0))
    runs.folder().log(0).write_text("of another\n")
    return runs


def test_the_live_view_shows_no_events_log_or_course_of_another_study(mixed: Runs) -> None:
    folder, ids = mixed.folder(), (mixed.folder().study_id, "another", None)
    for number, study_id in enumerate(ids):
        rest = {"pid": 1, "host": "here", "slots": {}, "settled": 0, "trials": 1}
        append_entry(folder.study_log, CoordinatorStarted(utc_s=0.0, study_id=study_id, **rest))
        append_entry(folder.study_log, TrialPlaced(utc_s=0.0, trial=number, slot="cpu"))
    reader = StudyReader(folder, folder.storage())
    entries = reader.read().study_log
    assert [entry.trial for entry in entries if isinstance(entry, TrialPlaced)] == [0, 2]
    assert (reader.trial(0).epochs, reader.log(0)) == ([], [])
    reader.close()


def test_the_live_view_of_a_folder_renamed_by_hand(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    runs.run(study(**SMALL))
    runs.folder().path.rename(runs.path / "moved")
    reader = StudyReader(runs.folder("moved"), runs.folder("moved").storage())
    assert (reader.spec.name, len(reader.read().rows)) == ("moved", 1)
    assert len(reader.trial(0).epochs) == 2
    reader.close()


def test_dashboard_and_report_read_nothing_of_another_attempt(mixed: Runs) -> None:
    (row,) = mixed.rows()
    assert CurvesByTrial(mixed.folder()).get(0, row["attempt_id"]).epochs == []
    assert read_environment(mixed.folder(), {0: row["attempt_id"]}).answered == 0
    assert mixed.folder().own_log(0, row["attempt_id"]) is None
