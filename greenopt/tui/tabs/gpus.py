"""The GPUs tab: what each slot's device is doing."""

from datetime import datetime

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll

from greenopt.events import PowerSampled
from greenopt.formatting import MISSING, format_seconds, format_setting
from greenopt.reading import EnergySource
from greenopt.tui.state.live_trial import LiveTrial
from greenopt.tui.state.model import StudyModel
from greenopt.tui.tabs.overview import format_idle_slot, live_in, slot_names
from greenopt.tui.text import trial_lines
from greenopt.tui.text.status_symbols import BLUE, GREEN, GREY, ORANGE, VERMILION, sparkline
from greenopt.tui.widgets.responsive_text import ResponsiveText


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
