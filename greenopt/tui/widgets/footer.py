"""The line of keys, which never keeps what they act on waiting."""

from typing import Any

from textual.screen import Screen
from textual.widgets import Footer


class KeysLast(Footer):
    """Textual's footer, made anew once what the keys act on has been drawn: it is a widget for each key."""

    def bindings_changed(self, screen: Screen[Any]) -> None:
        """Wait for one drawing more than Textual does."""
        self.call_after_refresh(super().bindings_changed, screen)
