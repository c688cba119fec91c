"""The live view: it reads the study once a second in a thread, updates the model and draws the visible tab.

Invariants: only handlers on the app's own thread touch the model; a thread posts one message for all that it read;
leaving, crashing or losing the terminal sends nothing to the coordinator.
"""

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static, TabbedContent, TabPane

from greenopt.errors import GreenoptError
from greenopt.runs.requests import REQUEST_COMMANDS, Request
from greenopt.runs.study_log import RunState
from greenopt.storage.trial_state import TrialState
from greenopt.tui import themes
from greenopt.tui.actions import Actions
from greenopt.tui.screens.dialogs import Commands, Help, Question
from greenopt.tui.screens.trial_page import TrialPage
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import Batch, Reader
from greenopt.tui.tabs.gpus import SlotsPane
from greenopt.tui.tabs.overview import Overview
from greenopt.tui.tabs.parameters import ParametersPane
from greenopt.tui.tabs.pareto import ParetoPane
from greenopt.tui.tabs.study_log import LogPane
from greenopt.tui.tabs.trials import TrialsPane
from greenopt.tui.text.header import format_end, title_text
from greenopt.tui.text.setting_toml import setting_toml
from greenopt.tui.widgets.footer import DeferredFooter
from greenopt.tui.widgets.seen import SeenOnly
from greenopt.tui.widgets.trial_table import TrialTable

POLL_S = 1.0
TABS = ("overview", "trials", "pareto", "parameters", "gpus", "log")
_FOCUSED = {
    "trials": "#trials-table",
    "pareto": "#pareto-plot",
    "parameters": "ParametersPane",
    "gpus": "SlotsPane",
    "log": "#study-log",
}
"""The widget that has the keyboard focus in each tab."""


def _local_now() -> datetime:
    return datetime.now().astimezone()


