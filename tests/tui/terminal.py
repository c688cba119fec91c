"""A real terminal, as far as a program can tell."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
_STYLE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A greenopt command in a pseudo-terminal, and what it draws there."""

    def __init__(self, arguments: Sequence[str], folder: Path | None = None, size: tuple[int, int] = (120, 34)) -> None:
        self.began_s = time.monotonic()
        # COLUMNS and LINES would count more than the terminal's own size.
        others = ("GREENOPT_RUNS", "NO_COLOR", "COLUMNS", "LINES")
        environment = {name: value for name, value in os.environ.items() if name not in others}
        self._main, replica = pty.openpty()
        fcntl.ioctl(replica, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from greenopt.cli import main; main()", *arguments],
            cwd=folder,
            stdin=replica,
            stdout=replica,
            stderr=replica,
            env={**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        os.close(replica)

    def press(self, key: str) -> None:
        os.write(self._main, key.encode())

    def read_until(self, wanted: str, limit_s: float = 60.0) -> float:
        """Seconds until the text was drawn."""
        began_s, seen = time.monotonic(), b""
        while wanted.encode() not in _STYLE.sub(b"", seen):
            if time.monotonic() - began_s > limit_s:
                raise TimeoutError(f"{wanted!r} was not drawn within {limit_s} s: {_STYLE.sub(b'', seen)[-2000:]!r}")
            seen += self._read()
        return time.monotonic() - began_s

    def drain(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._read()

    def _read(self) -> bytes:
        """What has been drawn; nothing once the process has gone."""
        if not select.select([self._main], [], [], 0.05)[0]:
            return b""
        try:
            return os.read(self._main, 1 << 16)
        except OSError:
            return b""

    def finish(self, limit_s: float = 60.0) -> tuple[int, str]:
        """Exit code, and what stood on the terminal after the view had gone."""
        began_s, seen = time.monotonic(), b""
        while self.process.poll() is None and time.monotonic() - began_s < limit_s:
            seen += self._read()
        seen += self._read()
        after = seen.rpartition(b"\x1b[?1049l")[2]
        return self.process.wait(timeout=5), _STYLE.sub(b"", after).decode("utf-8", "replace")
