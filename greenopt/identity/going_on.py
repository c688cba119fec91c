"""Where a study goes on whose file has a wider space than it was begun with.

Wider ranges are taken by the study itself. A value more in a list or a parameter more needs a study of its own, since
Optuna keeps both: NAME-2, then NAME-3, which has the trials of the one before it. Invariant: the earlier study is read
and not changed, and the later one appears whole or not at all; whoever runs the file again goes on with the last one.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenopt.errors import UsageError, one_line
from greenopt.execution import Slot
from greenopt.formatting import counted
from greenopt.identity.anew import changed_key, set_aside
from greenopt.identity.device import DEVICE_ATTRIBUTE, Device, check_device, device_of_slots, device_of_trials
from greenopt.identity.growth import Growth, growth, setting_before
from greenopt.identity.ids import new_id
from greenopt.identity.inputs import InputGuard, InputReader, Inputs
from greenopt.identity.place import StoredStudy, locate
from greenopt.identity.sameness import difference, with_wider_ranges
from greenopt.identity.start import INPUTS_ATTRIBUTE, has_results
from greenopt.identity.taking import check_nobody_runs
from greenopt.runs.folder import RunFolder
from greenopt.search import (
    PRIOR_ATTRIBUTE,
    copy_study,
    failures_named,
    open_storage,
    read_attributes,
    read_rows,
    rename_stored,
)
from greenopt.spec import Extends, StudySpec, stored_study
from greenopt.storage.marks import MARKS_ATTRIBUTE
from greenopt.storage.rows import SPEC_ATTRIBUTE
from greenopt.storage.url import without_password

_LARGE_BYTES = 1_000_000
"""Size from which on both studies share a file of a trial, where the file system can; ended trials change none."""

_KEPT = (DEVICE_ATTRIBUTE, INPUTS_ATTRIBUTE, PRIOR_ATTRIBUTE, MARKS_ATTRIBUTE)


@dataclass(frozen=True)
class GoingOn:
    """How a study goes on.

    Attributes:
        spec: the study that runs, under its name.
        note: what the user is told, in a line; empty where the file is as it was.
        origin: the study whose trials a new one starts with; None where no study has to be made.
    """

    spec: StudySpec
    note: str = ""
    origin: RunFolder | None = None
    growth: Growth | None = None


def going_on(spec: StudySpec, folder: RunFolder) -> GoingOn:
    """Return how a study goes on; nothing is written.

    Args:
        spec: the study as its file has it.
        folder: its results, which need not exist.

    Returns:
        The study itself where it has not begun, where nothing was added, or where more changed than that: whoever
        starts it is told.
    """
    begun = [(each, kept) for each, kept in _with_later_ones(folder) if kept is not None]
    if not begun:
        return GoingOn(spec)
    for each, kept in reversed(begun):
        if difference(kept, spec) is None:
            named = _named(spec, each.name, kept.study.extends)
            return GoingOn(named, _wider_text(kept, spec, each.name))
    last, kept = begun[-1]
    same_name = _named(spec, last.name, kept.study.extends)
    added = growth(kept, spec)
    if added is None or not last.study_file.is_file():
        return GoingOn(same_name)
    rows = read_rows(*_opened(last)[1:])
    if not has_results(rows):
        return GoingOn(same_name)
    name = _next_name(folder, len(begun))
    text = f"{added.text}: study {last.name} goes on as {name}, which has its {counted(len(rows))}; {last.name} stays"
    extends = Extends(study=last.name, trials=len(rows))
    return GoingOn(_named(spec, name, extends), f"{text} as it is", last, added)


def take_up(
    spec: StudySpec, runs: Path, storage: str | None, slots: Sequence[Slot], *, accepts_changes: bool = False
) -> tuple[StudySpec, list[str]]:
    """Return the study that runs, and what the user is told, in lines, where its file is not as it was begun with.

    A study of which nothing completed is set aside, one whose space became wider goes on; see `going_on`.

    Args:
        spec: the study as its file has it.
        runs: the folder of all studies' results.
        storage: URL of its storage; that of its folder unless given.
        slots: where its trials will run.
        accepts_changes: see `make_extension`.
    """
    found = going_on(spec, RunFolder(runs.resolve() / spec.name))
    if found.origin is not None:
        make_extension(found, storage, slots, accepts_changes=accepts_changes)
        return found.spec, [f"note: {found.note}"]
    notes = [f"note: {found.note}"] if found.note else []
    folder = RunFolder(runs.resolve() / found.spec.name)
    if (changed := changed_key(found.spec, folder, storage)) is not None:
        aside = set_aside(folder)
        text = f"study {found.spec.name} begins anew with the changed {changed}: nothing of it had completed; what"
        notes = [f"note: {text} failed is study {aside.name} now"]
    return found.spec, notes


def make_extension(
    found: GoingOn, storage: str | None, slots: Sequence[Slot], *, accepts_changes: bool = False
) -> RunFolder:
    """Make the study that goes on from another one, with its trials and their files.

    Args:
        found: what `going_on` returned, with an origin.
        storage: URL of the new study's storage; as the origin's unless given.
        slots: where its trials will run.
        accepts_changes: whether it goes on with changed code or data, or on another kind of device.

    Raises:
        UsageError: somebody runs the origin, code, data or device changed, or a trial of it has no place in the new
            space; nothing was written.
    """
    spec, origin = found.spec, found.origin
    assert origin is not None
    begun = check_extension(found, slots, accepts_changes=accepts_changes)
    stored, name, source = _opened(origin)
    attributes = read_attributes(name, source)
    target = RunFolder(origin.path.with_name(spec.name))
    is_own = stored.url == origin.default_storage and storage is None
    study_id = new_id()
    with _scratch(origin.path.parent) as scratch, _written(target.path), failures_named(without_password(stored.url)):
        made = RunFolder(scratch / spec.name)
        made.path.mkdir()
        if origin.trials.is_dir():
            # A link is copied as one: it may lead to any file.
            shutil.copytree(origin.trials, made.trials, symlinks=True, copy_function=_copy_or_share)
        url = made.default_storage if is_own else storage or stored.url
        # In a storage that others share, it gets its name last: where this is broken off, the name is still free.
        shown = spec if is_own else _named(spec, f"{spec.name}.copying-{study_id[:8]}", spec.study.extends)
        copy_study(
            shown,
            open_storage(url),
            study_id,
            (name, source),
            lambda values, inert, trial: setting_before(begun, spec, values, inert, trial),
            {key: attributes[key] for key in _KEPT if key in attributes},
        )
        made.write_study(spec.model_dump(mode="json"), without_password(url), study_id=study_id)
        if target.path.exists():
            raise UsageError(f"{target.path}: exists already; choose another name with --name")
        made.path.rename(target.path)
    if not is_own:
        rename_stored(url, shown.name, spec.name)
    return target


def check_extension(found: GoingOn, slots: Sequence[Slot], *, accepts_changes: bool = False) -> StudySpec:
    """Check that the trials of the origin have a place in the new space, and that what they ran on is still there.

    Returns:
        The origin as it was begun.

    Raises:
        UsageError: as `make_extension`.
    """
    assert found.origin is not None
    stored, name, source = _opened(found.origin)
    check_nobody_runs(found.origin.holder(), found.origin, stored, source)
    rows, attributes = read_rows(name, source), read_attributes(name, source)
    begun = stored_study(attributes[SPEC_ATTRIBUTE], found.origin.name)
    for row in rows:
        values = {key: row.get(key) for key in begun.space.distributions}
        setting_before(begun, found.spec, values, str(row.get("inert") or ""), int(row["trial"]))
    before = Inputs.from_kept(attributes.get(INPUTS_ATTRIBUTE))
    InputGuard(InputReader(found.spec), before, accepts=accepts_changes)
    if not accepts_changes:
        of_trials = Device.from_kept(attributes.get(DEVICE_ATTRIBUTE)) or device_of_trials(rows)
        check_device(of_trials, device_of_slots(slots), begun.name)
    return begun


def _opened(folder: RunFolder) -> tuple[StoredStudy, str, Any]:
    stored = locate(folder)
    return stored, stored.name, open_storage(stored.url)


def _with_later_ones(folder: RunFolder) -> list[tuple[RunFolder, StudySpec | None]]:
    """Return a study's folder and those of the studies that go on from it, in their order, each with what it keeps."""
    found = [(folder, _kept_spec(folder))]
    while (later := RunFolder(folder.path.with_name(f"{folder.name}-{len(found) + 1}"))).study_file.is_file():
        kept = _kept_spec(later)
        if kept is None or kept.study.extends is None or kept.study.extends.study != found[-1][0].name:
            break
        found.append((later, kept))
    return found


