"""A report as a tree of plain values, from which both the PDF and the HTML page are rendered.

Invariant: every text is a string that the renderers show letter by letter; nothing in it is markup.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from greenopt.plain_text import printable

_NUMERIC, _DIGIT = re.compile(r"^(–|[~<x(±+-]*\s?[\d.,]+.*)$"), re.compile(r"\d")

Kind = Literal["text", "note", "terms", "list", "table", "figure", "code"]


@dataclass(frozen=True)
class Block:
    """A piece of a section.

    Attributes:
        kind: which of the other fields it has.
        text: of `text`, `note`, `code`, and the caption of `table` and `figure`.
        items: of a `list`; the explanations of `terms`; the pieces of `code` that may stand beside one another, none of
            which is cut over pages.
        heads, rows: of a `table`; `wide` is the index of the column that takes the room that is left, `numeric` those
            of the columns of numbers, which are aligned to the right.
        file: of a `figure`, without its ending; one that `floats` may move to the top or bottom of a page, where text
            then fills the place that it leaves.
    """

    kind: Kind
    text: str = ""
    items: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    wide: int | None = None
    numeric: tuple[int, ...] = ()
    file: str = ""
    floats: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with its content; `level` is 1 or 2."""

    title: str
    blocks: tuple[Block, ...]
    level: int = 1


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]

    @property
    def figures(self) -> tuple[str, ...]:
        """Files of the figures, without their endings."""
        return tuple(block.file for section in self.sections for block in section.blocks if block.kind == "figure")

    def plain(self) -> Mapping[str, Any]:
        """Return the document as JSON values; of anybody's text what is not seen is an escape."""
        shown: Mapping[str, Any] = _shown(asdict(self))
        return shown


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, keep="\n")
    if isinstance(value, dict):
        return {key: _shown(part) for key, part in value.items()}
    return type(value)(map(_shown, value)) if isinstance(value, list | tuple) else value


def text(*parts: str) -> Block:
    """Return a paragraph; empty parts are left out."""
    return Block("text", " ".join(part for part in parts if part))


def note(remark: str) -> Block:
    """Return a remark that is set off from the text."""
    return Block("note", remark)


def terms(explanations: Iterable[str]) -> Block:
    """Return explanations of terms, each `term: meaning.`, in small print."""
    return Block("terms", items=tuple(explanations))


def bullets(items: Iterable[str]) -> tuple[Block, ...]:
    """Return a list, or nothing if it would be empty."""
    kept = tuple(item for item in items if item)
    return (Block("list", items=kept),) if kept else ()


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], wide: int | None = None) -> Block:
    """Return a table."""
    kept = tuple(tuple(row) for row in rows)
    numeric = tuple(
        index
        for index in range(len(heads))
        if index != wide
        and all(_NUMERIC.match(row[index]) for row in kept)
        and any(_DIGIT.search(row[index]) for row in kept)
    )
    return Block("table", caption, heads=tuple(heads), rows=kept, wide=wide, numeric=numeric)


def figure(file: str, caption: str, *, floats: bool = True) -> Block:
    """Return a figure by the name of its file."""
    return Block("figure", caption, file=file, floats=floats)


def code(pieces: Iterable[str]) -> Block:
    """Return code to copy, in pieces."""
    return Block("code", items=tuple(pieces))
