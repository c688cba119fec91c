"""README and the documentation's pages, taken apart: code blocks, links, anchors."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "greenopt" / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))

_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)
_CODE_SPAN = re.compile(r"(?<!`)`(?P<text>[^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        place: page and line, for messages.
        language: as it is marked; empty where it is not.
    """

    place: str
    language: str
    text: str


def blocks(language: str) -> list[Block]:
    """Return all code blocks of a language."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found += [
            Block(f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}", language, match["text"])
            for match in _BLOCK.finditer(text)
            if match["language"] == language
        ]
    return found


def block(language: str, holding: str) -> str:
    """Return the one code block of a language that holds a text."""
    (found,) = [each for each in blocks(language) if holding in each.text]
    return found.text


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and pictures."""
    return [match["target"] for match in _LINK.finditer(_CODE_SPAN.sub("", prose(page)))]


def code_spans(page: Path) -> list[str]:
    """Return the texts that a page sets as code inside of sentences."""
    return [match["text"] for match in _CODE_SPAN.finditer(prose(page))]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges make them: lower case, no punctuation, dashes for spaces."""
    seen: dict[str, int] = {}
    found = set()
    for match in _HEADING.finditer(prose(page)):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", match["text"])
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return found
