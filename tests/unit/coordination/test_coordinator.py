"""The coordinator with scripted trials and real storage."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from greenopt.coordination.coordinator import Coordinator
from greenopt.coordination.trial_specs import build_trial_spec
from greenopt.energy.gpu_health import GpuHealth
from greenopt.events import (
    FailReason,
    MeterOpened,
    Outcome,
    Phase,
    PhaseEnded,
    PowerSampled,
    encode,
    read_events,
)
from greenopt.execution import ProcessEnded, Slot
from greenopt.reading import EnergyReading, EnergySource
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import RunState, StudyEnd
from greenopt.search import Proposal, Search, open_storage, read_study
from greenopt.spec import StudySpec, TrialSpec
from tests.builders import encoded, ended, epoch, reading, setting_of, started, study
from tests.fakes import FakeEngine, Script, completes, dies, fails, hangs

CONTINUOUS = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}


class Desk:
    """A run folder, and coordinators on it one after another."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path / "tried")
        self.folder.path.mkdir(parents=True)
        self.storage = open_storage(self.folder.default_storage)

    def coordinator(self, spec: StudySpec, engine: FakeEngine, **rest: Any) -> Coordinator:
        return Coordinator(spec, Search(spec, self.storage), engine, self.folder, **rest)

    def run(self, spec: StudySpec, script: Script | dict[int, Script] = completes, **rest: Any) -> FakeEngine:
        engine = FakeEngine(script, **rest)
        self.engine = engine
        self.end = self.coordinator(spec, engine).run()
        return engine

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(read_study("tried", self.storage).rows)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_runs_every_trial_and_records_its_objectives_and_figures(desk: Desk) -> None:
    engine = desk.run(study())
    assert desk.end is StudyEnd.DONE
    assert [row["state"] for row in desk.rows] == ["complete"] * 4
    for row, spec in zip(desk.rows, engine.specs, strict=True):
        assert row["accuracy"] == pytest.approx(0.5 + setting_of(spec).batch_size / 100)
        assert row["energy_wh"] == 2.0
        assert row["energy_source"] == "nvml_counter"
        assert row["wh_per_epoch"] == 1.0
        assert row["efficiency"] == pytest.approx(row["accuracy"] / 1.0)
        assert row["setup_wh"] == pytest.approx(0.2)
        assert row["compile_wh"] == pytest.approx(0.1)
        assert row["total_wh"] == 2.5
        assert row["batch_size"] == setting_of(spec).batch_size


def test_idle_power_and_the_hosts_energy_stand_beside_the_gpus(desk: Desk) -> None:
    opened = MeterOpened(
        t_s=0.5, device="GPU", source=EnergySource.NVML_COUNTER, idle_w=76.0, idle_origin="", cpu="package", dram=None
    )
    last = ended(cpu=reading(0.7))

    def script(spec: TrialSpec) -> list[Any]:
        return [started(spec.trial), opened, epoch(1), epoch(2), last, ProcessEnded(spec.trial, 0, None, "")]

    desk.run(study(study={"trials": 1}), script)
    (row,) = desk.rows
    assert (row["idle_w"], row["cpu_wh"], row["energy_wh"]) == (76.0, 0.7, 2.0)
    assert "dram_wh" not in row


def test_what_a_trial_says_is_kept_in_its_events_file(desk: Desk) -> None:
    desk.run(study())
    assert [event.kind for event in read_events(desk.folder.events(2))] == [
        *("attempt_began", "trial_started", "phase_ended", "phase_ended", "epoch_ended", "epoch_ended", "trial_ended")
    ]


def test_the_baseline_runs_first(desk: Desk) -> None:
    engine = desk.run(study(study={"baseline": True}))
    assert (setting_of(engine.specs[0]).batch_size, setting_of(engine.specs[0]).lr) == (4, 0.1)


