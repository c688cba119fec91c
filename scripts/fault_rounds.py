"""The rounds of `scripts/fault_session`: studies that are run under faults until each is done, and the table of all."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeAlias

import psutil

from greenopt.events import TrialStarted, read_events
from greenopt.runs.folder import RunFolder
from scripts.fault_checks import Findings, check_end, check_leftovers, check_records, rows_of
from scripts.fault_processes import CONTROLS, fork_command, preload

TRIALS = 5
LIMIT_S = 180.0
PATIENCE_S = 60.0
_STUDY = """
[study]
name = "{name}"
trials = {trials}
seed = {seed}
objective = "drawing:draws"
stop_after_equal_failures = 50
enqueue = [{{ x = 0.125 }}]
[training]
epochs = 4
[space]
x = {{ low = 0.0, high = 1.0 }}
"""

# By a computed name, so that a change of this script is none of the studies' code.
_OBJECTIVE = "import importlib\n\ndraws = importlib.import_module('.'.join(('scripts', 'fault_processes'))).draws\n"


@dataclass
class Tally:
    """What became of the faults of one kind."""

    tried: int = 0
    injected: int = 0
    survived: int = 0
    lost: int = 0
    twice: int = 0
    orphans: int = 0


@dataclass
class Round:
    """One study under faults.

    Attributes:
        command: process number of its coordinator; None while none runs.
    """

    folder: RunFolder
    url: str
    ledger: Path
    random: Random
    server: "Server | None" = None
    patience_s: float = PATIENCE_S
    command: int | None = None
    code: int | None = None
    output: Path = field(init=False)

    def __post_init__(self) -> None:
        self.output = self.folder.path.parent / f"{self.folder.name}.out"

    def start(self) -> None:
        arguments = [
            "run",
            f"{self.folder.name}.toml",
            "--plain",
            "--gpus",
            "none",
            "--storage-patience",
            str(self.patience_s),
        ]
        arguments += ["--storage", self.url] if self.server is not None else []
        self.code = None
        self.command = fork_command(arguments, self.output, self.ledger, folder=self.folder.path.parents[1])

    def is_running(self) -> bool:
        """Return whether the coordinator runs; keep its exit code where it ended."""
        if self.command is not None:
            pid, status = os.waitpid(self.command, os.WNOHANG)
            if pid:
                self.code, self.command = os.waitstatus_to_exitcode(status), None
        return self.command is not None

    def send(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            if self.is_running() and self.command is not None:
                os.kill(self.command, number)
                time.sleep(0.15)

    def wait(self, limit_s: float = LIMIT_S) -> None:
        until_s = time.monotonic() + limit_s
        while self.is_running():
            if time.monotonic() > until_s:
                raise TimeoutError(f"{self.folder.name}: its coordinator did not end within {limit_s} s")
            time.sleep(0.02)

    def trial_folders(self) -> list[Path]:
        return sorted(self.folder.trials.glob("*")) if self.folder.trials.exists() else []

    def trial_pid(self) -> int | None:
        """Return the process of the trial that began last."""
        for folder in reversed(self.trial_folders()):
            for each in read_events(folder / "events.jsonl"):
                if isinstance(each, TrialStarted):
                    return each.pid
        return None

    def send_trial(self, number: signal.Signals) -> bool:
        """Send a signal to a trial that runs; between two of them, to the next."""
        until_s = time.monotonic() + 2
        while time.monotonic() < until_s and self.is_running():
            pid = self.trial_pid()
            try:
                # Its parent is its supervisor, whose parent is the coordinator.
                if pid is not None and self.command in {each.pid for each in psutil.Process(pid).parents()}:
                    os.kill(pid, number)
                    return True
            except (OSError, psutil.Error):
                pass
            time.sleep(0.02)
        return False


class Server:
    """A PostgreSQL server of this session."""

    def __init__(self, url: str, start: Callable[[], "subprocess.Popen[bytes]"]) -> None:
        self.url, self._start = url, start
        self.process = start()

    def away(self, number: signal.Signals, seconds: float) -> None:
        self.process.send_signal(number)
        self.process.wait()
        time.sleep(seconds)
        self.process = self._start()


Fault: TypeAlias = Callable[[Round], bool]
"""Makes one fault; returns whether there was something to hit."""


def _on_command(*numbers: signal.Signals) -> Fault:
    def fault(study: Round) -> bool:
        is_hit = study.is_running()
        study.send(*numbers)
        return is_hit

    return fault


def _at_write(*, after_commit: bool) -> Fault:
    """Kill the coordinator at one of its next commits, before or after it."""

    def fault(study: Round) -> bool:
        CONTROLS["kills_after_commit"] = float(after_commit)
        CONTROLS["kill_at_write"] = CONTROLS["writes"] + study.random.randint(1, 60)
        until_s = time.monotonic() + 20
        while study.is_running() and time.monotonic() < until_s:
            time.sleep(0.005)
        CONTROLS["kill_at_write"] = 0
        return study.code == -signal.SIGKILL

    return fault


def _while(control: str, value: float, seconds: float) -> Fault:
    def fault(study: Round) -> bool:
        CONTROLS[control] = value
        time.sleep(seconds)
        CONTROLS[control] = 0.0
        return study.is_running()

    return fault


def _clock_jump(study: Round) -> bool:
    CONTROLS["clock_offset_s"] += study.random.choice([-86400.0, -100.0, 100.0, 86400.0])
    return study.is_running()


def _torn_line(study: Round) -> bool:
    """Kill the coordinator and leave half a line at the end of the newest events, as a host that went down does."""
    study.send(signal.SIGKILL)
    study.wait()
    folders = study.trial_folders()
    if not folders or not (folders[-1] / "events.jsonl").exists():
        return False
    with (folders[-1] / "events.jsonl").open("ab") as file:
        file.write(study.random.choice([b'{"kind":"epoch_ended","t_s":1', b"\0\0\0\0", b"\xff\xfe{"]))
    return True


def _suspended_trial(study: Round) -> bool:
    is_hit = study.send_trial(signal.SIGSTOP)
    time.sleep(0.4)
    study.send_trial(signal.SIGCONT)
    return is_hit


def _suspended_coordinator(study: Round) -> bool:
    study.send(signal.SIGSTOP)
    time.sleep(0.4)
    is_hit = study.command is not None
    if study.command is not None:
        os.kill(study.command, signal.SIGCONT)
    return is_hit


def _read_only(which: str) -> Fault:
    """Make a folder read-only for a moment; processes of the session heed permissions, root's too."""

    def fault(study: Round) -> bool:
        folder = study.folder.path if which == "run" else study.folder.trials
        if not folder.exists():
            return False
        folder.chmod(0o555)
        time.sleep(0.8)
        folder.chmod(0o755)
        return study.is_running()

    return fault


