"""Style of figures: sizes, colours for colour-blind readers, and atomic writing of files.

Invariant: nothing here or in the drawing modules touches pyplot; matplotlib's settings are changed inside `style` only.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from greenopt.files import requested_file
from greenopt.plain_text import printable

# Okabe and Ito's palette, distinguishable with any colour vision.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY, LIGHT = "#5f5f5f", "#c9c9c9"
SCALE = ListedColormap(matplotlib.colormaps["plasma"](np.linspace(0, 0.86, 256)))
"""Dark blue to orange: without the yellow that white paper swallows."""
WIDTH_IN, HEIGHT_IN = 6.7, 2.5
PNG_DPI = 200
RASTER_FROM = 1000
"""From so many marks on, they are pixels inside of the SVG file."""

_OTHER_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans", "Microsoft YaHei"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Arabic", "Noto Sans Hebrew", "Arial Unicode MS"),
)
"""Fonts of widespread scripts that DejaVu Sans lacks, by the names that systems have them under."""

_SETTINGS: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "svg.hashsalt": "greenopt",
    "savefig.facecolor": "white",
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the report's style to figures that are drawn and saved in this context.

    Letters of scripts that the first font lacks are drawn in others where this machine has them, else as boxes.
    """
    fonts = ["DejaVu Sans", *(name for name in _OTHER_FONTS if name in _installed_fonts())]
    with matplotlib.rc_context({**_SETTINGS, "font.family": fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield


@cache
def _installed_fonts() -> frozenset[str]:
    return frozenset(get_font_names())


def new_figure(
    columns: int = 1, rows: int = 1, height_in: float = HEIGHT_IN, share_y: bool = False
) -> tuple[Figure, npt.NDArray[np.object_]]:
    """Return an empty figure as wide as the report's text, and its axes, (rows * columns,)."""
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=PNG_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    return figure, axes.ravel()


def is_many(count: int) -> bool:
    """Return whether this many marks are drawn as pixels."""
    return count >= RASTER_FROM


def mark_size(count: int) -> float:
    """Return the area of a scatter mark in square points: smaller for many marks."""
    return 22.0 if count <= 150 else 9.0 if count < RASTER_FROM else 3.0


def plain(text: object) -> str:
    """Escape anybody's text for matplotlib: a dollar sign begins no formula, and what is not seen is an escape."""
    return printable(str(text), keep="\n").replace("$", r"\$")


def whole_numbers(axis: Axis) -> None:
    """Put ticks at whole numbers only."""
    axis.set_major_locator(MaxNLocator(integer=True))


def epochs_axis(axis: Axes, epochs: float) -> None:
    """Let an axis of epochs begin before the first one and end after the last one, with ticks at whole numbers."""
    axis.set_xlim(0.5 if epochs < 5 else 0, epochs + (0.5 if epochs < 5 else 0.02 * epochs))
    whole_numbers(axis.xaxis)


def shortened(text: object, limit: int = 22) -> str:
    """Shorten a user's text for a figure's labels; the tables have it whole."""
    shown = f"{text:.5g}" if isinstance(text, float) and len(str(text)) > 7 else str(text)
    return plain(shown if len(shown) <= limit else f"{shown[: limit // 2]}…{shown[-(limit - limit // 2 - 1) :]}")


def log_if_wide(axis: Axes, name: str, values: npt.NDArray[np.float64], ratio: float = 30.0) -> None:
    """Make an axis (`x` or `y`) logarithmic if positive values span more than a ratio."""
    positive = values[np.isfinite(values) & (values > 0)]
    if len(positive) and positive.max() / positive.min() > ratio and len(positive) == np.isfinite(values).sum():
        make_log(axis, name)


def make_log(axis: Axes, name: str) -> None:
    """Make an axis (`x` or `y`) logarithmic, with plain numbers beside its ticks."""
    (axis.set_xscale if name == "x" else axis.set_yscale)("log")
    low, high = sorted(axis.get_xlim() if name == "x" else axis.get_ylim())
    scale = axis.xaxis if name == "x" else axis.yaxis
    scale.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 200 else (1.0,)))
    scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    scale.set_minor_formatter(NullFormatter())


def plain_log_colours(colours: Colorbar) -> None:
    """Write plain numbers beside a logarithmic bar of colours."""
    colours.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    colours.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    colours.ax.yaxis.set_minor_formatter(NullFormatter())


def legend_above(axis: Axes) -> None:
    """Place the legend in one line above the axes, where it hides nothing."""
    axis.legend(loc="lower left", bbox_to_anchor=(0.0, 0.99), ncols=3, borderaxespad=0.2, handlelength=1.4)


def save(figure: Figure, folder: Path, slug: str) -> None:
    """Write `SLUG.png` and `SLUG.svg`; an earlier picture stays until the new one is complete.

    Raises:
        UsageError: the folder cannot be written.
    """
    for ending, options in (("png", {"metadata": {"Software": None}}), ("svg", {"metadata": {"Date": None}})):
        with requested_file(folder / f"{slug}.{ending}") as scratch:
            figure.savefig(scratch, **options)  # type: ignore[arg-type]
