"""The second tab: every trial, sortable and filterable."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from greenopt.errors import UsageError
from greenopt.formatting import MISSING, format_energy, format_figure, format_fraction, format_seconds, significant
from greenopt.storage.rows import COLUMNS
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.trial_filter import TrialFilter, ordered
from greenopt.tui.text.status_symbols import STATUS_SYMBOLS
from greenopt.tui.text.trial_lines import format_reason
from greenopt.tui.widgets.trial_table import Column, Row, TrialTable
from greenopt.validation_gap import marked_accuracy


class TrialsPane(Vertical):
    """The table of trials, with its filter and sort order in a line above."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("left_square_bracket", "sort(-1)", "Sort by the previous column", show=False, key_display="["),
        Binding("right_square_bracket", "sort(1)", "Sort", key_display="[ ]"),
        Binding("r", "reverse", "Reverse"),
        Binding("escape", "clear", "No filter", show=False),
    ]

    def __init__(self) -> None:
        """Show all trials, the newest first."""
        super().__init__()
        self._model: StudyModel | None = None
        self._filter = TrialFilter()
        self._sorted_by, self._falling = "trial", True
        self._columns: Sequence[Column] = ()
        self._shown: tuple[object, ...] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the summary line, the filter (hidden until asked for) and the table."""
        yield Static(id="trials-line")
        yield Input(placeholder="accuracy>0.5  optimizer=SGD  state=failed  any word", id="filter", compact=True)
        yield TrialTable("trials-table")

    def on_mount(self) -> None:
        """Hide the filter until it is used."""
        self.query_one("#filter").display = False

    def show_model(self, model: StudyModel, now: datetime) -> None:
        """Draw the table if anything has changed."""
        if not self._columns:
            self._columns = trial_columns(model)
            self.query_one(TrialTable).set_columns(self._columns)
        self._model = model
        self._refresh_rows()

    @property
    def chosen(self) -> int | None:
        """Return the trial under the cursor."""
        return self.query_one(TrialTable).cursor_trial

    def action_filter(self) -> None:
        """Show the filter and focus it."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_clear(self) -> None:
        """Clear the filter."""
        field = self.query_one("#filter", Input)
        field.value, field.display = "", False
        self.query_one(TrialTable).focus()

    def action_sort(self, by: int) -> None:
        """Sort by an adjacent column."""
        keys = [column.key for column in self._columns]
        self._sorted_by = keys[(keys.index(self._sorted_by) + by) % len(keys)]
        self._refresh_rows()

    def action_reverse(self) -> None:
        """Reverse the order."""
        self._falling = not self._falling
        self._refresh_rows()

    @on(TrialTable.SortedBy)
    def _sort_by(self, message: TrialTable.SortedBy) -> None:
        self._falling = not self._falling if message.key == self._sorted_by else True
        self._sorted_by = message.key
        self._refresh_rows()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, message: Input.Changed) -> None:
        names = (
            ()
            if self._model is None
            else (*COLUMNS, "began", "total_wh", *self._model.plane.others, *self._model.spec.space.distributions)
        )
        try:
            self._filter = TrialFilter(message.value, names)
        except UsageError as error:
            self.query_one("#trials-line", Static).update(Text(f"× {error}"))
            return
        self._refresh_rows()

    @on(Input.Submitted, "#filter")
    def _filter_chosen(self) -> None:
        if not self._filter.text:
            self.query_one("#filter").display = False
        self.query_one(TrialTable).focus()

    def _refresh_rows(self) -> None:
        model = self._model
        if model is None:
            return
        key = (model.revision, model.is_running, self._filter.text, self._sorted_by, self._falling)
        if key == self._shown:
            return
        self._shown = key
        passing = [
            row for row in model.rows.values() if self._filter.lets_through(row, STATUS_SYMBOLS[model.state(row)].word)
        ]
        rows = ordered(passing, self._sorted_by, falling=self._falling)
        self.query_one(TrialTable).show_rows(rows, self._sorted_by, falling=self._falling)
        self.query_one("#trials-line", Static).update(Text(self._format_summary_line(len(rows), len(model.rows))))

    def _format_summary_line(self, shown: int, known: int) -> str:
        label = next(column.label for column in self._columns if column.key == self._sorted_by)
        order = "falling" if self._falling else "rising"
        count = f"{known} trials" if shown == known else f"{shown} of {known} trials match [{self._filter.text}]"
        return (
            f"{count} by {label}, {order}  ·  enter opens, / filters, [ and ] or a click on a header sort, r reverses"
        )


def trial_columns(model: StudyModel) -> Sequence[Column]:
    """Return the table's columns: state, metrics, parameters, reason."""

    def state(row: Row) -> str:
        sign = STATUS_SYMBOLS[model.state(row)]
        return f"{sign.mark} {sign.word}"

    figures = [
        Column("trial", "#", 6, lambda row: str(row["trial"]), is_number=True),
        Column("state", "state", 9, state, lambda row: STATUS_SYMBOLS[model.state(row)].style),
        Column("accuracy", "accuracy", 8, lambda row: marked_accuracy(model.spec, row), is_number=True),
        Column("test_accuracy", "test", 6, lambda row: format_fraction(row["test_accuracy"]), is_number=True),
        Column("energy_wh", "energy", 14, _energy("energy_wh"), is_number=True),
        Column("wh_per_epoch", "per epoch", 14, _energy("wh_per_epoch"), is_number=True),
        Column("efficiency", "1/Wh", 7, _number("efficiency"), is_number=True),
        Column("seconds", "time", 8, lambda row: format_seconds(row["seconds"]), is_number=True),
    ]
    figures += [Column(name, name, max(14, len(name)), _figure(name), is_number=True) for name in model.plane.others]
    parameters = [_parameter_column(model, name) for name in model.spec.space.distributions]
    return [*figures, *parameters, Column("message", "reason", 60, format_reason)]


def _parameter_column(model: StudyModel, name: str) -> Column:
    distribution = model.spec.space.distributions[name]
    values = getattr(distribution, "values", None)
    widest = max((len(str(value)) for value in values), default=4) if values else 9
    return Column(name, name, min(22, max(len(name) + 1, widest)), _value(name))


def _value(name: str) -> Callable[[Mapping[str, Any]], str]:
    def text(row: Mapping[str, Any]) -> str:
        value = row.get(name)
        if value is None:
            return MISSING
        return significant(value, 4) if isinstance(value, float) else str(value)

    return text


def _figure(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: format_figure(name, row.get(name), row["energy_source"], 4)


def _energy(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: format_energy(row[name], row["energy_source"])


def _number(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: MISSING if row[name] is None else significant(row[name])
