"""Dialogs: a question before an irreversible action, the keys, the next commands."""

from collections.abc import Sequence
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, OptionList, Static
from textual.widgets.option_list import Option

from greenopt.tui.text.status_symbols import GREY, STATUS_SYMBOLS


class Question(ModalScreen[bool]):
    """A yes/no question; the answer without consequences has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", show=False),
        Binding("n,escape,q", "answer(False)", "No", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, detail: str, yes: str) -> None:
        """Ask.

        Args:
            question: in bold.
            detail: what will happen.
            yes: the word on the button that does it.
        """
        super().__init__()
        self._question, self._detail, self._yes = question, detail, yes

    def compose(self) -> ComposeResult:
        """Lay out the question above its buttons."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._question, "bold"))
            yield Static(self._detail, markup=False, classes="detail")
            with Horizontal(classes="buttons"):
                yield Button(f"{self._yes} (y)", variant="warning", id="yes", compact=True)
                yield Button("No (n)", id="no", compact=True)

    def on_mount(self) -> None:
        """Focus the answer without consequences, so that Enter changes nothing."""
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take the button's answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Take a key's answer."""
        self.dismiss(answer)


KEYS = (
    ("1 to 6", "overview, trials, Pareto, parameters, GPUs, log"),
    ("p", "pause: start no new trials; p again resumes the study"),
    ("s", "stop after the running trials"),
    ("k", "stop now, after confirmation; running trials run again when the study is resumed"),
    ("q", "leave; the study keeps running, `greenopt watch NAME` returns to it"),
    ("enter", "in the table: open a trial; escape returns, n and b show the next and the previous one"),
    ("/", "filter the table: words and comparisons, accuracy>0.5 optimizer=SGD state=failed"),
    ("[ ] r", "sort the table by the previous or next column; reverse"),
    ("y", "copy the selected trial's setting as TOML, else that of the most accurate one"),
    ("e", "export all trials to NAME.csv in this folder"),
    ("o", "open the dashboard in a separate process"),
    ("c", "list the next commands, to copy one"),
    ("l", "in the Pareto tab: logarithmic or linear energy; + - arrows zoom and move"),
    ("ctrl+p", "palette: every command, themes"),
)


class Help(ModalScreen[None]):
    """The keys and the status symbols."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "dismiss", "Back", show=False)]

    def compose(self) -> ComposeResult:
        """Lay out the tables of keys and status symbols."""
        keys = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        keys.add_column(style="bold", no_wrap=True)
        for key, text in KEYS:
            keys.add_row(key, text)
        signs = Text("\n")
        for sign in STATUS_SYMBOLS.values():
            signs.append(f"{sign.mark} {sign.word}   ", sign.style)
        signs.append(
            "\n~ est. marks an estimate, – means not measured (see the trial's page). Press escape to close.", GREY
        )
        with VerticalScroll(classes="dialog wide"):
            yield Static(keys)
            yield Static(signs)


class Commands(ModalScreen[str | None]):
    """A list of command lines; the selected one is copied."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,c", "dismiss", "Back", show=False)]

    def __init__(self, commands: Sequence[tuple[str, str]]) -> None:
        """Offer commands.

        Args:
            commands: command line and what it does.
        """
        super().__init__()
        self._commands = commands

    def compose(self) -> ComposeResult:
        """Lay out the list of commands."""
        with Vertical(classes="dialog wide"):
            yield Static(Text.assemble(("Next commands", "bold"), ("  enter copies the command", GREY)))
            options = [
                Option(Text.assemble((line, "bold"), (f"\n  {text}", GREY)), id=line) for line, text in self._commands
            ]
            yield OptionList(*options, compact=True)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Return the selected line to the caller."""
        self.dismiss(event.option.id)
