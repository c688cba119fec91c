"""What the generated parts of the documentation share: tables in Markdown, and an error for what is not described."""

from collections.abc import Iterable


class UndescribedError(Exception):
    """A key or option has no description."""


def markdown_table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
