"""The footer with the keys, redrawn after the widgets that the keys act on."""

from typing import Any

from textual.screen import Screen
from textual.widgets import Footer


class DeferredFooter(Footer):
    """Textual's footer, rebuilt one frame later than Textual does, since it builds a widget for each key."""

    def bindings_changed(self, screen: Screen[Any]) -> None:
        """Wait for one drawing more than Textual does."""
        self.call_after_refresh(super().bindings_changed, screen)
