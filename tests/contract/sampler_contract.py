"""A small study that one sampler runs to its end, killed at a write to its storage; what then must hold."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest

from greenopt.coordination.coordinator import Coordinator
from greenopt.coordination.verdict import trial_metrics
from greenopt.events import Event
from greenopt.execution import ProcessEnded, Slot
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import StudyEnd
from greenopt.search import SAMPLERS, Search
from greenopt.search.trial_cache import TrialCache
from greenopt.spec import StudySpec, TrialSpec
from tests.fakes import FakeEngine, completes, dies, fails

WRITES = (
    *("create_new_study", "set_study_user_attr", "set_study_system_attr", "create_new_trial"),
    *("set_trial_param", "set_trial_state_values", "set_trial_user_attr", "set_trial_system_attr"),
)
BASELINE = {"width": "narrow", "rate": 0.1}
LISTED = {"width": "wide", "rate": 0.3}
INTERRUPTED = {"width": "narrow", "rate": 0.2}
FAILING = {"width": "wide", "rate": 0.1}
LISTS = {"width": ["narrow", "wide"], "rate": [0.1, 0.2, 0.3, 0.4]}
COUNTABLE = {"width": ["narrow", "wide"], "rate": {"low": 0.1, "high": 0.4, "step": 0.1}}
CONTINUOUS = {"width": ["narrow", "wide"], "rate": {"low": 0.1, "high": 0.5}, "depth": 1}
SETTINGS = 8
IN_THE_MIDDLE = 19
"""A write while the second trial is asked for, which was enqueued: one value of its setting is written."""
FAST = {
    "tpe": {"n_startup_trials": 2},
    "energy_aware": {"n_startup_trials": 1, "n_candidates": 20},
    "gp": {"n_startup_trials": 4},
    "nsga2": {"population_size": 3},
    "nsga3": {"population_size": 3},
    "cmaes": {"n_startup_trials": 1, "popsize": 3},
}


class KilledError(BaseException):
    """The process ends here, and nothing that it would have done after comes about."""


@dataclass(frozen=True)
class Case:
    """A sampler and a study for it.

    Attributes:
        once: whether each setting of the space may be trained but once; then the study ends with its space.
    """

    sampler: str
    space: dict[str, Any]
    once: bool
    slots: int = 1

    def spec(self) -> StudySpec:
        objectives = {"objectives": {"accuracy": "maximize"}} if not SAMPLERS[self.sampler].several_objectives else {}
        table = {
            "study": {
                "name": "tried",
                "seed": 7,
                "trials": 40 if self.once else SETTINGS,
                "objective": "mine:train",
                "baseline": True,
                "enqueue": [LISTED, INTERRUPTED, FAILING],
                "on_duplicate": "skip" if self.once else "run",
            },
            "training": {"epochs": 2},
            "sampler": {"name": self.sampler, **FAST.get(self.sampler, {})},
            "space": self.space,
        }
        return StudySpec.model_validate({**table, **objectives})


def cases(sampler: str) -> list[Case]:
    """What a sampler is tried with: lists, ranges with a step, and a continuous one where it can."""
    entry = SAMPLERS[sampler]
    if sampler == "grid":
        return [Case(sampler, LISTS, once=True), Case(sampler, LISTS, once=True, slots=3)]
    if entry.visits_each_once:
        return [Case(sampler, COUNTABLE, once=True)]
    return [Case(sampler, COUNTABLE, once=True), Case(sampler, CONTINUOUS, once=False, slots=2)]


def die_at(storage: optuna.storages.BaseStorage, write: int) -> Callable[[], int]:
    """Let the process die before a storage's n-th write; return how many there were so far."""
    count = 0

    def dying(owner: Any, name: str) -> Callable[..., Any]:
        original = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == write:
                raise KilledError
            return original(*arguments, **named)

        return call

    for name in WRITES:
        setattr(storage, name, dying(storage, name))
    if isinstance(storage, TrialCache):
        # What was gathered of a trial is written here, whole.
        storage._writer.write_change = dying(storage._writer, "write_change")  # type: ignore[method-assign]
    return lambda: count


