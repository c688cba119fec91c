"""The parameters tab: mean accuracy and energy, or two objectives, by value of each parameter."""

from datetime import datetime

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll

from greenopt.formatting import MISSING, format_figure, significant
from greenopt.reading import EnergySource
from greenopt.spec import FRACTIONS
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.parameter_effects import Moments
from greenopt.tui.text.status_symbols import BLUE, GREEN, GREY
from greenopt.tui.widgets.responsive_text import ResponsiveText


class ParametersPane(VerticalScroll):
    """Mean accuracy and energy of the completed trials by value of each parameter."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._shown = -1

    def compose(self) -> ComposeResult:
        """Lay out the table."""
        yield ResponsiveText(id="effects")

    def show_model(self, model: StudyModel, now: datetime) -> None:
        """Draw the table if a trial has ended since the last drawing."""
        if model.revision != self._shown:
            self._shown = model.revision
            self.query_one("#effects", ResponsiveText).fit(lambda width, _: effects_text(model, width))


def effects_text(model: StudyModel, width: int) -> Text:
    """Return parameters, their values, and mean +- standard deviation of the two axes' figures for each value."""
    source = EnergySource.ESTIMATE if model.used().has_estimate else None
    groups = list(model.effects)
    best = max((each.effect.up.mean for _, values in groups for each in values), default=0.0)
    most = max((each.effect.across.mean for _, values in groups for each in values), default=0.0)
    room = max(0, min(30, (width - 96) // 2))
    bars = " " * (room + 2 if room else 0)
    narrow, wide = (6, 7) if width >= 88 else (0, 0)  # the spreads are left out where the energies would be cut
    spread = "+-" if narrow else ""
    plane = model.plane
    up, across = (plane.up, "energy" if plane.across.endswith("_wh") else plane.across[:15])
    head = f"{'parameter':<20}{'value':<22}{'trials':>6}  {up[:12]:>8} {spread:<{narrow}}{bars}{across:>15} "
    head += f"{spread:<{wide}}"
    lines = [Text(head, "bold")]
    for name, values in groups:
        for at, each in enumerate(values):
            accuracy, energy = each.effect.up, each.effect.across
            line = Text.assemble((f"{name if at == 0 else '':<20}", "bold"), f"{each.value:<22}")
            line.append(f"{accuracy.count:>6}  ", GREY if accuracy.count < 3 else "")
            line.append(f"{_format_mean(plane.up, accuracy, source):>8} ", "bold")
            line.append(_format_spread(accuracy, narrow, digits=3 if plane.up in FRACTIONS else None), GREY).append(
                _mean_bar(accuracy, best, room), GREEN
            )
            line.append(f"{_format_mean(plane.across, energy, source):>15} ", "bold")
            line.append(_format_spread(energy, wide), GREY).append(_mean_bar(energy, most, room), BLUE)
            lines.append(line)
    what = "mean and standard deviation" if spread else "mean"
    lines += [Text(), Text(f"{what} over all values of the other parameters: a first look", GREY)]
    for line in lines:
        line.truncate(max(20, width))
    return Text("\n").join(lines)


def _format_mean(name: str, moments: Moments, source: str | None) -> str:
    return format_figure(name, moments.mean, source) if moments.count else MISSING


def _format_spread(moments: Moments, cells: int, digits: int | None = None) -> str:
    deviation = moments.deviation
    if deviation is None or not cells:
        return " " * cells
    return f"{f'{deviation:.{digits}f}' if digits else significant(deviation, 2):<{cells}}"


def _mean_bar(moments: Moments, most: float, room: int) -> str:
    share = moments.mean / most if most and moments.count else 0.0
    return f" {'━' * round(share * room):<{room}} " if room else ""
