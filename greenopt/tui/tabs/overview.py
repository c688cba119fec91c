"""The first tab: an overview of the whole study."""

from datetime import datetime

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Grid, Horizontal, Vertical

from greenopt.formatting import format_setting
from greenopt.runs.study_log import RunState, StudyEnd
from greenopt.spec import Direction
from greenopt.storage.trial_state import TrialState
from greenopt.tui.state.live_trial import LiveTrial
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import Row
from greenopt.tui.text import header, trial_lines
from greenopt.tui.text.status_symbols import GREY, VERMILION
from greenopt.tui.widgets.plots import FrontPlot, HypervolumePlot, UsedEnergyPlot
from greenopt.tui.widgets.responsive_text import ResponsiveText

LAST_TRIALS = 40


class Overview(Vertical):
    """Counts, best trials, the front, slots and the last trials; after the end, a summary of the study."""

    def compose(self) -> ComposeResult:
        """Lay out all boxes; the terminal's size decides which of them are shown."""
        yield ResponsiveText(id="header")
        yield ResponsiveText(id="folded")
        with Horizontal(id="body"):
            yield FrontPlot(widget_id="front")
            with Vertical(id="side"):
                yield Grid(id="slots")
                yield ResponsiveText(id="summary")
                yield ResponsiveText(id="last")
        with Horizontal(id="trend-plots"):
            yield HypervolumePlot("hypervolume")
            yield UsedEnergyPlot("spent")

    def on_mount(self) -> None:
        """Set the titles of the boxes."""
        self.query_one("#last").border_title = "last trials"
        self.query_one("#summary").border_title = "results"

    def show_model(self, model: StudyModel, now: datetime) -> None:
        """Draw the current state of the study."""
        is_over = model.end is not None or not model.is_running
        self.query_one("#header", ResponsiveText).fit(lambda width, _: _header_lines(model, now, width))
        self.query_one("#folded", ResponsiveText).fit(lambda width, _: _folded(model, width, is_over=is_over))
        self.query_one("#front", FrontPlot).show_model(model)
        self.query_one("#slots").display = not is_over
        summary = self.query_one("#summary", ResponsiveText)
        summary.display = is_over
        if is_over:
            summary.fit(lambda width, _: summary_text(model, width))
        else:
            self._show_slots(model)
        self.query_one("#last", ResponsiveText).fit(lambda width, height: _last_trials(model, width, max(1, height)))
        if self.query_one("#trend-plots").display:
            self.query_one("#hypervolume", HypervolumePlot).show_model(model)
            self.query_one("#spent", UsedEnergyPlot).show_model(model)

    def _show_slots(self, model: StudyModel) -> None:
        grid = self.query_one("#slots", Grid)
        names = slot_names(model)
        boxes = list(grid.query(SlotBox))
        if [box.slot for box in boxes] != names:
            grid.remove_children()
            grid.mount_all([SlotBox(name) for name in names])
            boxes = list(grid.query(SlotBox))
        grid.set_class(len(names) > 1, "several")
        for box in boxes:
            box.show_model(model)


class SlotBox(ResponsiveText):
    """One slot, and the trial that runs in it."""

    def __init__(self, slot: str) -> None:
        """Create the box of a named slot."""
        super().__init__()
        self.slot = slot

    def show_model(self, model: StudyModel) -> None:
        """Draw the trial that runs in this slot, or the reason why none does."""
        live = live_in(model, self.slot)
        if live is None:
            self.border_title, self.border_subtitle = Text(self.slot), ""
            self.fit(lambda _width, _height: Text(format_idle_slot(model), GREY))
            return
        started = live.started
        device = (started.gpu_name if started else None) or (live.meter.device if live.meter else "")
        self.border_title = Text(f"{self.slot} · #{live.trial}" + (f" · {device}" if device else ""))
        shared = any(flag in trial_lines.DOUBTFUL for flag in live.flags)
        self.border_subtitle = f"[bold {VERMILION}]! shared with other processes[/]" if shared else ""
        self.fit(lambda width, _: _slot_lines(model, live, width))


def _slot_lines(model: StudyModel, live: LiveTrial, width: int) -> Text:
    row = model.rows[live.trial]
    lines = [
        trial_lines.progress_text(live, width),
        trial_lines.curves_text(live, width),
        trial_lines.device_text(list(live.samples), width, live.memory_bytes),
        trial_lines.energy_text(live, width),
        Text(format_setting({name: row[name] for name in model.spec.space.distributions}), GREY),
    ]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)


def slot_names(model: StudyModel) -> list[str]:
    """Return the slots to show: the coordinator's, or one for each running trial if those are unknown."""
    return list(model.slots) or [f"trial {number}" for number in sorted(model.live)]


