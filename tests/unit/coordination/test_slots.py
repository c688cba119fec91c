"""Slots that come and go while a study runs, and what is told of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from greenopt.coordination.coordinator import Coordinator
from greenopt.coordination.slots import SLOT_PATIENCE_S
from greenopt.coordination.study_log_writer import StudyLogWriter
from greenopt.coordination.verdict import judge
from greenopt.events import FailReason, Outcome, read_events
from greenopt.execution import Message, ProcessEnded, Slot
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import SlotsChanged, StudyEnd, format_slots_changed, read_entries
from greenopt.search import Search, open_storage, read_study
from greenopt.spec import StudySpec, TrialSpec
from greenopt.summary import summarise
from tests.builders import ended, epoch, started, study
from tests.fakes import FakeEngine, completes, hangs

ONE, OTHER = Slot("here gpu 0", "GPU-0", host="here"), Slot("there gpu 0", "GPU-1", host="there")


class ClusterEngine(FakeEngine):
    """Slots of machines: `lose` takes one away with its trial, as the engine of a cluster does."""

    def __init__(self, slots: Sequence[Slot], steps: Callable[["ClusterEngine"], None], script: object = None) -> None:
        super().__init__(completes if script is None else script, slots)  # type: ignore[arg-type]
        self._steps, self._lost = steps, list[Message]()
        self.rounds = 0

    def join(self, slot: Slot) -> None:
        self._slots = (*self._slots, slot)

    def lose(self, slot: Slot) -> None:
        self._slots = tuple(other for other in self._slots if other != slot)
        for trial, place in self.placed:
            if place == slot and trial in self._queues:
                del self._queues[trial]
                self._lost.append(ProcessEnded(trial, None, None, "", lost=f"node {slot.host} was lost"))

    def receive(self, timeout_s: float) -> list[Message]:
        self.rounds += 1
        self._steps(self)
        lost, self._lost = self._lost, []
        return [*super().receive(timeout_s), *lost]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "tried")
    made.path.mkdir()
    return made


def run(spec: StudySpec, engine: ClusterEngine, folder: RunFolder, clock: Callable[[], float]) -> StudyEnd:
    search = Search(spec, open_storage(folder.default_storage))
    folder.write_study(spec.model_dump(mode="json"), folder.default_storage, {})
    log = StudyLogWriter(folder.study_log, engine.slots)
    end = Coordinator(spec, search, engine, folder, [log], clock=clock, wait=lambda _: None).run()
    search.lease.release()
    return end


def test_a_trial_of_a_lost_slot_runs_again_on_another_with_the_energy_that_was_told_kept(folder: RunFolder) -> None:
    def steps(engine: ClusterEngine) -> None:
        if engine.rounds == 4:
            engine.lose(OTHER)
        if engine.rounds == 6:
            engine.join(Slot("new gpu 0", "GPU-2", host="new"))

    def script(spec: TrialSpec) -> list[object]:
        is_first_there = spec.trial == 1
        return list(hangs(spec) if is_first_there else completes(spec))

    spec = study(study={"trials": 5}, space={"batch_size": [4, 8, 16], "lr": [0.1, 0.01, 0.001]})
    engine = ClusterEngine([ONE, OTHER], steps, script)
    assert run(spec, engine, folder, lambda: 0.0) is StudyEnd.DONE
    rows = {row["trial"]: row for row in read_study("tried", open_storage(folder.default_storage)).rows}
    assert (rows[1]["state"], rows[1]["fail_reason"], rows[1]["message"]) == (
        "fail",
        "node_lost",
        "node there was lost",
    )
    assert rows[1]["energy_wh"] == 1.0
    again = [number for number, row in rows.items() if row.get("retry_of") == 1]
    assert len(again) == 1
    assert sum(row["state"] == "complete" for row in rows.values()) == 5
    assert [event.kind for event in read_events(folder.events(1))][-1] == "epoch_ended"
    assert {slot.name for _, slot in engine.placed} == {"here gpu 0", "there gpu 0", "new gpu 0"}
    changes = [entry for entry in read_entries(folder.study_log, None) if isinstance(entry, SlotsChanged)]
    # Both at once, where the storage was waited for meanwhile.
    assert [name for entry in changes for name in entry.gone] == ["there gpu 0"]
    assert [name for entry in changes for name in entry.joined] == ["new gpu 0"]
    assert changes[-1].slots == {"here gpu 0": "GPU-0", "new gpu 0": "GPU-2"}


def test_a_study_without_a_slot_waits_for_one(folder: RunFolder) -> None:
    def steps(engine: ClusterEngine) -> None:
        if engine.rounds == 2:
            engine.lose(ONE)
        if engine.rounds == 50:
            engine.join(OTHER)

    engine = ClusterEngine([ONE], steps)
    assert run(study(study={"trials": 3}), engine, folder, lambda: 0.0) is StudyEnd.DONE
    assert engine.rounds > 50


def test_and_ends_when_none_comes_so_that_it_can_be_resumed(folder: RunFolder) -> None:
    now_s = 0.0

    def steps(engine: ClusterEngine) -> None:
        nonlocal now_s
        now_s += SLOT_PATIENCE_S / 10
        if engine.rounds == 2:
            engine.lose(ONE)
        assert engine.rounds < 100

    engine = ClusterEngine([ONE], steps)
    assert run(study(study={"trials": 3}), engine, folder, lambda: now_s) is StudyEnd.GPUS_FAILED
    assert 10 < engine.rounds < 20


def test_a_lost_machine_is_told_from_what_a_trial_said_itself() -> None:
    lost = ProcessEnded(0, None, None, "", lost="node there was lost")
    said = summarise([started(0), epoch(1)])
    verdict = judge(said, study(), None, lost)
    assert (verdict.outcome, verdict.reason, verdict.message) == (Outcome.FAILED, FailReason.NODE_LOST, lost.lost)
    done = summarise([started(0), epoch(1), epoch(2), ended()])
    assert judge(done, study(), None, lost).outcome is Outcome.COMPLETED
    own = summarise([started(0), epoch(1), ended(Outcome.FAILED, reason="out_of_memory", message="no room")])
    assert judge(own, study(), None, lost).reason is FailReason.OUT_OF_MEMORY
    assert judge(said, study(), FailReason.TIMEOUT, lost).reason is FailReason.TIMEOUT
    assert FailReason.NODE_LOST.is_worth_a_retry


@pytest.mark.parametrize(
    ("joined", "gone", "left", "text"),
    [
        (["a gpu 0"], [], 3, "a gpu 0 joined: 3 slots now"),
        ([], ["a gpu 0", "a gpu 1"], 1, "a gpu 0, a gpu 1 are gone: 1 slot now"),
        ([], ["a gpu 0"], 0, "a gpu 0 is gone: no slot is left; waiting for a machine to join"),
        (["b"], ["a"], 1, "b joined; a is gone: 1 slot now"),
    ],
)
def test_slots_in_words(joined: list[str], gone: list[str], left: int, text: str) -> None:
    assert format_slots_changed(joined, gone, left) == text
