"""Nodes of a Ray cluster on this machine, each by a `ray start` of its own, and ended with all that it started."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
START_S = 90.0
END_S = 10.0
_PROGRAMS = ("raylet", "gcs_server")
_COMMAND = (sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start")


class StartError(Exception):
    """A node did not start; the text says what it printed."""


class RayNode:
    """One `ray start --block`, with a log of what it prints."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_COMMAND, "--block", "--disable-usage-stats", *arguments],
                env={**os.environ, **environment},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, words: str) -> None:
        """Wait until its log holds these words.

        Raises:
            StartError: it ended, or did not say so in time.
        """
        deadline_s = time.monotonic() + START_S
        while words not in self.log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise StartError(self.log.read_text(errors="replace").strip()[-2000:])
            time.sleep(0.2)

    def end(self, *, abruptly: bool = False) -> None:
        """End it and all its processes; abruptly, as a power failure would."""
        processes = self._processes()
        if not abruptly:
            with suppress(ProcessLookupError):
                self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
        for process in {*processes, *self._processes()}:
            with suppress(psutil.Error):
                process.kill()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _processes(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return psutil.Process(self._process.pid).children(recursive=True)
        return []


class RayMachine:
    """A head and further nodes, in a folder of their own; `address` is for `--address`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, ""
        self._nodes: list[RayNode] = []

    def start_head(self, *arguments: str, environment: Mapping[str, str] | None = None) -> RayNode:
        """Start the head on the loopback device, where no other machine reaches it."""
        restore_permissions()
        port = free_port()
        self.address = f"127.0.0.2:{port}"
        return self._start(
            *("--head", f"--port={port}", "--node-ip-address=127.0.0.2", "--include-dashboard=false"),
            *(f"--temp-dir={self.folder / 'ray'}", "--object-store-memory=200000000", *arguments),
            environment=environment,
        )

    def add(self, *arguments: str, environment: Mapping[str, str] | None = None) -> RayNode:
        """Start another node at a loopback address of its own."""
        address = f"127.0.0.{2 + len(self._nodes)}"
        return self._start(
            *(f"--address={self.address}", f"--node-ip-address={address}", "--object-store-memory=100000000"),
            *arguments,
            environment=environment,
        )

    def _start(self, *arguments: str, environment: Mapping[str, str] | None) -> RayNode:
        node = RayNode(arguments, environment or {}, self.folder / f"node-{len(self._nodes)}.log")
        self._nodes.append(node)
        node.wait_until("Ray runtime started")
        return node

    def end(self) -> None:
        """End all nodes."""
        for node in reversed(self._nodes):
            node.end()


@contextmanager
def ray_machine() -> Iterator[RayMachine]:
    """Give a machine for nodes; all of them end with it, also where this process is told to."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Short: the paths of Ray's sockets lie in it, and may take 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="gor-", dir="/tmp"))
    machine = RayMachine(folder)
    try:
        yield machine
    finally:
        machine.end()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        port: int = probe.getsockname()[1]
        return port


def restore_permissions() -> None:
    """Make Ray's programs executable again where a wheel was unpacked without its permissions."""
    import ray

    for file in Path(str(ray.__file__)).parent.joinpath("core").rglob("*"):
        if file.name in _PROGRAMS and file.is_file() and not os.access(file, os.X_OK):
            file.chmod(file.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
