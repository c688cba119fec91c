"""Runs one command line in this process, through the real `main`, and says whether it ended as it must.

A command ends with exit code 0, or with 2 and one line of at most 200 characters for each thing that is wrong, ten at
most and then their number; then nothing was written. Nothing
that trains, listens, opens a browser, signals a process or asks the network is started: those few ends are replaced.
"""

import faulthandler
import io
import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import typer
from typer.main import get_command

from greenopt.cli import app, main
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import StudyEnd
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import StudyReader

MAX_LINE = 200
MAX_LINES = 11
"""Of a study file with many errors: ten, and how many more there are."""
LIMIT_S = 180
"""Seconds after which a command hangs that has computed for less than `LEAST_S`; and seconds of computing."""
LEAST_S = 5.0
PREFIX = "greenopt: "
MAY_FAIL = ("doctor",)
"""Commands whose exit code 1 is a finding about the machine."""


class Verdict(StrEnum):
    """How a command ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused in clear lines"
    INTERNAL = "internal error"
    LONG = "over 200 characters"
    UNCLEAR = "not clean lines"
    WROTE = "wrote something"
    HUNG = "hung"


FINDINGS = tuple(verdict for verdict in Verdict if verdict not in (Verdict.ACCEPTED, Verdict.REFUSED))


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    verdict: Verdict
    exit_code: int
    out: str
    err: str
    changed: tuple[str, ...] = ()


class HungError(BaseException):
    """The command did not end in time."""


Files = dict[str, tuple[int, int, int]]


def files_under(folder: Path) -> Files:
    """Every file and folder, with mode, size and time of change; of a folder the mode alone."""
    found: Files = {}
    for path in folder.rglob("*"):
        kept = path.lstat()
        is_folder = path.is_dir() and not path.is_symlink()
        found[str(path.relative_to(folder))] = (
            (kept.st_mode, 0, 0) if is_folder else (kept.st_mode, kept.st_size, kept.st_mtime_ns)
        )
    return found


def judged(arguments: Sequence[str], folder: Path, *, is_dry: bool = False) -> Ended:
    """Run a command in a folder.

    Args:
        arguments: without the program's name.
        folder: the working folder; all that must not change lies in it.
        is_dry: whether an accepted command may not write either.
    """
    before = files_under(folder)
    code, out, err = run_here(lambda: main(), arguments, folder)
    after = files_under(folder)
    changed = tuple(sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)))
    return Ended(_verdict(arguments, code, out, err, changed, is_dry=is_dry), code, out, err, changed)


def _verdict(
    arguments: Sequence[str], code: int, out: str, err: str, changed: Sequence[str], *, is_dry: bool
) -> Verdict:
    lines = err.removesuffix("\n").split("\n") if err else []
    may_fail = code == 1 and arguments[:1] and arguments[0] in MAY_FAIL
    if code == -1:
        return Verdict.HUNG
    if "internal error" in err or "Traceback" in out + err or (code not in (0, 2, 4) and not may_fail):
        return Verdict.INTERNAL
    if any(len(line) > MAX_LINE for line in lines):
        return Verdict.LONG
    is_clean = all(line.startswith(PREFIX) and line.isprintable() for line in lines)
    if (
        not is_clean
        or (code == 2 and (not 1 <= len(lines) <= MAX_LINES or not _may_print(arguments, out)))
        or not _is_plain(out)
    ):
        return Verdict.UNCLEAR
    if changed and (code == 2 or is_dry):
        return Verdict.WROTE
    return Verdict.REFUSED if code == 2 else Verdict.ACCEPTED


def _may_print(arguments: Sequence[str], out: str) -> bool:
    """Whether a refused command may have printed this: nothing, or what `doctor --json` has to say of it as JSON."""
    if not out or not (arguments[:1] == ["doctor"] and "--json" in arguments):
        return not out
    try:
        return isinstance(json.loads(out), list | dict)
    except ValueError:
        return False


def _is_plain(out: str) -> bool:
    """Whether what was printed holds nothing that a terminal would obey."""
    return all(letter.isprintable() or letter in "\n\u2028\u2029" for letter in out)


def run_here(command: Callable[[], object], arguments: Sequence[str], folder: Path) -> tuple[int, str, str]:
    """Run a command as `main` would, and return exit code, standard output and standard error; -1 where it hung."""
    kind = _Terminal if arguments[:1] == ["watch"] else io.TextIOWrapper
    given, out, err = (kind(io.BytesIO(), "utf-8", "backslashreplace", write_through=True) for _ in range(3))
    code = 0
    with ExitStack() as stack:
        stack.enter_context(_in_folder(folder))
        stack.enter_context(mock.patch.object(sys, "argv", ["greenopt", *arguments]))
        stack.enter_context(mock.patch.object(sys, "stdin", given))
        stack.enter_context(mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "-1", "COLUMNS": "80"}))
        for patch in _harmless():
            stack.enter_context(patch)
        stack.enter_context(_signals_kept())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always")
        for noise in (DeprecationWarning, ResourceWarning, PendingDeprecationWarning, ImportWarning):
            warnings.simplefilter("ignore", noise)
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        try:
            command()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except HungError:
            code = -1
        except BaseException as error:
            frames = [each for each in traceback.extract_tb(error.__traceback__) if "/greenopt/" in each.filename]
            where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
            print(f"Traceback: {type(error).__name__}: {error} {where}", file=sys.stderr)
            code = 1
    return code, *(stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Put the handlers back that a command sets, and end one that hangs."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
    kept = {number: signal.getsignal(number) for number in numbers}
    alarm = signal.signal(signal.SIGALRM, _Watch())
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
        for number, handler in kept.items():
            signal.signal(number, handler)


class _Watch:
    """Ends a command that waits or loops; one that computes while the machine is busy with others gets more time."""

    def __init__(self) -> None:
        self._began_s = self._last_s = time.process_time()

    def __call__(self, *_: object) -> None:
        now_s = time.process_time()
        if now_s - self._last_s > LEAST_S and now_s - self._began_s < LIMIT_S:
            self._last_s = now_s
            signal.alarm(LIMIT_S)
            return
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback(sys.__stderr__, all_threads=False)
        raise HungError


def _ends_here(*_: Any, **__: Any) -> Any:
    raise typer.Exit(0)


class _Terminal(io.TextIOWrapper):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def _read_all(folder: RunFolder, url: str) -> StudyModel:
    """Read what the live view reads, and draw nothing."""
    reader = StudyReader(folder, url)
    try:
        model = StudyModel(reader.spec)
        model.apply(reader.read())
        for number in model.rows:
            reader.trial(number)
            reader.log(number)
    finally:
        reader.close()
    return model


@cache
def _parser() -> Any:
    return get_command(app)


def _asked_once(coordinator: Any) -> Any:
    """Ask for a setting, which has to be learnt from the trials that are there, and train nothing."""
    search = coordinator._search._search  # itself, not through what waits for a storage that is away
    if search.has_more():
        search.ask()
    return StudyEnd.DONE


def _harmless() -> list[Any]:
    """What a command must not do here, and what it does instead."""
    replaced: dict[str, Any] = {
        "greenopt.cli.watch._show": _read_all,
        "greenopt.coordination.coordinator.Coordinator.run": _asked_once,
        "greenopt.dashboard.server.open_server": _ends_here,
        "greenopt.doctor.machine.examine": lambda *_: iter(()),
        "greenopt.runs.requests.os.kill": lambda *_: None,
        "greenopt.runs.background.launch": _ends_here,
        "greenopt.trial.data.files._answers": lambda _: True,
    }
    # Building the parser anew takes longer than most commands do.
    replaced["typer.main.get_command"] = lambda _: _parser()
    return [mock.patch(name, new) for name, new in replaced.items()]
