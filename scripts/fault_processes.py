"""Processes of `scripts/fault_session`: commands of greenopt and trials that draw known energy, forked to be quick.

A forked command runs the very code of `greenopt`, with a trainer of its own: each epoch draws an energy that stands in
a ledger before the meter shows it. A page of memory that all processes share tells them which faults to make.
"""

import ctypes
import fcntl
import importlib
import json
import mmap
import os
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from greenopt.energy.trial_meter import Readings
from greenopt.events import MeterOpened, PowerSampled
from greenopt.execution import supervisor
from greenopt.execution.processes import own_mark
from greenopt.reading import EnergyReading, EnergySource

EPOCHS = 4
_REAL_TIME = time.time


class Controls:
    """What faults the commands make, in memory that forked processes share."""

    _FIELDS = ("clock_offset_s", "statement_s", "disk_is_full", "kill_at_write", "kills_after_commit", "writes")

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 4096)

    def __getitem__(self, name: str) -> float:
        return float(struct.unpack_from("d", self._page, 8 * self._FIELDS.index(name))[0])

    def __setitem__(self, name: str, value: float) -> None:
        struct.pack_into("d", self._page, 8 * self._FIELDS.index(name), value)

    def reset(self) -> None:
        for name in self._FIELDS:
            self[name] = 0.0


CONTROLS = Controls()


def epoch_wh(trial: int, epoch: int) -> float:
    """What an epoch of a trial draws, in Wh."""
    return 1.0 + 0.1 * epoch + 0.001 * trial


@dataclass(frozen=True)
class _Mark:
    t_s: float
    drawn_wh: float


