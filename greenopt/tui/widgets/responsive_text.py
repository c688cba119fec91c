"""Text that is made for the room it has, and made anew when that changes."""

from collections.abc import Callable

from rich.text import Text
from textual.widgets import Static

Build = Callable[[int, int], Text]
"""From width and height in cells to text."""


class Fitted(Static):
    """A text that knows how to build itself for any size."""

    _build: Build | None = None

    def fit(self, build: Build) -> None:
        """Show what `build` makes of the room there is, now and whenever it changes."""
        self._build = build
        self._rebuild()

    def on_resize(self) -> None:
        """Make the text for the new room."""
        self._rebuild()

    def _rebuild(self) -> None:
        if self._build is not None and self.size.width > 0:
            self.update(self._build(self.size.width, self.size.height))
