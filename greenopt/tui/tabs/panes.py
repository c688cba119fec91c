"""The tabs with a single widget: the front at full size, parameters, slots, the study log."""

from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import RichLog

from greenopt.events import PowerSampled
from greenopt.formatting import MISSING, format_energy, format_fraction, format_seconds, format_setting, significant
from greenopt.reading import EnergySource
from greenopt.runs.study_log import (
    RUN_STATE_TEXTS,
    CoordinatorEnded,
    CoordinatorStarted,
    LogEntry,
    RunStateChanged,
    TrialPlaced,
    TrialRecorded,
)
from greenopt.tui.state.live_trial import LiveTrial
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.parameter_effects import Moments
from greenopt.tui.tabs.overview import format_idle_slot, live_in, slot_names
from greenopt.tui.text import trial_lines
from greenopt.tui.text.header import format_end
from greenopt.tui.text.status_symbols import BLUE, GREEN, GREY, ORANGE, VERMILION, sparkline
from greenopt.tui.widgets.plots import FrontPlot
from greenopt.tui.widgets.responsive_text import ResponsiveText


class ParetoPane(Vertical):
    """The front at full size, and its trials as a list."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("l", "log", "Log/linear axis")]

    def compose(self) -> ComposeResult:
        """Lay out the plot above the list."""
        yield FrontPlot(widget_id="pareto-plot", zooms=True)
        with VerticalScroll(id="pareto-list"):
            yield ResponsiveText(id="pareto-trials")

    def on_mount(self) -> None:
        """Set the title of the list."""
        self.query_one("#pareto-list").border_title = "trials on the front, least energy first"

    def show_model(self, model: StudyModel, now: datetime) -> None:
        """Draw the front."""
        self._model = model
        self.query_one(FrontPlot).show_model(model)
        self.query_one("#pareto-trials", ResponsiveText).fit(lambda width, _: _front_lines(model, width))

    def action_log(self) -> None:
        """Toggle between a logarithmic and a linear energy axis."""
        plot = self.query_one(FrontPlot)
        plot.is_log = not (plot.border_subtitle or "").endswith("log")
        plot.show_model(self._model)


def _front_lines(model: StudyModel, width: int) -> Text:
    parameters = tuple(model.spec.space.distributions)
    rows = [model.rows[point.trial] for point in model.trace.front.points]
    lines = [trial_lines.ended_text(row, "front", parameters, width) for row in rows]
    return Text("\n").join(lines) if lines else Text("no completed trial yet", GREY)


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
    """Return parameters, their values, and mean +- standard deviation of accuracy and energy for each value."""
    source = EnergySource.ESTIMATE if model.used().has_estimate else None
    groups = list(model.effects)
    best = max((each.effect.accuracy.mean for _, values in groups for each in values), default=0.0)
    most = max((each.effect.energy_wh.mean for _, values in groups for each in values), default=0.0)
    room = max(0, min(30, (width - 96) // 2))
    bars = " " * (room + 2 if room else 0)
    narrow, wide = (6, 7) if width >= 88 else (0, 0)  # the spreads are left out where the energies would be cut
    spread = "+-" if narrow else ""
    head = f"{'parameter':<20}{'value':<22}{'trials':>6}  {'accuracy':>8} {spread:<{narrow}}{bars}{'energy':>15} "
    head += f"{spread:<{wide}}"
    lines = [Text(head, "bold")]
    for name, values in groups:
        for at, each in enumerate(values):
            accuracy, energy = each.effect.accuracy, each.effect.energy_wh
            line = Text.assemble((f"{name if at == 0 else '':<20}", "bold"), f"{each.value:<22}")
            line.append(f"{accuracy.count:>6}  ", GREY if accuracy.count < 3 else "")
            line.append(f"{format_fraction(accuracy.mean if accuracy.count else None):>8} ", "bold")
            line.append(_format_spread(accuracy, narrow, digits=3), GREY).append(_mean_bar(accuracy, best, room), GREEN)
            line.append(f"{format_energy(energy.mean if energy.count else None, source):>15} ", "bold")
            line.append(_format_spread(energy, wide), GREY).append(_mean_bar(energy, most, room), BLUE)
            lines.append(line)
    what = "mean and standard deviation" if spread else "mean"
    lines += [Text(), Text(f"{what} over all values of the other parameters: a first look", GREY)]
    for line in lines:
        line.truncate(max(20, width))
    return Text("\n").join(lines)


def _format_spread(moments: Moments, cells: int, digits: int | None = None) -> str:
    deviation = moments.deviation
    if deviation is None or not cells:
        return " " * cells
    return f"{f'{deviation:.{digits}f}' if digits else significant(deviation, 2):<{cells}}"


def _mean_bar(moments: Moments, most: float, room: int) -> str:
    share = moments.mean / most if most and moments.count else 0.0
    return f" {'━' * round(share * room):<{room}} " if room else ""


class SlotsPane(VerticalScroll):
    """Each slot with its device's power, temperature, utilisation and memory over the last minutes."""

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        yield ResponsiveText(id="devices")

    def show_model(self, model: StudyModel, now: datetime) -> None:
        """Draw all slots."""
        self.query_one("#devices", ResponsiveText).fit(lambda width, _: slot_texts(model, width))


