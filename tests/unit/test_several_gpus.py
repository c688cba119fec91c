"""One GPU against several: the figures of made runs, and a coordinator on two GPUs whose trials are scripted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from greenopt.coordination.coordinator import Coordinator
from greenopt.events import PowerSampled
from greenopt.execution import ProcessEnded, Slot
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, open_storage
from greenopt.spec import Choice, TrialSpec, load_study
from scripts.gpu_figures import comparison, overlaps, paired, run_figures, spreads
from scripts.gpu_runs import Board, Part, Ran, Run, read_trials
from scripts.gpu_tables import lines
from tests.builders import ended, epoch, prepared_phases, reading, started, study
from tests.fakes import FakeEngine

A, B = "GPU-aaaa", "GPU-bbbb"
BOARDS = (Board(A, "gpu 0", "H100", "580", idle_w=72.0), Board(B, "gpu 1", "H100", "580", idle_w=36.0))
STUDIES = Path(__file__).parents[2] / "studies"


def ran(trial: int, gpu: str, began_s: float, ended_s: float, **rest: Any) -> Ran:
    figures = {"setting": {"lr": trial}, "outcome": "complete", "total_wh": 2.0, "training_wh": 1.0, "epochs": 2}
    return Ran(trial=trial, gpu=gpu, began_s=began_s, ended_s=ended_s, **{**figures, **rest})


def run(*trials: Ran, parts: tuple[Part, ...] = (Part(0.0, 100.0),), label: str = "all") -> Run:
    return Run(label, BOARDS, (A, B), parts, trials)


def by_gpu(run: Run) -> dict[str, Mapping[str, Any]]:
    return {gpu["gpu"]: gpu for gpu in run_figures(run)["by_gpu"]}


def test_trials_one_after_the_other_or_on_different_gpus_do_not_overlap() -> None:
    assert overlaps([ran(0, A, 0, 10), ran(1, B, 1, 9), ran(2, A, 10, 20), ran(3, B, 9.5, 30)]) == []


def test_a_trial_that_begins_before_the_one_on_its_gpu_has_ended_is_found() -> None:
    assert overlaps([ran(2, A, 9, 20), ran(0, A, 0, 10), ran(1, B, 0, 30)]) == [
        f"trials 0 and 2 both held {A} for 1.000 s"
    ]


def test_an_overlap_is_found_behind_a_short_trial_in_between() -> None:
    found = overlaps([ran(0, A, 0, 100), ran(1, A, 5, 6), ran(2, A, 50, 60)])
    assert [line.split(" both")[0] for line in found] == ["trials 0 and 1", "trials 0 and 2"]


def test_what_was_not_a_gpu_of_its_own_is_told() -> None:
    trials = (
        ran(0, A, 0, 10, flags=("shared_gpu",)),
        ran(1, A, 10, 20, outcome="gpu_busy"),
        ran(2, "GPU-cccc", 20, 30),
        ran(3, B, 0, 10, flags=("gap",)),
    )
    assert comparison(None, run(*trials))["violations"] == [
        f"all: trial 0 saw another process on {A}",
        f"all: trial 1 saw another process on {A}",
        "all: trial 2 ran on GPU-cccc, which the run was not given",
    ]


def test_a_trial_whose_gpu_was_never_busy_computed_elsewhere() -> None:
    trials = (ran(0, A, 0, 10, busy=(0.0,) * 5), ran(1, B, 0, 10, busy=(0.0,) * 4 + (0.1,)), ran(2, A, 10, 12, busy=()))
    assert run_figures(run(*trials))["violations"] == [f"all: trial 0 left {A} idle: it computed elsewhere"]


def test_processes_beyond_one_or_on_a_gpu_that_was_not_given_are_told() -> None:
    parts = (Part(0, 10, most_processes={A: 1, B: 1}), Part(10, 20, most_processes={A: 2, B: 0}))
    assert run_figures(run(parts=parts))["violations"] == [
        f"all: 2 processes at a time were on {A}, which had room for 1"
    ]
    alone = Run("one", BOARDS, (A,), parts[:1], ())
    assert run_figures(alone)["violations"] == [f"one: 1 processes at a time were on {B}, which had room for 0"]


def test_shares_of_the_wall_time_are_those_of_all_parts() -> None:
    parts = (Part(0.0, 40.0), Part(1000.0, 1060.0))
    trials = (ran(0, A, 5, 30, busy=(0.5, 0.7)), ran(1, A, 1005, 1030, busy=(0.9,)), ran(2, B, 1000, 1010))
    figures = run_figures(run(*trials, parts=parts))
    assert figures["wall_s"] == 100.0
    assert figures["trials_per_hour"] == pytest.approx(108)
    cut_off = run_figures(run(*trials, ran(3, B, 1010, 1020, outcome="interrupted"), parts=parts))
    assert (cut_off["trials_per_hour"], cut_off["cut_off"]) == (pytest.approx(108), 1)
    assert cut_off["by_gpu"][1]["held_share"] == 0.2
    first, second = figures["by_gpu"]
    assert (first["trials"], first["held_share"], first["busy_share"]) == (2, 0.5, pytest.approx(0.7))
    assert (second["trials"], second["held_share"], second["busy_share"]) == (1, 0.1, None)


def test_the_counters_rest_is_idle_power_in_the_time_that_no_trial_metered() -> None:
    parts = (
        Part(0.0, 50.0, {A: 1000.0, B: 0.0}, {A: 1000.0 + 3600, B: 500.0}),
        Part(80.0, 130.0, {A: 99_000.0, B: 900.0}, {A: 99_000.0 + 7200, B: 800.0}),
    )
    trials = (ran(0, A, 0, 45, metered_s=40.0, total_wh=1.2), ran(1, A, 80, 110, metered_s=10.0, total_wh=0.7))
    gpu = by_gpu(run(*trials, parts=parts))
    assert gpu[A]["counter_wh"] == pytest.approx(3.0)
    assert gpu[A]["rest_wh"] == pytest.approx(1.1)
    assert (gpu[A]["unmetered_s"], gpu[A]["not_held_s"]) == (50.0, 25.0)
    assert gpu[A]["idle_wh"] == pytest.approx(1.0)
    assert gpu[A]["unexplained_wh"] == pytest.approx(0.1)
    # Its counter fell, so the driver was loaded anew.
    assert gpu[B]["counter_wh"] is None
    assert gpu[B]["rest_wh"] is None


def test_a_sum_with_an_energy_that_is_not_known_is_not_known() -> None:
    figures = run_figures(run(ran(0, A, 0, 10), ran(1, A, 10, 20, total_wh=None)))
    assert figures["total_wh"] is None
    assert figures["by_gpu"][0]["trials_wh"] is None


def test_equal_settings_are_paired_wherever_they_ran() -> None:
    one = [ran(0, A, 0, 1), ran(1, A, 1, 2), ran(2, A, 2, 3), ran(3, A, 3, 4), ran(4, A, 4, 5)]
    several = [
        ran(0, A, 0, 1, total_wh=2.1, training_wh=1.01),
        ran(5, B, 0, 1, setting={"lr": 1}, total_wh=1.8, training_wh=1.02),
        ran(2, B, 1, 2, outcome="diverged", epochs=1, total_wh=0.5),
        ran(3, B, 2, 3, outcome="interrupted", total_wh=0.5),
        ran(6, B, 3, 4, setting={"lr": 3}, total_wh=2.0, training_wh=0.9),
    ]
    pairs = paired(one, several)
    assert [(pair["one"]["trial"], pair["several"] and pair["several"]["trial"]) for pair in pairs] == [
        *((0, 0), (1, 5), (2, 2), (3, 6), (4, None))
    ]
    assert [pair["is_same_gpu"] for pair in pairs] == [True, False, False, False, False]
    assert [pair["total_wh_percent"] for pair in pairs] == [pytest.approx(5), pytest.approx(-10), None, 0.0, None]
    found = spreads(pairs)
    assert found["same_gpu_total_wh"] == {
        "pairs": 1,
        "median_percent": pytest.approx(5),
        "largest_percent": pytest.approx(5),
    }
    assert found["different_gpu_training_wh"] == {
        "pairs": 2,
        "median_percent": pytest.approx(6),
        "largest_percent": pytest.approx(10),
    }


def test_trials_that_failed_before_their_first_epoch_are_not_compared() -> None:
    failed = [ran(0, A, 0, 1, outcome="wrong_setting", epochs=0, training_wh=None)]
    (pair,) = paired(failed, failed)
    assert pair["total_wh_percent"] is None


def test_a_setting_that_came_twice_is_paired_twice() -> None:
    twice = [ran(number, A, number, number + 1, setting={"lr": 1}) for number in (0, 1)]
    assert [(pair["one"]["trial"], pair["several"]["trial"]) for pair in paired(twice, twice)] == [(0, 0), (1, 1)]


def test_tables_mark_estimates_and_what_is_not_known() -> None:
    one = run(ran(0, A, 0, 50, source="estimate"), label="one")
    text = "\n".join(lines(comparison(one, run(ran(0, B, 0, 25), parts=(Part(0, 50),))), ("one", "all")))
    assert "speedup: 2.00x" in text
    assert "~2 " in text
    assert "equal settings on different GPUs, whole trials: |difference| median 0.00 %" in text
    assert "equal settings on the same GPU: no pair" in text
    assert "no trial held a GPU that another one held" in text
    assert "no process was ever listed on one" in text


def on_board(spec: TrialSpec, slot: Slot, began_s: float) -> "list[Any]":
    """A trial of ten seconds on its slot's GPU."""
    said = started(spec.trial, began_s, slot.gpu_uuid)
    sample = PowerSampled(t_s=began_s + 1, power_w=300, utilisation=0.25)
    last = ended(total=reading(2.5, 9.0)).model_copy(update={"t_s": began_s + 10})
    return [said, *prepared_phases(), sample, epoch(1), epoch(2), last, ProcessEnded(spec.trial, 0, None, "")]


