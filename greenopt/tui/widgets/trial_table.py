"""A table of trials that draws visible rows only, so that ten thousand are no slower than ten."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        key: name of the figure by which it sorts.
        label: its head.
        width: in cells, without the gap behind it.
        text: a row's cell.
        style: a row's cell style; None for the default.
        is_number: drawn at the right of its cell.
    """

    key: str
    label: str
    width: int
    text: Callable[[Row], str]
    style: Callable[[Row], str] | None = None
    is_number: bool = False


class TrialTable(ScrollView, can_focus=True):
    """A table with a fixed header and a cursor; a click on a column's header sorts by it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open"),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "jump(0)", "First", show=False),
        Binding("end", "jump(-1)", "Last", show=False),
        Binding("left", "scroll_left", "Left", show=False),
        Binding("right", "scroll_right", "Right", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--head", "table--cursor"}

    class Opened(Message):
        """A trial was selected."""

        def __init__(self, trial: int) -> None:
            self.trial = trial
            super().__init__()

    class SortedBy(Message):
        """A column's header was clicked."""

        def __init__(self, key: str) -> None:
            self.key = key
            super().__init__()

    def __init__(self, widget_id: str | None = None) -> None:
        """Create an empty table."""
        super().__init__(id=widget_id)
        self._columns: Sequence[Column] = ()
        self._rows: Sequence[Row] = ()
        self._sorted_by, self._falling = "", False
        self._cursor = 0

    @property
    def cursor_trial(self) -> int | None:
        """The trial under the cursor; None in an empty table."""
        return self._rows[self._cursor]["trial"] if self._rows else None

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Lay out the columns."""
        self._columns = columns
        self._resize()

    def show_rows(self, rows: Sequence[Row], sorted_by: str, *, falling: bool) -> None:
        """Show these rows in this order; the cursor stays with its trial."""
        chosen = self.cursor_trial
        self._rows, self._sorted_by, self._falling = rows, sorted_by, falling
        at = next((at for at, row in enumerate(rows) if row["trial"] == chosen), None)
        self._cursor = at if at is not None else min(self._cursor, max(0, len(rows) - 1))
        self._resize()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Render one visible line; the first is the header."""
        scroll_x, scroll_y = self.scroll_offset
        at = scroll_y + y - 1
        if y == 0:
            strip = self._head()
        elif at < len(self._rows):
            strip = self._line(self._rows[at], is_cursor=at == self._cursor)
        else:
            return Strip.blank(self.size.width, self.rich_style)
        return strip.crop_extend(scroll_x, scroll_x + self.size.width, strip._segments[0].style)

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._go(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by one screen."""
        self._go(self._cursor + by * max(1, self.size.height - 2))

    def action_jump(self, to: int) -> None:
        """Move the cursor to the first or the last row."""
        self._go(to if to >= 0 else len(self._rows) - 1)

    def action_open(self) -> None:
        """Open the trial under the cursor."""
        if self.cursor_trial is not None:
            self.post_message(self.Opened(self.cursor_trial))

    def on_click(self, event: events.Click) -> None:
        """Sort by a header, select a row, or open the row that was already selected."""
        x, y = event.get_content_offset(self) or (0, 0)
        if y == 0:
            self._click_head(x + self.scroll_offset.x)
            return
        at = self.scroll_offset.y + y - 1
        if at < len(self._rows):
            was_chosen = at == self._cursor
            self._go(at)
            if was_chosen:
                self.action_open()

    def _click_head(self, x: int) -> None:
        for column in self._columns:
            x -= column.width + 1
            if x < 0:
                self.post_message(self.SortedBy(column.key))
                return

    def _go(self, to: int) -> None:
        self._cursor = min(max(0, to), max(0, len(self._rows) - 1))
        height = max(1, self.size.height - 1)
        self.scroll_to_region(Region(self.scroll_offset.x, self._cursor, 1, 1), animate=False, force=True)
        if self._cursor >= self.scroll_offset.y + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False, force=True)
        elif self._cursor < self.scroll_offset.y:
            self.scroll_to(y=self._cursor, animate=False, force=True)
        self.refresh()

    def _resize(self) -> None:
        width = sum(column.width + 1 for column in self._columns)
        self.virtual_size = Size(width, len(self._rows) + 1)

    def _head(self) -> Strip:
        style = self.get_component_rich_style("table--head")
        segments = []
        for column in self._columns:
            arrow = ("▼" if self._falling else "▲") if column.key == self._sorted_by else ""
            segments.append(Segment(_fit(column.label + arrow, column) + " ", style))
        return Strip(segments or [Segment("", style)])

    def _line(self, row: Row, *, is_cursor: bool) -> Strip:
        ground = self.get_component_rich_style("table--cursor") if is_cursor and self.has_focus else self.rich_style
        ground += Style(reverse=False, underline=is_cursor and not self.has_focus)
        segments = []
        for column in self._columns:
            own = Style.parse(column.style(row)) if column.style is not None and not is_cursor else Style()
            segments.append(Segment(_fit(column.text(row), column) + " ", ground + own))
        return Strip(segments)


def _fit(text: str, column: Column) -> str:
    if len(text) > column.width:
        return text[: column.width - 1] + "…"
    return text.rjust(column.width) if column.is_number else text.ljust(column.width)
