"""A running trial in a few lines, and an ended one in one."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from greenopt.events import EnergySource, PowerSampled
from greenopt.formatting import MISSING, energy_words, fraction_words, seconds_words, setting_words, significant
from greenopt.tui.state.live_trial import LiveTrial
from greenopt.tui.state.reader import Row
from greenopt.tui.text.status_symbols import BLUE, GREEN, GREY, ORANGE, YELLOW, bar, sign_text, sparkline

DOUBTFUL = ("shared_gpu", "gpu_busy")


def progress_text(live: LiveTrial, width: int) -> Text:
    """`epoch 12/50 ━━━━───  24 %  1.6 s/epoch`."""
    done, epochs = live.progress
    share = done / epochs if epochs else 0.0
    pace = live.seconds_per_epoch
    tail = f" {share:4.0%}" + (f"  {seconds_words(pace)}/epoch" if pace is not None else "")
    head = live.state_words()
    room = min(24, width - len(head) - len(tail) - 2)
    text = Text.assemble((head, "bold"), " ")
    if room >= 4:
        text.append(bar(share, room), YELLOW)
    return text.append(tail, GREY)


def curves_text(live: LiveTrial, width: int) -> Text:
    """Validation accuracy and loss with their courses."""
    room = max(0, (width - 31) // 2)
    accuracies = [epoch.val_accuracy for epoch in live.epochs]
    losses = [epoch.loss for epoch in live.epochs]
    text = Text.assemble(("accuracy ", GREY), (fraction_words(live.accuracy), "bold"), " ")
    text.append(sparkline(accuracies, room), GREEN)
    last = losses[-1] if losses else None
    text.append("  loss ", GREY).append(MISSING if last is None else significant(last), "bold").append(" ")
    return text.append(sparkline(losses, room), ORANGE)


def device_text(samples: Sequence[PowerSampled], width: int, memory_bytes: int | None = None) -> Text:
    """Power with its course, temperature, utilisation, memory in use of all the device has."""
    last = samples[-1] if samples else None
    text = Text("power ", GREY)
    if last is None:
        return text.append("no sample yet", GREY)
    is_estimate = last.source == EnergySource.ESTIMATE
    text.append(watts_words(last.power_w, is_estimate=is_estimate), "bold").append(" ")
    tail = Text("  ".join(["", *_vitals_words(last, memory_bytes)]))
    room = max(0, width - text.cell_len - tail.cell_len)
    text.append(sparkline([sample.power_w for sample in samples], min(room, 40)), BLUE)
    return text + tail


def watts_words(power_w: float | None, *, is_estimate: bool) -> str:
    """A power in W; marked where it is an estimate."""
    if power_w is None:
        return MISSING
    words = f"{power_w:.0f} W"
    return f"~{words} est." if is_estimate else words


def energy_text(live: LiveTrial, width: int) -> Text:
    """What the trial has drawn, what all its epochs will have drawn, and of the first what was training."""
    text = Text.assemble(("so far ", GREY), (energy_words(live.total_wh, live.source), "bold"))
    if live.forecast_wh is not None:
        text.append(f"  all epochs ~{energy_words(live.forecast_wh, live.source).removeprefix('~')}", GREY)
    training = f"  training so far {energy_words(live.training_wh, live.source)}"
    return text.append(training, GREY) if text.cell_len + len(training) <= width else text


def folded_text(live: LiveTrial, slot: str, width: int) -> Text:
    """A running trial in one line, for small terminals."""
    text = sign_text("running", word=False).append(f" #{live.trial} {slot} ", "bold")
    text.append(live.state_words())
    text.append(f"  accuracy {fraction_words(live.accuracy)}  {energy_words(live.total_wh, live.source)}")
    if live.samples:
        last = live.samples[-1]
        text.append(f"  {watts_words(last.power_w, is_estimate=last.source == EnergySource.ESTIMATE)}", GREY)
    text.truncate(width, overflow="ellipsis")
    return text


def ended_text(row: Row, state: str, parameters: Sequence[str], width: int) -> Text:
    """A trial that ended, in one line: sign, number, figures or reason, setting."""
    text = sign_text(state, word=False).append(f" {row['trial']:>4}  ", "bold")
    if row["state"] == "complete":
        energy = energy_words(row["energy_wh"], row["energy_source"])
        room = 15 if row["energy_source"] == EnergySource.ESTIMATE else 9
        text.append(f"{fraction_words(row['accuracy'])}  {energy:>{room}}  ")
        efficiency = MISSING if row["efficiency"] is None else f"{significant(row['efficiency'])}/Wh"
        text.append(f"{efficiency:<9}  ", GREY)
        text.append(setting_words({name: row[name] for name in parameters}), GREY)
    else:
        text.append(reason_words(row))
        if row.get("total_wh") is not None:
            text.append(f"  {energy_words(row['total_wh'], row.get('total_source'))} spent", GREY)
    text.truncate(width, overflow="ellipsis")
    return text


def reason_words(row: Mapping[str, Any]) -> str:
    """Why a trial is not complete: `out_of_memory: the GPU has ...`; empty where it is, or still runs."""
    reason = row.get("stop_reason") or row.get("fail_reason")
    message = row.get("message")
    if row["state"] == "fail" and reason is None:
        reason = "interrupted"
    return ": ".join(str(part) for part in (reason, message) if part)


def _vitals_words(sample: PowerSampled, memory_bytes: int | None) -> list[str]:
    words = []
    if sample.temperature_c is not None:
        words.append(f"{sample.temperature_c:.0f} °C")
    if sample.utilisation is not None:
        words.append(f"{sample.utilisation:.0%} busy")
    if sample.memory_bytes is not None:
        words.append(f"{sample.memory_bytes / 1e9:.1f}{of_memory_words(memory_bytes)} GB")
    return words


def of_memory_words(memory_bytes: int | None) -> str:
    """What stands between a memory in use and its unit: ` of 86`; empty where the whole is not known."""
    return "" if memory_bytes is None else f" of {memory_bytes / 1e9:.0f}"