class WatchApp(App[None]):
    """The application that shows one study live."""

    CSS_PATH = "style.tcss"
    TITLE = "greenopt"
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  # Textual declares it as a plain attribute
        (0, "-narrow"),
        (100, "-normal"),
        (160, "-wide"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(at), f"tab('{name}')", name.capitalize(), show=False) for at, name in enumerate(TABS, 1)),
        Binding("q", "quit", "Leave"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("p", "pause", "Pause"),
        Binding("s", "stop", "Stop"),
        Binding("k", "stop_now", "Stop now"),
        Binding("ctrl+q", "quit", "Leave", show=False, priority=True),
        Binding("ctrl+c", "explain_leaving", show=False, system=True, priority=True),
        Binding("y", "copy_setting", "Copy"),
        Binding("e", "export", "Export"),
        Binding("o", "dashboard", "Dashboard"),
        Binding("c", "commands", "Next"),
    ]

    class StudyRead(Message):
        """Everything that changed since the last reading of the study."""

        def __init__(self, batch: Batch) -> None:
            self.batch = batch
            super().__init__()

    def __init__(
        self,
        reader: Reader,
        actions: Actions,
        *,
        commands: Iterable[tuple[str, str]] = (),
        clock: Callable[[], datetime] = _local_now,
        poll_s: float | None = POLL_S,
        when_shown: Callable[[], None] = lambda: None,
    ) -> None:
        """Show a study.

        Args:
            reader: reads it.
            actions: carries out the user's requests.
            commands: command lines that may come next, and what they do.
            clock: the time now.
            poll_s: seconds between two readings; None to read once.
            when_shown: called once, after the first reading has been drawn.
        """
        super().__init__()
        self._filters.append(SeenOnly())
        self._reader, self._actions = reader, actions
        self._commands = tuple(commands)
        self._clock, self._poll_s, self._when_shown = clock, poll_s, when_shown
        self._is_reading = False
        self.model = StudyModel(reader.spec)
        self.failure: Exception | None = None
        self._has_ended: bool | None = None

    def compose(self) -> ComposeResult:
        """Lay out the title, the six tabs and the footer."""
        yield Static(id="title")
        with TabbedContent(id="tabs"):
            for at, (name, pane) in enumerate(zip(TABS, self._panes(), strict=True), 1):
                label = "GPUs" if name == "gpus" else name.capitalize()
                with TabPane(f"{at} {label}", id=name):
                    yield pane
        yield DeferredFooter()

    def on_mount(self) -> None:
        """Register the themes and start reading the study."""
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = themes.DARK.name
        self._poll()
        if self._poll_s is not None:
            self.set_interval(self._poll_s, self._poll)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Return the commands of the palette: every key's action, and Textual's own (themes, screenshot)."""
        yield from (
            SystemCommand("Pause or resume", "start no new trials; again to resume", self.action_pause),
            SystemCommand("Stop", "stop after the running trials", self.action_stop),
            SystemCommand("Stop now", "end the running trials too, after confirmation", self.action_stop_now),
            SystemCommand("Leave", "the study keeps running", self.action_quit),
            SystemCommand("Copy setting", "the selected trial's, as TOML", self.action_copy_setting),
            SystemCommand("Export", "all trials to a CSV file", self.action_export),
            SystemCommand("Dashboard", "open optuna-dashboard", self.action_dashboard),
            SystemCommand("Next commands", "what to do with this study", self.action_commands),
        )
        yield from (command for command in super().get_system_commands(screen) if command.title != "Quit")

    def on_resize(self) -> None:
        """Draw for the new size once it is laid out."""
        self.call_after_refresh(self._draw)

    @on(StudyRead)
    def _take(self, message: StudyRead) -> None:
        self._is_reading = False
        if not self.model.has_been_read:
            self.call_after_refresh(self._when_shown)
        self.model.apply(message.batch)
        self._announce_end()
        self._draw()
        if isinstance(self.screen, TrialPage) and self.screen.number in self.model.live:
            self.screen.reread()

    @on(TabbedContent.TabActivated)
    def _tab_changed(self, message: TabbedContent.TabActivated) -> None:
        focused = _FOCUSED.get(message.pane.id or "")
        self.screen_stack[0].set_focus(None if focused is None else self.query_one(focused))
        self.call_after_refresh(self._draw)

    @on(TrialTable.Opened)
    def _open_trial(self, message: TrialTable.Opened) -> None:
        self.push_screen(TrialPage(self.model, self._reader, message.trial))

    def action_tab(self, name: str) -> None:
        """Show a tab."""
        if len(self.screen_stack) == 1:
            self.query_one(TabbedContent).active = name

    def action_pause(self) -> None:
        """Pause the study, or resume it."""
        if self._can_act():
            self._ask(Request.RESUME if self.model.run_state is RunState.PAUSED else Request.PAUSE)

    def action_stop(self) -> None:
        """Stop after the running trials; a second time changes nothing."""
        if not self._can_act():
            return
        if self.model.run_state in (RunState.STOPPING, RunState.STOPPING_NOW):
            self.notify("the study is already stopping; press k to stop it now")
            return
        self.model.run_state = RunState.STOPPING
        self._ask(Request.STOP)

    def action_stop_now(self) -> None:
        """Stop now, after asking."""
        if not self._can_act():
            return
        running = self.model.counts[TrialState.RUNNING]
        detail = (
            f"{running} running trial{'s are' if running != 1 else ' is'} ended. Their energy stays on record; the "
            "settings run again when the study is resumed."
        )
        self.push_screen(Question(f"Stop study {self.model.spec.name} now?", detail, "Stop now"), self._stop_if)

    def _stop_if(self, answer: bool | None) -> None:
        if answer:
            self._ask(Request.STOP_NOW)

    async def action_quit(self) -> None:
        """Leave the live view; the study keeps running."""
        self.exit()

    def action_explain_leaving(self) -> None:
        """Explain on Ctrl-C how to leave and how to stop; nothing is ended."""
        self.notify("q leaves and the study keeps running; s stops it after the running trials, k stops it now")

    def action_copy_setting(self) -> None:
        """Copy the setting of the open or selected trial, else of the most accurate one."""
        number = self._chosen_trial()
        if number is None:
            self.notify("no trial is selected, and none has completed yet", severity="warning")
            return
        row = self.model.rows[number]
        text = setting_toml({name: row[name] for name in self.model.spec.space.distributions})
        self.copy_to_clipboard(f"# trial {number} of study {self.model.spec.name}\n{text}")
        self.notify(text.rstrip(), title=f"setting of trial {number}, copied", markup=False, timeout=8)

    def action_export(self) -> None:
        """Write all trials to a file; ask before replacing an existing one."""
        target: Path = self._actions.export_target
        if not target.exists():
            self._do(self._actions.export)
            return
        question = Question(f"Replace {target.name}?", f"{target} already exists.", "Replace")
        self.push_screen(question, self._export_if)

    def _export_if(self, answer: bool | None) -> None:
        if answer:
            self._do(self._actions.export)

    def action_dashboard(self) -> None:
        """Start the dashboard."""
        self.notify("starting the dashboard", timeout=3)
        self._do(self._actions.open_dashboard)

    def action_commands(self) -> None:
        """Offer the next commands for this study."""
        left_out = () if self.model.is_running else REQUEST_COMMANDS
        commands = [command for command in self._commands if command[0].split()[1] not in left_out]
        self.push_screen(Commands(commands), self._copy_command)

    def action_help(self) -> None:
        """Show keys and status symbols."""
        self.push_screen(Help())

    def _copy_command(self, line: str | None) -> None:
        if line is not None:
            self.copy_to_clipboard(line)
            self.notify(line, title="copied", markup=False)

    def _panes(self) -> tuple[Overview, TrialsPane, ParetoPane, ParametersPane, SlotsPane, LogPane]:
        return Overview(), TrialsPane(), ParetoPane(), ParametersPane(), SlotsPane(), LogPane()

    def _chosen_trial(self) -> int | None:
        if isinstance(self.screen, TrialPage):
            return self.screen.number
        if self.query_one(TabbedContent).active == "trials":
            return self.query_one(TrialsPane).chosen
        best = self.model.best(self.model.plane.up)
        return None if best is None else int(best["trial"])

    def _can_act(self) -> bool:
        if self.model.is_running and self.model.end is None:
            return True
        self.notify("the study is not running; resume it with `greenopt run` and its study file", severity="warning")
        return False

    def _ask(self, request: Request) -> None:
        self._do(lambda: self._actions.ask(request))

    @work(thread=True, group="actions")
    def _do(self, what: Callable[[], str]) -> None:
        """Run an action in a thread and notify the user of its result."""
        try:
            text, severity = what(), "information"
        except GreenoptError as error:
            text, severity = str(error), "error"
        self.call_from_thread(self.notify, text, severity=severity, markup=False, timeout=10)

    def _poll(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._read()

    @work(thread=True, group="reading")
    def _read(self) -> None:
        """Read the study; an error is shown, and the next reading tries again."""
        try:
            batch = self._reader.read()
        except Exception as error:
            batch = Batch(holder=self.model.holder, problem=f"cannot be read: {type(error).__name__}: {error}")
        self.post_message(self.StudyRead(batch))

    def _draw(self) -> None:
        if not self.is_running or not self.screen_stack or not self.model.has_been_read:
            return
        now = self._clock()
        base = self.screen_stack[0]
        base.query_one("#title", Static).update(title_text(self.model, now, self.size.width))
        active = base.query_one(TabbedContent).active_pane
        for pane in active.children if active is not None else ():
            if isinstance(pane, Overview | TrialsPane | ParetoPane | ParametersPane | SlotsPane | LogPane):
                pane.show_model(self.model, now)

    def _announce_end(self) -> None:
        """Notify once that the study has ended while it was shown."""
        end = self.model.end
        if end is not None and self._has_ended is False:
            self.notify(f"the study has ended: {format_end(end.end)}; press q to leave", timeout=30, markup=False)
            self.bell()
        self._has_ended = end is not None

    def _handle_exception(self, error: Exception) -> None:
        """Exit without a traceback; the command that opened the view reports the error."""
        self.failure = error
        if self.is_headless or os.environ.get("GREENOPT_DEBUG"):
            super()._handle_exception(error)
        else:
            self.exit(return_code=1)
