"""Symbols, words and colours of states. Shape and word identify a state; colour only repeats it.

The colours follow Okabe and Ito, whose palette is distinguishable with any colour vision, in tones that stand out on
dark and on light grounds.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

from greenopt.storage.trial_state import TrialState

BLUE = "#4aa3df"
ORANGE = "#dc9200"
GREEN = "#22ab80"
VERMILION = "#e8692f"
YELLOW = "#cbb023"
GREY = "#87919d"

_BLOCKS = "▁▂▃▄▅▆▇█"


class StatusSymbol(NamedTuple):
    """The symbol, word and style of a state."""

    mark: str
    word: str
    style: str


STATUS_SYMBOLS = {
    "front": StatusSymbol("●", "front", f"bold {GREEN}"),
    TrialState.COMPLETE: StatusSymbol("○", "done", BLUE),
    TrialState.RUNNING: StatusSymbol("◐", "running", f"bold {YELLOW}"),
    TrialState.PRUNED: StatusSymbol("▽", "stopped", ORANGE),
    TrialState.FAIL: StatusSymbol("×", "failed", f"bold {VERMILION}"),
    "lost": StatusSymbol("?", "cut off", VERMILION),
    "skipped": StatusSymbol("=", "skipped", GREY),
    TrialState.EXCLUDED: StatusSymbol("–", "excluded", GREY),
    TrialState.WAITING: StatusSymbol("◌", "waiting", GREY),
}


def status_text(state: str, *, word: bool = True) -> Text:
    """Return a state's symbol and name."""
    sign = STATUS_SYMBOLS[state]
    return Text(f"{sign.mark} {sign.word}" if word else sign.mark, sign.style)


def sparkline(values: Sequence[float | None], width: int, low: float | None = None, high: float | None = None) -> str:
    """Draw numbers as a row of blocks, the latest at the right; each block is the mean of its numbers.

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
    """Return a share 0..1 as a bar of block characters."""
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