def _next_name(folder: RunFolder, number: int) -> str:
    name = f"{folder.name}-{number + 1}"
    if folder.path.with_name(name).exists():
        raise UsageError(
            f"{folder.path.with_name(name)}: exists already, and study {folder.name} would go on there; "
            "move it away, or give the changed study another name with --name"
        )
    return name


def _kept_spec(folder: RunFolder) -> StudySpec | None:
    """Return the study as its folder keeps it; None where there is none, or it is damaged: its start says so."""
    if not folder.study_file.is_file():
        return None
    try:
        return stored_study(folder.kept_spec(), folder.name)
    except UsageError:
        return None


def _named(spec: StudySpec, name: str, extends: Extends | None) -> StudySpec:
    return spec.model_copy(update={"study": spec.study.model_copy(update={"name": name, "extends": extends})})


def _wider_text(kept: StudySpec, spec: StudySpec, name: str) -> str:
    """Return what a study is told whose ranges became wider and which goes on by itself."""
    wider = with_wider_ranges(kept, spec).distributions
    changed = [f"space.{key}" for key, before in kept.space.distributions.items() if wider[key] != before]
    return f"{', '.join(changed)} is wider now: study {name} goes on with it" if changed else ""


@contextmanager
def _scratch(runs: Path) -> Iterator[Path]:
    """Yield a folder beside the studies that is removed at the end, whatever is left in it."""
    try:
        path = Path(tempfile.mkdtemp(prefix=".extend-", dir=runs))
    except OSError as error:
        raise UsageError(f"{runs}: cannot be written: {error.strerror}") from None
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _written(target: Path) -> Iterator[None]:
    """Raise UsageError where a folder cannot be written."""
    try:
        yield
    except OSError as error:
        is_there = error.errno in (errno.EEXIST, errno.ENOTEMPTY)
        why = "exists already" if is_there else f"cannot be written: {error.strerror or error}"
        raise UsageError(f"{target}: {why}") from None
    except shutil.Error as error:
        raise UsageError(f"{target}: cannot be written: {one_line(str(error), 100)}") from None


def _copy_or_share(source: str, target: str) -> str:
    if os.path.getsize(source) >= _LARGE_BYTES:
        try:
            os.link(source, target)
            return target
        except OSError:
            pass
    return str(shutil.copy2(source, target))
