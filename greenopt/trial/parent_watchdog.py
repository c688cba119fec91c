"""Ties a trial's process to the one that started it, so that no trial outlives its study.

Two ties, because each has a gap. The kernel's is at once but belongs to the parent's thread that forked; the pipe on
standard input needs this interpreter's lock, which a long call into C may hold.
"""

import ctypes
import os
import signal
import sys
import threading

ORPHANED_EXIT_CODE = 70
_PR_SET_PDEATHSIG = 1
_STANDARD_INPUT = 0


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies; Linux only, elsewhere the pipe alone does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def watch_parent(descriptor: int = _STANDARD_INPUT) -> None:
    """End this process as soon as the other end of a pipe is closed; data from the pipe is ignored.

    Args:
        descriptor: file descriptor of the pipe's reading end.
    """
    threading.Thread(target=_end_at_eof, args=(descriptor,), name="lifeline", daemon=True).start()


def _end_at_eof(descriptor: int) -> None:
    # os.read, because a daemon thread holding the lock of sys.stdin's buffer makes the interpreter abort at exit.
    while os.read(descriptor, 4096):
        pass
    os._exit(ORPHANED_EXIT_CODE)