def test_every_slot_is_kept_busy_with_one_trial_each(desk: Desk) -> None:
    slots = [Slot("gpu 0", "GPU-0"), Slot("gpu 1", "GPU-1"), Slot("gpu 2", "GPU-2")]
    engine = desk.run(study(study={"trials": 9}, space=CONTINUOUS), slots=slots)
    assert engine.most_at_once == 3
    assert {slot.name for _, slot in engine.placed} == {"gpu 0", "gpu 1", "gpu 2"}
    assert len(desk.rows) == 9


def test_no_more_trials_start_than_are_missing(desk: Desk) -> None:
    slots = [Slot(f"gpu {index}", f"GPU-{index}") for index in range(8)]
    desk.run(study(study={"trials": 3}), slots=slots)
    assert len(desk.rows) == 3


def test_settings_do_not_depend_on_how_often_the_study_was_interrupted(tmp_path: Path) -> None:
    whole, pieces = Desk(tmp_path / "a"), Desk(tmp_path / "b")
    settings = [spec.setting for spec in whole.run(study(study={"trials": 6}, space=CONTINUOUS)).specs]
    seen = []
    for trials in (2, 3, 6):
        seen += [spec.setting for spec in pieces.run(study(study={"trials": trials}, space=CONTINUOUS)).specs]
    assert seen == settings
    assert len(set(map(str, settings))) == 6


def test_another_seed_gives_other_settings(tmp_path: Path) -> None:
    one = Desk(tmp_path / "a").run(study(study={"seed": 1}, space=CONTINUOUS)).specs
    two = Desk(tmp_path / "b").run(study(study={"seed": 2}, space=CONTINUOUS)).specs
    assert [spec.setting for spec in one] != [spec.setting for spec in two]


def test_a_diverged_trial_is_pruned_and_teaches_the_sampler(desk: Desk) -> None:
    def diverges(spec: Any) -> list[Any]:
        script = completes(spec)
        script[-2] = ended(Outcome.DIVERGED, reason="diverged", message="loss is not finite after epoch 1")
        return script

    desk.run(study(), {1: diverges})
    row = desk.rows[1]
    assert (row["state"], row["stop_reason"]) == ("pruned", "diverged")
    assert row["total_wh"] == 1.2
    assert desk.end is StudyEnd.DONE
    assert len(desk.rows) == 4


@pytest.mark.parametrize("reason", ["out_of_memory", "crash", "data_missing", "wrong_setting"])
def test_a_failure_keeps_its_reason_and_its_energy_and_is_not_repeated(desk: Desk, reason: str) -> None:
    desk.run(study(space=CONTINUOUS), {1: fails(reason)})
    row = desk.rows[1]
    assert (row["state"], row["fail_reason"], row["message"]) == ("fail", reason, "as scripted")
    assert row["energy_wh"] == 1.0
    assert "partial" in row["flags"]
    assert len(desk.rows) == 4


def test_a_crash_without_a_word_keeps_the_tail_of_its_log(desk: Desk) -> None:
    desk.run(study(), {0: dies(signal=None, exit_code=3, tail="one\nKeyError: 'x'\n")})
    assert desk.rows[0]["fail_reason"] == "crash"
    assert "exited with 3" in desk.rows[0]["message"]
    assert "KeyError: 'x'" in desk.rows[0]["message"]


def test_a_segmentation_fault_is_a_crash_and_not_run_again(desk: Desk) -> None:
    desk.run(study(), {0: dies("SIGSEGV")})
    assert desk.rows[0]["fail_reason"] == "crash"
    assert len(desk.rows) == 4


def test_a_killed_trial_keeps_its_epochs_energy_and_runs_again(desk: Desk) -> None:
    desk.run(study(), {1: dies("SIGKILL")})
    killed, again = desk.rows[1], desk.rows[2]
    assert (killed["fail_reason"], killed["energy_wh"], killed["flags"]) == ("killed", 1.0, "partial")
    assert again["retry_of"] == 1
    assert again["state"] == "complete"
    assert (again["batch_size"], again["lr"]) == (killed["batch_size"], killed["lr"])
    assert len([row for row in desk.rows if row["state"] == "complete"]) == 4


