"""Trials on this host: one fresh process a trial, pinned to one whole GPU by UUID, or to the CPU.

Invariants: a trial's supervisor holds a pipe whose other end is this process's, so that the trial and all that it
started end when this process does, however that happens; both have process sessions of their own, so that Ctrl-C in a
terminal reaches the coordinator alone. A trial's end is told once nothing that it started runs any more.
"""

import os
import selectors
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from greenopt.events import decode
from greenopt.execution.contract import EventArrived, Message, ProcessEnded, Slot
from greenopt.execution.process_trees import MEMORY_POLL_S, MemoryWatch, end_marked
from greenopt.execution.processes import FreshInterpreter, Starter, TrialProcess, WarmCopy, own_mark
from greenopt.files import append_privately, last_lines
from greenopt.spec import TrialSpec
from greenopt.storage.url import STORAGE_VARIABLE

GRACE_S = 10.0
MEMORY_GRACE_S = 2.0
"""Time to write the last event of a trial that uses too much memory."""

SUPERVISOR_GRACE_S = 15.0
"""Time in which a supervisor must have killed its trial; it gives up sooner by itself."""

CLOSE_S = 3.0
LINGER_POLL_S = 0.05
LOG_TAIL_LINES = 20

START_VARIABLE = "GREENOPT_START"
"""Environment variable; `fresh` has every trial import for itself, should copies make trouble on some machine."""


@dataclass
class _Child:
    trial: int
    process: TrialProcess
    events: BinaryIO
    log: Path
    memory: MemoryWatch | None = None
    unread: bytes = b""
    kill_at_s: float | None = None
    is_killed: bool = False
    at_end: bool = False