def slot_texts(model: StudyModel, width: int) -> Text:
    """Return one paragraph per slot on what its device is doing."""
    blocks = [_slot_text(model, slot, width) for slot in slot_names(model)] if model.is_running else []
    nothing = Text("nothing is running; each trial's page (tab 2, enter) shows its power", GREY)
    return Text("\n\n").join(blocks) if blocks else nothing


def _slot_text(model: StudyModel, slot: str, width: int) -> Text:
    live = live_in(model, slot)
    if live is None:
        return Text.assemble((slot, "bold"), f"\n  {format_idle_slot(model)}")
    device = live.meter.device if live.meter else "not opened yet"
    lines = [
        Text.assemble((slot, "bold"), f"  #{live.trial}  ", (device, GREY)),
        trial_lines.progress_text(live, width),
    ]
    lines.append(trial_lines.curves_text(live, width))
    lines += _history_lines(live, width)
    lines.append(trial_lines.energy_text(live, width))
    if live.meter is not None:
        idle = MISSING if live.meter.idle_w is None else f"{live.meter.idle_w:.0f} W"
        lines.append(Text(f"idle {idle} ({live.meter.idle_origin})", GREY))
    if live.flags:
        lines.append(Text(f"! flagged: {', '.join(live.flags)}", VERMILION))
    row = model.rows[live.trial]
    lines.append(Text(format_setting({name: row[name] for name in model.spec.space.distributions}), GREY))
    for line in lines[1:]:
        line.truncate(width - 2, overflow="ellipsis")
    return Text("\n  ").join(lines)


def _history_lines(live: LiveTrial, width: int) -> list[Text]:
    samples = list(live.samples)
    if not samples:
        return [Text("power: no sample yet", GREY)]
    span = f"last {format_seconds(samples[-1].t_s - samples[0].t_s)}"
    lines = []
    for name, unit, values, style in _histories(samples):
        known = [value for value in values if value is not None]
        if not known:
            lines.append(Text(f"{name:<12} {MISSING:>11}  not reported by this device", GREY))
            continue
        digits = 1 if unit == "GB" else 0
        whole = trial_lines.format_memory_total(live.memory_bytes) if unit == "GB" else ""
        last = f"{known[-1]:.{digits}f} {unit}"
        if name == "power" and live.source == EnergySource.ESTIMATE:
            last = f"~{last} est."
        text = Text.assemble((f"{name:<12} ", GREY), (f"{last:>11}", "bold"), "  ")
        floor, ceiling = (0.0, 100.0) if unit == "%" else (None, None)
        text.append(sparkline(values, max(10, width - 64), floor, ceiling), style)
        lines.append(text.append(f"  {min(known):.{digits}f} to {max(known):.{digits}f}{whole} {unit}, {span}", GREY))
    return lines


def _histories(samples: list[PowerSampled]) -> list[tuple[str, str, list[float | None], str]]:
    def percent(sample: PowerSampled) -> float | None:
        return None if sample.utilisation is None else 100 * sample.utilisation

    def gigabytes(sample: PowerSampled) -> float | None:
        return None if sample.memory_bytes is None else sample.memory_bytes / 1e9

    return [
        ("power", "W", [sample.power_w for sample in samples], BLUE),
        ("temperature", "°C", [sample.temperature_c for sample in samples], ORANGE),
        ("utilisation", "%", [percent(sample) for sample in samples], GREEN),
        ("memory", "GB", [gigabytes(sample) for sample in samples], GREY),
    ]


class LogPane(Vertical):
    """The study log, one line per entry, the latest at the end."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._shown: LogEntry | None = None

    def compose(self) -> ComposeResult:
        """Lay out the log."""
        yield RichLog(id="study-log", wrap=True, max_lines=5000)

    def show_model(self, model: StudyModel, now: datetime) -> None:
        """Add the new entries."""
        log = self.query_one(RichLog)
        entries = list(model.study_log)
        at = next((at for at in range(len(entries), 0, -1) if entries[at - 1] is self._shown), 0)
        for entry in entries[at:]:
            log.write(entry_text(entry))
        if entries:
            self._shown = entries[-1]
        elif self._shown is None and not log.lines:
            log.write(
                Text("no study log on this machine: it is in the run folder on the host that runs the study", GREY)
            )


def entry_text(entry: LogEntry) -> Text:
    """Return an entry of the study log as a line."""
    text = Text(f"{datetime.fromtimestamp(entry.utc_s):%Y-%m-%d %H:%M:%S}  ", GREY)
    match entry:
        case CoordinatorStarted():
            text.append(f"study started by pid {entry.pid} on {entry.host}: {', '.join(entry.slots)}", "bold")
            text.append(f"; {entry.settled} of {entry.trials} trials already done")
        case TrialPlaced():
            text.append(f"trial {entry.trial} started on {entry.slot}")
        case TrialRecorded():
            failed = entry.text.startswith("failed")
            text.append(f"trial {entry.trial} {entry.text}", VERMILION if failed else "")
        case RunStateChanged():
            text.append(RUN_STATE_TEXTS[entry.conduct], ORANGE)
        case CoordinatorEnded():
            text.append(f"study {format_end(entry.end)}{f' ({entry.failure})' if entry.failure else ''}", "bold")
    return text