def test_a_setting_runs_again_at_most_twice(desk: Desk) -> None:
    desk.run(study(study={"trials": 2}), {number: dies("SIGKILL") for number in range(3)})
    rows = desk.rows
    assert [row.get("retry_of") for row in rows] == [None, 0, 1, None]
    assert [row["state"] for row in rows] == ["fail", "fail", "fail", "complete"]


def test_a_setting_that_ran_out_of_memory_is_not_run_again(desk: Desk) -> None:
    spec = study(study={"trials": 5, "on_duplicate": "run"}, space={"batch_size": 8})
    engine = desk.run(spec, {0: fails("out_of_memory")})
    assert len(engine.specs) == 1
    assert {row["fail_reason"] for row in desk.rows} == {"out_of_memory"}
    assert "trial 0 ran out of memory" in desk.rows[1]["message"]
    assert desk.rows[1]["energy_wh"] is None
    assert desk.end is StudyEnd.DONE


def test_equal_failures_in_a_row_stop_the_study(desk: Desk) -> None:
    spec = study(study={"trials": 50}, space=CONTINUOUS)
    engine = FakeEngine(fails("crash"))
    coordinator = desk.coordinator(spec, engine)
    assert coordinator.run() is StudyEnd.EQUAL_FAILURES
    assert coordinator.repeated_failure is FailReason.CRASH
    assert len(desk.rows) == 5


def test_a_spent_energy_budget_stops_the_study_and_a_larger_one_lets_it_go_on(desk: Desk) -> None:
    """Each trial draws 2.5 Wh with its set-up."""
    desk.run(study(study={"trials": 9, "energy_budget_wh": 7.0}, space=CONTINUOUS))
    assert desk.end is StudyEnd.BUDGET_SPENT
    assert len(desk.rows) == 2, "a third one would exceed it"
    desk.run(study(study={"trials": 9, "energy_budget_wh": 7.0}, space=CONTINUOUS))
    assert (desk.end, len(desk.rows)) == (StudyEnd.BUDGET_SPENT, 2)
    desk.run(study(study={"trials": 9, "energy_budget_wh": 10.0}, space=CONTINUOUS))
    assert (desk.end, len(desk.rows)) == (StudyEnd.BUDGET_SPENT, 4)
    desk.run(study(study={"trials": 9}, space=CONTINUOUS))
    assert (desk.end, len(desk.rows)) == (StudyEnd.DONE, 9)


def killed_in_set_up(spec: TrialSpec) -> list[Any]:
    """A trial whose process is killed before its first epoch, once by its phases and once by its samples."""
    drawn = PowerSampled(t_s=9.0, energy_wh=1.0, source=EnergySource.NVML_COUNTER)
    phase = PhaseEnded(t_s=9.0, phase=Phase.DATA, energy=reading(1.0, 9.0))
    return [started(spec.trial), (phase, drawn)[spec.trial % 2], ProcessEnded(spec.trial, None, "SIGKILL", "")]


def test_the_budget_counts_trials_that_died_early(desk: Desk) -> None:
    spec = study(
        study={"trials": 9, "energy_budget_wh": 3.0, "stop_after_equal_failures": 9},
        space=CONTINUOUS,
    )
    desk.run(spec, killed_in_set_up)
    assert (desk.end, len(desk.engine.specs)) == (StudyEnd.BUDGET_SPENT, 3)
    assert [row["total_wh"] for row in desk.rows if "total_wh" in row] == [1.0] * 3
    assert all("partial" in row["flags"] for row in desk.rows if "total_wh" in row)


def test_the_budget_counts_what_is_known_where_the_total_was_not_measured(desk: Desk) -> None:
    def untotalled(spec: TrialSpec) -> list[Any]:
        script = completes(spec)
        script[-2] = ended(total=EnergyReading.missing("no reading"))
        return script

    desk.run(study(study={"trials": 9, "energy_budget_wh": 4.4}, space=CONTINUOUS), untotalled)
    assert (desk.end, len(desk.rows)) == (StudyEnd.BUDGET_SPENT, 2), "0.2 Wh of set-up and 2 Wh of training each"


