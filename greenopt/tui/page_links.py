"""The links of a page of the documentation, and a dialog to choose one without a mouse."""

import re
from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from greenopt.tui.text.status_symbols import GREY

_LINK = re.compile(r"(?<!!)\[(?P<text>[^]]+)\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def page_links(text: str) -> list[tuple[str, str]]:
    """Return the links of a page, each once: target and text."""
    found = {match["target"]: match["text"].replace("`", "") for match in _LINK.finditer(_CODE.sub("", text))}
    return list(found.items())


class LinkList(ModalScreen[str | None]):
    """Links to choose from."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,p,l", "dismiss", "Back", show=False)]

    def __init__(self, title: str, links: Sequence[tuple[str, str, str]]) -> None:
        """Offer links.

        Args:
            title: what they are.
            links: target, text and explanation of each.
        """
        super().__init__()
        self._title, self._links = title, links

    def compose(self) -> ComposeResult:
        """Return a list below its title."""
        with Vertical(classes="dialog"):
            yield Static(Text.assemble((self._title, "bold"), ("  enter opens, escape goes back", GREY)))
            options = [
                Option(Text.assemble((text, "bold"), (f"  {about}" if about else "", GREY)), id=str(number))
                for number, (_, text, about) in enumerate(self._links)
            ]
            yield OptionList(*options, compact=True)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Give the chosen target back."""
        self.dismiss(self._links[event.option_index][0])
