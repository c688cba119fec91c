"""`greenopt docs`: the documentation, in the terminal."""

from typing import Annotated

import typer

from greenopt.cli.options import is_interactive


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
    from greenopt.cli.output import say
    from greenopt.docs import INDEX, find_page, list_pages

    if as_list:
        pages = list_pages()
        width = max(len(each.name) for each in pages)
        for each in pages:
            say(f"{each.name:<{width}}  {each.summary}")
        return
    name, _, anchor = (page or INDEX).partition("#")
    found = find_page(name or INDEX)
    if not is_interactive():
        say(found.path.read_text(encoding="utf-8"), end="")
        return
    from greenopt.tui.docs_viewer import DocsViewer

    DocsViewer(found, anchor).run()
