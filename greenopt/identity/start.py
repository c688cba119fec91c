"""Opens a study to be run: finds it, checks that folder, storage, code, data and device belong together, takes it.

Invariant: whatever is refused is refused before anything is written to the storage or to the folder's files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenopt.errors import UsageError
from greenopt.execution import Slot
from greenopt.identity.belongings import strangers
from greenopt.identity.device import DEVICE_ATTRIBUTE, Device, check_device, device_of_slots, device_of_trials
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.identity.inputs import InputGuard, InputReader, Inputs
from greenopt.identity.place import StoredStudy, find_study
from greenopt.identity.reference import is_same_storage, reference_to, sqlite_file
from greenopt.identity.sameness import as_begun
from greenopt.identity.snapshot import read_folder
from greenopt.runs.folder import RunFolder
from greenopt.search import (
    COORDINATOR_BUSY_TIMEOUT_S,
    PRIOR_ATTRIBUTE,
    Prior,
    Search,
    Storage,
    check_whole,
    open_storage,
    read_attributes,
    read_prior,
    read_rows,
    rename_stored,
)
from greenopt.spec import StudySpec, stored_study
from greenopt.storage.rows import SPEC_ATTRIBUTE
from greenopt.storage.trial_state import TrialState
from greenopt.storage.url import complete, without_password

INPUTS_ATTRIBUTE = "greenopt:inputs"
"""The study's attribute that holds the fingerprints of the code and the data that it was last run with."""


@dataclass(frozen=True)
class OpenStudy:
    """A study that this process has taken.

    Attributes:
        url: its storage's.
        storage: the same, open.
        search: asks and tells.
        guard: watches its code and its data.
        device: what its trials run on.
    """

    url: str
    storage: Storage
    search: Search
    guard: InputGuard
    device: Device


def storage_of(folder: RunFolder, storage: str | None) -> str:
    """Return the URL of the storage that a study runs with: the one named, else its folder's, else the default one.

    Raises:
        UsageError: the folder's needs a password, which is not kept and which the environment does not tell.
    """
    if storage is not None:
        return storage
    url = folder.storage() if folder.study_file.exists() else folder.default_storage
    return complete(url)


@dataclass(frozen=True)
class CheckedStudy:
    """What was found where nothing speaks against running a study."""

    url: str
    stored: StoredStudy | None
    opened: Storage | None
    device: Device
    guard: InputGuard
    is_same_data: bool | None
    prior: Prior | None = None


def check_start(
    spec: StudySpec,
    folder: RunFolder,
    storage: str | None,
    slots: Sequence[Slot],
    *,
    accepts_changes: bool = False,
    reader: InputReader | None = None,
) -> CheckedStudy:
    """Check whether a study may be run, and write nothing.

    Args:
        spec: the study as its file has it.
        folder: its results.
        storage: URL of its storage; that of the folder unless given.
        slots: where its trials would run.
        accepts_changes: whether it goes on with changed code or data, or on another kind of device.
        reader: takes the fingerprints of code and data.

    Raises:
        UsageError: what is there belongs to another study, or has changed; one line with the way out.
    """
    url = storage_of(folder, storage)
    stored = _stored(url, folder, spec.name)
    _check_belonging(folder, url, stored)
    attributes: dict[str, Any] = {}
    rows: Sequence[dict[str, Any]] = ()
    opened = open_storage(url, busy_timeout_s=COORDINATOR_BUSY_TIMEOUT_S) if stored is not None else None
    if stored is not None and opened is not None:
        rows, attributes = read_rows(stored.name, opened), read_attributes(stored.name, opened)
    _check_trials(folder, url, rows)
    reader = reader or InputReader(spec)
    before = Inputs.from_kept(attributes.get(INPUTS_ATTRIBUTE))
    is_same_data = _is_same_data(before, reader.read())
    if (kept := attributes.get(SPEC_ATTRIBUTE)) is not None:
        begun = stored_study(kept, spec.name)
        as_begun(begun, spec, is_same_data=is_same_data)
        if stored is not None and opened is not None:
            check_whole(begun, stored.name, opened)
    device = device_of_slots(slots)
    is_bound = has_results(rows)
    if not accepts_changes and is_bound:
        check_device(Device.from_kept(attributes.get(DEVICE_ATTRIBUTE)) or device_of_trials(rows), device, spec.name)
    guard = InputGuard(reader, before if is_bound else None, accepts=accepts_changes)
    prior = _prior(spec, folder, attributes.get(PRIOR_ATTRIBUTE))
    return CheckedStudy(url, stored, opened, device, guard, is_same_data, prior)


