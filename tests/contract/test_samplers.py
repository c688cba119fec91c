"""What every sampler keeps to: its study comes to its end, wherever its coordinator is killed."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from greenopt.search import SAMPLERS, open_storage
from tests.contract.sampler_contract import IN_THE_MIDDLE, Case, cases, keep_few_metrics, run_killed

EVERY = [
    pytest.param(case, id=f"{case.sampler}-{index}") for name in SAMPLERS for index, case in enumerate(cases(name))
]
STEPS = {"random": 3, "grid": 3, "gp": 40}
"""Every how many-th write is the last; `scripts/kill_every_write` takes each of every sampler."""


@pytest.fixture(autouse=True)
def _few_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_few_metrics(monkeypatch)


def needs_modules(case: Case) -> None:
    missing = [name for name in SAMPLERS[case.sampler].modules if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install 'greenopt[{SAMPLERS[case.sampler].extra}]'")


def same(storage: optuna.storages.BaseStorage) -> Callable[[], optuna.storages.BaseStorage]:
    """What opens a storage in memory again: without what made it die."""

    def again() -> optuna.storages.BaseStorage:
        for name in list(vars(storage)):
            if not name.startswith("_"):
                delattr(storage, name)
        return storage

    return again


@pytest.mark.parametrize("case", EVERY)
def test_it_ends_wherever_its_coordinator_is_killed(case: Case, tmp_path: Path) -> None:
    needs_modules(case)
    step = STEPS.get(case.sampler, 13)
    write, was_killed = 1, True
    while was_killed:
        was_killed, _, _ = run_killed(case, same(optuna.storages.InMemoryStorage()), tmp_path / str(write), write)
        write += step
    assert write > 50


@pytest.mark.parametrize("name", SAMPLERS)
def test_it_ends_on_sqlite(name: str, tmp_path: Path) -> None:
    case = cases(name)[0]
    needs_modules(case)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    was_killed, _, _ = run_killed(case, lambda: open_storage(url), tmp_path / "tried", IN_THE_MIDDLE)
    assert was_killed
