"""What the model makes of what was read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from greenopt.events import FailReason, Outcome
from greenopt.formatting import format_setting
from greenopt.runs.study_log import RunState, SlotsChanged, StudyEnd, append_entry
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import Batch, StudyReader
from greenopt.tui.tabs.overview import slot_names
from greenopt.tui.tabs.study_log import entry_text
from greenopt.tui.text.header import state_text
from tests.tui.studies import H100, NOW, Written, paper_like


def read(study: Written) -> tuple[StudyReader, StudyModel]:
    reader = StudyReader(study.folder, study.folder.default_storage)
    model = StudyModel(reader.spec)
    model.apply(reader.read())
    return reader, model


def test_counts_bests_and_energy_are_those_of_the_storage(written: Callable[[str], Written]) -> None:
    _, model = read(written("running"))
    rows = list(model.rows.values())
    assert dict(model.counts) == {"complete": 16, "pruned": 2, "fail": 2, "running": 1}
    assert model.settled == 20
    best = model.best("accuracy")
    assert best is not None
    assert best["accuracy"] == max(row["accuracy"] for row in rows if row["state"] == "complete")
    live = model.live[20].total_wh
    assert live is not None
    total = sum(row["total_wh"] for row in rows if row.get("total_wh") is not None)
    assert model.used().energy_wh == pytest.approx(total + live)
    assert model.elapsed_s(NOW.astimezone()) == 2 * 3600 + 14 * 60 + 7


def test_a_study_read_bit_by_bit_is_the_study_read_at_once(tmp_path: Path) -> None:
    study = Written(tmp_path, paper_like(8), {"gpu 0": H100})
    study.held_by()
    reader, model = read(study)
    for step in range(6):
        study.fails("gpu 0") if step == 2 else study.completes("gpu 0")
        model.apply(reader.read())
    number = study.runs("gpu 0", 2)
    model.apply(reader.read())
    _, fresh = read(study)
    assert model.rows == fresh.rows
    assert model.counts == fresh.counts
    assert model.front == fresh.front
    assert model.trace.values() == fresh.trace.values()
    assert model.used() == fresh.used()
    assert model.live[number].epochs == fresh.live[number].epochs
    assert model.finished == fresh.finished


def test_events_that_arrive_later_are_taken_in_once(tmp_path: Path) -> None:
    study = Written(tmp_path, paper_like(8), {"gpu 0": H100})
    study.held_by()
    number = study.runs("gpu 0", 4)
    lines = study.folder.events(number).read_bytes()
    half = lines.index(b'"kind":"epoch_ended"') + 40
    study.folder.events(number).write_bytes(lines[:half])
    reader, model = read(study)
    assert model.live[number].epochs == []
    study.folder.events(number).write_bytes(lines)
    model.apply(reader.read())
    model.apply(reader.read())
    assert [epoch.epoch for epoch in model.live[number].epochs] == [1, 2, 3, 4]


def test_a_trial_that_ends_counts_once_and_a_reading_without_news_draws_nothing_anew(tmp_path: Path) -> None:
    study = Written(tmp_path, paper_like(8), {"gpu 0": H100})
    study.held_by()
    number = study.runs("gpu 0", 4)
    reader, model = read(study)
    before = model.revision
    model.apply(reader.read())
    assert model.revision == before
    study.search.tell(number, Outcome.FAILED, {"fail_reason": "crash", "total_wh": 3.5, "total_source": "nvml_counter"})
    model.apply(reader.read())
    assert model.revision == before + 1
    assert model.live == {}
    assert model.used().energy_wh == 3.5
    assert (model.counts["running"], model.counts["fail"]) == (0, 1)


def test_what_a_dead_coordinator_left_running_is_cut_off(tmp_path: Path) -> None:
    study = Written(tmp_path, paper_like(8), {"gpu 0": H100})
    number = study.runs("gpu 0", 2)
    study.abandoned()
    _, model = read(study)
    assert not model.is_running
    assert model.state(model.rows[number]) == "lost"


def test_settings_that_will_run_again_or_were_skipped_do_not_count(tmp_path: Path) -> None:
    study = Written(tmp_path, paper_like(8), {"gpu 0": H100})
    study.completes("gpu 0")
    study.fails("gpu 0", FailReason.INTERRUPTED)
    study.fails("gpu 0", FailReason.DUPLICATE)
    study.fails("gpu 0", FailReason.OUT_OF_MEMORY)
    _, model = read(study)
    assert model.settled == 2
    assert (model.counts["fail"], model.counts["skipped"]) == (2, 1)


def test_the_course_says_whether_it_is_paused_and_how_it_ended(tmp_path: Path) -> None:
    study = Written(tmp_path, paper_like(8), {"gpu 0": H100})
    study.held_by()
    study.conducted(RunState.PAUSED)
    reader, model = read(study)
    assert model.run_state is RunState.PAUSED
    study.ended("stopped")
    model.apply(reader.read())
    assert model.end is not None
    assert model.end.end is StudyEnd.STOPPED


def test_an_outage_of_the_storage_is_told_with_its_cause_until_it_is_over(tmp_path: Path) -> None:
    study = Written(tmp_path, paper_like(8), {"gpu 0": H100})
    study.held_by()
    study.storage_changed("it is locked by another process")
    reader, model = read(study)
    assert state_text(model).plain == "! storage away: it is locked by another process"
    model.apply(Batch(problem="storage sqlite: database is locked"))
    assert model.is_running, "the storage cannot say so now, and its coordinator goes on"
    assert "locked by another process" in state_text(model).plain
    study.storage_changed(None)
    model.apply(reader.read())
    assert state_text(model).plain == "▶ running"
    entries = [entry_text(entry).plain for entry in model.study_log]
    assert any("is away: it is locked by another process" in entry for entry in entries)
    assert any("is back" in entry for entry in entries)


def test_slots_come_and_go_with_the_machines_of_a_cluster(tmp_path: Path) -> None:
    study = Written(tmp_path, paper_like(8), {"one gpu 0": H100, "two gpu 0": H100})
    study.held_by()
    reader, model = read(study)
    assert list(model.slots) == ["one gpu 0", "two gpu 0"]
    slots = {"one gpu 0": "GPU-1", "three gpu 0": "GPU-3"}
    change = SlotsChanged(utc_s=study.utc_s, slots=slots, joined=("three gpu 0",), gone=("two gpu 0",))
    append_entry(study.folder.study_log, change)
    model.apply(reader.read())
    assert model.slots == slots
    assert slot_names(model) == ["one gpu 0", "three gpu 0"]
    last = entry_text(list(model.study_log)[-1]).plain
    assert last.endswith("three gpu 0 joined; two gpu 0 is gone: 2 slots now")


def test_a_storage_without_its_folder_shows_what_the_storage_knows(written: Callable[[str], Written]) -> None:
    from greenopt.runs.folder import RunFolder

    study = written("running")
    reader = StudyReader(RunFolder(Path("/nowhere/paper")), study.folder.default_storage)
    model = StudyModel(reader.spec)
    model.apply(reader.read())
    assert model.counts["complete"] == 16
    assert model.live[20].epochs == []
    assert reader.trial(3).epochs == []
    assert reader.log(3) == []


def test_a_reading_that_failed_leaves_what_is_known(written: Callable[[str], Written]) -> None:
    _, model = read(written("running"))
    model.apply(Batch(problem="storage sqlite: database is locked", holder=model.holder))
    assert model.counts["complete"] == 16
    assert model.problem is not None


def test_a_row_read_before_its_last_parameter_was_written_is_completed(written: Callable[[str], Written]) -> None:
    _, whole = read(written("running"))
    model, row = StudyModel(whole.spec), whole.rows[20]
    model.apply(Batch(rows=({**row, "lr": None, "optimizer": None},), lines={}, study_log=(), holder=whole.holder))
    assert "None" not in _setting_text(model)
    assert f"batch_size {row['batch_size']}" in _setting_text(model)
    model.apply(Batch(rows=(row,), lines={}, study_log=(), holder=whole.holder))
    assert _setting_text(model) == _setting_text(whole)
    assert (model.counts["running"], model.revision) == (1, 2)


def _setting_text(model: StudyModel) -> str:
    return format_setting({name: model.rows[20][name] for name in model.spec.space.distributions})