def test_a_study_that_has_all_its_trials_is_done_whatever_its_budget(desk: Desk) -> None:
    desk.run(study(study={"trials": 2, "energy_budget_wh": 5.0}, space=CONTINUOUS))
    assert (desk.end, len(desk.rows)) == (StudyEnd.DONE, 2)


def test_different_failures_do_not_stop_the_study(desk: Desk) -> None:
    scripts = {number: fails("crash" if number % 2 else "timeout") for number in range(12)}
    desk.run(study(study={"trials": 12}, space=CONTINUOUS), scripts)
    assert desk.end is StudyEnd.DONE


def test_an_energy_that_was_not_measured_is_a_failure_and_never_zero(desk: Desk) -> None:
    from greenopt.reading import EnergyReading

    def unmetered(spec: Any) -> list[Any]:
        script = completes(spec)
        script[-2] = ended(energy=EnergyReading.missing("the counter could not be read", 20.0))
        return script

    desk.run(study(), {0: unmetered})
    row = desk.rows[0]
    assert (row["state"], row["fail_reason"], row["energy_wh"]) == ("fail", "not_measured", None)
    assert "the counter could not be read" in row["message"]


def test_a_trial_over_its_time_limit_is_ended(desk: Desk) -> None:
    times = iter(range(0, 10_000, 20))
    engine = FakeEngine({0: hangs})
    spec = study(training={"time_limit_s": 100.0}, study={"trials": 1})
    desk.coordinator(spec, engine, clock=lambda: float(next(times))).run()
    assert engine.ended == [0]
    assert desk.rows[0]["fail_reason"] == "timeout"
    assert desk.rows[0]["energy_wh"] == 1.0


class Stopper:
    """Stops the study when the given trial begins."""

    def __init__(self, trial: int, *, now: bool) -> None:
        self.trial, self.now = trial, now
        self.coordinator: Coordinator

    def study_began(self, *_: object) -> None: ...
    def event_arrived(self, *_: object) -> None: ...
    def trial_ended(self, *_: object) -> None: ...
    def run_state_changed(self, run_state: RunState) -> None: ...

    def slot_set_aside(self, slot: Slot, failure: str, others: Sequence[Slot]) -> None: ...
    def study_ended(self, end: StudyEnd, failure: object) -> None: ...

    def trial_began(self, spec: Any, slot: Slot) -> None:
        if spec.trial == self.trial:
            (self.coordinator.stop_now if self.now else self.coordinator.stop)()


def _run_with_stop(desk: Desk, spec: StudySpec, *, now: bool) -> StudyEnd:
    stopper = Stopper(1, now=now)
    stopper.coordinator = desk.coordinator(spec, FakeEngine(), observers=[stopper])
    return stopper.coordinator.run()


def test_stop_lets_the_running_trial_end_and_a_later_run_goes_on(desk: Desk) -> None:
    assert _run_with_stop(desk, study(), now=False) is StudyEnd.STOPPED
    assert [row["state"] for row in desk.rows] == ["complete", "complete"]
    desk.run(study())
    assert [row["state"] for row in desk.rows] == ["complete"] * 4


def test_a_stop_that_comes_with_the_last_trial_leaves_the_study_done(desk: Desk) -> None:
    assert _run_with_stop(desk, study(study={"trials": 2}), now=False) is StudyEnd.DONE
    assert [row["state"] for row in desk.rows] == ["complete", "complete"]


def test_stop_now_ends_the_running_trial_and_a_later_run_repeats_it(desk: Desk) -> None:
    assert _run_with_stop(desk, study(), now=True) is StudyEnd.STOPPED
    assert [row.get("fail_reason") for row in desk.rows] == [None, "interrupted", None]
    assert desk.rows[2]["state"] == "waiting"
    desk.run(study())
    assert desk.rows[2]["retry_of"] == 1
    assert [row["state"] for row in desk.rows].count("complete") == 4


