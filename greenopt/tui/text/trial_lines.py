"""A running trial in a few lines, and an ended one in one."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from greenopt.events import Outcome, PowerSampled
from greenopt.formatting import (
    MISSING,
    format_energy,
    format_figure,
    format_fraction,
    format_seconds,
    format_setting,
    significant,
)
from greenopt.reading import EnergySource
from greenopt.storage.trial_state import TrialState, outcome_of
from greenopt.tui.state.live_trial import LiveTrial
from greenopt.tui.state.reader import Row
from greenopt.tui.text.status_symbols import BLUE, GREEN, GREY, ORANGE, YELLOW, bar, sparkline, status_text

DOUBTFUL = ("shared_gpu", "gpu_busy")


def progress_text(live: LiveTrial, width: int) -> Text:
    """`epoch 12/50 ━━━━───  24 %  1.6 s/epoch`."""
    done, epochs = live.progress
    share = done / epochs if epochs else 0.0
    pace = live.seconds_per_epoch
    tail = f" {share:4.0%}" + (f"  {format_seconds(pace)}/epoch" if pace is not None else "")
    head = live.activity_text()
    room = min(24, width - len(head) - len(tail) - 2)
    text = Text.assemble((head, "bold"), " ")
    if room >= 4:
        text.append(bar(share, room), YELLOW)
    return text.append(tail, GREY)


def curves_text(live: LiveTrial, width: int) -> Text:
    """Return validation accuracy and loss, each with a sparkline."""
    room = max(0, (width - 31) // 2)
    accuracies = [epoch.val_accuracy for epoch in live.epochs]
    losses = [epoch.loss for epoch in live.epochs]
    text = Text.assemble(("accuracy ", GREY), (format_fraction(live.accuracy), "bold"), " ")
    text.append(sparkline(accuracies, room), GREEN)
    last = losses[-1] if losses else None
    text.append("  loss ", GREY).append(MISSING if last is None else significant(last), "bold").append(" ")
    return text.append(sparkline(losses, room), ORANGE)


def device_text(samples: Sequence[PowerSampled], width: int, memory_bytes: int | None = None) -> Text:
    """Return power with a sparkline, temperature, utilisation, and memory in use of the device's total."""
    last = samples[-1] if samples else None
    text = Text("power ", GREY)
    if last is None:
        return text.append("no sample yet", GREY)
    is_estimate = last.source == EnergySource.ESTIMATE
    text.append(format_power(last.power_w, is_estimate=is_estimate), "bold").append(" ")
    tail = Text("  ".join(["", *_format_device_stats(last, memory_bytes)]))
    room = max(0, width - text.cell_len - tail.cell_len)
    text.append(sparkline([sample.power_w for sample in samples], min(room, 40)), BLUE)
    return text + tail


def format_power(power_w: float | None, *, is_estimate: bool) -> str:
    """Return a power in W, marked if it is an estimate."""
    if power_w is None:
        return MISSING
    text = f"{power_w:.0f} W"
    return f"~{text} est." if is_estimate else text


def energy_text(live: LiveTrial, width: int) -> Text:
    """Return the energy used so far, the forecast for all epochs, and the share used by training."""
    text = Text.assemble(("so far ", GREY), (format_energy(live.total_wh, live.source), "bold"))
    if live.forecast_wh is not None:
        text.append(f"  all epochs ~{format_energy(live.forecast_wh, live.source).removeprefix('~')}", GREY)
    training = f"  training so far {format_energy(live.training_wh, live.source)}"
    return text.append(training, GREY) if text.cell_len + len(training) <= width else text


def folded_text(live: LiveTrial, slot: str, width: int) -> Text:
    """Return a running trial in one line, for small terminals."""
    text = status_text(TrialState.RUNNING, word=False).append(f" #{live.trial} {slot} ", "bold")
    text.append(live.activity_text())
    text.append(f"  accuracy {format_fraction(live.accuracy)}  {format_energy(live.total_wh, live.source)}")
    if live.samples:
        last = live.samples[-1]
        text.append(f"  {format_power(last.power_w, is_estimate=last.source == EnergySource.ESTIMATE)}", GREY)
    text.truncate(width, overflow="ellipsis")
    return text


def ended_text(row: Row, state: str, parameters: Sequence[str], width: int, figures: Sequence[str] = ()) -> Text:
    """Return an ended trial in one line: symbol, number, metrics or reason, setting.

    Args:
        row: the trial.
        state: in one word.
        parameters: of its setting.
        width: in cells.
        figures: what is shown in place of accuracy, energy and efficiency, where that is not it.
    """
    text = status_text(state, word=False).append(f" {row['trial']:>4}  ", "bold")
    if row["state"] == TrialState.COMPLETE and figures:
        source = row["energy_source"]
        text.append("  ".join(f"{name} {format_figure(name, row.get(name), source)}" for name in figures) + "  ")
        text.append(format_setting({name: row[name] for name in parameters}), GREY)
    elif row["state"] == TrialState.COMPLETE:
        energy = format_energy(row["energy_wh"], row["energy_source"])
        room = 15 if row["energy_source"] == EnergySource.ESTIMATE else 9
        text.append(f"{format_fraction(row['accuracy'])}  {energy:>{room}}  ")
        efficiency = MISSING if row["efficiency"] is None else f"{significant(row['efficiency'])}/Wh"
        text.append(f"{efficiency:<9}  ", GREY)
        text.append(format_setting({name: row[name] for name in parameters}), GREY)
    else:
        text.append(format_reason(row))
        if row.get("total_wh") is not None:
            text.append(f"  {format_energy(row['total_wh'], row.get('total_source'))} spent", GREY)
    text.truncate(width, overflow="ellipsis")
    return text


def format_reason(row: Mapping[str, Any]) -> str:
    """Format why a trial is not complete: `out_of_memory: the GPU has ...`; empty if it is, or still runs."""
    if row["state"] == TrialState.EXCLUDED:
        return f"excluded: {row.get('excluded') or 'no reason kept'}"
    reason = row.get("stop_reason") or row.get("fail_reason")
    message = row.get("message")
    if message and outcome_of(row["state"], row) is Outcome.STOPPED:
        return str(message)
    if row["state"] == TrialState.FAIL and reason is None:
        reason = "interrupted"
    return ": ".join(str(part) for part in (reason, message) if part)


def _format_device_stats(sample: PowerSampled, memory_bytes: int | None) -> list[str]:
    text = []
    if sample.temperature_c is not None:
        text.append(f"{sample.temperature_c:.0f} °C")
    if sample.utilisation is not None:
        text.append(f"{sample.utilisation:.0%} busy")
    if sample.memory_bytes is not None:
        text.append(f"{sample.memory_bytes / 1e9:.1f}{format_memory_total(memory_bytes)} GB")
    return text


def format_memory_total(memory_bytes: int | None) -> str:
    """Return the text between memory in use and its unit, such as ` of 86`; empty if the total is unknown."""
    return "" if memory_bytes is None else f" of {memory_bytes / 1e9:.0f}"