class Script:
    """Trials that complete, but for one setting that fails and one whose first process is killed."""

    def __init__(self) -> None:
        self.trained: Counter[str] = Counter()

    def __call__(self, spec: TrialSpec) -> list[Event | ProcessEnded]:
        setting = _key(spec.values)
        self.trained[setting] += 1
        if setting == _key(FAILING):
            return fails("crash")(spec)
        if setting == _key(INTERRUPTED) and self.trained[setting] == 1:
            return dies()(spec)
        return completes(spec)


def run(case: Case, storage: optuna.storages.BaseStorage, folder: RunFolder, script: Script) -> StudyEnd:
    """Run a coordinator on a study until it ends."""
    slots = [Slot(f"slot {number}") for number in range(case.slots)]
    search = Search(case.spec(), storage)
    return Coordinator(search.spec, search, FakeEngine(script, slots), folder).run()


def run_killed(
    case: Case, open_again: Callable[[], optuna.storages.BaseStorage], folder: Path, write: int
) -> tuple[bool, StudyEnd, list[optuna.trial.FrozenTrial]]:
    """Run a study whose first coordinator dies at a write, and a second one to its end.

    Returns:
        Whether the first one died, why the study ended, its trials.
    """
    script, storage = Script(), open_again()
    die_at(storage, write)
    was_killed = False
    try:
        end = run(case, storage, RunFolder(folder), script)
    except KilledError:
        was_killed = True
        end = run(case, open_again(), RunFolder(folder), script)
    trials = optuna.load_study(study_name="tried", storage=open_again()).get_trials()
    check(case, end, trials, was_killed)
    return was_killed, end, trials


def check(case: Case, end: StudyEnd, trials: list[optuna.trial.FrozenTrial], was_killed: bool) -> None:
    """Assert what holds of a study that has ended, wherever its coordinator was killed."""
    assert end is (StudyEnd.SPACE_EXHAUSTED if case.once else StudyEnd.DONE)
    names = {trial.state.name for trial in trials}
    assert names <= {"COMPLETE", "FAIL"}, "a trial was left open"
    for trial in trials:
        assert set(trial.params) == set(case.space), "a trial has lost a part of its setting"
    interrupted = [trial.number for trial in trials if trial.user_attrs.get("fail_reason") in RUN_AGAIN]
    # One trial is interrupted by the script, and one for each slot by the kill.
    assert len(interrupted) <= 1 + (case.slots if was_killed else 0)
    retried = [trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs]
    assert sorted(retried) == sorted(interrupted), "each interrupted trial runs again, once"
    final = Counter(_key(trial.params) for trial in trials if _is_final(trial))
    for setting, failure in ((BASELINE, None), (LISTED, None), (INTERRUPTED, None), (FAILING, "crash")):
        own = [trial for trial in trials if _is_final(trial) and _key(trial.params) == _key(setting)]
        assert own, f"an enqueued setting was lost: {setting}"
        assert {trial.user_attrs.get("fail_reason") for trial in own} == {failure}
    listed = Counter(trial.user_attrs.get("wanted") for trial in trials)
    assert all(count == 1 for wanted, count in listed.items() if wanted is not None), "one was enqueued twice"
    assert sum(1 for trial in trials if trial.user_attrs.get("baseline")) == 1
    if case.once:
        assert len(final) == SETTINGS, "a setting of the space was left out"
        assert set(final.values()) == {1}, "a setting ran twice"
    else:
        assert sum(final.values()) == SETTINGS


def _key(params: dict[str, Any]) -> str:
    """Name a setting; 0.1 + 2 * 0.1 is 0.3."""
    return f"{params['width']} {params['rate']:.9f}"


def _is_final(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.user_attrs.get("fail_reason") not in (*RUN_AGAIN, "duplicate")


RUN_AGAIN = ("interrupted", "killed")
KEPT = ("fail_reason", "stop_reason", "accuracy", "attempt")


def keep_few_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out most figures of a trial, each of which is a write like any other."""
    original = trial_metrics

    def few(*arguments: Any) -> dict[str, Any]:
        return {name: value for name, value in original(*arguments).items() if name in KEPT}

    monkeypatch.setattr("greenopt.coordination.coordinator.trial_metrics", few)
