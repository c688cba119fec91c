"""The log tab: what the study's coordinators did."""

from datetime import datetime

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import RichLog

from greenopt.runs.study_log import (
    RUN_STATE_TEXTS,
    CoordinatorEnded,
    CoordinatorStarted,
    LogEntry,
    RunStateChanged,
    SlotsChanged,
    SlotSetAside,
    StorageChanged,
    TrialPlaced,
    TrialRecorded,
    format_slots_changed,
    format_storage,
)
from greenopt.runs.trial_ending import format_ending
from greenopt.tui.state.model import StudyModel
from greenopt.tui.text.header import format_end
from greenopt.tui.text.status_symbols import GREY, ORANGE, VERMILION


class LogPane(Vertical):
    """The study log, one line per entry, the latest at the end."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._shown: LogEntry | None = None

    def compose(self) -> ComposeResult:
        """Lay out the log."""
        yield RichLog(id="study-log", wrap=True, max_lines=5000)

    def show_model(self, model: StudyModel, now: datetime) -> None:
        """Add the new entries."""
        log = self.query_one(RichLog)
        entries = list(model.study_log)
        at = next((at for at in range(len(entries), 0, -1) if entries[at - 1] is self._shown), 0)
        for entry in entries[at:]:
            log.write(entry_text(entry))
        if entries:
            self._shown = entries[-1]
        elif self._shown is None and not log.lines:
            log.write(
                Text("no study log on this machine: it is in the run folder on the host that runs the study", GREY)
            )


def entry_text(entry: LogEntry) -> Text:
    """Return an entry of the study log as a line."""
    text = Text(f"{datetime.fromtimestamp(entry.utc_s):%Y-%m-%d %H:%M:%S}  ", GREY)
    match entry:
        case CoordinatorStarted():
            text.append(f"study started by pid {entry.pid} on {entry.host}: {', '.join(entry.slots)}", "bold")
            text.append(f"; {entry.settled} of {entry.trials} trials already done")
        case TrialPlaced():
            text.append(f"trial {entry.trial} started on {entry.slot}")
        case TrialRecorded():
            text.append(f"trial {entry.trial} {_format_recorded(entry)}", _recorded_style(entry))
        case RunStateChanged():
            text.append(RUN_STATE_TEXTS[entry.conduct], ORANGE)
        case SlotSetAside():
            text.append(f"{entry.slot} is set aside: {entry.reason}", VERMILION)
        case SlotsChanged():
            told = format_slots_changed(entry.joined, entry.gone, len(entry.slots))
            text.append(told, VERMILION if entry.gone else ORANGE)
        case StorageChanged():
            text.append(format_storage(entry.storage, entry.cause), ORANGE if entry.cause is None else VERMILION)
        case CoordinatorEnded():
            text.append(f"study {format_end(entry.end)}{f' ({entry.failure})' if entry.failure else ''}", "bold")
    return text


def _format_recorded(entry: TrialRecorded) -> str:
    """Format how a trial ended; entries from before the ending was kept bring their sentence."""
    return format_ending(entry.ending) if entry.ending is not None else entry.text or ""


def _recorded_style(entry: TrialRecorded) -> str:
    return VERMILION if entry.ending is not None and entry.ending.is_failure else ""