def live_in(model: StudyModel, slot: str) -> LiveTrial | None:
    """Return the trial that runs in a slot."""
    for number, live in model.live.items():
        if (model.slot_of(number) or f"trial {number}") == slot:
            return live
    return None


def format_idle_slot(model: StudyModel) -> str:
    """Return why a slot has no trial."""
    if model.outage is not None:
        return "idle: the storage is away"
    if model.run_state is RunState.PAUSED:
        return "idle: the study is paused; press p to resume"
    if model.run_state in (RunState.STOPPING, RunState.STOPPING_NOW):
        return "idle: the study is stopping"
    if model.settled + model.counts[TrialState.RUNNING] >= model.spec.study.trials:
        return "idle: no trials are left to run"
    return "idle: the next trial is about to start"


def summary_text(model: StudyModel, width: int) -> Text:
    """Return the summary of an ended study: how it ended, the best of the front, what to do next."""
    lines = [header.state_text(model), Text(_format_ending(model), GREY), Text()]
    front = _best_of_front(model)
    efficient = model.best("efficiency") if model.plane.is_accuracy_for_energy else None
    if front:
        which = "most accurate" if model.plane.is_accuracy_for_energy else f"best {model.plane.up}"
        lines.append(Text(f"{which} on the front", GREY))
        lines += [_ended(model, row, width) for row in front]
    else:
        lines.append(Text("no trial completed; enter on one in tab 2 says why", GREY))
    if efficient is not None:
        lines += [Text("most efficient", GREY), _ended(model, efficient, width)]
    lines += [Text(), Text("e exports a table · o dashboard · c next commands", GREY)]
    text = Text("\n").join(lines)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _best_of_front(model: StudyModel) -> list[Row]:
    """Return the rows of up to three trials on the front, the best in the vertical axis's figure first."""
    up = model.plane.up
    sign = 1 if model.spec.objectives.get(up) is Direction.MINIMIZE else -1
    rows = [model.rows[trial] for trial in model.trace.trials]
    return sorted(rows, key=lambda row: sign * row[up])[:3]


def _format_ending(model: StudyModel) -> str:
    if model.end is not None and model.end.failure is not None:
        return f"reason: {model.end.failure}; tab 2, enter: the trial's log"
    if header.find_end(model) is StudyEnd.BUDGET_SPENT:
        return "resume with `greenopt run`, its study file and a larger --budget"
    if header.find_end(model) is StudyEnd.FRONT_STILL:
        return "resume with `greenopt run`, its study file and a larger --patience"
    if model.settled < model.spec.study.trials:
        return "resume with `greenopt run` and its study file"
    return f"{model.counts[TrialState.COMPLETE]} of {model.spec.study.trials} trials completed"


def _ended(model: StudyModel, row: Row, width: int) -> Text:
    return trial_lines.ended_text(
        row, model.state(row), tuple(model.spec.space.distributions), width, model.shown_figures
    )


def _header_lines(model: StudyModel, now: datetime, width: int) -> Text:
    counts, energy, best = header.counts_text(model), header.energy_text(model), header.best_text(model, width)
    gap = width - counts.cell_len - energy.cell_len
    lines = [counts + Text(" " * gap) + energy, best] if gap >= 3 else [counts, energy, best]
    if (forecast := header.forecast_text(model, now)) is not None:
        lines.append(forecast)
    if model.problem is not None:
        lines.insert(0, Text(model.problem))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)


def _folded(model: StudyModel, width: int, *, is_over: bool) -> Text:
    """Return the slots, or the summary of an ended study, in at most three lines, for small terminals."""
    if is_over:
        lines = [Text(_format_ending(model), GREY)]
        best, up = model.best(model.plane.up), model.plane.up
        if best is not None:
            which = "most accurate " if up == "accuracy" else f"best {up} "
            lines.append(Text(which, GREY) + _ended(model, best, width - len(which)))
        lines.append(Text("e exports a table · o dashboard · c next commands", GREY))
        return Text("\n").join(lines)
    lines = []
    for slot in slot_names(model)[:3]:
        live = live_in(model, slot)
        lines.append(
            Text(f"{slot} {format_idle_slot(model)}", GREY)
            if live is None
            else trial_lines.folded_text(live, slot, width)
        )
    return Text("\n").join(lines)


def _last_trials(model: StudyModel, width: int, height: int) -> Text:
    numbers = list(reversed(model.finished[-LAST_TRIALS:]))[:height]
    if not numbers:
        return Text("no trial has ended yet", GREY)
    return Text("\n").join(_ended(model, model.rows[number], width) for number in numbers)
