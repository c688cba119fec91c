"""Supervises one trial: stands between coordinator and trial, and ends whatever the trial started when the trial ends.

Invariants: no descendant of the trial outlives this process, whether the trial ended by itself, was killed, or lost its
coordinator, and whether or not the descendant left the trial's session: as a subreaper this process inherits those
whose parents have died. The trial's log never takes more than its limit, and what the trial prints is read even when
nothing can be written. This process ends as the trial did: with its exit code, or by its signal.

Runs as a script in an interpreter without site-packages, which starts in some 20 ms, and in a fork of the warm process:
the standard library alone is imported.
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import FrameType

MARK_VARIABLE = "GREENOPT_MARK"
"""Environment variable by which a coordinator finds what belongs to its trials, should a supervisor be killed."""

LEFTOVER_GRACE_S = 1.0
"""Processes that a trial leaves get SIGTERM, and SIGKILL after this time."""

GIVE_UP_S = 10.0
"""A process that survives SIGKILL so long waits inside the kernel or belongs to another user."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CHUNK_BYTES = 65536
_OOM_SCORE = 300
_FORWARDED = (signal.SIGTERM, signal.SIGINT)


class CappedLog:
    """A file that keeps the first and the last part of what is written, and says what was left out between them."""

    def __init__(self, path: str, limit_bytes: int) -> None:
        """Append to a file, which is made if need be.

        Args:
            path: the file.
            limit_bytes: the most that it may take.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._limit_bytes = limit_bytes
        self._size_bytes = os.lseek(self._file, 0, os.SEEK_END)
        self._head_bytes: int | None = None
        self._left_out_bytes = 0
        self._note_bytes = 0

    def write(self, content: bytes) -> None:
        """Append; what cannot be written, because the disk is full, is lost."""
        with suppress(OSError):
            if self._size_bytes + len(content) > self._limit_bytes:
                content = self._make_room(content)
            self._size_bytes += os.pwrite(self._file, content, self._size_bytes)

    def _make_room(self, content: bytes) -> bytes:
        """Cut the file off behind its first half; return the last quarter of what is to follow, with a line before."""
        if self._head_bytes is None:
            self._head_bytes = min(self._limit_bytes // 2, self._size_bytes)
            head = os.pread(self._file, min(self._head_bytes, _CHUNK_BYTES), max(0, self._head_bytes - _CHUNK_BYTES))
            self._head_bytes -= len(head) - (head.rfind(b"\n") + 1 or len(head))
        middle_bytes = self._size_bytes - self._head_bytes
        tail_bytes = self._limit_bytes // 4
        begin = max(self._head_bytes, self._size_bytes - tail_bytes)
        tail = (os.pread(self._file, self._size_bytes - begin, begin) + content)[-tail_bytes:]
        tail = tail[tail.find(b"\n", 0, _CHUNK_BYTES) + 1 :]
        self._left_out_bytes += middle_bytes - self._note_bytes + len(content) - len(tail)
        os.ftruncate(self._file, self._head_bytes)
        self._size_bytes = self._head_bytes
        left_out = f"[greenopt: {self._left_out_bytes} bytes left out here, training.log_limit is {self._limit_bytes}]"
        note = f"\n{left_out}\n".encode()
        self._note_bytes = len(note)
        return note + tail

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def supervise(run: Callable[[], None], log: CappedLog, lifeline: int, own: Sequence[int] = ()) -> int:
    """Run a trial in a fork of this process and end all that it started; return its wait status.

    Args:
        run: the trial, called in the fork; must not return.
        log: takes what it prints.
        lifeline: reading end of a pipe; the trial is killed when the other end is closed.
        own: file descriptors that the trial alone needs, such as that of its events.
    """
    _set_subreaper()
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    output, output_end = os.pipe2(os.O_CLOEXEC)
    before = {number: signal.signal(number, _noted) for number in (*_FORWARDED, signal.SIGCHLD)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    supervisor = os.getpid()
    trial = os.fork()
    if trial == 0:
        try:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
            _become_trial(supervisor, output_end, closed=(lifeline, woken, wake, output))
            run()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(1)
    for descriptor in (output_end, *own):
        os.close(descriptor)
    status = _watch(trial, log, output, woken, lifeline)
    left = _end_descendants()
    _copy(output, log)
    if left:
        log.write(f"[greenopt: ended what the trial left running: {', '.join(left)}]\n".encode())
    log.close()
    return status


def end_as(status: int) -> None:
    """End this process as another ended, by its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _noted(number: int, frame: FrameType | None) -> None:
    """Handle a signal by nothing: its number arrives through the wake-up descriptor."""


