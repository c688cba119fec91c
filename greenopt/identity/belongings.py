"""Whose a trial's folder is: the attempt's that its storage knows, somebody else's, or nobody's.

Invariant: a folder that holds anything is never given to another attempt. Files from before attempts had identities
belong to the trials whose storage knows no attempt.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from greenopt.events import AttemptBegan, TrialStarted, encode, first_event

EVENTS = "events.jsonl"


def is_own(folder: Path, trial: int, attempt_id: str | None) -> bool:
    """Return whether a trial's folder holds this attempt of this trial.

    Args:
        folder: the trial's; it need not exist.
        trial: its number.
        attempt_id: the attempt that the storage has of it; None of a trial from before there were any.
    """
    match first_event(folder / EVENTS):
        case AttemptBegan() as head:
            return (head.trial, head.attempt_id) == (trial, attempt_id)
        case TrialStarted() as head:
            return attempt_id is None and head.trial == trial
        case _:
            return attempt_id is None


def take_trial_folder(folder: Path, head: AttemptBegan) -> None:
    """Make the folder of an attempt that is about to start, and write the first line of its events.

    Raises:
        FileExistsError: the folder holds something already.
        OSError: it cannot be written; nothing of it is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink() or not _is_nobodys(folder):
        raise FileExistsError(str(folder))
    try:
        with (folder / EVENTS).open("wb") as file:
            file.write(encode(head))
    except OSError:
        # Half a line of a full disk would be somebody's, and nobody's to take away.
        with suppress(OSError):
            (folder / EVENTS).unlink()
        raise


def strangers(trials: Path, attempts: Mapping[int, str | None]) -> list[int]:
    """Return the numbers of the trial folders that hold something of another study or of an unknown attempt.

    Args:
        trials: the folder that holds the trials' folders.
        attempts: trial -> its attempt, of every trial that the storage knows as begun.
    """
    numbers = sorted(int(path.name) for path in trials.glob("*") if path.name.isdigit() and path.is_dir())
    return [number for number in numbers if _is_strange(trials / f"{number:04d}", number, attempts)]


def _is_strange(folder: Path, number: int, attempts: Mapping[int, str | None]) -> bool:
    is_known = number in attempts and is_own(folder, number, attempts[number])
    return not is_known and not _is_nobodys(folder)


def _is_nobodys(folder: Path) -> bool:
    """Return whether nothing was ever written here: a coordinator that died early leaves an empty folder or file."""
    return all(path.is_file() and path.stat().st_size == 0 for path in folder.glob("*"))