def has_results(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a trial completed: until then code, data and device may change without a word."""
    return any(
        row["state"] == TrialState.COMPLETE or (row["state"] == TrialState.EXCLUDED and not row.get("fail_reason"))
        for row in rows
    )


def open_study(
    spec: StudySpec,
    folder: RunFolder,
    storage: str | None,
    slots: Sequence[Slot],
    *,
    accepts_changes: bool = False,
    reader: InputReader | None = None,
    checked: CheckedStudy | None = None,
) -> OpenStudy:
    """Find or make a study, and take it for this process; the folder's lock is held. See `check_start`.

    It is called here unless `checked` is what it found before the lock was taken.

    Raises:
        UsageError: it may not be run, or another coordinator runs it.
    """
    checked = checked or check_start(spec, folder, storage, slots, accepts_changes=accepts_changes, reader=reader)
    if checked.stored is not None and checked.stored.name != spec.name:
        _adopt_name(folder, checked.stored, spec.name)
        opened = open_storage(checked.url, busy_timeout_s=COORDINATOR_BUSY_TIMEOUT_S)
    else:
        # What it has read already it keeps: ten thousand trials take seconds.
        opened = checked.opened or open_storage(checked.url, busy_timeout_s=COORDINATOR_BUSY_TIMEOUT_S)
    search = Search(spec, opened, is_same_data=checked.is_same_data)
    if checked.prior is not None:
        search.note(PRIOR_ATTRIBUTE, checked.prior.kept)
    search.note(DEVICE_ATTRIBUTE, checked.device.kept)
    checked.guard.keep_by(lambda inputs: search.note(INPUTS_ATTRIBUTE, inputs.kept))
    return OpenStudy(checked.url, opened, search, checked.guard, checked.device)


def _prior(spec: StudySpec, folder: RunFolder, kept: dict[str, Any] | None) -> Prior | None:
    """Return the earlier study that a study starts from; None without one, or where it was started from it already."""
    name = spec.sampler.prior
    if name is None or (kept is not None and kept.get("study") == name):
        return None
    if name == spec.name:
        raise UsageError(f"sampler.prior: {name}: is this study itself; name another one")
    earlier = RunFolder(folder.path.parent / name)
    if not earlier.path.is_dir():
        raise UsageError(f"sampler.prior: {name}: there is no such study in {folder.path.parent}")
    try:
        snapshot = read_folder(earlier)
    except UsageError as error:
        raise UsageError(f"sampler.prior: {error}") from None
    return read_prior(spec, snapshot)


def _stored(url: str, folder: RunFolder, name: str) -> StoredStudy | None:
    """Return the study in the storage; None where there is none, or not even the file."""
    file = sqlite_file(url)
    if file is not None and not file.is_file():
        return None
    return find_study(url, name, folder.study_id)


def _check_belonging(folder: RunFolder, url: str, stored: StoredStudy | None) -> None:
    """Raise UsageError where the folder belongs to another study than the storage's."""
    if not folder.study_file.exists() or (stored is not None and folder.study_id == stored.study_id is not None):
        return
    try:
        own = folder.storage()
    except UsageError:
        # Damaged, and a storage was named: its trials' files still tell.
        return
    is_own_storage = is_same_storage(own, url)
    if folder.study_id is None:
        # From before there were identities: all that tells two studies apart is where their storages are.
        is_other = not is_own_storage and folder.trials.is_dir()
    elif stored is not None:
        is_other = True
    else:
        is_other = not is_own_storage and _is_there(own, folder)
    if is_other:
        where = "its storage" if is_own_storage else without_password(url)
        way_out = "bring its own storage back" if is_own_storage else "leave out --storage"
        raise UsageError(
            f"{_short(folder)} belongs to another study than that in {where}: {way_out}, or take another --name"
        )


def _is_there(url: str, folder: RunFolder) -> bool:
    try:
        found = _stored(url, folder, folder.stored_name)
    except UsageError:
        return True
    return found is not None and found.study_id == folder.study_id


def _check_trials(folder: RunFolder, url: str, rows: Sequence[dict[str, Any]]) -> None:
    """Raise UsageError where trials lie in the folder that the storage does not know, or knows as other attempts."""
    attempts = {int(row["trial"]): row.get(ATTEMPT_ATTRIBUTE) for row in rows if row["state"] != TrialState.WAITING}
    strange = strangers(folder.trials, attempts)
    if not strange:
        return
    more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
    where = "study.db" if is_same_storage(url, folder.default_storage) else without_password(url)
    raise UsageError(
        f"{_short(folder)}/trials/{strange[0]:04d}{more}: not of the study in {where}; bring its storage back, "
        "move that away, or take another --name"
    )


def _short(folder: RunFolder) -> str:
    return f"{folder.path.parent.name}/{folder.name}"


def _is_same_data(before: Inputs | None, now: Inputs) -> bool | None:
    return None if before is None or not before.data or not now.data else before.data == now.data


def _adopt_name(folder: RunFolder, stored: StoredStudy, name: str) -> None:
    """Give the study in the storage the name that its folder was given by hand.

    Raises:
        UsageError: the folder is a copy of one that goes on with the same storage.
    """
    original = RunFolder(folder.path.with_name(stored.name))
    reference = reference_to(stored.url, folder.path)
    is_shared = "://" in reference or reference.startswith("..")
    if is_shared and original.path != folder.path and original.study_id == stored.study_id:
        raise UsageError(
            f"{_short(folder)} is a copy of study {stored.name} and has no storage of its own; run {stored.name}"
        )
    rename_stored(stored.url, stored.name, name)
