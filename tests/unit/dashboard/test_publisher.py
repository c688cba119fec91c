"""What is written when: before the trial is told, figures at most every 30 s, and never at the study's expense."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from optuna_dashboard import get_note, save_note

from greenopt.coordination.coordinator import Coordinator
from greenopt.dashboard import DashboardPublisher, catch_up
from greenopt.dashboard.publisher import FIGURES_EVERY_S, MAX_FAILURES
from greenopt.execution import Slot
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import StudyEnd
from greenopt.search import read_study
from tests.builders import ended, epoch, started, study
from tests.fakes import FakeEngine, completes, dies, fails
from tests.showcase import LoggingEngine, run_showcase
from tests.unit.dashboard.conftest import Page

FIGURES = {"greenopt-pareto-front", "greenopt-hypervolume", "greenopt-accuracy-by-energy", "greenopt-power"}


def run(page: Page, script: Any = completes, **rest: Any) -> list[str]:
    """Run the page's study with an exhibit; what it warned of."""
    warnings: list[str] = []
    publisher = DashboardPublisher(page.spec, page.storage, page.folder, warnings.append, **rest)
    engine = LoggingEngine(script, slots=[Slot("gpu0")])
    coordinator = Coordinator(page.spec, page.search, engine, page.folder, [publisher], annotator=publisher)
    assert coordinator.run() is StudyEnd.DONE
    publisher.close()
    return warnings


def artifacts(trial: dict[str, Any]) -> set[str]:
    return {artifact["filename"] for artifact in trial["artifacts"]}


def test_a_study_that_ran_has_notes_figures_and_artifacts(page: Page) -> None:
    assert run(page, {1: fails("crash"), 2: dies("SIGKILL")}) == []
    detail = page.detail
    assert "CPU on here" in detail["note"]["body"]
    assert {figure["id"] for figure in detail["plotly_graph_objects"]} == FIGURES
    for trial in detail["trials"]:
        assert artifacts(trial) == {"log.txt", "epochs.csv", "curves.svg"}
    notes = [trial["note"]["body"] for trial in detail["trials"]]
    assert "Accuracy 0." in notes[0]
    assert "Failed, `crash`: as scripted." in notes[1]
    assert "    RuntimeError: scripted" in notes[1]
    assert "Failed, `killed`" in notes[2]
    assert "- repeats trial 2, which was interrupted" in notes[3]
    assert list(page.folder.path.glob(".artifacts-*")) == []


def test_artifacts_hold_what_the_trial_did(page: Page) -> None:
    run(page)
    trial = page.detail["trials"][0]
    files = {
        a["filename"]: page.get(f"/artifacts/1/{trial['trial_id']}/{a['artifact_id']}") for a in trial["artifacts"]
    }
    assert files["log.txt"] == page.folder.log(0).read_bytes()
    head, first, second = files["epochs.csv"].decode().splitlines()
    assert head.startswith("epoch,seconds,loss,accuracy,val_loss,val_accuracy,lr,energy_wh,source")
    assert first.startswith("1,10.0,1.0,0.5,1.0,0.5,0.1,1.0,nvml_counter,")
    assert dict(zip(head.split(","), second.split(","), strict=True))["spent_wh"] == "2.0"
    assert b"validation" in files["curves.svg"]
    types = {artifact["filename"]: artifact["mimetype"] for artifact in trial["artifacts"]}
    assert types == {"log.txt": "text/plain", "epochs.csv": "text/csv", "curves.svg": "image/svg+xml"}


