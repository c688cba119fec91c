"""Text that is rebuilt whenever its size changes."""

from collections.abc import Callable

from rich.text import Text
from textual.widgets import Static

Build = Callable[[int, int], Text]
"""From width and height in cells to text."""


class ResponsiveText(Static):
    """A text widget with a function that builds its text for any size."""

    _build: Build | None = None

    def fit(self, build: Build) -> None:
        """Show the text that `build` returns for the current size, now and after each resize."""
        self._build = build
        self._rebuild()

    def on_resize(self) -> None:
        """Rebuild the text for the new size."""
        self._rebuild()

    def _rebuild(self) -> None:
        if self._build is not None and self.size.width > 0:
            self.update(self._build(self.size.width, self.size.height))
