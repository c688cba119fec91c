"""Finds the pages of the documentation by name."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from greenopt.errors import UsageError

FOLDER = Path(__file__).parent
INDEX = "index"

_LISTED = re.compile(r"^- \[(?P<title>[^]]+)\]\((?P<name>[\w-]+)\.md\): (?P<summary>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A page of the documentation.

    Attributes:
        name: what `greenopt docs` is given, the file's name without its ending.
        title: its heading.
        summary: what it is about, in a line.
    """

    name: str
    title: str
    summary: str

    @property
    def path(self) -> Path:
        """The Markdown file."""
        return FOLDER / f"{self.name}.md"


def list_pages() -> tuple[Page, ...]:
    """Return all pages in the order of the index, which comes first."""
    text = (FOLDER / f"{INDEX}.md").read_text(encoding="utf-8")
    listed = (Page(**match.groupdict()) for match in _LISTED.finditer(text))
    return (Page(INDEX, "Documentation", "what there is to read"), *listed)


def find_page(name: str) -> Page:
    """Return the page of a name, such as `tutorial` or `tutorial.md`.

    Raises:
        UsageError: there is none; the text names the likeliest, or all.
    """
    pages = {page.name: page for page in list_pages()}
    wanted = name.strip().lower().replace(" ", "-").removesuffix(".md")
    if wanted in pages:
        return pages[wanted]
    close = difflib.get_close_matches(wanted, pages, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(pages)}"
    raise UsageError(f"docs: {name!r}: there is no such page; {hint}")
