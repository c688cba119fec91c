"""What is written to the board is what optuna_dashboard reads from the storage."""

import json
from pathlib import Path
from typing import Any

import pytest
from optuna_dashboard import get_note, save_note

from greenopt.dashboard import store as board_module
from greenopt.dashboard.store import PIECE
from greenopt.events import Outcome
from tests.unit.dashboard.conftest import Page

LONG = "".join(f"line {n}: ü\n" for n in range(6000))


def counted(page: Page, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys that are written to the study's attributes from now on."""
    written: list[str] = []
    write = page.storage.set_study_system_attr

    def counting(study_id: int, key: str, value: Any) -> None:
        written.append(key)
        write(study_id, key, value)

    monkeypatch.setattr(page.storage, "set_study_system_attr", counting)
    return written


@pytest.mark.parametrize("text", ["short", LONG, "", "**ünïcode** " + "x" * PIECE])
def test_a_study_note_is_read_back_by_optuna_dashboard(page: Page, text: str) -> None:
    page.store().write_study_note("an earlier one" * 5000)
    page.store().write_study_note(text)
    assert get_note(page.study) == text
    assert page.detail["note"]["body"] == text


def test_a_study_note_that_a_person_has_edited_stays(page: Page) -> None:
    store = page.store()
    store.write_study_note("ours")
    save_note(page.study, "ours, and theirs")
    store.write_study_note("ours, newer")
    assert get_note(page.study) == "ours, and theirs"


def test_what_is_stored_already_is_not_written_again(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    store = page.store()
    trial = page.search.ask().trial
    for again in (False, True):
        written = counted(page, monkeypatch)
        store = page.store() if again else store
        store.write_study_note("ours")
        store.write_trial_note(trial, "its note")
        store.write_figure("greenopt-x", '{"data": []}')
        assert bool(written) is not again


def test_a_figure_of_one_piece_is_one_write(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    store = page.store()
    written = counted(page, monkeypatch)
    store.write_figure("greenopt-x", json.dumps({"data": ["x" * 20_000]}))
    assert written == ["dashboard:plot_data:greenopt-x:0"]


@pytest.mark.parametrize("lengths", [(10, 100_000, 10), (100_000, 10, 0), (PIECE, PIECE + 1, PIECE)])
def test_figures_that_grow_and_shrink_are_read_back_whole(page: Page, lengths: tuple[int, ...]) -> None:
    store = page.store()
    for length in lengths:
        store.write_figure("greenopt-x", "y" * length)
        store.write_figure("greenopt-other", "z")
        shown = {figure["id"]: figure["graph_object"] for figure in page.detail["plotly_graph_objects"]}
        assert shown == {"greenopt-x": "y" * length, "greenopt-other": "z"}


@pytest.mark.parametrize("ended", [False, True])
def test_a_trials_note_and_artifacts_are_read_back(page: Page, tmp_path: Path, ended: bool) -> None:
    store, trial = page.store(), page.search.ask().trial
    if ended:
        page.search.tell(trial, Outcome.COMPLETED, {}, [0.5, 1.0])
    store.write_trial_note(trial, "its note")
    file = tmp_path / "epochs.csv"
    file.write_text("a,b\n1,2\n")
    for _ in range(2):
        store.attach(trial, file, ended=ended)
    file.unlink()
    assert page.store().artifact_names(trial) == {"epochs.csv"}
    (shown,) = page.detail["trials"]
    assert shown["note"]["body"] == "its note"
    (artifact,) = shown["artifacts"]
    assert (artifact["filename"], artifact["mimetype"]) == ("epochs.csv", "text/csv")
    assert page.get(f"/artifacts/1/{shown['trial_id']}/{artifact['artifact_id']}") == b"a,b\n1,2\n"
    assert len(list(page.folder.artifacts.iterdir())) == 1


def test_a_trials_note_is_written_once_and_a_persons_is_kept(page: Page) -> None:
    store = page.store()
    proposal = page.search.ask()
    store.write_trial_note(proposal.trial, "first")
    store.write_trial_note(proposal.trial, "second")
    assert page.detail["trials"][0]["note"]["body"] == "first"


def test_notes_end_where_they_would_make_pages_slow(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "MAX_TRIAL_NOTES", 2)
    page.store().write_study_note("not one of a trial")
    trials = [page.search.ask().trial for _ in range(4)]
    for trial in trials:
        page.store().write_trial_note(trial, "its note")
    assert [bool(trial["note"]["body"]) for trial in page.detail["trials"]] == [True, True, False, False]
