"""`greenopt docs`: the documentation, in the terminal."""

import os
import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("docs")(docs)


def docs(
    page: Annotated[
        str | None, typer.Argument(help="Page to open, as --list names it, such as tutorial or study-file#training.")
    ] = None,
    as_list: Annotated[bool, typer.Option("--list", help="List the pages and what they are about.")] = False,
) -> None:
    """Read the documentation of this version, without a network.

    In a terminal it opens a viewer; without PAGE, at the list of all pages. In a pipe it prints the page's Markdown.
    """
    from greenopt.docs import INDEX, find_page, list_pages

    if as_list:
        pages = list_pages()
        width = max(len(each.name) for each in pages)
        for each in pages:
            print(f"{each.name:<{width}}  {each.summary}")
        return
    name, _, anchor = (page or INDEX).partition("#")
    found = find_page(name or INDEX)
    if not _is_terminal():
        print(found.path.read_text(encoding="utf-8"), end="")
        return
    from greenopt.tui.docs_viewer import DocsViewer

    DocsViewer(found, anchor).run()


def _is_terminal() -> bool:
    """Return whether there is a terminal to draw on and to take keys from."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
