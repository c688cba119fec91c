"""The Ray actor that holds one slot of a cluster's node: it starts the slot's process and hands on what that tells.

It holds a GPU of Ray's as long as it lives, and its process ends with it. Invariants: what is told has a number and is
kept until the coordinator has said that it arrived, so that an answer that is lost on the way loses nothing; the end of
a trial is told after all its files.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray

from greenopt.cache_folder import cache_folder
from greenopt.execution.node_process import LOG_FILE, NodeConfiguration, trial_folder
from greenopt.execution.travel import Parcel, digest_of, unpack

REPLY_BYTES = 8_000_000
"""What one answer holds at most, but for the last piece in it."""

PIECE_BYTES = 4_000_000
LOG_EVERY_S = 1.0
_PREFIX, _LOCK = "greenopt-ray-", "lock"
_CLOSE_S = 4.0
_RAYS_OWN = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTHONBREAKPOINT", "SPT_NOENV")
"""Variables that Ray sets in its workers; a trial gets them as they were when the node was started."""


@dataclass(frozen=True)
class FilePiece:
    """A part of a file of a trial, read when it is sent.

    Attributes:
        name: the file, relative to the trial's folder.
        offset: where the part begins, in bytes.
        size_bytes: its length.
        is_last: whether the file ends with it.
    """

    name: str
    path: Path
    offset: int
    size_bytes: int
    is_last: bool

    def read(self) -> dict[str, Any]:
        """Return the part as a message; one that cannot be read any more is empty."""
        content = b""
        with suppress(OSError), self.path.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.size_bytes)
        return {"kind": "file", "name": self.name, "offset": self.offset, "content": content, "is_last": self.is_last}


class RaySlot:
    """A slot on a node of the cluster. Commands come one after another; `poll` may wait beside them."""

    def __init__(self) -> None:
        remove_abandoned()
        self._folder, self._lock = locked_folder()
        self._process: subprocess.Popen[bytes] | None = None
        self._changed = threading.Condition()
        self._outbox: deque[tuple[int, dict[str, Any] | FilePiece]] = deque()
        self._last = 0
        self._trial: int | None = None
        self._log_sent_bytes = 0
        self._log_limit_bytes = 0
        self._log_looked_s = 0.0
        self._places: dict[Parcel, Path] = {}
        # Where nothing is kept for later studies, data that travelled last as long as this slot.
        self._travelled = (cache_folder() or self._folder) / "travelled"

    def open(self, on_gpu: bool, share: bool, command: tuple[str, ...], variables: Mapping[str, str]) -> None:
        """Start the slot's process; what it is follows by `poll`.

        Args:
            on_gpu: whether the slot is the GPU that Ray gave this actor, or the CPU.
            share: whether other processes may compute on the GPU.
            command: program in the place of a trial's, for tests.
            variables: environment variables of the coordinator's that trials get too.
        """
        _take_nodes_priority()
        gpus = _given_gpu() if on_gpu else None
        configuration = NodeConfiguration(str(self._folder / "slot"), gpus, share, command)
        home = self._folder / "home"
        home.mkdir()
        with (self._folder / "node.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "greenopt.execution.node_process", json.dumps(asdict(configuration))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**node_environment(), **variables},
                cwd=home,
                start_new_session=True,
            )
        threading.Thread(target=self._read, name="messages", daemon=True).start()

    def missing(self, parcels: list[Parcel]) -> list[Parcel]:
        """Return which of the user's data this node has neither under their own path nor from earlier."""
        return [parcel for parcel in parcels if self._place(parcel) is None]

    def _place(self, parcel: Parcel) -> Path | None:
        """Return where the data are on this node, looked for once."""
        found = self._places.get(parcel) or self._found(parcel)
        if found is not None:
            self._places[parcel] = found
        return found

    def store(self, parcel: Parcel, piece: bytes, offset: int, is_last: bool) -> str | None:
        """Take a piece of an archive with data of the user's; return why they cannot be kept, None where they can."""
        archive = self._folder / f"{parcel.digest}.tar"
        self._places.pop(parcel, None)
        try:
            with archive.open("ab" if offset else "wb") as file:
                file.write(piece)
            return self._unpacked(parcel, archive) if is_last else None
        except (OSError, tarfile.TarError) as error:
            return f"{parcel.path}: {error}"

    def _found(self, parcel: Parcel) -> Path | None:
        """Return where the data are on this node: as they travelled, or under their own path if they are the same."""
        own, kept = Path(parcel.path).expanduser(), self._travelled / parcel.digest / own_name(parcel)
        if kept.exists():
            return kept
        with suppress(OSError):
            if own.exists() and digest_of(own) == parcel.digest:
                return own
        return None

    def _unpacked(self, parcel: Parcel, archive: Path) -> str | None:
        """Unpack an archive that has arrived and check its contents; return what is wrong with them."""
        target = self._travelled / parcel.digest
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".arriving-", dir=target.parent))
        try:
            unpack(archive, made)
            if digest_of(made / own_name(parcel)) != parcel.digest:
                return f"{parcel.path}: what arrived is not what was sent"
            with suppress(OSError):  # another slot of this node was faster
                made.rename(target)
            return None if target.exists() else f"{target}: cannot be written"
        finally:
            archive.unlink(missing_ok=True)
            shutil.rmtree(made, ignore_errors=True)

    def start(self, spec: Mapping[str, Any], code: Mapping[str, bytes], parcels: list[Parcel]) -> None:
        """Start a trial with the user's modules, by their paths, and with their data."""
        trial = int(spec["trial"])
        try:
            placed = self._placed(spec, code, parcels)
        except OSError as error:
            tail = f"it could not be started: {error}"
            self._put({"kind": "ended", "trial": trial, "exit_code": 1, "signal": None, "log_tail": tail})
            return
        self._log_sent_bytes, self._log_limit_bytes = 0, int(spec["training"]["log_limit"])
        self._trial = trial
        self._command({"start": placed})

    def end(self, trial: int) -> None:
        """Ask a trial to end."""
        self._command({"end": trial})

    @ray.method(concurrency_group="listening")  # type: ignore[untyped-decorator]
    def poll(self, arrived: int, timeout_s: float) -> list[tuple[int, dict[str, Any]]]:
        """Return what has not arrived, oldest first, with its numbers; wait for the first.

        Args:
            arrived: the highest number that arrived.
            timeout_s: how long to wait at most.
        """
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while self._outbox and self._outbox[0][0] <= arrived:
                self._outbox.popleft()
            while True:
                self._look_at_log()
                left_s = until_s - time.monotonic()
                if self._outbox or left_s <= 0:
                    return list(self._reply())
                self._changed.wait(min(left_s, LOG_EVERY_S) if self._trial is not None else left_s)

    def close(self) -> None:
        """End the slot's process, and with it what runs."""
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_CLOSE_S)
            process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)

    def _reply(self) -> Iterator[tuple[int, dict[str, Any]]]:
        total_bytes = 0
        for number, item in self._outbox:
            message = item.read() if isinstance(item, FilePiece) else item
            yield number, message
            total_bytes += len(message["content"]) if message["kind"] == "file" else len(message.get("event", ""))
            if total_bytes >= REPLY_BYTES:
                return

    def _put(self, item: dict[str, Any] | FilePiece) -> None:
        with self._changed:
            self._last += 1
            self._outbox.append((self._last, item))
            self._changed.notify_all()

    def _command(self, command: Mapping[str, Any]) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        with suppress(OSError):  # its end is told by the reader
            process.stdin.write(json.dumps(command).encode() + b"\n")
            process.stdin.flush()

    def _read(self) -> None:
        """Take the process's messages until it ends."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            if message["kind"] == "ended":
                self._put_files(message["trial"])
            self._put(message)
        lines = (self._folder / "node.log").read_text(errors="replace").strip().splitlines()
        said = lines[-1] if lines else "it printed nothing"
        self._put({"kind": "gone", "reason": f"its process ended with {process.wait()}: {said}"})

    def _look_at_log(self) -> None:
        """Put what the running trial has printed, but for the part that its log may yet leave out."""
        if self._trial is None or time.monotonic() < self._log_looked_s + LOG_EVERY_S:
            return
        self._log_looked_s = time.monotonic()
        # The first half of a log stays as it is, but for a line that it ends with.
        stays_bytes = max(0, self._log_limit_bytes // 2 - 65536)
        log = trial_folder(self._folder / "slot", self._trial) / LOG_FILE
        with suppress(OSError):
            end = min(log.stat().st_size, stays_bytes)
            self._put_pieces(LOG_FILE, log, end, is_whole=False)

    def _put_pieces(self, name: str, path: Path, end: int, *, is_whole: bool) -> None:
        start = self._log_sent_bytes if name == LOG_FILE else 0
        offsets = range(start, end, PIECE_BYTES)
        for offset in offsets:
            size_bytes = min(PIECE_BYTES, end - offset)
            is_last = is_whole and offset + size_bytes == end
            self._put(FilePiece(name, path, offset, size_bytes, is_last))
        if name == LOG_FILE:
            self._log_sent_bytes = max(start, end)
        elif not offsets:
            self._put(FilePiece(name, path, 0, 0, is_last=True))

    def _put_files(self, trial: int) -> None:
        """Put the rest of a trial's log, and what it kept."""
        with self._changed:
            self._trial = None
            folder = trial_folder(self._folder / "slot", trial)
            for path in sorted(folder.rglob("*")):
                name = str(path.relative_to(folder))
                if path.is_file() and not path.is_symlink() and name != "spec.json":
                    with suppress(OSError):
                        self._put_pieces(name, path, path.stat().st_size, is_whole=True)

    def _placed(self, spec: Mapping[str, Any], code: Mapping[str, bytes], parcels: list[Parcel]) -> dict[str, Any]:
        """Return a trial's specification with the paths of this node, where its files are now.

        Raises:
            OSError: they could not be written.
        """
        shutil.rmtree(self._folder / "slot" / "trials", ignore_errors=True)
        modules = self._folder / "modules"
        shutil.rmtree(modules, ignore_errors=True)
        for name, content in code.items():
            target = modules / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        places = {parcel.path: str(found) for parcel in parcels if (found := self._place(parcel)) is not None}
        placed = json.loads(json.dumps(spec))
        placed["modules_folder"] = str(modules) if code else None
        if placed.get("model_folder") is not None:
            placed["model_folder"] = str(trial_folder(self._folder / "slot", int(spec["trial"])))
        for table, key in (("data", "path"), ("training", "weights")):
            holder = placed.get(table)
            if holder is not None and holder.get(key) in places:
                holder[key] = places[holder[key]]
        return dict(placed)


