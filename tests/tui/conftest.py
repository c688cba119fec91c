"""Studies that are made once, and the view on them at a fixed moment."""

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenopt.errors import GreenoptError
from greenopt.runs.requests import Request
from greenopt.tui.app import WatchApp
from greenopt.tui.state.reader import StudyReader
from tests.tui.studies import CASES, NOW, Written

COMMANDS = [
    ("greenopt analyze paper", "Tell parameters apart."),
    ("greenopt export paper", "Write a table."),
    ("greenopt pause paper", "Start no new trials."),
]


class FakeSteering:
    """Keeps what it was asked for; fails where it is told to."""

    def __init__(self, folder: Path) -> None:
        self.export_target = folder / "paper.csv"
        self.asked: list[Request | str] = []
        self.error: str | None = None

    def ask(self, request: Request) -> str:
        return self._do(request)

    def export(self) -> str:
        return self._do("export")

    def open_dashboard(self) -> str:
        return self._do("dashboard")

    def _do(self, what: Request | str) -> str:
        if self.error is not None:
            raise GreenoptError(self.error)
        self.asked.append(what)
        return f"{what} it is"


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Written]:
    made: dict[str, Written] = {}

    def make(case: str) -> Written:
        if case not in made:
            made[case] = CASES[case](tmp_path_factory.mktemp(case))
        return made[case]

    return make


@pytest.fixture
def actions(tmp_path: Path) -> FakeSteering:
    return FakeSteering(tmp_path)


@pytest.fixture
def watch(written: Callable[[str], Written], actions: FakeSteering) -> Callable[[str], WatchApp]:
    return lambda case: view(written(case), actions)


def view(study: Written, actions: FakeSteering, **rest: Any) -> WatchApp:
    reader = StudyReader(study.folder, study.folder.default_storage)
    return WatchApp(reader, actions, commands=COMMANDS, clock=lambda: NOW.astimezone(), poll_s=None, **rest)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
