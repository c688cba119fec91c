"""Trials of a running study are stopped by its rule, or not started, and the rule learns from what ended."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import InMemoryStorage

from greenopt.coordination.coordinator import Coordinator
from greenopt.events import Event, Outcome, StopReason, TrialPrepared
from greenopt.execution import ProcessEnded, Slot
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import StudyEnd
from greenopt.search import Search, read_study
from greenopt.spec import StudySpec, TrialSpec
from tests.builders import ended, epoch, prepared_phases, reading, setting_of, started, study
from tests.fakes import FakeEngine

EPOCHS = 20
SPACE = {"batch_size": [4, 64], "lr": {"low": 1e-4, "high": 1e-1, "log": True}}


def good(spec: TrialSpec) -> bool:
    return setting_of(spec).batch_size == 64


def learns(spec: TrialSpec) -> "list[Event | ProcessEnded]":
    """Large batches learn for little energy, small ones never do and cost fifty times as much."""
    wh, top = (1.0, 0.9) if good(spec) else (50.0, 0.012)
    shown: list[Event] = [started(spec.trial), *prepared_phases()]
    for number in range(1, EPOCHS + 1):
        one = epoch(number, top * (0.5 + 0.5 * number / EPOCHS), reading(wh))
        shown.append(one.model_copy(update={"epochs": EPOCHS}))
    last = ended(accuracy=top, energy=reading(wh * EPOCHS), total=reading(wh * EPOCHS + 0.5))
    return [*shown, last, ProcessEnded(spec.trial, 0, None, "")]


class StoppedEngine(FakeEngine):
    """An engine whose trials say what they have spent when they are told to end, as real ones do."""

    def end(self, trial: int) -> None:
        self.ended.append(trial)
        last = ended(Outcome.FAILED, reason="interrupted", message="interrupted while it ran")
        self._queues[trial] = [last, ProcessEnded(trial, 0, None, "")]


class Desk:
    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path / "tried")
        self.folder.path.mkdir(parents=True)
        self.storage = InMemoryStorage()

    def run(
        self, spec: StudySpec, script: Callable[[TrialSpec], Any] = learns, slots: int = 1, *, until: int | None = None
    ) -> StudyEnd:
        self.engine = StoppedEngine(script, [Slot(f"cpu {number}") for number in range(slots)])
        if until is not None:
            spec = spec.model_copy(update={"study": spec.study.model_copy(update={"trials": until})})
        return Coordinator(spec, Search(spec, self.storage), self.engine, self.folder).run()

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(read_study("tried", self.storage).rows)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def stopping(trials: int = 30, **rest: Any) -> StudySpec:
    table = {"kind": "pareto", "audit": 0.0, **rest.pop("stopping", {})}
    return study(
        study={"trials": trials, **rest.pop("study", {})},
        training={"epochs": EPOCHS},
        space=SPACE,
        stopping=table,
        **rest,
    )


def test_what_is_not_worth_its_energy_is_stopped_and_kept_with_its_curve_and_energy(desk: Desk) -> None:
    assert desk.run(stopping(stopping={"refuse": False})) is StudyEnd.DONE
    rows = desk.rows
    assert len(rows) == 30
    bad = [row for row in rows if row["batch_size"] == 4]
    stopped = [row for row in bad if row["state"] == "pruned" and row.get("epochs_done")]
    assert stopped
    for row in stopped:
        assert row["stop_reason"] in (StopReason.DOMINATED, StopReason.NOT_WORTH_ENERGY)
        assert 0 < row["epochs_done"] < EPOCHS
        assert row["energy_wh"] > 0
        assert row["forecast_wh"] == pytest.approx(50.0 * EPOCHS, rel=0.2)
        assert row["message"].startswith(("dominated by trial", "not worth its energy"))
    assert all(row["state"] == "complete" for row in rows if row["batch_size"] == 64)
    dominated = [row for row in stopped if row["stop_reason"] == StopReason.DOMINATED]
    assert dominated
    assert all(rows[int(row["dominated_by"])]["state"] == "complete" for row in dominated)


def test_a_setting_that_is_surely_dominated_is_not_started_and_has_no_energy(desk: Desk) -> None:
    desk.run(stopping(60))
    refused = [row for row in desk.rows if row.get("stop_reason") == StopReason.NOT_STARTED]
    assert refused
    for row in refused:
        assert row["state"] == "pruned"
        assert (row["energy_wh"], row["epochs_done"]) == (None, None)
        assert row["forecast_wh"] > 500
        assert row["trial"] not in {spec.trial for spec in desk.engine.specs}
    assert len(desk.rows) == 60


def test_trials_that_are_not_started_count_for_patience_and_for_the_forecast(desk: Desk) -> None:
    assert desk.run(stopping(200, study={"patience": 12})) is StudyEnd.FRONT_STILL
    rows = desk.rows
    reasons = [row.get("stop_reason") for row in rows[-12:]]
    assert StopReason.NOT_STARTED in reasons
    before = len(rows)
    assert desk.run(stopping(200, study={"patience": 12})) is StudyEnd.FRONT_STILL
    assert len(desk.rows) == before, "the same is found when the study is resumed"


def test_without_a_rule_everything_is_trained_to_its_end(desk: Desk) -> None:
    desk.run(stopping(12, stopping={"kind": "none"}))
    assert [row["state"] for row in desk.rows] == ["complete"] * 12
    assert desk.engine.ended == []


def test_audited_trials_are_trained_to_their_end_and_marked(desk: Desk) -> None:
    desk.run(stopping(stopping={"audit": 1.0}))
    audited = [row for row in desk.rows if row.get("audited")]
    assert audited
    for row in audited:
        assert row["state"] == "complete"
        assert row["epochs_done"] == EPOCHS
        assert row["audited"].startswith(("dominated by trial", "not worth its energy"))


def test_what_the_user_asked_for_is_trained_to_its_end(desk: Desk) -> None:
    listed = [{"batch_size": 4, "lr": 0.05}, {"batch_size": 64, "lr": 0.01}, {"batch_size": 4, "lr": 0.001}]
    desk.run(stopping(40, study={"enqueue": listed}))
    rows = desk.rows
    assert [row["state"] for row in rows[:3]] == ["complete"] * 3
    assert any(row["state"] == "pruned" for row in rows[3:])


def test_a_rule_that_goes_on_knows_what_ran_before(desk: Desk) -> None:
    desk.run(stopping(), until=25)
    before = len(desk.rows)
    desk.run(stopping(45))
    after = [row for row in desk.rows[before:] if row["batch_size"] == 4]
    assert after
    # With what it learned before, none of them trains for long, and most are not even started.
    assert all(row["state"] == "pruned" and (row["epochs_done"] or 0) <= 2 for row in after)
    assert any(row["stop_reason"] == StopReason.NOT_STARTED for row in after)


def test_several_trials_at_once_are_judged_beside_one_another(desk: Desk) -> None:
    desk.run(stopping(40), slots=4)
    rows = desk.rows
    assert len(rows) == 40
    assert {row["state"] for row in rows if row["batch_size"] == 64} == {"complete"}
    assert any(row["state"] == "pruned" for row in rows if row["batch_size"] == 4)


def test_halving_stops_too(desk: Desk) -> None:
    desk.run(stopping(20, stopping={"kind": "moasha"}))
    halved = [row for row in desk.rows if row.get("stop_reason") == StopReason.HALVED]
    assert halved
    assert all(row["epochs_done"] in (1, 3, 9) for row in halved)


def test_an_end_that_came_before_the_order_to_stop_counts(desk: Desk) -> None:
    class LateEngine(StoppedEngine):
        def end(self, trial: int) -> None:
            self.ended.append(trial)

    spec = stopping()
    engine = LateEngine(learns, [Slot("cpu")])
    Coordinator(spec, Search(spec, desk.storage), engine, desk.folder).run()
    assert engine.ended
    assert {row["state"] for row in desk.rows if row.get("stop_reason") != StopReason.NOT_STARTED} == {"complete"}


def test_a_training_at_chance_is_stopped_in_every_study_and_the_baseline_too(desk: Desk) -> None:
    facts: dict[str, Any] = {"classes": 100, "train_images": 40_000, "validation_images": 10_000}

    def guesses(spec: TrialSpec) -> Any:
        shown: list[Any] = [started(spec.trial), TrialPrepared(t_s=1.0, steps_per_epoch=5, facts=facts)]
        like = {"epochs": EPOCHS, "loss": 4.61}
        shown += [epoch(number, 0.0101).model_copy(update=like) for number in range(1, EPOCHS + 1)]
        return [*shown, ended(accuracy=0.0101), ProcessEnded(spec.trial, 0, None, "")]

    desk.run(stopping(3, study={"baseline": True}, stopping={"kind": "none", "chance_epochs": 7}), guesses)
    rows = desk.rows
    assert [(row["state"], row["stop_reason"], row["epochs_done"]) for row in rows] == [("pruned", "at_chance", 7)] * 3
    assert all(row["accuracy"] == pytest.approx(0.0101) for row in rows)


def test_a_rule_needs_the_objectives_that_it_weighs() -> None:
    with pytest.raises(ValueError, match=r"stopping.kind: pareto weighs accuracy \(maximize\) against energy_wh or"):
        stopping(objectives={"accuracy": "maximize"})
    assert stopping(objectives={"total_wh": "minimize", "accuracy": "maximize"}).stopping.kind == "pareto"
