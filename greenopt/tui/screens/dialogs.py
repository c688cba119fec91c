"""Dialogs: a question before what cannot be taken back, the keys, the commands that come next."""

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

from greenopt.tui.text.status_symbols import GREY, SIGNS


class Question(ModalScreen[bool]):
    """A question with two answers; the one that changes nothing has the focus."""

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
        """The question over the buttons."""
        with Vertical(classes="dialog"):
            yield Static(Text(self._question, "bold"))
            yield Static(self._detail, markup=False, classes="detail")
            with Horizontal(classes="buttons"):
                yield Button(f"{self._yes} (y)", variant="warning", id="yes", compact=True)
                yield Button("No (n)", id="no", compact=True)

    def on_mount(self) -> None:
        """Enter alone changes nothing."""
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Take the button's answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Take a key's answer."""
        self.dismiss(answer)


KEYS = (
    ("1 to 6", "overview, trials, Pareto, parameters, GPUs, log"),
    ("p", "pause: no new trials; p again lets the study go on"),
    ("s", "stop after the running trials"),
    ("k", "stop now; asks. Running trials are ended and run again when the study goes on"),
    ("q", "leave; the study goes on, `greenopt watch NAME` comes back"),
    ("enter", "in the table: open a trial; escape goes back, n and b turn pages"),
    ("/", "filter the table: words and comparisons, accuracy>0.5 optimizer=SGD state=failed"),
    ("[ ] r", "sort the table by the column before or after; reverse"),
    ("y", "copy the chosen trial's setting as TOML; elsewhere the most accurate one's"),
    ("e", "export all trials to NAME.csv in this folder"),
    ("o", "open the dashboard in a process of its own"),
    ("c", "the commands that come next, to copy"),
    ("l", "in the Pareto tab: logarithmic or linear energy; + - arrows zoom and move"),
    ("ctrl+p", "palette: every command, themes"),
)


class Help(ModalScreen[None]):
    """Keys and signs."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "dismiss", "Back", show=False)]

    def compose(self) -> ComposeResult:
        """Two tables."""
        keys = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        keys.add_column(style="bold", no_wrap=True)
        for key, words in KEYS:
            keys.add_row(key, words)
        signs = Text("\n")
        for sign in SIGNS.values():
            signs.append(f"{sign.mark} {sign.word}   ", sign.style)
        signs.append("\n~ est. is an estimate, – is not measured; the trial's page says why. escape goes back.", GREY)
        with VerticalScroll(classes="dialog wide"):
            yield Static(keys)
            yield Static(signs)


class Commands(ModalScreen[str | None]):
    """Command lines to choose from; the chosen one is copied."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,c", "dismiss", "Back", show=False)]

    def __init__(self, commands: Sequence[tuple[str, str]]) -> None:
        """Offer commands.

        Args:
            commands: command line and what it does.
        """
        super().__init__()
        self._commands = commands

    def compose(self) -> ComposeResult:
        """A list."""
        with Vertical(classes="dialog wide"):
            yield Static(Text.assemble(("What comes next", "bold"), ("  enter copies the command", GREY)))
            options = [
                Option(Text.assemble((line, "bold"), (f"\n  {words}", GREY)), id=line) for line, words in self._commands
            ]
            yield OptionList(*options, compact=True)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Give the chosen line back."""
        self.dismiss(event.option.id)
