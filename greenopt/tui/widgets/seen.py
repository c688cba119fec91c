"""The last door before the terminal: no line of the view holds a character that would command it.

Names, values, messages and logs may be anybody's. Of what widgets draw, whatever is not seen is taken out here once.
"""

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from greenopt.plain_text import is_seen


class SeenOnly(LineFilter):
    """A filter of the whole view's lines."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments without unseen characters, each line as wide as it was laid out."""
        return [
            segment if segment.control or segment.text.isprintable() else segment._replace(text=_seen(segment.text))
            for segment in segments
        ]


def _seen(text: str) -> str:
    return "".join(letter if is_seen(letter) else "?" * cell_len(letter) for letter in text)
