"""A coordinator's session: what is taken before a study runs, in which order, and given back after it.

Invariant: GPU leases come first, then the folder's lock, then the lease in the storage, so that two studies never wait
for one another; whatever ends the session gives all of them back.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from greenopt.cli.options import DEFAULT_STORAGE_PATIENCE_S
from greenopt.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from greenopt.cli.executors import Executor
    from greenopt.execution import Slot
    from greenopt.runs.study_log import StudyEnd
    from greenopt.search import Search
    from greenopt.spec import StudySpec
    from greenopt.tracking.tracker import TrackerName


class EndedSession(NamedTuple):
    """How a session ended."""

    end: "StudyEnd"
    exit_code: ExitCode


def run_session(
    console: "Console",
    spec: "StudySpec",
    slots: "Sequence[Slot]",
    storage: str | None,
    runs: Path,
    *,
    accepts_changes: bool = False,
    storage_patience_s: float = DEFAULT_STORAGE_PATIENCE_S,
    with_epochs: bool = True,
    trackers: "Sequence[TrackerName]" = (),
    notes: "Sequence[str]" = (),
    executor: "Executor | None" = None,
) -> "EndedSession":
    """Take the study's leases and lock, run it, and print the result.

    Args:
        console: where progress and the result are printed.
        spec: the study; the one that its storage has begun with is what runs.
        slots: where trials run.
        storage: URL of its storage; that of its folder unless given.
        runs: folder of all studies' results.
        accepts_changes: whether it goes on with changed code or data, or on another kind of device.
        storage_patience_s: how long to wait for a storage that is away, in s.
        with_epochs: whether a line is printed for each epoch.
        trackers: where each trial that ends is sent to.
        notes: lines that are printed once nothing speaks against the study.
        executor: takes the slots; on this machine unless given.

    Returns:
        Why the study ended, and the exit code that says so.
    """
    from greenopt.cli.executors import Executor
    from greenopt.cli.summary_output import STORAGE_LOST_TEXT, failed_note, print_summary
    from greenopt.cli.tables import print_lines
    from greenopt.coordination.coordinator import Coordinator
    from greenopt.coordination.observers import Observer
    from greenopt.coordination.preflight import fetch_inputs, input_notes
    from greenopt.coordination.progress import Forecast, PlainProgress
    from greenopt.coordination.storage_access import StoragePlace
    from greenopt.coordination.study_log_writer import StudyLogWriter
    from greenopt.dashboard import DashboardPublisher
    from greenopt.files import full_disk_tolerated
    from greenopt.identity.start import check_start, open_study, storage_of
    from greenopt.runs.folder import RunFolder
    from greenopt.runs.provenance import code_in_force
    from greenopt.runs.requests import Request, ignore_early, listen
    from greenopt.runs.study_log import StudyEnd, elapsed_s, read_entries
    from greenopt.search import check_url, failures_named, file_watch
    from greenopt.storage.url import without_password
    from greenopt.tracking.observer import TrackerObserver

    def say(text: str) -> None:
        with full_disk_tolerated():
            print_lines(console, [text])

    def announce(request: Request) -> None:
        if request is Request.STOP:
            say("no new trials; Ctrl-C again ends the running ones too")

    def is_away() -> bool:
        return coordinator is not None and coordinator.is_storage_busy

    coordinator: Coordinator | None = None
    folder = RunFolder(runs.resolve() / spec.name)
    ignore_early()
    with ExitStack() as stack:
        opened_executor = stack.enter_context((executor or Executor()).opened(slots, say))
        engine = opened_executor.engine
        slots = engine.slots
        if storage is not None:
            check_url(storage)
        # Before the lock, which makes the folder: where the study is refused nothing has been written.
        folder.check_idle()
        shown = without_password(storage_of(folder, storage))
        fetch_inputs(spec, say)
        with failures_named(shown):
            checked = check_start(spec, folder, storage, slots, accepts_changes=accepts_changes)
        stack.enter_context(folder.claim())
        with failures_named(shown):
            study = open_study(spec, folder, storage, slots, accepts_changes=accepts_changes, checked=checked)
        search, spec, opened = study.search, study.search.spec, study.storage
        for line in notes:
            say(line)
        if note := failed_note(folder.name, search.ended_rows()):
            say(f"note: {note}")
        place = StoragePlace(without_password(study.url), storage_patience_s, file_watch(study.url))
        stack.callback(lambda: _release(search, is_away()))
        folder.write_study(
            spec.model_dump(mode="json"),
            without_password(study.url),
            code_in_force(),
            study_id=search.study_id,
            run_id=search.run_id,
        )
        # Before the folder's lock is given back, so that nobody runs the study while its trials yet run.
        stack.callback(engine.close)
        opened_executor.bring(spec)
        slots = engine.slots
        lines = PlainProgress(console, Forecast(spec.study.trials, len(slots)), with_epochs=with_epochs)
        study_log = StudyLogWriter(folder.study_log, slots, study_id=search.study_id, run_id=search.run_id)
        publisher = DashboardPublisher(
            spec,
            opened,
            folder,
            say,
            is_busy=is_away,
        )
        stack.callback(publisher.close)
        tracking = [TrackerObserver(folder, each, say, storage) for each in dict.fromkeys(trackers)]
        for each in tracking:
            stack.callback(each.close)
        observers: tuple[Observer, ...] = (study_log, lines, publisher, *tracking)
        coordinator = Coordinator(
            spec,
            search,
            engine,
            folder,
            observers,
            annotator=publisher,
            inputs=study.guard,
            metered_by=study.device.energy,
            gpus=opened_executor.gpus,
            place=place,
            elapsed_before_s=elapsed_s(read_entries(folder.study_log, search.study_id)),
        )
        for note in input_notes(spec):
            say(f"note: {note}")
        listen(coordinator, announce)
        end = coordinator.run()
    if end is StudyEnd.STORAGE_LOST:
        say(f"study {folder.name}: {STORAGE_LOST_TEXT}")
        return EndedSession(end, ExitCode.STOPPED_EARLY)
    with failures_named(place.name), full_disk_tolerated():
        return EndedSession(end, print_summary(console, folder, opened, end, coordinator.repeated_failure))
    # The disk is full, and the summary could not be printed.
    return EndedSession(end, ExitCode.DONE if end is StudyEnd.DONE else ExitCode.STOPPED_EARLY)


def _release(search: "Search", is_away: bool) -> None:
    """Give the lease in the storage back; one that stays where the storage is away ends with this process."""
    from greenopt.search import is_outage

    if is_away:
        return
    try:
        search.lease.release()
    except Exception as error:
        if not is_outage(error):
            raise
