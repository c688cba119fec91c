"""Programs of the system that some tests need: found, or their tests skip with the reason; with CI=true they fail."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def needed(found: Path | None, name: str, package: str) -> Path:
    """The program, if it was found."""
    if found is not None:
        return found
    reason = f"{name} is not installed (Debian: apt-get install {package})"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def chromium() -> Path:
    found = shutil.which("chromium")
    return needed(Path(found) if found else None, "Chromium", "chromium")


def postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return needed(found[-1] if found else None, "PostgreSQL", "postgresql").parent


@contextmanager
def postgresql() -> Iterator[str]:
    """A server on this machine alone; the URL of its database."""
    with postgresql_server() as (url, start):
        server = start()
        try:
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown: does not wait for open connections
            server.wait()


@contextmanager
def postgresql_server(*, durable: bool = False) -> Iterator[tuple[str, Callable[[], "subprocess.Popen[bytes]"]]]:
    """The URL of a database and what starts its server, again and again; the caller stops it.

    Args:
        durable: whether commits wait for the disk, as they do in use; tests have no need of it.
    """
    programs = postgres_programs()
    folder = Path(tempfile.mkdtemp(prefix="greenopt-pg-"))
    # A PostgreSQL server refuses to run as root.
    user = "postgres" if os.getuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    initdb = [str(programs / "initdb"), "-D", data, "-U", "greenopt", "-A", "trust", "--no-sync"]
    subprocess.run(initdb, user=user, cwd=folder, check=True, capture_output=True)
    settings = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-c", f"fsync={'on' if durable else 'off'}"]

    def start() -> "subprocess.Popen[bytes]":
        command = [str(programs / "postgres"), "-D", data, *settings]
        server = subprocess.Popen(command, user=user, cwd=folder, stderr=subprocess.DEVNULL)
        wait_until_ready(programs, port)
        return server

    try:
        yield f"postgresql+psycopg://greenopt@127.0.0.1:{port}/postgres", start
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_ready(programs: Path, port: int) -> None:
    for _ in range(100):
        asked = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
        if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("the PostgreSQL server did not start within 10 s")
