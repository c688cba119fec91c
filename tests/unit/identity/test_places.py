"""A study is its folder: moved, copied and renamed it reads its own storage."""

import json
import shutil
from pathlib import Path

import pytest

from greenopt.errors import UsageError
from greenopt.identity import rename as rename_module
from greenopt.identity.place import locate
from greenopt.identity.reference import reference_to, url_of
from greenopt.identity.rename import rename_study
from greenopt.identity.snapshot import read_folder
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, open_storage, read_study
from greenopt.spec import Confirms
from tests.builders import study
from tests.unit.identity.test_start import Runs, make_old

SMALL = {"study": {"trials": 2}}


@pytest.fixture
def ran(tmp_path: Path) -> Runs:
    runs = Runs(tmp_path / "runs")
    runs.run(study(**SMALL))
    return runs


def test_the_folder_names_its_own_storage_without_saying_where_it_is(ran: Runs, tmp_path: Path) -> None:
    assert json.loads(ran.folder().study_file.read_text())["storage"] == "study.db"
    assert str(tmp_path) not in json.dumps({**json.loads(ran.folder().study_file.read_text()), "spec": None})


@pytest.mark.parametrize("is_old", [False, True])
def test_a_copy_reads_its_own_storage_and_a_moved_study_is_read(ran: Runs, tmp_path: Path, is_old: bool) -> None:
    if is_old:
        make_old(ran.folder(), study(**SMALL))
    copy = Runs(tmp_path / "laptop")
    shutil.copytree(ran.path, copy.path, dirs_exist_ok=True)
    copy.run(study(study={"trials": 3}))
    assert (len(ran.rows()), len(copy.rows())) == (2, 3)
    shutil.rmtree(ran.path)
    assert len(copy.rows()) == 3
    assert copy.folder().storage() == f"sqlite:///{copy.folder().path / 'study.db'}"


def test_both_copies_go_on_and_tell_their_trials_apart(ran: Runs, tmp_path: Path) -> None:
    copy = Runs(tmp_path / "laptop")
    shutil.copytree(ran.path, copy.path, dirs_exist_ok=True)
    for runs in (ran, copy):
        runs.run(study(study={"trials": 3}))
    shutil.rmtree(ran.folder().trial(2))
    shutil.copytree(copy.folder().trial(2), ran.folder().trial(2))
    assert ran.folder().own_events(2, ran.rows()[2]["attempt_id"]) is None


def test_a_folder_renamed_by_hand_is_found_by_its_name_and_goes_on(ran: Runs) -> None:
    ran.folder().path.rename(ran.path / "moved")
    snapshot = read_folder(ran.folder("moved"))
    assert (snapshot.spec.name, len(snapshot.rows)) == ("moved", 2)
    ran.run(study(study={"name": "moved", "trials": 3}))
    assert len(ran.rows("moved")) == 3
    assert locate(ran.folder("moved")).name == "moved"


def test_a_copy_in_one_shared_storage_does_not_take_the_study_from_its_original(ran: Runs, tmp_path: Path) -> None:
    url = f"sqlite:///{ran.path}/all.db"
    ran.run(study(study={"name": "shared", "trials": 1}), storage=url)
    shutil.copytree(ran.path / "shared", ran.path / "copied")
    with pytest.raises(UsageError, match="is a copy of study shared"):
        ran.open(study(study={"name": "copied", "trials": 2}))
    assert locate(ran.folder("shared")).name == "shared"