class Pauser(Stopper):
    """Pauses when the given trial begins; keeps what it is told."""

    def __init__(self, trial: int) -> None:
        super().__init__(trial, now=False)
        self.run_states: list[RunState] = []
        self.ends: list[StudyEnd] = []

    def trial_began(self, spec: Any, slot: Slot) -> None:
        if spec.trial == self.trial:
            self.coordinator.pause()

    def run_state_changed(self, run_state: RunState) -> None:
        self.run_states.append(run_state)

    def study_ended(self, end: StudyEnd, failure: object) -> None:
        self.ends.append(end)


def test_a_pause_lets_running_trials_end_and_starts_none_until_resumed(desk: Desk) -> None:
    pauser, waits = Pauser(1), []

    def wait(seconds: float) -> None:
        waits.append([row["state"] for row in desk.rows])
        if len(waits) == 3:
            pauser.coordinator.resume()

    pauser.coordinator = desk.coordinator(study(), FakeEngine(), observers=[pauser], wait=wait)
    assert pauser.coordinator.run() is StudyEnd.DONE
    assert waits == [["complete", "complete"]] * 3
    assert [row["state"] for row in desk.rows] == ["complete"] * 4
    assert pauser.run_states == [RunState.PAUSED, RunState.RUNNING]
    assert pauser.ends == [StudyEnd.DONE]


def test_a_paused_study_can_be_stopped(desk: Desk) -> None:
    pauser = Pauser(0)

    def wait(seconds: float) -> None:
        pauser.coordinator.stop()

    pauser.coordinator = desk.coordinator(study(), FakeEngine(), observers=[pauser], wait=wait)
    assert pauser.coordinator.run() is StudyEnd.STOPPED
    assert len(desk.rows) == 1
    assert pauser.ends == [StudyEnd.STOPPED]


def test_a_pause_after_the_last_trial_does_not_hold_the_study(desk: Desk) -> None:
    pauser = Pauser(3)
    pauser.coordinator = desk.coordinator(study(), FakeEngine(), observers=[pauser])
    assert pauser.coordinator.run() is StudyEnd.DONE


def test_goes_on_after_the_coordinator_was_killed(desk: Desk) -> None:
    """What a dead coordinator leaves: a trial that Optuna holds for running, and the events so far."""
    spec = study()
    search = Search(spec, desk.storage)
    left = search.ask()
    desk.folder.trial(left.trial).mkdir(parents=True)
    half_written = encode(epoch(2))[:40]
    desk.folder.events(left.trial).write_bytes(encode(started(left.trial)) + encode(epoch(1)) + half_written)
    search.lease.release()
    desk.run(spec)
    rows = desk.rows
    assert (rows[0]["fail_reason"], rows[0]["energy_wh"], rows[0]["epochs_done"]) == ("interrupted", 1.0, 1)
    assert rows[1]["retry_of"] == 0
    assert [row["state"] for row in rows].count("complete") == 4


def test_a_result_that_was_not_yet_told_is_told_and_not_run_again(desk: Desk) -> None:
    spec = study(study={"trials": 1})
    search = Search(spec, desk.storage)
    left = search.ask()
    desk.folder.trial(left.trial).mkdir(parents=True)
    desk.folder.events(left.trial).write_bytes(encoded(started(0), epoch(1), epoch(2), ended()))
    search.lease.release()
    engine = desk.run(spec)
    assert engine.specs == []
    assert (desk.rows[0]["state"], desk.rows[0]["accuracy"]) == ("complete", 0.6)


@pytest.mark.parametrize("policy", ["run", "replicate", "skip"])
def test_what_happens_to_a_setting_that_comes_again(desk: Desk, policy: str) -> None:
    spec = study(study={"trials": 3, "on_duplicate": policy}, space={"batch_size": [4, 8]})
    engine = desk.run(spec)
    seeds = [(setting_of(s).batch_size, s.training_seed) for s in engine.specs]
    if policy == "skip":
        assert desk.end is StudyEnd.SPACE_EXHAUSTED
        assert len(engine.specs) == 2
        assert {row["fail_reason"] for row in desk.rows if row["state"] == "fail"} == {"duplicate"}
    elif policy == "run":
        assert {seed for _, seed in seeds} == {7}
    else:
        assert len(set(seeds)) == 3