class LedgerMeter:
    """Shows what was drawn, exactly; see `greenopt.trial.journal.Meter`."""

    current: "LedgerMeter"

    def __init__(self, trial: int, emit_sample: Callable[[PowerSampled], None], ledger: Path) -> None:
        self._trial, self._emit, self._ledger = trial, emit_sample, ledger
        self.drawn_wh = 0.0
        self._stop = threading.Event()
        LedgerMeter.current = self

    def __enter__(self) -> Self:
        threading.Thread(target=self._sample, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def draw(self, epoch: int) -> None:
        energy_wh = epoch_wh(self._trial, epoch)
        line = json.dumps({"trial": self._trial, "pid": os.getpid(), "epoch": epoch, "wh": energy_wh}) + "\n"
        descriptor = os.open(self._ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(descriptor, line.encode())
        os.close(descriptor)
        self.drawn_wh += energy_wh

    def mark(self) -> Any:
        return _Mark(time.monotonic(), self.drawn_wh)

    def between(self, start: _Mark, end: _Mark) -> Readings:
        energy_wh, seconds = end.drawn_wh - start.drawn_wh, end.t_s - start.t_s
        if energy_wh <= 0 or seconds <= 0:
            return Readings.missing("nothing was drawn")
        return Readings(
            EnergyReading(
                energy_wh=energy_wh, source=EnergySource.RAPL, seconds=seconds, uncertainty_wh=0.0, coverage=1.0
            )
        )

    def so_far(self, start: _Mark | None = None) -> Readings:
        return self.between(start or _Mark(0.0, 0.0), self.mark())

    def _sample(self) -> None:
        while not self._stop.wait(0.1):
            if self.drawn_wh:
                self._emit(
                    PowerSampled(t_s=time.monotonic(), energy_wh=self.drawn_wh, source=EnergySource.RAPL, power_w=None)
                )


def draws(trial: Any) -> float:
    """The objective function: four epochs of known energy, a third of a second in all."""
    trial.begin()
    for epoch in range(1, EPOCHS + 1):
        LedgerMeter.current.draw(epoch)
        time.sleep(0.08)
        trial.end_epoch(0.1 * epoch)
    return 0.1 * EPOCHS


class ForkStarter:
    """Starts a trial as a fork of its coordinator, which has everything imported; see `greenopt.execution`."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger

    def start(
        self, spec_file: Path, log: Path, environment: Mapping[str, str], log_limit_bytes: int
    ) -> tuple["_Forked", int]:
        read_end, write_end = os.pipe()
        lifeline, held = os.pipe()
        marked = {**environment, supervisor.MARK_VARIABLE: own_mark()}
        pid = os.fork()
        if pid == 0:
            try:
                _become_trial(spec_file, log, marked, (write_end, lifeline), self._ledger, log_limit_bytes)
            finally:
                os._exit(99)
        os.close(write_end)
        os.close(lifeline)
        return _Forked(pid, held), read_end


class _Forked:
    def __init__(self, pid: int, held: int) -> None:
        self.pid, self._held = pid, held
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if found else None
        return self._code

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def kill_supervisor(self) -> None:
        self._signal(signal.SIGKILL)

    def wait(self, timeout_s: float | None = None) -> int | None:
        until_s = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        while (code := self.poll()) is None and time.monotonic() < until_s:
            time.sleep(0.005)
        return code

    def _signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _become_trial(
    spec_file: Path,
    log: Path,
    environment: Mapping[str, str],
    pipes: tuple[int, int],
    ledger: Path,
    log_limit_bytes: int,
) -> None:
    """Become the supervisor of a trial, as a copy of the warm process does; the trial's events go to descriptor 3."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    events, lifeline = (fcntl.fcntl(pipe, fcntl.F_DUPFD, 10) for pipe in pipes)
    for source, target in ((nowhere, 0), (nowhere, 1), (nowhere, 2), (events, 3), (lifeline, 4)):
        os.dup2(source, target, inheritable=True)
    # The lock of the run folder and the storage's connections are the coordinator's alone.
    os.closerange(5, 1024)
    written = supervisor.CappedLog(str(log), log_limit_bytes)
    supervisor.end_as(supervisor.supervise(lambda: _run_trial(spec_file, environment, ledger), written, 4, own=[3]))


def _run_trial(spec_file: Path, environment: Mapping[str, str], ledger: Path) -> None:
    from greenopt.trial import __main__ as program

    os.environ.clear()
    os.environ.update(environment)

    def open_meters(spec: Any, emit: Callable[[Any], None], emit_sample: Any) -> LedgerMeter:
        emit(
            MeterOpened(t_s=time.monotonic(), device="a ledger", source=EnergySource.RAPL, idle_origin="no idle power")
        )
        return LedgerMeter(spec.trial, emit, ledger)

    vars(program)["open_meters"] = open_meters
    program.main([str(spec_file), "--events-fd", "3"])


def preload() -> None:
    """Import what commands and trials import while they run, so that forks need not."""
    for name in _MODULES:
        importlib.import_module(name)
    from greenopt.search import open_storage

    with tempfile.TemporaryDirectory() as folder:
        # What Optuna and SQLAlchemy import for themselves, they import at the first use.
        storage = open_storage(f"sqlite:///{folder}/study.db")
        storage._backend.engine.dispose()  # type: ignore[attr-defined]


_MODULES = (
    *("greenopt.cli.run", "greenopt.cli.session", "greenopt.cli.summary_output", "greenopt.coordination.coordinator"),
    *("greenopt.coordination.preflight", "greenopt.coordination.progress", "greenopt.coordination.study_log_writer"),
    *(
        "greenopt.dashboard",
        "greenopt.execution.gpus",
        "greenopt.identity.start",
        "greenopt.search",
        "greenopt.tui.state",
    ),
    *("greenopt.tui.state.reader", "greenopt.trial.__main__", "greenopt.trial.objective", "scripts.fault_processes"),
    *("sqlalchemy.dialects.sqlite", "optuna.storages._rdb.alembic", "alembic.command", "rich.table", "rich.console"),
    *(
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_svg",
        "greenopt.dashboard.files",
    ),
    *("plotly.graph_objs.layout", "plotly.graph_objs.scatter", "plotly.io", "numpy.random", "rich._emoji_codes"),
    *("plotly.graph_objects", "psycopg", "sqlalchemy.dialects.postgresql.psycopg"),
)


def fork_command(arguments: list[str], output: Path, ledger: Path, *, folder: Path) -> int:
    """Run `greenopt` with these arguments in a process of its own; return its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 98
    try:
        os.setsid()
        os.chdir(folder)
        heed_permissions()
        written = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(written, 1)
        os.dup2(written, 2)
        code = _run_command(arguments, ledger)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def heed_permissions() -> None:
    """Give up root's right to write where permissions forbid it, so that a read-only folder is one."""
    if os.getuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", 0x20080522, 0)
    data = ctypes.create_string_buffer(24)
    libc.capget(header, data)
    words = list(struct.unpack("6I", data.raw))
    for at in (0, 1, 2):  # effective, permitted, inheritable: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
        words[at] &= ~0b110
    if libc.capset(header, struct.pack("6I", *words)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _run_command(arguments: list[str], ledger: Path) -> int:
    import greenopt.execution
    from greenopt.cli import main
    from greenopt.execution import LocalEngine

    greenopt.execution.LocalEngine = lambda slots: LocalEngine(slots, ForkStarter(ledger))  # type: ignore[assignment,misc]
    time.time = lambda: _REAL_TIME() + CONTROLS["clock_offset_s"]
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    # What its user would read is judged: an error that a command does not expect is "internal error".
    os.environ.pop("GREENOPT_DEBUG", None)
    _listen_to_storage()
    sys.argv = ["greenopt", *arguments]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _listen_to_storage() -> None:
    """Make the storage slow, full or deadly where the controls say so."""
    import sqlite3

    import sqlalchemy
    from sqlalchemy import event

    def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        time.sleep(CONTROLS["statement_s"])
        if CONTROLS["disk_is_full"] and not statement.lstrip().startswith("SELECT"):
            raise sqlalchemy.exc.OperationalError(statement, {}, sqlite3.OperationalError("database or disk is full"))

    def committing(connection: Any) -> None:
        CONTROLS["writes"] += 1
        if CONTROLS["writes"] == CONTROLS["kill_at_write"]:
            if CONTROLS["kills_after_commit"]:
                connection.connection.dbapi_connection.commit()
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(sqlalchemy.Engine, "before_cursor_execute", before)
    event.listen(sqlalchemy.Engine, "commit", committing)
