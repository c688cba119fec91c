"""Rows of a study's trials, for readers. Does not import optuna, which is slow to import."""

import socket
import time
from pathlib import Path
from typing import Any

import psutil

SPEC_ATTRIBUTE = "greenopt:spec"
"""The study's attribute that holds the study file, as JSON."""

LEASE_ATTRIBUTE = "greenopt:coordinator"
"""The study's attribute that says who runs it."""

LEASE_LAPSES_S = 90.0

COLUMNS = (
    *("trial", "state", "accuracy", "energy_wh", "energy_source", "uncertainty_wh", "coverage", "test_accuracy"),
    *("wh_per_epoch", "efficiency", "avg_power_w", "seconds", "epochs_done"),
)
"""Columns that every row has, in this order; then the study's parameters, then others where a trial has them."""


def is_alive(holder: dict[str, Any]) -> bool:
    """Return whether the coordinator that wrote this lease runs, as far as can be seen from this host."""
    if holder["host"] != socket.gethostname():
        return time.time() - float(holder["utc_s"]) < LEASE_LAPSES_S
    try:
        # Process numbers are reused; the start time distinguishes two processes.
        process = psutil.Process(holder["pid"])
        ticks = holder.get("started_ticks")
        is_same = process.create_time() == holder["started_s"] if ticks is None else started_ticks(process.pid) == ticks
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def started_ticks(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since the machine was; None where Linux does not tell.

    The wall clock's time of it, which psutil gives, moves whenever the clock is set.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])