def _become_trial(supervisor: int, output: int, closed: Sequence[int]) -> None:
    """Give a fork what a trial has: an own session, no input, its output in the log, and an end with its supervisor."""
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in {*closed, nothing, output} - {0, 1, 2}:
        os.close(descriptor)
    # Should the host run out of memory, the kernel ends the trial, not the coordinator or the study's database.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(str(_OOM_SCORE))


def _watch(trial: int, log: CappedLog, output: int, woken: int, lifeline: int) -> int:
    """Copy the trial's output, hand signals on and watch the lifeline until the trial has ended; return its status."""
    os.set_blocking(output, False)
    poll = select.poll()
    for descriptor in (output, woken, lifeline):
        poll.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == output and not _copy(output, log, chunks=16):
                poll.unregister(output)
            elif descriptor == lifeline and not os.read(lifeline, 4096):
                poll.unregister(lifeline)
                os.kill(trial, signal.SIGKILL)
            elif descriptor == woken and set(os.read(woken, 4096)) & set(_FORWARDED):
                os.kill(trial, signal.SIGTERM)
        status = _reap(trial)
        if status is not None:
            return status


def _reap(trial: int) -> int | None:
    """Reap all dead children; return the trial's status if it is among them."""
    found = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == trial:
                found = status
    return found


def _copy(output: int, log: CappedLog, chunks: int | None = None) -> bool:
    """Copy what waits in a pipe, at most so many chunks; return False at the pipe's end."""
    while chunks is None or chunks > 0:
        try:
            content = os.read(output, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not content:
            return False
        log.write(content)
        chunks = chunks - 1 if chunks is not None else None
    return True


def _end_descendants() -> list[str]:
    """End all descendants of this process, by SIGTERM and soon by SIGKILL; return their names.

    Those whose parents die on the way become this process's own children: none is missed, however fast they fork.
    """
    began_s = time.monotonic()
    named: dict[int, str] = {}
    pause_s = 0.01
    while time.monotonic() < began_s + GIVE_UP_S and _has_children():
        number = signal.SIGTERM if time.monotonic() < began_s + LEFTOVER_GRACE_S else signal.SIGKILL
        for pid, name in _descendants(os.getpid()):
            if number == signal.SIGKILL or pid not in named:
                named[pid] = name
                with suppress(OSError):
                    os.kill(pid, number)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.1)
    return [f"{name} (pid {pid})" for pid, name in list(named.items())[:10]]


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _descendants(ancestor: int) -> Iterator[tuple[int, str]]:
    """Give number and name of each living descendant of a process."""
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{entry}/stat", "rb") as file:
                    begin, _, end = file.read().rpartition(b")")
                state, parent = end.split()[:2]
                if state != b"Z":
                    name = begin.partition(b"(")[2].decode("utf-8", "replace")
                    children.setdefault(int(parent), []).append((int(entry), name))
    waiting = [ancestor]
    while waiting:
        for pid, name in children.get(waiting.pop(), ()):
            waiting.append(pid)
            yield pid, name


def _set_subreaper() -> None:
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def main() -> None:
    """Supervise the program that the first argument describes, in JSON; standard input is the lifeline."""
    told = json.loads(sys.argv[1])
    lifeline = os.dup(0)
    os.set_inheritable(lifeline, False)

    def run() -> None:
        os.execvp(told["command"][0], told["command"])

    log = CappedLog(told["log"], told["limit_bytes"])
    end_as(supervise(run, log, lifeline, own=[told["events_fd"]]))


if __name__ == "__main__":
    main()
