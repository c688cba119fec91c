"""The simulation of scripts/scale_table: a slow coordinator leaves slots empty in it, and a whole study runs."""

from collections import Counter
from pathlib import Path

import pytest

from greenopt.coordination.coordinator import Coordinator
from greenopt.execution import EventArrived, ProcessEnded
from greenopt.runs.folder import RunFolder
from greenopt.search import Search
from scripts.scale_runs import Case, simulate
from scripts.scale_simulation import SimulatedEngine, SkippingClock
from tests.builders import study
from tests.unit.execution.test_local import spec as trial_spec


class Work:
    """Seconds of work, counted by whoever works."""

    def __init__(self) -> None:
        self.done_s = 0.0

    def __call__(self) -> float:
        return self.done_s


class SlowSearch(Search):
    """A search whose asks take some seconds of work each."""

    work: Work
    ask_s: float

    def ask(self, **rest: bool):  # type: ignore[no-untyped-def]
        self.work.done_s += self.ask_s
        return super().ask(**rest)


@pytest.mark.parametrize(("ask_s", "share"), [(0.0, 1.0), (60.0, 0.5)])
def test_slots_stand_empty_while_the_coordinator_works(tmp_path: Path, ask_s: float, share: float) -> None:
    """One slot, trials of 60 s: each ask of 60 s leaves it empty for half of the time."""
    spec, work = study(study={"trials": 60, "on_duplicate": "run"}), Work()
    folder = RunFolder(tmp_path / "tried")
    folder.path.mkdir()
    search = SlowSearch(spec, None)
    search.work, search.ask_s = work, ask_s
    clock = SkippingClock(work)
    engine = SimulatedEngine(1, clock, trial_s=60.0, samples_hz=0.01)
    Coordinator(spec, search, engine, folder, clock=clock, wait=clock.skip).run()
    assert engine.busy_share() == pytest.approx(share, abs=0.05)
    assert clock() == pytest.approx(60 * (60 + ask_s), rel=0.2)


def test_trials_send_their_events_in_order_and_end_when_their_time_is_over() -> None:
    clock = SkippingClock(lambda: 0.0)
    engine = SimulatedEngine(2, clock, trial_s=60.0)
    for number, slot in enumerate(engine.slots):
        engine.start(trial_spec("completes", number), slot, Path("log"))
    kinds: Counter[str] = Counter()
    ended: dict[int, float] = {}
    while len(ended) < 2:
        for message in engine.receive(0.5):
            assert message.trial not in ended
            if isinstance(message, EventArrived):
                kinds[message.event.kind] += 1
            else:
                assert isinstance(message, ProcessEnded)
                ended[message.trial] = clock()
    assert ended == pytest.approx({number: times.ends_s for number, times in engine.times.items()}, abs=0.6)
    assert kinds["trial_ended"] == kinds["trial_started"] == 2
    seconds = sum(times.ends_s - times.began_s for times in engine.times.values())
    assert kinds["power_sampled"] == pytest.approx(seconds, abs=4)


def test_a_simulated_study_is_recorded_whole(tmp_path: Path) -> None:
    figures = simulate(Case(4, 10, 30.0, "random", finished=20, samples_hz=0.1), tmp_path / "runs")
    assert (figures.recorded, figures.problems) == (10, [])
    assert len(figures.calls_s["ask"]) == len(figures.calls_s["tell"]) == 10
    assert 0 < figures.busy_share <= 1
    assert figures.view_first_s is not None
    assert min(figures.storage_bytes, figures.folder_bytes, figures.folder_files, figures.events) > 0