def test_note_and_artifacts_are_there_before_the_trial_is_told(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open page never asks again for a trial that it knows as finished."""
    tell = page.search.tell
    seen: list[dict[str, Any]] = []

    def telling(trial: int, *rest: Any) -> None:
        seen.append(page.detail["trials"][trial])
        tell(trial, *rest)

    monkeypatch.setattr(page.search, "tell", telling)
    run(page)
    assert [trial["state"] for trial in seen] == ["Running"] * 4
    for trial in seen:
        assert trial["note"]["body"]
        assert artifacts(trial) == {"log.txt", "epochs.csv", "curves.svg"}


class Clock:
    def __init__(self, step_s: float) -> None:
        self.now_s, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.mark.parametrize("step_s", [0.1, 3.0, 31.0])
def test_figures_are_drawn_at_most_every_30_s_and_at_the_end(
    page: Page, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    clock = Clock(step_s)
    drawn_s: list[float] = []
    monkeypatch.setattr("greenopt.dashboard.publisher.write_figures", lambda *_: drawn_s.append(clock.now_s))
    run(page, clock=clock)
    assert len(drawn_s) >= 2
    pairs = list(pairwise(drawn_s))
    assert all(later - earlier >= FIGURES_EVERY_S for earlier, later in pairs[:-1])
    if step_s == 0.1:
        assert len(drawn_s) == 2


def test_figures_are_drawn_while_a_trial_runs_and_not_between_two(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[list[str]] = []

    def note_states(*_: Any) -> None:
        states.append([row["state"] for row in read_study("tried", page.storage).rows])

    monkeypatch.setattr("greenopt.dashboard.publisher.write_figures", note_states)
    run(page, clock=Clock(31.0))
    assert all("running" in seen for seen in states[:-1])
    assert "running" not in states[-1]


class Broken:
    """A storage of which the dashboard's writes fail, and nothing else."""

    def __init__(self, page: Page, monkeypatch: pytest.MonkeyPatch, failing: range) -> None:
        self.attempts = 0
        write = page.storage.set_study_system_attr

        def failing_write(study_id: int, key: str, value: Any) -> None:
            self.attempts += 1
            if self.attempts - 1 in failing:
                raise OSError("disk full\nand more")
            write(study_id, key, value)

        monkeypatch.setattr(page.storage, "set_study_system_attr", failing_write)


def test_failing_writes_never_hurt_the_study(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(page, monkeypatch, range(10_000))
    warnings = run(page)
    assert [row["state"] for row in read_study("tried", page.storage).rows] == ["complete"] * 4
    assert warnings == [
        "dashboard not updated: OSError: disk full",
        "dashboard not updated: OSError: disk full; `greenopt dashboard tried` adds what is missing",
    ]
    assert broken.attempts == MAX_FAILURES


def test_a_passing_failure_is_made_up_for(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    Broken(page, monkeypatch, range(1))
    assert run(page) == ["dashboard not updated: OSError: disk full"]
    assert get_note(page.study)
    assert {figure["id"] for figure in page.detail["plotly_graph_objects"]} == FIGURES


def test_what_was_not_written_while_it_ran_is_added_later_and_once(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    Coordinator(page.spec, page.search, LoggingEngine({1: fails("crash")}), page.folder).run()
    assert page.detail["plotly_graph_objects"] == []
    catch_up("tried", page.storage, page.folder, lambda: True)
    detail = page.detail
    assert {figure["id"] for figure in detail["plotly_graph_objects"]} == FIGURES
    assert "CPU on here" in detail["note"]["body"]
    for trial in detail["trials"]:
        assert trial["note"]["body"]
        assert artifacts(trial) == {"log.txt", "epochs.csv", "curves.svg"}
    monkeypatch.setattr(page.storage, "set_study_system_attr", lambda *_: pytest.fail("written again"))
    catch_up("tried", page.storage, page.folder, lambda: True)


def test_catching_up_comes_to_what_the_coordinator_writes(tmp_path: Path) -> None:
    seen = []
    for name, late in (("early", False), ("late", True)):
        (tmp_path / name).mkdir()
        page = Page(tmp_path / name, study())
        run_showcase(page.spec, page.storage, page.folder, {1: fails("crash")}, exhibited=not late)
        if late:
            catch_up("tried", page.storage, page.folder, lambda: True)
        detail = page.detail
        figures = {figure["id"]: json.loads(figure["graph_object"]) for figure in detail["plotly_graph_objects"]}
        notes = [trial["note"]["body"] for trial in detail["trials"]]
        seen.append((detail["note"]["body"], notes, [artifacts(trial) for trial in detail["trials"]], figures))
    assert seen[0] == seen[1]


def test_catching_up_stops_when_a_coordinator_begins(page: Page) -> None:
    Coordinator(page.spec, page.search, FakeEngine(), page.folder).run()
    answers = iter([True, True, False])
    catch_up("tried", page.storage, page.folder, lambda: next(answers))
    assert [bool(trial["note"]["body"]) for trial in page.detail["trials"]] == [True, True, False, False]


def test_a_study_whose_events_are_elsewhere_gets_what_the_storage_tells(page: Page, tmp_path: Path) -> None:
    Coordinator(page.spec, page.search, FakeEngine(), page.folder).run()
    elsewhere = RunFolder(tmp_path / "elsewhere" / "tried")
    catch_up("tried", page.storage, elsewhere, lambda: True)
    detail = page.detail
    assert {figure["id"] for figure in detail["plotly_graph_objects"]} == {
        "greenopt-pareto-front",
        "greenopt-hypervolume",
    }
    assert all(trial["note"]["body"] and not trial["artifacts"] for trial in detail["trials"])
    assert not elsewhere.path.exists()


def test_a_resumed_study_goes_on_with_its_figures_and_keeps_a_persons_note(page: Page) -> None:
    run(page)
    save_note(page.study, "mine")
    page.spec = study(study={"trials": 6})
    run(page, {4: lambda spec: [started(4), epoch(1), ended(), *completes(spec)[-1:]]})
    detail = page.detail
    front = next(f for f in detail["plotly_graph_objects"] if f["id"] == "greenopt-hypervolume")
    assert len(detail["trials"]) == 6
    assert json.loads(front["graph_object"])["data"]
    assert detail["note"]["body"] == "mine"
