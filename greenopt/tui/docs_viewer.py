"""The documentation in a terminal: a page, the links in it, the way back.

Invariant: it reads the pages that ship with the package, and opens nothing else: no network, no other file.
"""

from pathlib import PurePosixPath
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Markdown, MarkdownViewer, Static

from greenopt.docs import Page, list_pages
from greenopt.errors import UsageError
from greenopt.tui import themes
from greenopt.tui.page_links import LinkList, page_links
from greenopt.tui.text.status_symbols import GREY

NARROW = 100
"""Below so many columns the headings take the whole width."""


class PageView(MarkdownViewer):
    """Textual's viewer, whose links the app opens."""

    async def _on_markdown_link_clicked(self, message: Markdown.LinkClicked) -> None:
        message.prevent_default()
        message.stop()
        await self.app.run_action(f"open_link({message.href!r})")

    @on(Markdown.TableOfContentsSelected)
    def _heading_chosen(self, message: Markdown.TableOfContentsSelected) -> None:
        """On a narrow terminal the headings hide the page that one of them was chosen for."""
        if self.app.size.width < NARROW:
            self.show_table_of_contents = False
            heading = self.query_one(f"#{message.block_id}")
            self.document.focus()
            self.call_after_refresh(self.scroll_to_widget, heading, top=True, animate=False)


class DocsViewer(App[None]):
    """One page at a time, with the pages that were read before it."""

    TITLE = "greenopt docs"
    CSS_PATH = "docs_viewer.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-normal")]  # noqa: RUF012  # Textual declares it as a plain attribute
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "quit", "Leave", key_display="q"),
        Binding("p", "pages", "Pages"),
        Binding("l", "links", "Links"),
        Binding("b,backspace,alt+left", "back", "Back", key_display="b"),
        Binding("t", "contents", "Contents"),
        Binding("j,down", "scroll('line_down')", show=False),
        Binding("k,up", "scroll('line_up')", show=False),
        Binding("space,pagedown", "scroll('page_down')", "Down", key_display="space"),
        Binding("u,pageup", "scroll('page_up')", show=False),
        Binding("home,g", "scroll('home')", show=False),
        Binding("end,G", "scroll('end')", show=False),
    ]

    def __init__(self, page: Page, anchor: str = "") -> None:
        """Open a page.

        Args:
            page: the first page.
            anchor: heading to begin at, as links name it; the page's beginning where empty.
        """
        super().__init__()
        self._pages = {each.name: each for each in list_pages()}
        self._page, self._anchor = page, anchor
        self._read: list[tuple[Page, float]] = []

    @property
    def page(self) -> Page:
        """The page that is shown."""
        return self._page

    def compose(self) -> ComposeResult:
        """Yield a title, the page, the keys."""
        yield Static(id="page-title")
        yield PageView(show_table_of_contents=False, open_links=False)
        yield Footer()

    async def on_mount(self) -> None:
        """Show the first page."""
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = themes.DARK.name
        await self._show(self._page, self._anchor)

    async def action_open_link(self, target: str) -> None:
        """Follow a link of the page that is shown."""
        location, _, anchor = target.partition("#")
        name = PurePosixPath(location).stem
        if not location:
            self._jump(anchor)
        elif "/" not in location and name in self._pages:
            self._read.append((self._page, self._viewer.scroll_y))
            await self._show(self._pages[name], anchor)
        elif "://" in location:
            self.notify(location, title="an address on the web", markup=False, timeout=10)
        else:
            self.notify(f"{location.lstrip('./')}: is in the repository, not in the installed package", markup=False)

    async def action_back(self) -> None:
        """Show the page before, where it was left."""
        if not self._read:
            self.notify("this is the first page that you opened")
            return
        page, scroll_y = self._read.pop()
        await self._show(page)
        self.call_after_refresh(self._viewer.scroll_to, y=scroll_y, animate=False)

    def action_pages(self) -> None:
        """Offer all pages."""
        width = max(map(len, self._pages))
        links = [(f"{page.name}.md", f"{page.name:<{width}}", page.summary) for page in self._pages.values()]
        self.push_screen(LinkList("Pages", links), self._follow)

    def action_links(self) -> None:
        """Offer the links of this page, so that no mouse is needed."""
        links = page_links(self._page.path.read_text(encoding="utf-8"))
        if not links:
            self.notify("there are no links on this page")
            return
        self.push_screen(
            LinkList("Links on this page", [(target, text, target) for target, text in links]), self._follow
        )

    def action_contents(self) -> None:
        """Show or hide the headings of the page."""
        viewer = self._viewer
        viewer.show_table_of_contents = not viewer.show_table_of_contents
        if viewer.show_table_of_contents:
            viewer.table_of_contents.query_one("Tree").focus()
        else:
            viewer.document.focus()

    def action_scroll(self, how: str) -> None:
        """Move in the page: by a line, by a screen, to an end."""
        viewer, screen = self._viewer, max(1, self._viewer.size.height - 2)
        moves = {"line_down": 1, "line_up": -1, "page_down": screen, "page_up": -screen}
        if how in moves:
            viewer.scroll_relative(y=moves[how], animate=False)
        else:
            viewer.scroll_to(y=0 if how == "home" else viewer.max_scroll_y, animate=False)

    @property
    def _viewer(self) -> PageView:
        return self.screen_stack[0].query_one(PageView)

    async def _follow(self, target: str | None) -> None:
        if target is not None:
            await self.action_open_link(target)

    async def _show(self, page: Page, anchor: str = "") -> None:
        try:
            text = page.path.read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{page.path}: cannot be read: {error.strerror}") from None
        self._page = page
        title = self.screen_stack[0].query_one("#page-title", Static)
        title.update(Text.assemble((page.title, "bold"), ("  is being laid out", GREY)))
        await self._viewer.document.update(text)
        title.update(Text.assemble((page.title, "bold"), (f"  {page.name}.md", GREY)))
        self._viewer.scroll_home(animate=False)
        self._viewer.document.focus()
        if anchor:
            self.call_after_refresh(self._jump, anchor)

    def _jump(self, anchor: str) -> None:
        if not self._viewer.document.goto_anchor(anchor):
            self.notify(f"there is no heading {anchor} on this page", severity="warning", markup=False)
