"""The header lines: state, progress, energy used, and best results so far."""

from datetime import datetime

from rich.text import Text

from greenopt.forecast import forecast_kept, format_forecast
from greenopt.formatting import MISSING, format_energy, format_figure, format_fraction, format_seconds, significant
from greenopt.runs.study_log import RunState, StudyEnd
from greenopt.spec import BudgetKind
from greenopt.storage.trial_state import TrialState
from greenopt.tui.state.forecast import Remaining
from greenopt.tui.state.model import StudyModel
from greenopt.tui.text.status_symbols import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    STATUS_SYMBOLS,
    VERMILION,
    YELLOW,
    bar,
    sparkline,
)

_RUN_STATES = {
    RunState.RUNNING: ("▶ running", f"bold {GREEN}"),
    RunState.PAUSED: ("‖ paused", f"bold {YELLOW}"),
    RunState.STOPPING: ("▣ stopping after the running trials", f"bold {ORANGE}"),
    RunState.STOPPING_NOW: ("▣ stopping now", f"bold {ORANGE}"),
}
_ENDS = {
    StudyEnd.DONE: ("■ done", f"bold {GREEN}"),
    StudyEnd.STOPPED: ("■ stopped on request", f"bold {ORANGE}"),
    StudyEnd.EQUAL_FAILURES: ("× stopped: the last trials all failed", f"bold {VERMILION}"),
    StudyEnd.BUDGET_SPENT: ("■ stopped: the budget is spent", f"bold {VERMILION}"),
    StudyEnd.FRONT_STILL: ("■ stopped: the front stood still", f"bold {ORANGE}"),
    StudyEnd.INPUTS_CHANGED: ("■ stopped: its code or data changed", f"bold {VERMILION}"),
    StudyEnd.GPUS_FAILED: ("× stopped: no GPU is left that works", f"bold {VERMILION}"),
    StudyEnd.STORAGE_LOST: ("× stopped: its storage was away for too long", f"bold {VERMILION}"),
    StudyEnd.SPACE_EXHAUSTED: ("■ done: every setting was tried", f"bold {GREEN}"),
}


def format_end(end: StudyEnd) -> str:
    """Format why a study ended: `stopped: the budget is spent`."""
    return _ENDS[end][0][2:]


def find_end(model: StudyModel) -> StudyEnd | None:
    """Return why the study ended, by its log or its trials; None if it is running or was killed."""
    if model.end is not None:
        return model.end.end
    if model.is_running:
        return None
    if model.settled >= model.spec.study.trials:
        return StudyEnd.DONE
    budget_wh = energy_budget_wh(model)
    return StudyEnd.BUDGET_SPENT if budget_wh is not None and model.used().energy_wh >= budget_wh else None


def energy_budget_wh(model: StudyModel) -> float | None:
    """Return the study's budget of energy in Wh; None where it has none."""
    budgets = (budget.limit for budget in model.spec.budgets if budget.kind is BudgetKind.ENERGY)
    return next(budgets, None)


def forecast_text(model: StudyModel, now: datetime) -> Text | None:
    """Return what the whole study will take: energy, time left, carbon and cost; None where nothing is known or runs.

    The time left is counted down from the moment of the forecast.
    """
    entry = model.foreseen
    if entry is None or not entry.left or not model.is_running or model.end is not None:
        return None
    forecast = forecast_kept(entry, now.timestamp() - entry.utc_s)
    text = format_forecast(forecast, model.footprint, with_time=model.run_state is RunState.RUNNING)
    return Text.assemble(("forecast ", GREY), text) if text else None


def state_text(model: StudyModel) -> Text:
    """Return the state of the study: running, paused, stopping, done, or not running."""
    if model.problem is not None:
        if model.outage is not None and model.end is None:
            return Text(f"! storage away: {model.outage}", f"bold {VERMILION}")
        return Text("! storage does not respond", f"bold {VERMILION}")
    end = find_end(model)
    if end is not None:
        text = Text(*_ENDS[end])
        return (
            text.append(", at once") if end is StudyEnd.STOPPED and model.run_state is RunState.STOPPING_NOW else text
        )
    if model.is_running and model.outage is not None:
        return Text(f"! storage away: {model.outage}", f"bold {VERMILION}")
    return Text(*_RUN_STATES[model.run_state]) if model.is_running else Text("■ not running", f"bold {ORANGE}")


def title_text(model: StudyModel, now: datetime, width: int) -> Text:
    """Return name and protocol at the left; state, elapsed and remaining time at the right, which are never cut."""
    right = Text.assemble(state_text(model), "  ", (format_seconds(model.elapsed_s(now)).replace(".0 s", " s"), "bold"))
    forecast = format_time_left(model, now)
    if forecast:
        right.append(f"  {forecast}", GREY)
    left = Text.assemble((" greenopt ", "bold reverse"), " ", (model.spec.name, "bold"), (f"  {protocol(model)}", GREY))
    room = max(10, width - right.cell_len - 2)
    left.truncate(room, overflow="ellipsis")
    left.append(" " * (width - left.cell_len - right.cell_len - 1))
    return left + right


def protocol(model: StudyModel) -> str:
    """Return what is trained, on which data, and how settings are chosen."""
    spec = model.spec
    trained = spec.study.objective or spec.training.model
    data = "" if spec.data is None else f"{spec.data.label} · "
    return f"{trained} · {data}{spec.sampler.name} sampler"