def locked_folder() -> tuple[Path, int]:
    """Make a folder for one slot; return it with the descriptor of a lock that ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return folder, lock


def remove_abandoned() -> None:
    """Remove this user's folders of slots that were killed, with their nodes or their coordinators."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def node_environment(
    environment: Mapping[str, str] | None = None, node: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a program on this node: without what Ray sets for its own workers.

    Args:
        environment: this worker's.
        node: that of the process that started the worker; what cannot be read counts as empty.
    """
    environment = os.environ if environment is None else environment
    node = _parents_environment() if node is None else node
    kept = {name: value for name, value in environment.items() if not name.startswith("RAY_") and name not in _RAYS_OWN}
    return {**kept, **{name: node[name] for name in _RAYS_OWN if name in node}}


def _given_gpu() -> str:
    """Return the GPU that Ray gave this actor, as CUDA_VISIBLE_DEVICES would name it: an index of NVML's, or a UUID."""
    return ",".join(ray.get_runtime_context().get_accelerator_ids()["GPU"])


def _take_nodes_priority() -> None:
    """Run as the node's own process does, where that is allowed: Ray's workers are nice to all others, by 15."""
    import psutil

    with suppress(psutil.Error, OSError):
        os.setpriority(os.PRIO_PROCESS, 0, psutil.Process(os.getppid()).nice())


def _parents_environment() -> dict[str, str]:
    import psutil

    try:
        return dict(psutil.Process(os.getppid()).environ())
    except psutil.Error:
        return {}


def own_name(parcel: Parcel) -> str:
    """Return the last part of the data's path, which tells its format."""
    return Path(parcel.path).name or "data"
