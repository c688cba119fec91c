"""The documentation in the terminal, by keys and by links."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Markdown, OptionList, Tree

from greenopt.docs import find_page
from greenopt.tui.docs_viewer import DocsViewer
from greenopt.tui.page_links import LinkList, page_links

SIZES = [(80, 24), (120, 34)]


def drive(
    what: Callable[[DocsViewer, Pilot[Any]], Awaitable[None]],
    page: str = "index",
    anchor: str = "",
    size: Any = SIZES[0],
) -> None:
    async def run() -> None:
        app = DocsViewer(find_page(page), anchor)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await what(app, pilot)

    asyncio.run(run())


async def until(pilot: Pilot[Any], what: Callable[[], object], wanted: object) -> None:
    """Wait until something is as wanted: what a key starts may take several rounds of messages."""
    for _ in range(100):
        await pilot.pause()
        if what() == wanted:
            return
    assert what() == wanted


def heading_at_top(app: DocsViewer) -> str:
    """Return the text of the first heading that is seen."""
    viewer = app._viewer
    top = viewer.region.y
    blocks = [
        block for block in viewer.query("MarkdownH1, MarkdownH2, MarkdownH3, MarkdownH4") if block.region.y >= top
    ]
    return str(min(blocks, key=lambda block: block.region.y)._content)  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", SIZES)
def test_a_link_opens_its_page_at_its_heading_and_back_returns(size: tuple[int, int]) -> None:
    async def check(app: DocsViewer, pilot: Pilot[Any]) -> None:
        document = app.query_one(Markdown)
        document.post_message(Markdown.LinkClicked(document, "measuring.md#windows"))
        await until(pilot, lambda: app.page.name, "measuring")
        await until(pilot, lambda: heading_at_top(app), "Windows")
        await pilot.press("b")
        await until(pilot, lambda: app.page.name, "dashboard")

    drive(check, "dashboard", size=size)


def test_a_page_opens_at_the_heading_that_is_asked_for() -> None:
    async def check(app: DocsViewer, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: heading_at_top(app), "Idle power")

    drive(check, "measuring", "idle-power")


def test_pages_are_chosen_by_keys() -> None:
    async def check(app: DocsViewer, pilot: Pilot[Any]) -> None:
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, LinkList), True)
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: app.page.name, "faq")

    drive(check, "citing")


def test_links_are_chosen_by_keys() -> None:
    async def check(app: DocsViewer, pilot: Pilot[Any]) -> None:
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, LinkList), True)
        options = app.screen.query_one(OptionList)
        assert options.option_count == len(page_links(find_page("watching").path.read_text(encoding="utf-8"))) > 0
        await pilot.press("enter")
        await until(pilot, lambda: app.page.name, "running")

    drive(check, "watching")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("https://example.org/", "https://example.org/"),
        ("../../LICENSE", "LICENSE: is in the repository, not in the installed package"),
        ("#no-such-heading", "there is no heading no-such-heading on this page"),
    ],
)
def test_what_cannot_be_opened_is_said(target: str, said: str) -> None:
    async def check(app: DocsViewer, pilot: Pilot[Any]) -> None:
        document = app.query_one(Markdown)
        document.post_message(Markdown.LinkClicked(document, target))
        await until(pilot, lambda: [note.message for note in app._notifications], [said])
        assert app.page.name == "citing"

    drive(check, "citing")


@pytest.mark.parametrize("size", SIZES)
def test_a_heading_of_the_contents_is_gone_to(size: tuple[int, int]) -> None:
    async def check(app: DocsViewer, pilot: Pilot[Any]) -> None:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.focused, Tree), True)
        assert isinstance(app.focused, Tree)
        await pilot.press("down", "down", "down", "down")
        node = app.focused.cursor_node
        assert node is not None
        wanted = str(node.label).split(" ", 1)[-1]
        await pilot.press("enter")
        await until(pilot, lambda: heading_at_top(app), wanted)
        assert app._viewer.show_table_of_contents == (size[0] >= 100)

    drive(check, "measuring", size=size)


def test_keys_scroll_to_the_end_and_back() -> None:
    async def check(app: DocsViewer, pilot: Pilot[Any]) -> None:
        viewer = app._viewer
        await pilot.press("space")
        await until(pilot, lambda: 0 < viewer.scroll_y < viewer.max_scroll_y, True)
        await pilot.press("G")
        await until(pilot, lambda: viewer.scroll_y, viewer.max_scroll_y)
        await pilot.press("g")
        await until(pilot, lambda: viewer.scroll_y, 0)

    drive(check, "faq")


def test_no_word_of_a_narrow_table_is_cut() -> None:
    async def check(app: DocsViewer, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: heading_at_top(app), "[training]")
        await until(pilot, lambda: "package.module" in app.export_screenshot(), True)
        assert "…" not in app.export_screenshot()

    drive(check, "study-file", "training")
