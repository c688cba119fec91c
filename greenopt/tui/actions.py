"""Actions of the live view: requests to the coordinator, an export, the dashboard. Called from worker threads."""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Protocol

from greenopt.errors import GreenoptError
from greenopt.runs.folder import RunFolder
from greenopt.runs.requests import Request, send

DASHBOARD_WAIT_S = 20.0
_ADDRESS = re.compile(r"https?://[^\s\x1b]+")


class Actions(Protocol):
    """Actions that the view offers; tests pass a fake. All may raise `GreenoptError`."""

    @property
    def export_target(self) -> Path:
        """Return the file that `export` writes."""
        ...

    def ask(self, request: Request) -> str:
        """Send a request to the coordinator and return a sentence on what will happen."""
        ...

    def export(self) -> str:
        """Write the trials to `export_target` and return a sentence on what was written."""
        ...

    def open_dashboard(self) -> str:
        """Start the dashboard as a separate process and return a sentence with its address."""
        ...


class StudyActions:
    """The actions for a study on this machine."""

    def __init__(self, folder: RunFolder, url: str, working_folder: Path) -> None:
        """Store the arguments; nothing is sent or started yet.

        Args:
            folder: the study's run folder.
            url: its storage's.
            working_folder: where exports go.
        """
        self._folder, self._url = folder, url
        self._dashboard: subprocess.Popen[bytes] | None = None
        self._address = ""
        self.export_target = working_folder / f"{folder.name}.csv"

    def ask(self, request: Request) -> str:
        """Send a request to the coordinator and return a sentence on what will happen."""
        if not self._folder.study_file.exists():
            raise GreenoptError("this study's run folder is not on this machine; pause or stop it where it runs")
        send(self._folder, request)
        return {
            Request.PAUSE: "no new trials until you press p again",
            Request.RESUME: "resumed: new trials start again",
            Request.STOP: "the study stops after its running trials",
            Request.STOP_NOW: "the running trials are being ended; they run again when the study is resumed",
        }[request]

    def export(self) -> str:
        """Write the trials to `export_target` and return a sentence on what was written."""
        from greenopt.exchange.export import export_trials

        count = export_trials(self._folder, self._url, self.export_target, "csv")
        return f"{count} trials -> {self.export_target}"

    def open_dashboard(self) -> str:
        """Start `greenopt dashboard` as a separate process and return a sentence with its address."""
        if self._dashboard is not None and self._dashboard.poll() is None:
            return f"the dashboard is at {self._address}"
        environment = {**os.environ, "GREENOPT_RUNS": str(self._folder.path.parent), "GREENOPT_STORAGE": self._url}
        with tempfile.TemporaryFile() as output:
            self._dashboard = subprocess.Popen(
                [sys.executable, "-m", "greenopt", "dashboard", self._folder.name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
            self._address = _await_address(self._dashboard, output)
        return f"the dashboard is at {self._address} (pid {self._dashboard.pid}; it keeps running when you leave)"


def _await_address(process: "subprocess.Popen[bytes]", output: IO[bytes]) -> str:
    """Return the first address that the dashboard's process prints.

    Raises:
        GreenoptError: it ended, or said none in time.
    """
    deadline_s = time.monotonic() + DASHBOARD_WAIT_S
    while time.monotonic() < deadline_s:
        code = process.poll()
        text = os.pread(output.fileno(), 65536, 0).decode("utf-8", "replace")
        match = _ADDRESS.search(text)
        if code is not None:
            last = next((line for line in reversed(text.splitlines()) if line.strip(" ╰─╯│")), "it printed nothing")
            raise GreenoptError(f"greenopt dashboard ended with exit code {code}: {last.strip(' │')}")
        if match is not None:
            return match.group()
        time.sleep(0.1)
    process.terminate()
    raise GreenoptError(f"greenopt dashboard printed no address within {DASHBOARD_WAIT_S:.0f} s and was ended")
