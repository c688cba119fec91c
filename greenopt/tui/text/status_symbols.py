"""Signs, words and colours of states: each state is told by shape and word; colour only repeats it.

The colours follow Okabe and Ito, whose palette can be told apart with any colour vision, in tones that stand out on
dark and on light grounds.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

BLUE = "#4aa3df"
ORANGE = "#dc9200"
GREEN = "#22ab80"
VERMILION = "#e8692f"
YELLOW = "#cbb023"
PURPLE = "#cc79a7"
GREY = "#87919d"

_BLOCKS = "▁▂▃▄▅▆▇█"


class Sign(NamedTuple):
    """How a state is shown."""

    mark: str
    word: str
    style: str


SIGNS = {
    "front": Sign("●", "front", f"bold {GREEN}"),
    "complete": Sign("○", "done", BLUE),
    "running": Sign("◐", "running", f"bold {YELLOW}"),
    "pruned": Sign("▽", "stopped", ORANGE),
    "fail": Sign("×", "failed", f"bold {VERMILION}"),
    "lost": Sign("?", "cut off", VERMILION),
    "skipped": Sign("=", "skipped", GREY),
    "waiting": Sign("◌", "waiting", GREY),
}


def sign_text(state: str, *, word: bool = True) -> Text:
    """A state's sign, with its word."""
    sign = SIGNS[state]
    return Text(f"{sign.mark} {sign.word}" if word else sign.mark, sign.style)


def sparkline(values: Sequence[float | None], width: int, low: float | None = None, high: float | None = None) -> str:
    """Numbers as a row of blocks, the latest at the right; each block is the mean of the numbers it stands for.

    Args:
        values: oldest first; None is a gap.
        width: at most this many blocks.
        low: what the lowest block stands for; the least number unless given.
        high: the same for the highest.
    """
    means = _means(values, width)
    known = [value for value in means if value is not None]
    if not known:
        return ""
    floor = min(known) if low is None else low
    ceiling = max(known) if high is None else high
    return "".join(" " if value is None else _block(value, floor, ceiling) for value in means)


def bar(share: float, width: int) -> str:
    """A share 0..1 as a bar of blocks."""
    filled = round(max(0.0, min(1.0, share)) * width)
    return "━" * filled + "─" * (width - filled)


def _means(values: Sequence[float | None], width: int) -> list[float | None]:
    count = len(values)
    if count <= width:
        return list(values)
    means: list[float | None] = []
    for cell in range(width):
        part = [value for value in values[cell * count // width : (cell + 1) * count // width] if value is not None]
        means.append(sum(part) / len(part) if part else None)
    return means


def _block(value: float, floor: float, ceiling: float) -> str:
    if ceiling <= floor:
        return _BLOCKS[3]
    share = (value - floor) / (ceiling - floor)
    return _BLOCKS[min(len(_BLOCKS) - 1, max(0, int(share * len(_BLOCKS))))]