def test_a_replicate_that_was_cut_off_runs_again_with_a_seed_that_no_other_has(desk: Desk) -> None:
    spec = study(study={"trials": 4, "on_duplicate": "replicate"}, space={"batch_size": 4})
    slots = [Slot(f"gpu {index}", f"GPU-{index}") for index in range(4)]
    engine = desk.run(spec, {1: dies("SIGKILL"), 4: dies("SIGKILL")}, slots=slots)
    assert [trial.retry_of for trial in engine.specs] == [None, None, None, None, 1, 4]
    assert [trial.training_seed for trial in engine.specs] == [7, 8, 9, 10, 8, 8]


@pytest.mark.parametrize("keep", [True, False])
def test_models_are_kept_in_the_trials_folders_where_the_study_says_so(desk: Desk, keep: bool) -> None:
    engine = desk.run(study(training={"keep_model": keep}))
    folders = [str(desk.folder.trial(spec.trial)) if keep else None for spec in engine.specs]
    assert [spec.model_folder for spec in engine.specs] == folders


def test_the_storage_holds_no_intermediate_values(desk: Desk) -> None:
    """They make Optuna's TPE crash in a multi-objective study."""
    desk.run(study())
    import optuna

    trials = optuna.load_study(study_name="tried", storage=desk.storage).trials
    assert all(trial.intermediate_values == {} for trial in trials)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "nsga3", "qmc", "grid", "brute_force"])
def test_every_sampler_runs_a_study_with_failures_and_pruned_trials(desk: Desk, sampler: str) -> None:
    def diverges(spec: Any) -> list[Any]:
        return [*completes(spec)[:-2], ended(Outcome.DIVERGED, reason="diverged"), completes(spec)[-1]]

    space = {"batch_size": [4, 8, 16], "lr": [0.1, 0.01, 0.001], "optimizer": ["SGD", "Adam"]}
    spec = study(study={"trials": 16}, sampler={"name": sampler}, space=space)
    desk.run(spec, {3: diverges, 5: fails("crash"), 11: diverges, 12: dies("SIGKILL")})
    assert desk.end is StudyEnd.DONE
    assert [row["state"] for row in desk.rows].count("complete") == 13


@pytest.mark.parametrize(("keeps", "shares"), [(False, False), (True, True)])
def test_a_trials_specification_is_whole_when_it_is_built(tmp_path: Path, keeps: bool, shares: bool) -> None:
    spec = study(training={"epochs": 2, "keep_model": keeps})
    slot = Slot("gpu 1", "GPU-bbbb", is_shared=shares)
    values = dict(spec.space.baseline)
    built = build_trial_spec(spec, Proposal(trial=3, values=values, retry_of=1), slot, tmp_path / "0003")
    assert (built.trial, built.retry_of, built.values) == (3, 1, values)
    assert (built.gpu_uuid, built.share_gpu) == ("GPU-bbbb", shares)
    assert built.model_folder == (str(tmp_path / "0003") if keeps else None)


def test_the_log_says_what_is_asked_started_and_told(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "greenopt.coordination.coordinator"):
        desk.run(study(study={"trials": 1}))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0].split(":")[0] for line in lines] == [
        "trial 0 asked for",
        "trial 0 started on cpu",
        "trial 0",
        "trial 0 told",
        "the study ended",
    ]
    assert desk.rows[0]["attempt_id"] in lines[1]
    assert "completed" in lines[3]
    assert lines[4].endswith("done")


class FailingGpus:
    """GPUs that fail when they have been looked at so often; those in `silent` answer again after two looks."""

    def __init__(self, fails_after: dict[str, int], silent: dict[str, int] | None = None) -> None:
        self.fails_after, self.silent = fails_after, silent or {}

    def look(self, uuid: str) -> GpuHealth:
        self.fails_after[uuid] = self.fails_after.get(uuid, 10_000) - 1
        if self.silent.get(uuid, 0) > 0:
            self.silent[uuid] -= 1
            return GpuHealth(is_in_doubt=True)
        return GpuHealth("fell off the bus" if self.fails_after[uuid] < 0 else None)


