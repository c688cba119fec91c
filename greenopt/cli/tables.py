"""Tables and sentences in a terminal or a pipe.

Invariants: no cell is ever cut, at any width. In a pipe a row is one line, however long. In a terminal text columns are
wrapped at spaces; where even that does not fit, every row is laid out as lines of its own. All that commands print goes
through here or `output`, where it loses what would command the terminal: names, values and messages may be anybody's.
"""

import textwrap
from collections.abc import Collection, Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from greenopt.cli.output import as_called
from greenopt.formatting import MISSING
from greenopt.plain_text import printable

GAP = "  "


class Table:
    """Heads and rows of text, laid out for a width when it is printed."""

    def __init__(
        self,
        *heads: str,
        title: str = "",
        caption: str = "",
        left: Collection[str] = (),
        wraps: Collection[str] = (),
    ) -> None:
        """Start a table without rows.

        Args:
            heads: of the columns.
            title: printed above it, in bold.
            caption: printed below it.
            left: heads of columns that are aligned to the left, besides those in `wraps`.
            wraps: heads of columns of text that may be wrapped at spaces; all others stay on one line.
        """
        self.title, self.caption = title, caption
        self._heads = tuple(printable(head) for head in heads)
        self._is_left = [head in left or head in wraps for head in heads]
        self._may_wrap = [head in wraps for head in heads]
        self._rows: list[tuple[str, ...]] = []

    def add_row(self, *cells: str) -> None:
        """Add a row; cells that are left out are empty."""
        shown = tuple(printable(cell) for cell in cells)
        self._rows.append(shown + ("",) * (len(self._heads) - len(shown)))

    def drop_empty(self, *heads: str) -> None:
        """Drop those of these columns in which no row has anything to say."""
        shown = {printable(head) for head in heads}
        kept = [
            index
            for index, head in enumerate(self._heads)
            if head not in shown or any(row[index] not in ("", MISSING) for row in self._rows)
        ]
        self._heads = tuple(self._heads[index] for index in kept)
        self._is_left = [self._is_left[index] for index in kept]
        self._may_wrap = [self._may_wrap[index] for index in kept]
        self._rows = [tuple(row[index] for index in kept) for row in self._rows]

    def lines(self, width: int | None) -> list[tuple[str, bool]]:
        """Lay out heads and rows.

        Args:
            width: columns of the terminal; None where lines may have any length.

        Returns:
            Lines, and whether each is a head.
        """
        widths = self._widths(width)
        if widths is None:
            assert width is not None
            return [(line, False) for line in self._records(width)]
        heads = [(line, True) for line in self._aligned(self._heads, widths)] if any(self._heads) else []
        return [*heads, *((line, False) for row in self._rows for line in self._aligned(row, widths))]

    def _widths(self, width: int | None) -> list[int] | None:
        """Widths of the columns; None where they do not fit beside one another."""
        columns = list(zip(self._heads, *self._rows, strict=True))
        widest = [max(map(cell_len, column)) for column in columns]
        left = None if width is None else width - len(GAP) * (len(columns) - 1) - sum(widest)
        if left is None or left >= 0:
            return widest
        least = [max(map(_longest_word, column)) for column in columns]
        for index in sorted((i for i, may in enumerate(self._may_wrap) if may), key=lambda i: least[i] - widest[i]):
            taken = min(-left, widest[index] - least[index])
            widest[index], left = widest[index] - taken, left + taken
        return widest if left >= 0 else None

    def _aligned(self, row: Sequence[str], widths: Sequence[int]) -> list[str]:
        """One row, on as many lines as its longest cell takes."""
        parts = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        lines = []
        for number in range(max(map(len, parts))):
            cells = [part[number] if number < len(part) else "" for part in parts]
            padded = [
                cell + " " * (width - cell_len(cell)) if is_left else " " * (width - cell_len(cell)) + cell
                for cell, width, is_left in zip(cells, widths, self._is_left, strict=True)
            ]
            lines.append(GAP.join(padded).rstrip())
        return lines

    def _records(self, width: int) -> list[str]:
        """Each row as lines: its first cell, then every other cell with its head."""
        lines = []
        for first, *others in self._rows:
            cells = [(head, cell) for head, cell in zip(self._heads[1:], others, strict=True) if cell]
            indent = " " * (len(first) - len(first.lstrip()))
            head = f"{self._heads[0]} " if cells and self._heads[0] else ""
            lines += _wrapped(f"{indent}{head}{first.strip()}", width)
            for name, cell in cells:
                lines += _wrapped(f"{indent}  {name}: {cell}", width, f"{indent}    ")
        return lines


def print_table(console: Console, table: Table) -> None:
    """Print a table whole: as wide as it is in a pipe, within the terminal's width else."""
    if table.title:
        print_head(console, table.title)
    for line, is_head in table.lines(console.width if console.is_terminal else None):
        console.print(Text(line, style="bold" if is_head else ""), soft_wrap=True)
    if table.caption:
        print_lines(console, [printable(table.caption)])


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print sentences: wrapped at spaces in a terminal, each on one line in a pipe."""
    for text in lines:
        line = printable(as_called(text), keep="\n")
        fits = console.is_terminal and _longest_word(line) <= console.width
        console.print(Text(line), soft_wrap=not fits)


def print_head(console: Console, head: str, rest: str = "") -> None:
    """Print a heading in bold, and what follows it on its line."""
    text = Text(printable(head, keep="\n"), style="bold")
    console.print(Text.assemble(text, printable(rest)), soft_wrap=True)


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Text broken at spaces alone; a word that is longer than the width stays whole."""
    if cell_len(text) <= width:
        return [text]
    return textwrap.wrap(
        text, max(width, 1), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)