def test_rename_changes_folder_storage_study_file_and_confirming_studies(ran: Runs) -> None:
    confirms = Confirms(study="tried", trial=0, by="accuracy")
    ran.run(study(study={"name": "tried-confirm-0", "trials": 1, "confirms": confirms}))
    folder = rename_study(ran.folder(), "better")
    assert folder.path == ran.path / "better"
    assert not ran.folder().path.exists()
    assert locate(folder).name == "better"
    assert read_study("better", open_storage(folder.storage())).spec.name == "better"
    assert folder.stored_name == "better"
    assert len(ran.rows("better")) == 2
    assert folder.own_events(0, ran.rows("better")[0]["attempt_id"]) is not None
    confirming = ran.folder("tried-confirm-0")
    assert confirming.confirms() == confirms.model_copy(update={"study": "better"})
    kept = read_folder(confirming).spec.study.confirms
    assert kept is not None
    assert kept.study == "better"
    ran.run(study(study={"name": "better", "trials": 3}))
    assert len(ran.rows("better")) == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tried", "taken", "taken: exists already"),
        ("tried", "a/b", "a name may hold"),
        ("tried", "tried", "exists already"),
        ("absent", "new", "no study here"),
    ],
)
def test_a_rename_that_cannot_be_changes_nothing(ran: Runs, old: str, new: str, message: str) -> None:
    ran.folder("taken").path.mkdir()
    with pytest.raises(UsageError, match=message):
        rename_study(ran.folder(old), new)
    assert len(ran.rows()) == 2
    assert sorted(path.name for path in ran.path.iterdir()) == ["taken", "tried"]


def test_a_running_study_is_not_renamed(ran: Runs) -> None:
    with ran.folder().claim(), pytest.raises(UsageError, match="is being run by"):
        rename_study(RunFolder(ran.folder().path), "better")
    assert len(ran.rows()) == 2


def test_a_name_that_the_shared_storage_has_already_is_refused(ran: Runs) -> None:
    url = f"sqlite:///{ran.path}/all.db"
    Search(study(study={"name": "better"}), open_storage(url)).lease.release()
    ran.run(study(study={"name": "shared", "trials": 1}), storage=url)
    with pytest.raises(UsageError, match="study better: is in storage"):
        rename_study(ran.folder("shared"), "better")
    assert len(ran.rows("shared")) == 1


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("sqlite:////r/runs/s/study.db", "study.db"),
        ("sqlite:////r/runs/all.db", "../all.db"),
        ("sqlite:////elsewhere/all.db", "sqlite:////elsewhere/all.db"),
        ("postgresql+psycopg://me:***@host/db", "postgresql+psycopg://me:***@host/db"),
    ],
)
def test_references_to_storages(url: str, kept: str) -> None:
    folder = Path("/r/runs/s")
    assert reference_to(url, folder) == kept
    assert url_of(kept, folder) == url


def test_a_relative_url_is_kept_whole_for_commands_from_other_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reference_to("sqlite:///other.db", Path("/r/runs/s")) == f"sqlite:///{tmp_path}/other.db"


def test_an_odd_folder_name_leads_to_its_own_file(tmp_path: Path) -> None:
    from sqlalchemy.engine import make_url

    folder = RunFolder(tmp_path / "100% sure?" / "a")
    assert make_url(folder.default_storage).database == str(folder.path / "study.db")


@pytest.mark.parametrize("step", ["in the storage", "in study.json", "of the folder", "in those that name it"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before it", "after it"])
def test_a_rename_broken_off_at_any_step_is_run_again(
    ran: Runs, monkeypatch: pytest.MonkeyPatch, step: str, is_done: bool
) -> None:
    confirming = study(study={"name": "again", "trials": 1, "confirms": {"study": "tried", "trial": 0, "by": "0"}})
    ran.open(confirming)
    place, name = {
        "in the storage": (rename_module, "rename_stored"),
        "in study.json": (RunFolder, "rename_study"),
        "of the folder": (Path, "rename"),
        "in those that name it": (rename_module, "change_spec"),
    }[step]
    whole = getattr(place, name)

    def broken_off(*arguments: object, **named: object) -> None:
        if is_done:
            whole(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(place, name, broken_off)
        with pytest.raises(KeyboardInterrupt):
            rename_study(ran.folder(), "pilot")
    if ran.folder().path.exists():
        assert len(ran.rows()) == 2
    assert rename_study(ran.folder(), "pilot").name == "pilot"
    assert len(ran.rows("pilot")) == 2
    assert read_study("pilot", open_storage(ran.folder("pilot").default_storage)).spec.name == "pilot"
    assert ran.folder("again").named_studies() == {"confirms": "pilot"}
    kept = read_study("again", open_storage(ran.folder("again").default_storage)).spec.study.confirms
    assert kept is not None
    assert kept.study == "pilot"
    assert not ran.folder().path.exists()