TWO_GPUS = (Slot("gpu 0", "GPU-0"), Slot("gpu 1", "GPU-1"))


class Listener(Stopper):
    """Keeps what it is told of slots that are set aside."""

    def __init__(self) -> None:
        super().__init__(-1, now=False)
        self.set_aside: list[tuple[str, str, list[str]]] = []

    def slot_set_aside(self, slot: Slot, failure: str, others: Sequence[Slot]) -> None:
        self.set_aside.append((slot.name, failure, [other.name for other in others]))


def test_a_gpu_that_fails_is_set_aside_and_its_trial_runs_again_on_another(desk: Desk) -> None:
    listener, engine = Listener(), FakeEngine(slots=TWO_GPUS)
    spec = study(study={"trials": 6}, space=CONTINUOUS)
    end = desk.coordinator(spec, engine, observers=[listener], gpus=FailingGpus({"GPU-0": 3})).run()
    assert end is StudyEnd.DONE
    assert listener.set_aside == [("gpu 0", "fell off the bus", ["gpu 1"])]
    assert len([row for row in desk.rows if row["state"] == "complete"]) == 6
    last_on_0 = max(trial for trial, slot in engine.placed if slot.name == "gpu 0")
    assert all(slot.name == "gpu 1" for trial, slot in engine.placed if trial > last_on_0 + 1)


def test_a_trial_whose_gpu_fails_under_it_keeps_its_energy_and_counts_as_no_failure_of_its_setting(desk: Desk) -> None:
    """The script's trial crashes as one does whose GPU is lost; the look after it finds the GPU lost."""
    crashes = {0: dies(signal=None, exit_code=1, tail="CUDA_ERROR_UNKNOWN")}
    engine = FakeEngine(crashes, slots=TWO_GPUS)
    spec = study(study={"trials": 3, "stop_after_equal_failures": 1}, space=CONTINUOUS)
    end = desk.coordinator(spec, engine, gpus=FailingGpus({"GPU-0": 2})).run()
    failed = desk.rows[0]
    assert end is StudyEnd.DONE
    assert (failed["fail_reason"], failed["energy_wh"], failed["flags"]) == ("gpu_failed", 1.0, "partial")
    assert [row["retry_of"] for row in desk.rows if row.get("retry_of") is not None] == [0]


def test_a_trial_that_hangs_on_a_lost_gpu_is_ended(desk: Desk) -> None:
    engine, now = FakeEngine({0: hangs}, slots=TWO_GPUS[:1]), [0.0]

    def clock() -> float:
        now[0] += 5
        return now[0]

    end = desk.coordinator(study(study={"trials": 1}), engine, gpus=FailingGpus({"GPU-0": 3}), clock=clock).run()
    assert engine.ended == [0]
    assert (end, desk.rows[0]["fail_reason"]) == (StudyEnd.GPUS_FAILED, "gpu_failed")


def test_without_a_gpu_left_the_study_ends_and_the_same_command_goes_on(desk: Desk) -> None:
    spec = study(study={"trials": 4}, space=CONTINUOUS)
    both = FailingGpus({"GPU-0": 3, "GPU-1": 3})
    assert desk.coordinator(spec, FakeEngine(slots=TWO_GPUS), gpus=both).run() is StudyEnd.GPUS_FAILED
    assert desk.coordinator(spec, FakeEngine(slots=TWO_GPUS), gpus=FailingGpus({})).run() is StudyEnd.DONE
    assert len([row for row in desk.rows if row["state"] == "complete"]) == 4


def test_no_trial_starts_on_a_gpu_that_does_not_answer_and_the_study_waits_for_it(desk: Desk) -> None:
    waits: list[float] = []
    engine = FakeEngine(slots=TWO_GPUS[:1])
    gpus = FailingGpus({}, silent={"GPU-0": 4})
    end = desk.coordinator(study(study={"trials": 2}), engine, gpus=gpus, wait=waits.append).run()
    assert (end, len(engine.specs)) == (StudyEnd.DONE, 2)
    assert waits
