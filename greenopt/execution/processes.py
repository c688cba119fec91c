"""Starts trials' processes: in a fresh interpreter, or as a fork of a process with the imports done.

A copy begins its trial at once where a fresh interpreter imports TensorFlow for ten seconds. The process that is copied
runs no operation and no trial, so that a copy is as fresh as an interpreter.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

TRIAL_MODULE = "greenopt.trial"
PRELOADED = "greenopt.trial.preload"


class TrialProcess(Protocol):
    """A running trial, as its engine sees it."""

    @property
    def pid(self) -> int:
        """Number of the process."""
        ...

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        ...

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if the process is running."""
        ...

    def wait(self) -> int:
        """Wait until the process has ended; return its exit code."""
        ...

    def let_go(self) -> None:
        """Close the pipe to the process, which ends the process if it is still running."""
        ...


class Starter(Protocol):
    """Starts the process of a trial."""

    def start(self, spec_file: Path, log: Path, environment: Mapping[str, str]) -> tuple[TrialProcess, int]:
        """Start a trial.

        Args:
            spec_file: its specification.
            log: what it prints is appended here.
            environment: all of its environment variables.

        Returns:
            The process, and a file descriptor from which its events can be read.
        """
        ...


class FreshInterpreter:
    """A starter that runs each trial in its own interpreter."""

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", TRIAL_MODULE)) -> None:
        """Store the program, which takes a trial's specification file and `--events-fd N`."""
        self._command = tuple(command)

    def start(self, spec_file: Path, log: Path, environment: Mapping[str, str]) -> tuple[TrialProcess, int]:
        """Start a trial; see `Starter`."""
        read_end, write_end = os.pipe()
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*self._command, str(spec_file), "--events-fd", str(write_end)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[write_end],
                env=dict(environment),
                start_new_session=True,
            )
        os.close(write_end)
        return _Interpreter(process), read_end


class WarmCopy:
    """A starter that runs each trial in a fork of a process with TensorFlow imported, which ends with this one."""

    def __init__(self) -> None:
        """Prepare the fork server, which starts with the first trial."""
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([PRELOADED])

    def start(self, spec_file: Path, log: Path, environment: Mapping[str, str]) -> tuple[TrialProcess, int]:
        """Start a trial; see `Starter`.

        Raises:
            OSError, EOFError: the process to be copied could not be started or is gone.
        """
        with _silenced():
            forkserver.ensure_running()
        events, events_end = self._context.Pipe(duplex=False)
        lifeline_end, parent_pipe = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=run_trial_module, args=(str(spec_file), str(log), dict(environment), events_end, lifeline_end)
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

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        return self._process.wait()

    def let_go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


class _Copy:
    def __init__(self, process: multiprocessing.process.BaseProcess, parent_pipe: Connection) -> None:
        assert process.pid is not None
        self._process, self._parent_pipe = process, parent_pipe
        self.pid = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def signal(self, number: signal.Signals) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def let_go(self) -> None:
        self._parent_pipe.close()


def run_trial_module(
    spec_file: str, log: str, environment: dict[str, str], events: Connection, parent_pipe: Connection
) -> None:
    """Run a trial in a forked process as a fresh interpreter would."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(parent_pipe.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    # As with `python -m`: the user's modules are found in the folder where the study was started.
    sys.path.insert(0, os.getcwd())
    sys.argv = [TRIAL_MODULE, spec_file, "--events-fd", str(events.fileno())]
    runpy.run_module(TRIAL_MODULE, run_name="__main__", alter_sys=True)


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