def _file_limit(study: Round) -> bool:
    """No file of the coordinator may grow for a moment: a disk that is full for events, log and storage."""
    if not study.is_running() or study.command is None:
        return False
    soft, hard = resource.prlimit(study.command, resource.RLIMIT_FSIZE)
    resource.prlimit(study.command, resource.RLIMIT_FSIZE, (100, hard))
    time.sleep(0.6)
    if study.is_running() and study.command is not None:
        resource.prlimit(study.command, resource.RLIMIT_FSIZE, (soft, hard))
    return True


def _locked(study: Round) -> bool:
    file = study.folder.path / "study.db"
    if not file.exists():
        return False
    connection = sqlite3.connect(file, timeout=10, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(study.random.uniform(0.3, 3.0))
        connection.execute("ROLLBACK")
    finally:
        connection.close()
    return study.is_running()


def _moved(study: Round) -> bool:
    file = study.folder.path / "study.db"
    if not file.exists():
        return False
    study.send(signal.SIGSTOP)
    # A file that is moved without its journal is damaged, as SQLite's documentation says: looked at once all stands.
    is_at_rest = not (study.folder.path / "study.db-journal").exists()
    if is_at_rest:
        file.rename(file.with_name("moved.db"))
    if study.command is not None:
        os.kill(study.command, signal.SIGCONT)
    if not is_at_rest:
        return False
    time.sleep(0.6)
    file.with_name("moved.db").rename(file)
    return study.is_running()


def _deleted_folder(study: Round) -> bool:
    pid, folders = study.trial_pid(), study.trial_folders()
    if pid is None or not folders or not Path(f"/proc/{pid}").exists() or not study.is_running():
        return False
    shutil.rmtree(folders[-1], ignore_errors=True)
    return True


def _killed_view(study: Round) -> bool:
    """A second reader of the study, killed while it reads, as a view does."""
    if not (study.folder.path / "study.json").exists():
        return False
    pid = os.fork()
    if pid == 0:
        try:
            from greenopt.tui.state.reader import StudyReader

            reader = StudyReader(study.folder, study.url)
            while True:
                reader.read()
        finally:
            os._exit(0)
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return study.is_running()


def _server(number: signal.Signals, seconds: float) -> Fault:
    def fault(study: Round) -> bool:
        assert study.server is not None
        study.server.away(number, seconds)
        return study.is_running()

    return fault


def _hanging_server(study: Round) -> bool:
    assert study.server is not None
    pids = [study.server.process.pid, *_children(study.server.process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1.5)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return study.is_running()


def _children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


FAULTS: dict[str, Fault] = {
    "kill -9 of the coordinator": _on_command(signal.SIGKILL),
    "kill -9 before a storage write": _at_write(after_commit=False),
    "kill -9 after a storage write": _at_write(after_commit=True),
    "kill -9 of a trial": lambda study: study.send_trial(signal.SIGKILL),
    "kill -9 of a view": _killed_view,
    "SIGINT": _on_command(signal.SIGINT),
    "SIGINT twice": _on_command(signal.SIGINT, signal.SIGINT),
    "SIGTERM": _on_command(signal.SIGTERM),
    "SIGTERM twice": _on_command(signal.SIGTERM, signal.SIGTERM),
    "SIGHUP": _on_command(signal.SIGHUP),
    "SIGHUP twice": _on_command(signal.SIGHUP, signal.SIGHUP),
    "storage: disk full": _while("disk_is_full", 1.0, 0.8),
    "storage: slow": _while("statement_s", 0.05, 1.0),
    "events and storage: disk full": _file_limit,
    "half a line at the end of events": _torn_line,
    "clock jump": _clock_jump,
    "trial suspended": _suspended_trial,
    "coordinator suspended": _suspended_coordinator,
    "trials' folder read-only": _read_only("trials"),
    "trial's folder deleted": _deleted_folder,
}
SQLITE_FAULTS: dict[str, Fault] = {
    "run folder read-only": _read_only("run"),
    "storage: locked": _locked,
    "storage: moved away": _moved,
}
SERVER_FAULTS: dict[str, Fault] = {
    "server killed with -9": _server(signal.SIGKILL, 1.0),
    "server restarted": _server(signal.SIGINT, 1.5),
    "server suspended": _hanging_server,
}


class Session:
    """Runs studies under faults; `tallies` by kind."""

    def __init__(self, folder: Path, random: Random, *, is_on_server: bool = False) -> None:
        self._folder, self._random, self._is_on_server = folder, random, is_on_server
        self._faults = FAULTS | (SERVER_FAULTS if is_on_server else SQLITE_FAULTS)
        self.tallies = {kind: Tally() for kind in self._faults}
        self._rounds = 0
        preload()
        (folder / "drawing.py").write_text(_OBJECTIVE)

    @property
    def has_losses(self) -> bool:
        return any(
            each.lost or each.twice or each.orphans or each.survived < each.injected for each in self.tallies.values()
        )

    def run(self, faults: int) -> None:
        """Make so many faults, study after study; every study is run to its end."""
        with ExitStack() as stack:
            server = stack.enter_context(_started_server()) if self._is_on_server else None
            while (made := sum(each.injected for each in self.tallies.values())) < faults:
                self._run_round(faults - made, server)
                print(f"round {self._rounds}: {made} faults so far", file=sys.stderr, flush=True)

    def new_round(self, server: Server | None = None, patience_s: float = PATIENCE_S) -> Round:
        """Write the file of a new study; nothing runs yet."""
        self._rounds += 1
        name = f"round{self._rounds:03d}"
        text = _STUDY.format(name=name, trials=TRIALS, seed=self._random.randint(0, 10**6))
        (self._folder / f"{name}.toml").write_text(text)
        folder = RunFolder(self._folder / "runs" / name)
        folder.path.parent.mkdir(exist_ok=True)
        url = server.url if server is not None else folder.default_storage
        return Round(folder, url, self._folder / f"{name}.ledger", self._random, server, patience_s)

    def _run_round(self, most: int, server: Server | None) -> None:
        study = self.new_round(server)
        hits: list[str] = []
        attempts = 0
        while len(hits) < most and attempts < 60 and not (study.code == 0 and study.command is None):
            attempts += 1
            kind = self._next_kind()
            if self._make(kind, study):
                hits.append(kind)
                self._judge(kind, study)
        self._end(study, hits)

    def _next_kind(self) -> str:
        """Return one of the kinds that were tried least often; a study may end before a fault hits it."""
        least = min(each.tried for each in self.tallies.values())
        return self._random.choice([kind for kind, each in self.tallies.items() if each.tried <= least + 1])

    def _make(self, kind: str, study: Round) -> bool:
        if not study.is_running():
            if study.code == 0:
                return False
            study.start()
        time.sleep(self._random.uniform(0.0, 1.5))
        if not study.is_running():
            return False
        self.tallies[kind].tried += 1
        is_hit = self._faults[kind](study)
        self.tallies[kind].injected += is_hit
        return is_hit

    def _judge(self, kind: str, study: Round) -> None:
        """Check what is recorded so far, and what is left over where the coordinator has ended."""
        if study.is_running() or not (study.folder.path / "study.json").exists():
            self.tallies[kind].survived += 1
            return
        # A signal that comes before a command listens ends it as it ends any program; a storage that is away when it
        # starts is refused in one line.
        is_clean = study.code in (0, 1, 2, 3, 130, -signal.SIGKILL, -signal.SIGHUP, -signal.SIGTERM)
        if not is_clean or any(word in _last_line(study.output) for word in ("internal error", "Error:")):
            self._count(kind, Findings(lost=(f"exit code {study.code}: {_last_line(study.output)}",)))
            return
        time.sleep(0.1)
        found = check_records(rows_of(study.folder, study.url), study.folder, study.ledger)
        self._count(kind, found, check_leftovers(study.folder, study.url, study.ledger))

    def _end(self, study: Round, hits: list[str]) -> None:
        """Let the study end undisturbed; what is wrong then is put down to the fault that came last."""
        CONTROLS["kill_at_write"] = 0
        kind = hits[-1] if hits else next(iter(self.tallies))
        try:
            for _ in range(3):
                study.wait()
                if study.code == 0:
                    break
                study.start()
            study.wait()
        except TimeoutError as error:
            self._count(kind, Findings(lost=(str(error),)), is_extra=True)
            study.send(signal.SIGKILL)
            return
        CONTROLS.reset()
        rows = rows_of(study.folder, study.url)
        found = [check_end(rows, TRIALS), check_records(rows, study.folder, study.ledger)]
        if study.code != 0:
            found.append(Findings(lost=(f"did not end: exit code {study.code}: {_last_line(study.output)}",)))
        self._count(kind, *found, check_leftovers(study.folder, study.url, study.ledger), is_extra=True)

    def _count(self, kind: str, *findings: Findings, is_extra: bool = False) -> None:
        tally = self.tallies[kind]
        for found in findings:
            tally.lost += len(found.lost)
            tally.twice += len(found.twice)
            tally.orphans += len(found.orphans)
            for line in (*found.lost, *found.twice, *found.orphans):
                print(f"round {self._rounds}, after {kind}: {line}", flush=True)
        is_sound = not any(found.lost or found.twice or found.orphans for found in findings)
        if not is_extra:
            tally.survived += is_sound
        elif not is_sound:
            tally.survived -= 1


@contextmanager
def _started_server() -> Iterator[Server]:
    from tests.end_to_end.programs import postgresql_server

    with postgresql_server() as (url, start):
        server = Server(url, start)
        try:
            yield server
        finally:
            server.process.send_signal(signal.SIGINT)
            server.process.wait()


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return lines[-1] if lines else ""


def table_lines(tallies: dict[str, Tally]) -> list[str]:
    """Return the table by kind, and its sum."""
    heads = ("fault", "tried", "injected", "survived", "lost", "counted twice", "orphans")
    rows = [(kind, t.tried, t.injected, t.survived, t.lost, t.twice, t.orphans) for kind, t in tallies.items()]
    rows.append(("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    width = max(len(kind) for kind, *_ in rows)
    lines = [f"{heads[0]:<{width}}  " + "  ".join(heads[1:])]
    for kind, *numbers in rows:
        shown = (f"{number:>{len(head)}}" for number, head in zip(numbers, heads[1:], strict=True))
        lines.append(f"{kind:<{width}}  " + "  ".join(shown))
    return lines
