"""The folder of one study's results, `RUNS/NAME/`: what lies where, whose it is, and who may write to it.

Invariants: whoever writes holds the folder's lock, which a crash releases; the folder names its storage so that it can
be moved and copied, and each copy reads its own.
"""

import difflib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
from pydantic import ValidationError

from greenopt.errors import UsageError
from greenopt.files import PRIVATE, leads_out, read_json, write_whole
from greenopt.identity.belongings import EVENTS, is_own
from greenopt.identity.reference import DEFAULT_FILE, reference_to, url_of
from greenopt.runs.study_log import FILE_NAME as STUDY_LOG_FILE
from greenopt.spec import Confirms

LOCK_FILE = "coordinator.lock"
LINKS = ("confirms", "extends")
"""Keys of `[study]` by which a study names another one."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of a study's results; creating an instance touches no file."""

    path: Path

    @property
    def name(self) -> str:
        """The study's name, as its folder has it."""
        return self.path.name

    @property
    def stored_name(self) -> str:
        """The study's name in its storage, which lags behind where the folder was renamed by hand."""
        try:
            kept = self._document()["spec"]["study"]["name"]
        except (KeyError, TypeError):
            return self.name
        return kept if isinstance(kept, str) and kept else self.name

    @property
    def study_id(self) -> str | None:
        """The identity of the study that this folder belongs to; None of one from before there were any."""
        kept = self._document().get("id")
        return None if kept is None else str(kept)

    def check_links(self) -> None:
        """Check that nothing of the folder's own files leads out of it, before any of them is written to.

        Raises:
            UsageError: one of them is a link to somewhere else.
        """
        written = (self.trials, self.artifacts, self.study_file, self.study_log, self.coordinator_log)
        others = (self.path / "figures", self.path / DEFAULT_FILE, self._holder_file, self.path / LOCK_FILE)
        for path in (*written, *others):
            if leads_out(path, self.path):
                raise UsageError(
                    f"{path}: is a link that leads out of the study's folder; put what it names in its place"
                )

    @property
    def default_storage(self) -> str:
        """URL of the SQLite file that is used unless another storage is named."""
        return url_of(DEFAULT_FILE, self.path)

    @property
    def study_file(self) -> Path:
        """JSON: the study as it was last run, and where its storage is."""
        return self.path / "study.json"

    @property
    def trials(self) -> Path:
        """Folder that holds the trials' folders."""
        return self.path / "trials"

    def trial(self, number: int) -> Path:
        """Folder of a trial."""
        return self.trials / f"{number:04d}"

    def events(self, number: int) -> Path:
        """Return a trial's events, JSON lines; whose they are is for `own_events` to say."""
        return self.trial(number) / EVENTS

    def own_events(self, number: int, attempt_id: str | None) -> Path | None:
        """Return the events of an attempt; None where what lies there is of another study or attempt.

        Args:
            number: the trial's.
            attempt_id: the attempt that the storage has of it; None of a trial from before there were any.
        """
        return self._own(self.events(number), number, attempt_id)

    def log(self, number: int) -> Path:
        """Return what a trial's process printed; whose it is is for `own_log` to say."""
        return self.trial(number) / "log.txt"

    def own_log(self, number: int, attempt_id: str | None) -> Path | None:
        """Return what an attempt's process printed; None where what lies there is of another; see `own_events`."""
        return self._own(self.log(number), number, attempt_id)

    def _own(self, file: Path, number: int, attempt_id: str | None) -> Path | None:
        # A link in a folder that was handed over may lead to any file, and what is read here is shown and passed on.
        is_inside = not any(leads_out(path, self.path) for path in (file, self.events(number)))
        return file if is_inside and is_own(self.trial(number), number, attempt_id) else None

    @property
    def artifacts(self) -> Path:
        """Files that optuna-dashboard shows with trials, named by their ids."""
        return self.path / "artifacts"

    @property
    def study_log(self) -> Path:
        """What the study's coordinators did, JSON lines."""
        return self.path / STUDY_LOG_FILE

    @property
    def coordinator_log(self) -> Path:
        """What a coordinator printed that runs without a terminal."""
        return self.path / "coordinator.log"

    def write_study(
        self,
        spec: dict[str, object],
        storage: str,
        code: dict[str, str] | None = None,
        *,
        study_id: str | None = None,
        run_id: str | None = None,
    ) -> None:
        """Keep what later commands need.

        Args:
            spec: the study.
            storage: its storage's URL, without a password.
            code: what code runs it.
            study_id: its identity.
            run_id: that of the coordinator that runs it.
        """
        head = {"id": study_id, "run": run_id, "storage": reference_to(storage, self.path)}
        self._write_document({**head, "code": code or {}, "spec": spec})

    def check_sound(self) -> None:
        """Raise UsageError where `study.json` does not say what study this is."""
        try:
            name = self._document()["spec"]["study"]["name"]
        except (KeyError, TypeError):
            name = None
        if not isinstance(name, str):
            raise UsageError(f"{self.study_file}: is damaged, so the study cannot be renamed")

    def rename_study(self, **names: str) -> None:
        """Change the study's name, or that of a study that it names, in `study.json`.

        Args:
            names: `name` and those of `LINKS`, where they change.
        """
        self.check_sound()
        document = self._document()
        study = document["spec"]["study"]
        if "name" in names:
            study["name"] = names["name"]
        for link in LINKS:
            if link in names and isinstance(study.get(link), dict):
                study[link]["study"] = names[link]
        self._write_document(document)

    def _write_document(self, document: dict[str, Any]) -> None:
        self._write(self.study_file, document)

    def _write(self, file: Path, document: dict[str, Any]) -> None:
        try:
            write_whole(file, (json.dumps(document, indent=1) + "\n").encode(), PRIVATE)
        except OSError as error:
            raise UsageError(f"{file}: cannot be written: {error.strerror or error}") from None

    def storage(self) -> str:
        """URL of the storage that the study was last run with; its own, wherever the folder was moved or copied to.

        Raises:
            UsageError: there is no study here.
        """
        try:
            kept = read_json(self.study_file)["storage"]
        except FileNotFoundError:
            raise UsageError(f"{self.path}: no study here; {self._way_to_others()}") from None
        except (OSError, ValueError, KeyError, TypeError):
            kept = None
        if not isinstance(kept, str) or not kept:
            raise UsageError(f"{self.study_file}: is damaged; give the storage with --storage")
        return url_of(kept, self.path)

    def _way_to_others(self) -> str:
        there = [folder.name for folder in run_folders(self.path.parent)]
        close = difflib.get_close_matches(self.name, there, n=1)
        return f"did you mean {close[0]}?" if close else "`greenopt list` shows the existing ones"

    def code(self) -> dict[str, str]:
        """Return the code the study was last run with: `greenopt` (version), `git` (commit); empty if not recorded."""
        kept = self._document().get("code")
        return {str(name): str(value) for name, value in kept.items()} if isinstance(kept, dict) else {}

    def named_studies(self) -> dict[str, str]:
        """Return the studies that this one names, by the key that does: of `LINKS`, those that it has."""
        try:
            table = self._document()["spec"]["study"]
            return {link: str(table[link]["study"]) for link in LINKS if isinstance(table.get(link), dict)}
        except (KeyError, TypeError, AttributeError):
            return {}

    def kept_spec(self) -> object:
        """Return the study's file as it was last run with; None where it is not kept, or damaged."""
        return self._document().get("spec")

    def confirms(self) -> Confirms | None:
        """Return the trial of another study that this study confirms, if any."""
        try:
            return Confirms.model_validate(self._document()["spec"]["study"]["confirms"])
        except (KeyError, TypeError, ValidationError):
            return None

    def _document(self) -> dict[str, Any]:
        try:
            document = read_json(self.study_file)
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def holder(self) -> str | None:
        """Return who runs this study now, as `pid N on HOST`; None if nobody on this host does."""
        if not self._holder_file.exists() or not (self.path / LOCK_FILE).exists():
            # To look for a lock would make its file, in a folder that is only read here.
            return None
        lock = self._lock()
        try:
            lock.acquire(blocking=False)
        except (filelock.Timeout, PermissionError):
            return self._described_holder()
        except OSError:
            return None
        lock.release()
        return None

    def check_idle(self) -> None:
        """Raise UsageError where another process on this host runs this study."""
        if (holder := self.holder()) is not None:
            raise UsageError(f"study {self.name} is being run by {holder}")

    def claim(self) -> filelock.BaseFileLock:
        """Create the folder and hold its lock until this process ends.

        Raises:
            UsageError: another process runs this study.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be created: {error.strerror}") from None
        self.check_links()
        lock = self._lock()
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise UsageError(f"study {self.name} is being run by {self._described_holder()}") from None
        except OSError as error:
            raise UsageError(f"{lock.lock_file}: cannot be locked: {error.strerror or error}") from None
        self._write(self._holder_file, {"pid": os.getpid(), "host": socket.gethostname()})
        return lock

    def holder_pid(self) -> int | None:
        """Return the process number of the coordinator on this host; None if none runs.

        Raises:
            UsageError: it runs on another host, whose processes cannot be reached from here.
        """
        if self.holder() is None:
            return None
        holder = self._kept_holder()
        if holder is None:
            raise UsageError(f"{self._holder_file}: is damaged; study {self.name} runs, in a process that is not known")
        pid, host = holder
        if host != socket.gethostname():
            raise UsageError(f"study {self.name} runs on {host}; run the command there")
        return pid

    @property
    def _holder_file(self) -> Path:
        return self.path / "coordinator.json"

    def _lock(self) -> filelock.BaseFileLock:
        return filelock.FileLock(self.path / LOCK_FILE)

    def _described_holder(self) -> str:
        holder = self._kept_holder()
        return "another process" if holder is None else f"pid {holder[0]} on {holder[1]}"

    def _kept_holder(self) -> tuple[int, str] | None:
        """Return process number and host of who holds the lock; None where the file does not say.

        A process number below 1 would be a group of processes to whoever sends it a signal.
        """
        try:
            holder = read_json(self._holder_file)
            pid, host = holder["pid"], holder["host"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (pid, host) if type(pid) is int and 0 < pid < 2**31 and isinstance(host, str) else None


def run_folders(runs: Path) -> list[RunFolder]:
    """Return all studies under a folder, by name."""
    return [RunFolder(path.parent) for path in sorted(runs.glob("*/study.json")) if path.is_file()]