class LocalEngine:
    """Processes on this host; see `Engine`."""

    def __init__(self, slots: Sequence[Slot], starter: Starter | None = None) -> None:
        """Prepare the engine; nothing runs yet.

        Args:
            slots: where trials may run.
            starter: starts processes; unless given, copies of a warm one for greenopt's own training, and fresh
                interpreters for functions, which may not need TensorFlow.
        """
        self._slots = tuple(slots)
        self._fresh = starter or FreshInterpreter()
        self._warm = starter or (self._fresh if os.environ.get(START_VARIABLE) == "fresh" else WarmCopy())
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()

    @property
    def slots(self) -> Sequence[Slot]:
        """All slots, busy or not."""
        return self._slots

    def start(self, spec: TrialSpec, slot: Slot, log: Path) -> None:
        """Start a trial; its specification is written beside its log."""
        spec_file = log.with_name("spec.json")
        # Made here with its permissions: what a trial prints may be anything.
        append_privately(log).close()
        spec_file.write_text(spec.model_dump_json(indent=1) + "\n", encoding="utf-8")
        process, read_end = self._process(spec, spec_file, log, child_environment(os.environ, slot))
        os.set_blocking(read_end, False)
        limit_bytes = spec.training.memory_limit
        memory = None if limit_bytes is None else MemoryWatch(process.pid, limit_bytes)
        child = _Child(spec.trial, process, os.fdopen(read_end, "rb", buffering=0), log, memory)
        self._children[spec.trial] = child
        self._selector.register(child.events, selectors.EVENT_READ, child)

    def _process(
        self, spec: TrialSpec, spec_file: Path, log: Path, environment: Mapping[str, str]
    ) -> tuple[TrialProcess, int]:
        if spec.objective is None:
            try:
                return self._warm.start(spec_file, log, environment, spec.training.log_limit)
            except (OSError, EOFError):
                # The fork server has ended, or failed to import; the log of a fresh interpreter shows why.
                self._warm = self._fresh
        return self._fresh.start(spec_file, log, environment, spec.training.log_limit)

    def receive(self, timeout_s: float) -> list[Message]:
        """Events of all children, and the ends of those that are gone."""
        if not self._children:
            return []
        messages: list[Message] = []
        for key, _ in self._selector.select(min(timeout_s, self._poll_s())):
            messages += self._read(key.data)
        for child in list(self._children.values()):
            if child.process.poll() is not None:
                messages += self._reap(child)
            elif child.kill_at_s is not None and time.monotonic() >= child.kill_at_s:
                self._kill(child)
            elif child.memory is not None and child.kill_at_s is None and child.memory.is_over():
                self._terminate(child, MEMORY_GRACE_S)
        return messages

    def _poll_s(self) -> float:
        """Return how long to wait at most for the next event, for what no event tells."""
        children = self._children.values()
        lingering = any(child.at_end or child.kill_at_s is not None for child in children)
        watched = [MEMORY_POLL_S for child in children if child.memory is not None]
        return LINGER_POLL_S if lingering else min(watched, default=float("inf"))

    def end(self, trial: int) -> None:
        """Send SIGTERM, and SIGKILL from `receive` after `GRACE_S`."""
        child = self._children.get(trial)
        if child is not None and child.kill_at_s is None:
            self._terminate(child, GRACE_S)

    def _terminate(self, child: _Child, grace_s: float) -> None:
        child.kill_at_s = time.monotonic() + grace_s
        child.process.terminate()

    def _kill(self, child: _Child) -> None:
        """Have the supervisor kill the trial; the next time, kill the supervisor."""
        (child.process.kill_supervisor if child.is_killed else child.process.kill)()
        child.is_killed, child.kill_at_s = True, time.monotonic() + SUPERVISOR_GRACE_S

    def close(self) -> None:
        """Kill running trials."""
        children = list(self._children.values())
        for child in children:
            child.process.kill()
        until_s = time.monotonic() + CLOSE_S
        for child in children:
            if child.process.wait(max(0.0, until_s - time.monotonic())) is None:
                child.process.kill_supervisor()
            self._reap(child)
        self._selector.close()

    def _read(self, child: _Child) -> list[Message]:
        """Return the complete lines that have arrived; mark the child when its pipe has closed."""
        while True:
            try:
                chunk = child.events.read(65536)
            except BlockingIOError:
                break
            if chunk is None:
                break
            if chunk == b"":
                self._hang_up(child)
                break
            child.unread += chunk
        *lines, child.unread = child.unread.split(b"\n")
        messages: list[Message] = []
        for line in lines:
            try:
                messages.append(EventArrived(child.trial, decode(line)))
            except ValidationError:
                continue
        return messages

    def _hang_up(self, child: _Child) -> None:
        """Give a child that has closed its pipe `GRACE_S` to exit."""
        if child.at_end:
            return
        child.at_end = True
        self._selector.unregister(child.events)
        child.kill_at_s = child.kill_at_s or time.monotonic() + GRACE_S

    def _reap(self, child: _Child) -> list[Message]:
        """Read the remaining output of an exited process, and forget the process."""
        messages = self._read(child)
        self._hang_up(child)
        code = child.process.wait(CLOSE_S)
        if code is None:
            # Killed, but what tells so, the process that trials are forked from, does not run: it may be stopped.
            code = -signal.SIGKILL
        child.events.close()
        child.process.kill()
        del self._children[child.trial]
        if code == -signal.SIGKILL:
            # The trial was killed, or its supervisor, and then nobody else ends what the trial started.
            end_marked(own_mark(), spared=[other.process.pid for other in self._children.values()])
        messages.append(
            ProcessEnded(
                child.trial,
                None if code < 0 else code,
                signal.Signals(-code).name if code < 0 else None,
                "\n".join(last_lines(child.log, LOG_TAIL_LINES)),
                child.memory.exceeded_bytes if child.memory is not None else None,
            )
        )
        return messages


def child_environment(environment: Mapping[str, str], slot: Slot) -> dict[str, str]:
    """Return a trial's environment: this one, with only the slot's GPU visible, or none for the CPU."""
    pinned = {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": slot.cuda_name or slot.gpu_uuid or "-1",
        "PYTHONUNBUFFERED": "1",
    }
    # Trials never touch the storage, and what runs in them is anybody's code.
    public = {name: value for name, value in environment.items() if name != STORAGE_VARIABLE}
    return {"TF_CPP_MIN_LOG_LEVEL": "1", **public, **pinned}
