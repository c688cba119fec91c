"""Rows of a study's trials, for readers. Does not import optuna, which is slow to import."""

import math
import socket
import time
from collections.abc import Mapping
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


NUMBERS = frozenset(
    (
        *("accuracy", "energy_wh", "uncertainty_wh", "coverage", "test_accuracy", "wh_per_epoch", "efficiency"),
        *("avg_power_w", "seconds", "epochs_done", "unquantized_accuracy", "train_accuracy", "counter_wh"),
        *("integral_wh", "net_energy_wh", "idle_w", "cpu_wh", "dram_wh", "setup_wh", "setup_s", "compile_wh"),
        *("compile_s", "total_wh", "total_s", "training_seed", "replicate_of", "retry_of", "attempt", "from_trial"),
        *("forecast_wh", "forecast_accuracy", "dominated_by", "f1_macro", "recall_macro", "top5_accuracy"),
        *("latency_ms", "latency_uncertainty_ms", "latency_p95_ms", "inference_mj", "inference_uncertainty_mj"),
        *("parameters", "size_bytes", "peak_memory_bytes"),
    )
)
"""Metrics of a trial that are numbers."""

TEXTS = frozenset(
    (
        *("energy_source", "total_source", "energy_missing", "flags", "gpu_uuid", "gpu_name", "host", "inert"),
        "gpu_driver",
        *("stop_reason", "fail_reason", "message", "audited", "attempt_id", "code_id", "data_id", "excluded"),
        *("inference_source", "figures_missing", "from_study"),
    )
)
"""Metrics and marks of a trial that are texts."""


def sound(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's metrics without those that cannot be what they are named: a storage may be damaged."""
    return {name: value for name, value in metrics.items() if is_sound_metric(name, value)}


def is_sound_metric(name: str, value: Any) -> bool:
    """Return whether a metric's value can be one: a finite number, or a text, where the metric is known."""
    if name in NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return name not in TEXTS or isinstance(value, str)


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


def kept_lease(kept: Any) -> dict[str, Any] | None:
    """Return a lease as a storage holds it; None where there is none, or it does not say whose it is."""
    if not isinstance(kept, dict):
        return None
    number = all(type(kept.get(name)) in (int, float) for name in ("utc_s", "started_s"))
    is_whole = number and type(kept.get("pid")) is int and 0 < kept["pid"] < 2**31 and isinstance(kept.get("host"), str)
    return kept if is_whole else None


def started_ticks(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since the machine was; None where Linux does not tell.

    The wall clock's time of it, which psutil gives, moves whenever the clock is set.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])
