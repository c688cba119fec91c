"""Rows of a study's trials, for readers. Does not import optuna, which is slow to import."""

import socket
import time
from collections.abc import Mapping
from typing import Any

import psutil

from greenopt.events import FailReason

SPEC_ATTRIBUTE = "greenopt:spec"
"""The study's attribute that holds the study file, as JSON."""

LEASE_ATTRIBUTE = "greenopt:coordinator"
"""The study's attribute that says who runs it."""

LEASE_LAPSES_S = 90.0
MAX_RETRIES = 2

COLUMNS = (
    *("trial", "state", "accuracy", "energy_wh", "energy_source", "uncertainty_wh", "coverage", "test_accuracy"),
    *("wh_per_epoch", "efficiency", "avg_power_w", "seconds", "epochs_done"),
)
"""Columns that every row has, in this order; then the study's parameters, then others where a trial has them."""


def is_settled(row: Mapping[str, Any]) -> bool:
    """Return whether a row counts towards the study's size: ended, not to be retried, not skipped."""
    if row["state"] not in ("complete", "pruned", "fail"):
        return False
    if row["state"] != "fail":
        return True
    reason = FailReason(row.get("fail_reason") or FailReason.INTERRUPTED)
    will_run_again = reason.is_worth_a_retry and (row.get("attempt") or 0) < MAX_RETRIES
    return not will_run_again and reason is not FailReason.DUPLICATE


def is_alive(holder: dict[str, Any]) -> bool:
    """Return whether the coordinator that wrote this lease runs, as far as can be seen from this host."""
    if holder["host"] != socket.gethostname():
        return time.time() - float(holder["utc_s"]) < LEASE_LAPSES_S
    try:
        # Process numbers are reused; the start time distinguishes two processes.
        process = psutil.Process(holder["pid"])
        return process.create_time() == holder["started_s"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
