"""Sends what a tracker does not have yet."""

import json
from collections.abc import Callable
from pathlib import Path

import filelock

from greenopt.errors import GreenoptError, one_line
from greenopt.files import read_json, write_whole
from greenopt.identity.snapshot import read_folder
from greenopt.runs.folder import RunFolder
from greenopt.tracking.record import read_records
from greenopt.tracking.tracker import Tracker, TrackerName

LOCK_FILE, SENT_FILE = "tracking.lock", "tracking.json"


def send_trials(
    folder: RunFolder,
    storage: str | None,
    name: TrackerName,
    project: str,
    opened: Callable[[], Tracker],
) -> int:
    """Send the trials that have ended and were not sent; returns how many.

    Args:
        folder: the study's results.
        storage: URL of its storage; the one that it was last run with unless given.
        name: the tracker.
        project: what the tracker calls the study.
        opened: opens the tracker; not called where there is nothing to send.

    Raises:
        UsageError: there is no such study.
        GreenoptError: the tracker did not take a trial. Those before it were sent, and are not sent again.
    """
    snapshot = read_folder(folder, storage)
    with filelock.FileLock(folder.path / LOCK_FILE):
        known = _read(folder.path / SENT_FILE)
        sent = known.setdefault(f"{name}/{project}", {})
        tracker: Tracker | None = None
        count = 0
        for record in read_records(folder, snapshot, sent):
            try:
                tracker = tracker or opened()
                sent[record.attempt] = tracker.send(record)
            except GreenoptError:
                raise
            except Exception as error:
                what = one_line(f"{type(error).__name__}: {error}", 150)
                raise GreenoptError(f"{name} did not take {record.name}: {what}") from None
            write_whole(folder.path / SENT_FILE, json.dumps(known, indent=1).encode())
            count += 1
    return count


def _read(file: Path) -> dict[str, dict[str, str]]:
    """Return which attempts were sent where, and as which runs; what is damaged is sent again."""
    try:
        kept = read_json(file)
    except (OSError, ValueError):
        return {}
    known = kept.items() if isinstance(kept, dict) else ()
    return {where: {**runs} for where, runs in known if isinstance(runs, dict)}