def format_time_left(model: StudyModel, now: datetime) -> str:
    """Format the remaining time: `~11 h left (9 to 14 h)`; empty if it is unknown or nothing runs.

    It is the coordinator's forecast where there is one, else follows from the durations of the trials.
    """
    if not model.is_running or model.end is not None or model.run_state is not RunState.RUNNING:
        return ""
    if model.foreseen is not None:
        left_s = forecast_kept(model.foreseen, now.timestamp() - model.foreseen.utc_s).left_s
        if left_s is not None:
            return format_remaining(Remaining(left_s.expected, left_s.low, left_s.high))
    left = model.spec.study.trials - model.settled
    remaining = model.forecast.remaining(left, model.live.values(), len(model.slots) or 1)
    return "" if remaining is None else format_remaining(remaining)


def format_remaining(remaining: Remaining) -> str:
    """Return the remaining time, with its range if the range is informative."""
    text = f"~{format_rough_duration(remaining.expected_s)} left"
    if remaining.low_s is None or remaining.high_s is None:
        return text
    high = format_rough_duration(remaining.high_s)
    low = format_rough_duration(remaining.low_s, like=remaining.high_s)
    return text if low == high else f"{text} ({low.split()[0]} to {high})"


def format_rough_duration(seconds: float, like: float | None = None) -> str:
    """Return a duration rounded as an estimate: `40 s`, `12 min`, `3.5 h`, `2.1 d`; in the unit of `like` if given."""
    scale = seconds if like is None else like
    if scale < 90:
        return f"{seconds:.0f} s"
    if scale < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if scale < 172800 else f"{seconds / 86400:.1f} d"


def counts_text(model: StudyModel) -> Text:
    """Return the number of trials by state and in total."""
    counts, total = model.counts, model.spec.study.trials
    text = Text.assemble(("trials ", GREY), (f"{model.settled}/{total}", "bold"), "  ")
    text.append(bar(model.settled / total, 10), BLUE)
    lost = 0 if model.is_running else counts[TrialState.RUNNING]
    shown = {
        TrialState.COMPLETE: counts[TrialState.COMPLETE],
        TrialState.RUNNING: counts[TrialState.RUNNING] - lost,
        "lost": lost,
        TrialState.PRUNED: counts[TrialState.PRUNED],
        TrialState.FAIL: counts[TrialState.FAIL],
        TrialState.EXCLUDED: counts[TrialState.EXCLUDED],
        "skipped": counts["skipped"],
    }
    for state, count in shown.items():
        if count or state in (TrialState.COMPLETE, TrialState.FAIL):
            sign = STATUS_SYMBOLS[state]
            style = sign.style if count else GREY
            text.append(f"  {sign.mark} {count} {sign.word}", style)
    return text


def energy_text(model: StudyModel) -> Text:
    """Return the energy used by all trials, with carbon and cost if the study states its electricity."""
    used = model.used()
    text = Text.assemble(
        ("energy ", GREY), (format_used_energy(used.energy_wh if used.is_known else None, used.source), "bold")
    )
    budget = energy_budget_wh(model)
    if budget is not None:
        text.append(f" of {format_used_energy(budget, None)}", GREY)
    footprint = model.footprint.format(used.energy_wh) if used.is_known else ""
    return text.append(f" ({footprint})", GREY) if footprint else text


def format_used_energy(energy_wh: float | None, source: str | None) -> str:
    """Return an energy in Wh, or in kWh from 1,000 Wh; estimates are marked."""
    text = format_energy(energy_wh, source)
    if energy_wh is None or energy_wh < 1000:
        return text
    kilo = f"{significant(energy_wh / 1000)} kWh"
    return f"~{kilo} est." if text.startswith("~") else kilo


def best_text(model: StudyModel, width: int) -> Text:
    """Return the best accuracy and efficiency, or the best of each objective, and the hypervolume with its history."""
    text = _best_figures(model)
    text.append("  hypervolume ", GREY)
    values = model.trace.values()
    text.append(f"{values[-1][1]:.3f}" if values else MISSING, "bold")
    room = width - text.cell_len - 2
    if len(values) > 1 and room >= 4:
        counted = model.counts[TrialState.COMPLETE]
        text.append(" " + sparkline(_steps(values, counted, min(room, 24)), min(room, 24)), GREEN)
    return text


def _best_figures(model: StudyModel) -> Text:
    if not model.plane.is_accuracy_for_energy:
        text = Text("best", GREY)
        for name in model.spec.objectives:
            row = model.best(name)
            text.append(f" {name} ", GREY)
            text.append(MISSING if row is None else format_figure(name, row[name], row["energy_source"]), "bold")
            text.append("" if row is None else f" #{row['trial']} ", GREY)
        return text
    accuracy, efficiency = model.best("accuracy"), model.best("efficiency")
    text = Text.assemble(("best accuracy ", GREY))
    text.append(MISSING if accuracy is None else format_fraction(accuracy["accuracy"]), "bold")
    text.append("" if accuracy is None else f" #{accuracy['trial']}", GREY)
    text.append("  efficiency ", GREY)
    text.append(MISSING if efficiency is None else f"{significant(efficiency['efficiency'])}/Wh", "bold")
    text.append("" if efficiency is None else f" #{efficiency['trial']}", GREY)
    return text


def _steps(values: list[tuple[int, float]], count: int, cells: int) -> list[float]:
    """Return a step function sampled at equal distances."""
    read, at = [], 0
    for cell in range(1, cells + 1):
        while at + 1 < len(values) and values[at + 1][0] <= count * cell / cells:
            at += 1
        read.append(values[at][1])
    return read
