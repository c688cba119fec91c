"""Starts trials' processes: in a fresh interpreter, or as a fork of a process with the imports done.

A copy begins its trial at once where a fresh interpreter imports TensorFlow for ten seconds. The process that is copied
runs no operation and no trial, so that a copy is as fresh as an interpreter. Either way each trial has a supervisor of
its own, a process between this one and the trial; see `supervisor`.
"""

import json
import multiprocessing
import os
import runpy
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from greenopt.execution import supervisor
from greenopt.execution.supervisor import MARK_VARIABLE

TRIAL_MODULE = "greenopt.trial"
PRELOADED = "greenopt.trial.preload"


class TrialProcess(Protocol):
    """A running trial, as its engine sees it: the process that supervises it and ends as it does."""

    @property
    def pid(self) -> int:
        """Number of the supervising process."""
        ...

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the trial or something that it started runs."""
        ...

    def terminate(self) -> None:
        """Ask the trial to end."""
        ...

    def kill(self) -> None:
        """Have the trial and all that it started killed, without waiting."""
        ...

    def kill_supervisor(self) -> None:
        """Kill a supervisor that does not react; its trial dies with it, what the trial started need not."""
        ...

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait until the trial and all that it started have ended; return its exit code, None after a timeout."""
        ...


class Starter(Protocol):
    """Starts the process of a trial."""

    def start(
        self, spec_file: Path, log: Path, environment: Mapping[str, str], log_limit_bytes: int
    ) -> tuple[TrialProcess, int]:
        """Start a trial.

        Args:
            spec_file: its specification.
            log: what it prints is appended here.
            environment: all of its environment variables.
            log_limit_bytes: the most that the log may take; the middle of what is printed is left out.

        Returns:
            The process, and a file descriptor from which its events can be read.
        """
        ...


class FreshInterpreter:
    """A starter that runs each trial in its own interpreter."""

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", TRIAL_MODULE)) -> None:
        """Store the program, which takes a trial's specification file and `--events-fd N`."""
        self._command = tuple(command)

    def start(
        self, spec_file: Path, log: Path, environment: Mapping[str, str], log_limit_bytes: int
    ) -> tuple[TrialProcess, int]:
        """Start a trial; see `Starter`."""
        read_end, write_end = os.pipe()
        told = {
            "command": [*self._command, str(spec_file), "--events-fd", str(write_end)],
            "log": str(log),
            "limit_bytes": log_limit_bytes,
            "events_fd": write_end,
        }
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-S", "-E", supervisor.__file__, json.dumps(told)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[write_end],
                env={**environment, MARK_VARIABLE: own_mark()},
                start_new_session=True,
            )
        os.close(write_end)
        return _Interpreter(process), read_end


class WarmCopy:
    """A starter that runs each trial in a fork of a process with TensorFlow imported, which ends with this one."""

    def __init__(self, preloaded: str = PRELOADED) -> None:
        """Prepare the fork server, which imports a module and starts with the first trial."""
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([preloaded])

    def start(
        self, spec_file: Path, log: Path, environment: Mapping[str, str], log_limit_bytes: int
    ) -> tuple[TrialProcess, int]:
        """Start a trial; see `Starter`.

        Raises:
            OSError, EOFError: the process to be copied could not be started or is gone.
        """
        with _silenced(), _marked():
            forkserver.ensure_running()
        events, events_end = self._context.Pipe(duplex=False)
        lifeline_end, parent_pipe = self._context.Pipe(duplex=False)
        marked = {**environment, MARK_VARIABLE: own_mark()}
        process = self._context.Process(
            target=run_trial_module,
            args=(str(spec_file), str(log), marked, events_end, lifeline_end, log_limit_bytes),
        )
        process.start()
        events_end.close()
        lifeline_end.close()
        descriptor = os.dup(events.fileno())
        events.close()
        return _Copy(process, parent_pipe), descriptor


class _Interpreter:
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def kill_supervisor(self) -> None:
        self._process.kill()

    def wait(self, timeout_s: float | None = None) -> int | None:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


class _Copy:
    def __init__(self, process: multiprocessing.process.BaseProcess, parent_pipe: Connection) -> None:
        assert process.pid is not None
        self._process, self._parent_pipe = process, parent_pipe
        self.pid = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._parent_pipe.close()

    def kill_supervisor(self) -> None:
        self._signal(signal.SIGKILL)

    def wait(self, timeout_s: float | None = None) -> int | None:
        self._process.join(timeout_s)
        return self._process.exitcode

    def _signal(self, number: signal.Signals) -> None:
        if self._process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def run_trial_module(
    spec_file: str,
    log: str,
    environment: dict[str, str],
    events: Connection,
    parent_pipe: Connection,
    log_limit_bytes: int,
) -> None:
    """Run a trial as a fresh interpreter would, in a fork of this forked process, which supervises it."""
    os.setsid()
    events_fd = events.fileno()

    def run() -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(environment)
        # As with `python -m`: the user's modules are found in the folder where the study was started.
        sys.path.insert(0, os.getcwd())
        sys.argv = [TRIAL_MODULE, spec_file, "--events-fd", str(events_fd)]
        runpy.run_module(TRIAL_MODULE, run_name="__main__", alter_sys=True)

    written = supervisor.CappedLog(log, log_limit_bytes)
    supervisor.end_as(supervisor.supervise(run, written, parent_pipe.fileno(), own=[events_fd]))


@cache
def own_mark() -> str:
    """Return what `MARK_VARIABLE` is in the environment of all that this process's trials start."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"


@contextmanager
def _marked() -> Iterator[None]:
    """Put the mark in this process's environment, for a process that inherits it."""
    os.environ[MARK_VARIABLE], before = own_mark(), os.environ.get(MARK_VARIABLE)
    try:
        yield
    finally:
        if before is None:
            del os.environ[MARK_VARIABLE]
        else:
            os.environ[MARK_VARIABLE] = before


@contextmanager
def _silenced() -> Iterator[None]:
    """Discard standard output and error, for a process that inherits them."""
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, nowhere):
            os.close(descriptor)
