"""Looks at the processes below a trial's supervisor: how much memory they use, and which outlived it."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil

from greenopt.execution.supervisor import MARK_VARIABLE

MEMORY_POLL_S = 0.25
_COST_SHARE = 0.02
_ROUNDS = 5


class MemoryWatch:
    """Watches how much memory a trial and all that it started hold.

    By resident memory of the whole tree. Limits of the kernel's would not do: CUDA reserves more addresses than any
    RLIMIT_AS leaves, no rlimit counts a tree, and a cgroup is seldom the user's to make.

    Attributes:
        exceeded_bytes: what was held when the limit was first seen exceeded; None before.
    """

    def __init__(self, supervisor: int, limit_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch the processes below a supervisor.

        Args:
            supervisor: its number; its own memory does not count.
            limit_bytes: the most that they may hold.
            clock: monotonic seconds.
        """
        self.exceeded_bytes: int | None = None
        self._supervisor, self._limit_bytes, self._clock = supervisor, limit_bytes, clock
        self._next_s = 0.0

    def is_over(self) -> bool:
        """Look again if it is time; return whether the limit is or was exceeded."""
        began_s = self._clock()
        if self.exceeded_bytes is None and began_s >= self._next_s:
            held_bytes = tree_bytes(self._supervisor, self._limit_bytes)
            if held_bytes > self._limit_bytes:
                self.exceeded_bytes = held_bytes
            ended_s = self._clock()
            self._next_s = ended_s + max(MEMORY_POLL_S, (ended_s - began_s) / _COST_SHARE)
        return self.exceeded_bytes is not None


def tree_bytes(ancestor: int, exact_above_bytes: int = 0) -> int:
    """Return the memory in bytes that all descendants of a process hold.

    Args:
        ancestor: number of the process.
        exact_above_bytes: up to here pages that several of them share may count several times, which is cheaper.
    """
    try:
        found = psutil.Process(ancestor).children(recursive=True)
    except psutil.Error:
        return 0
    held_bytes = sum(_resident_bytes(process) for process in found)
    return held_bytes if held_bytes <= exact_above_bytes else sum(_proportional_bytes(process) for process in found)


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _proportional_bytes(process: psutil.Process) -> int:
    """Return the memory of a process, with a page that n processes share counted as an nth."""
    try:
        with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return _resident_bytes(process)


def end_marked(mark: str, spared: Sequence[int]) -> None:
    """Kill what outlived its supervisor: processes with this mark, and their descendants.

    Args:
        mark: value of `MARK_VARIABLE` in their environment, which no other study's processes have.
        spared: supervisors of trials that are running; they and what is below them live on.
    """
    for _ in range(_ROUNDS):
        found = _outlived(mark, set(spared))
        if not found:
            return
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def _outlived(mark: str, spared: set[int]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            # What this process itself started, such as the one that trials are forked from, is in its own session.
            if process.uids().real == os.getuid() and os.getsid(process.pid) != os.getsid(0) and _has(process, mark):
                line = {process.pid, *(parent.pid for parent in process.parents())}
                if not line & spared:
                    found += [process, *process.children(recursive=True)]
    return found


def _has(process: psutil.Process, mark: str) -> bool:
    return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK_VARIABLE) == mark
