"""Results of the drawing functions."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with its title and caption.

    Attributes:
        slug: its name as a file.
        title: what it shows.
        caption: what has to be known to read it, as sentences.
    """

    slug: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class SkippedFigure:
    """A figure without data, and the reason."""

    slug: str
    title: str
    reason: str


Picture = Drawing | SkippedFigure


def sentences(*parts: str) -> str:
    """Join sentences into one text; empty ones are left out."""
    return " ".join(part for part in parts if part)
