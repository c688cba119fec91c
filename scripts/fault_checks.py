"""What has to hold of a study after a fault: one record a trial with the energy that it drew, and nothing left over."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from greenopt.runs.folder import RunFolder
from greenopt.storage.live_rows import LiveRows
from greenopt.storage.trial_state import FINISHED_STATES, MAX_RETRIES, is_settled

ENDED_WITHIN_S = 2.0
TOLERANCE = 1e-3
FINISHED = set(FINISHED_STATES)


@dataclass(frozen=True)
class Findings:
    """Each list holds a line for every loss, double count, or leftover."""

    lost: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()


def drawn(ledger: Path) -> dict[int, list[tuple[int, float]]]:
    """Return trial -> (process, Wh) of each epoch in its order."""
    found: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for line in ledger.read_text().splitlines() if ledger.exists() else ():
        entry = json.loads(line)
        found[entry["trial"]].append((entry["pid"], entry["wh"]))
    return found


def rows_of(folder: RunFolder, url: str) -> list[dict[str, Any]]:
    reader = LiveRows(folder.name, url)
    try:
        return reader.changed(["x"])
    finally:
        reader.close()


def check_records(rows: Iterable[dict[str, Any]], folder: RunFolder, ledger: Path) -> Findings:
    """Compare the records of finished trials with the ledger and the events on disk."""
    spent = drawn(ledger)
    lost: list[str] = []
    twice = [f"trial {trial} ran in two processes" for trial, parts in spent.items() if len({p for p, _ in parts}) > 1]
    rows = list(rows)
    for row in rows:
        if row["state"] in FINISHED:
            lost += _energy_faults(row, [wh for _, wh in spent.get(row["trial"], [])], folder)
    complete = Counter(row["x"] for row in rows if row["state"] == "complete")
    twice += [f"setting {x} completed {count} times" for x, count in complete.items() if count > 1]
    retries = Counter(row["retry_of"] for row in rows if row.get("retry_of") is not None)
    twice += [f"trial {trial} retried {count} times" for trial, count in retries.items() if count > 1]
    return Findings(tuple(lost), tuple(twice))


def _energy_faults(row: dict[str, Any], spent: list[float], folder: RunFolder) -> list[str]:
    """Return what is wrong with a finished trial's energy, each in words."""
    number, total = row["trial"], row.get("total_wh")
    if row["state"] == "complete":
        wrong = [name for name in ("energy_wh", "total_wh") if not _is_near(row.get(name), sum(spent))]
        return [f"trial {number}: {name} {row.get(name)}, drawn {sum(spent)}" for name in wrong]
    told, kinds = _events_told(folder, number)
    if "trial_ended:completed" in kinds and row.get("fail_reason") != "not_recorded":
        return [f"trial {number}: completed on disk, recorded as {row.get('fail_reason')}"]
    if total is None:
        return [] if told == 0 else [f"trial {number}: {told} epochs on disk, no energy recorded"]
    # What no event had told when the process was killed is not known to anybody: at most the epoch that was going on.
    prefixes = [sum(spent[:count]) for count in range(told, len(spent) + 1)]
    return [] if any(_is_near(total, each) for each in prefixes) else [f"trial {number}: {total} Wh, drawn {spent}"]


def _events_told(folder: RunFolder, number: int) -> tuple[int, set[str]]:
    """Return how many epochs stand in a trial's events, read without greenopt, and the kinds of events."""
    epochs, kinds = 0, set()
    file = folder.events(number)
    for line in file.read_bytes().splitlines() if file.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        kinds.add(event["kind"] + (f":{event['outcome']}" if "outcome" in event else ""))
        epochs += event["kind"] == "epoch_ended"
    return epochs, kinds


def _is_near(value: float | None, expected: float) -> bool:
    return value is not None and abs(value - expected) <= TOLERANCE * expected


def check_end(rows: list[dict[str, Any]], trials: int) -> Findings:
    """Check that a study that is done has all its trials, and a retry for every one that was owed it."""
    lost = []
    settled = sum(is_settled(row["state"], row) for row in rows)
    if settled != trials:
        lost.append(f"{settled} trials count, not {trials}")
    if open_rows := [row["trial"] for row in rows if row["state"] not in FINISHED]:
        lost.append(f"trials {open_rows} have no final record")
    retried = {row.get("retry_of") for row in rows}
    owed = ("killed", "interrupted", "gpu_busy", "not_recorded")
    lost += [
        f"trial {row['trial']} was {row['fail_reason']} and never ran again"
        for row in rows
        if row.get("fail_reason") in owed and (row.get("attempt") or 0) < MAX_RETRIES and row["trial"] not in retried
    ]
    return Findings(tuple(lost))


def check_leftovers(folder: RunFolder, url: str, ledger: Path) -> Findings:
    """Check that no trial's process outlives its coordinator by more than a moment, and that nobody holds the study."""
    pids = {pid for parts in drawn(ledger).values() for pid, _ in parts}
    until_s = time.monotonic() + ENDED_WITHIN_S
    while (alive := [pid for pid in pids if _is_alive(pid)]) and time.monotonic() < until_s:
        time.sleep(0.05)
    orphans = [f"process {pid}" for pid in alive]
    if (holder := folder.holder()) is not None:
        orphans.append(f"the folder is held by {holder}")
    reader = LiveRows(folder.name, url)
    lease = reader.holder()
    reader.close()
    if lease is not None:
        orphans.append(f"the storage is leased to {lease}")
    return Findings(orphans=tuple(orphans))


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
