"""What a drawing module hands over."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with the words that belong to it.

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
class Undrawn:
    """A figure that the study has no data for."""

    slug: str
    title: str
    reason: str


Picture = Drawing | Undrawn


def sentences(*parts: str) -> str:
    """Sentences as one text; empty ones are left out."""
    return " ".join(part for part in parts if part)