class Placing(FakeEngine):
    """Trials on two GPUs, each beginning `pause_s` after the one before on its GPU has ended."""

    def __init__(self, pause_s: float) -> None:
        super().__init__(slots=(Slot("gpu 0", A), Slot("gpu 1", B)))
        self._pause_s = pause_s
        self._free_s = {A: 0.0, B: 0.0}

    def start(self, spec: TrialSpec, slot: Slot, log: Path) -> None:
        assert slot.gpu_uuid is not None
        began_s = self._free_s[slot.gpu_uuid]
        self._script = lambda spec: on_board(spec, slot, began_s)
        self._free_s[slot.gpu_uuid] = began_s + 10 + self._pause_s
        super().start(spec, slot, log)


@pytest.mark.parametrize(("pause_s", "overlapping"), [(2.0, 0), (-1.0, 4)])
def test_a_run_folder_tells_who_held_which_gpu(tmp_path: Path, pause_s: float, overlapping: int) -> None:
    folder = RunFolder(tmp_path / "tried")
    folder.path.mkdir()
    storage, spec = open_storage(folder.default_storage), study(study={"trials": 6})
    folder.write_study(spec.model_dump(mode="json"), folder.default_storage)
    Coordinator(spec, Search(spec, storage), Placing(pause_s), folder).run()
    found = run(*read_trials(folder), parts=(Part(0.0, 50.0),))
    figures = by_gpu(found)
    assert [figures[uuid]["trials"] for uuid in (A, B)] == [3, 3]
    assert [figures[uuid]["held_s"] for uuid in (A, B)] == [30.0, 30.0]
    assert [figures[uuid]["unmetered_s"] for uuid in (A, B)] == [23.0, 23.0]
    assert figures[A]["busy_share"] == 0.25
    assert figures[A]["trials_wh"] == 7.5
    assert len(overlaps(found.ran)) == overlapping


def test_the_default_seed_gives_every_batch_size_and_every_internal_at_least_twice() -> None:
    spec = load_study(STUDIES / "several-gpus.toml")
    search = Search(spec, None)
    settings = [search.ask().values for _ in range(spec.study.trials)]
    for name in ("batch_size", "internal"):
        choice = spec.space.distributions[name]
        assert isinstance(choice, Choice)
        assert all(sum(setting[name] == value for setting in settings) >= 2 for value in choice.values)
