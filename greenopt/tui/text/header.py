"""The lines above everything else: is it alive, how far is it, what did it cost, what is the best so far."""

from datetime import datetime

from rich.text import Text

from greenopt.formatting import MISSING, energy_words, fraction_words, seconds_words, significant
from greenopt.runs.study_log import Conduct, StudyEnd
from greenopt.tui.state.forecast import Remaining
from greenopt.tui.state.model import StudyModel
from greenopt.tui.text.status_symbols import BLUE, GREEN, GREY, ORANGE, SIGNS, VERMILION, YELLOW, bar, sparkline

_CONDUCT = {
    Conduct.RUNNING: ("▶ running", f"bold {GREEN}"),
    Conduct.PAUSED: ("‖ paused", f"bold {YELLOW}"),
    Conduct.STOPPING: ("▣ stopping after the running trials", f"bold {ORANGE}"),
    Conduct.STOPPING_NOW: ("▣ stopping now", f"bold {ORANGE}"),
}
_ENDS = {
    StudyEnd.DONE: ("■ done", f"bold {GREEN}"),
    StudyEnd.STOPPED: ("■ stopped on request", f"bold {ORANGE}"),
    StudyEnd.EQUAL_FAILURES: ("× stopped: the last trials all failed", f"bold {VERMILION}"),
    StudyEnd.BUDGET_SPENT: ("■ stopped: the energy budget is spent", f"bold {VERMILION}"),
    StudyEnd.INPUTS_CHANGED: ("■ stopped: its code or data changed", f"bold {VERMILION}"),
    StudyEnd.SPACE_EXHAUSTED: ("■ done: every setting was tried", f"bold {GREEN}"),
}


def end_words(end: StudyEnd) -> str:
    """Why a study ended: `stopped: the energy budget is spent`."""
    return _ENDS[end][0][2:]


def end_of(model: StudyModel) -> StudyEnd | None:
    """Why the study ended, as its course says or, from another machine, its trials; None if it runs or was cut off."""
    if model.end is not None:
        return model.end.end
    if model.is_running:
        return None
    if model.settled >= model.spec.study.trials:
        return StudyEnd.DONE
    budget_wh = model.spec.study.energy_budget_wh
    return StudyEnd.BUDGET_SPENT if budget_wh is not None and model.spent().energy_wh >= budget_wh else None


def state_text(model: StudyModel) -> Text:
    """What the study is doing: running, paused, stopping, done, or that nobody runs it."""
    if model.problem is not None:
        return Text("! storage does not answer", f"bold {VERMILION}")
    end = end_of(model)
    if end is not None:
        text = Text(*_ENDS[end])
        return text.append(", at once") if end is StudyEnd.STOPPED and model.conduct is Conduct.STOPPING_NOW else text
    return Text(*_CONDUCT[model.conduct]) if model.is_running else Text("■ not running", f"bold {ORANGE}")


def title_text(model: StudyModel, now: datetime, width: int) -> Text:
    """Name and protocol at the left; state, elapsed time and outlook at the right, which are never cut."""
    right = Text.assemble(state_text(model), "  ", (seconds_words(model.elapsed_s(now)).replace(".0 s", " s"), "bold"))
    outlook = outlook_words(model)
    if outlook:
        right.append(f"  {outlook}", GREY)
    left = Text.assemble((" greenopt ", "bold reverse"), " ", (model.spec.name, "bold"), (f"  {protocol(model)}", GREY))
    room = max(10, width - right.cell_len - 2)
    left.truncate(room, overflow="ellipsis")
    left.append(" " * (width - left.cell_len - right.cell_len - 1))
    return left + right


def protocol(model: StudyModel) -> str:
    """What is trained, on what, and how settings are chosen."""
    spec = model.spec
    trained = spec.study.objective or spec.training.model
    data = "" if spec.data is None else f"{spec.data.name} · "
    return f"{trained} · {data}{spec.sampler.name} sampler"


def outlook_words(model: StudyModel) -> str:
    """How long it will take: `~11 h left (9 to 14 h)`; empty where that is not known or nothing runs."""
    if not model.is_running or model.end is not None or model.conduct is not Conduct.RUNNING:
        return ""
    left = model.spec.study.trials - model.settled
    remaining = model.outlook.remaining(left, model.live.values(), len(model.slots) or 1)
    return "" if remaining is None else remaining_words(remaining)


def remaining_words(remaining: Remaining) -> str:
    """A remaining time, with its range where there is one worth the room."""
    words = f"~{rough_words(remaining.expected_s)} left"
    if remaining.low_s is None or remaining.high_s is None:
        return words
    high = rough_words(remaining.high_s)
    low = rough_words(remaining.low_s, like=remaining.high_s)
    return words if low == high else f"{words} ({low.split()[0]} to {high})"


def rough_words(seconds: float, like: float | None = None) -> str:
    """A duration as coarse as a guess deserves: `40 s`, `12 min`, `3.5 h`, `2.1 d`; in the unit of another if given."""
    scale = seconds if like is None else like
    if scale < 90:
        return f"{seconds:.0f} s"
    if scale < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if scale < 172800 else f"{seconds / 86400:.1f} d"


def counts_text(model: StudyModel) -> Text:
    """Trials by state, of how many."""
    counts, total = model.counts, model.spec.study.trials
    text = Text.assemble(("trials ", GREY), (f"{model.settled}/{total}", "bold"), "  ")
    text.append(bar(model.settled / total, 10), BLUE)
    lost = 0 if model.is_running else counts["running"]
    shown = {
        "complete": counts["complete"],
        "running": counts["running"] - lost,
        "lost": lost,
        "pruned": counts["pruned"],
        "fail": counts["fail"],
        "skipped": counts["skipped"],
    }
    for state, count in shown.items():
        if count or state in ("complete", "fail"):
            sign = SIGNS[state]
            style = sign.style if count else GREY
            text.append(f"  {sign.mark} {count} {sign.word}", style)
    return text


def energy_text(model: StudyModel) -> Text:
    """What all trials have drawn, with carbon and cost where the study names its electricity."""
    spent = model.spent()
    text = Text.assemble(
        ("energy ", GREY), (spent_words(spent.energy_wh if spent.is_known else None, spent.source), "bold")
    )
    budget = model.spec.study.energy_budget_wh
    if budget is not None:
        text.append(f" of {spent_words(budget, None)}", GREY)
    footprint = model.footprint.words(spent.energy_wh) if spent.is_known else ""
    return text.append(f" ({footprint})", GREY) if footprint else text


def spent_words(energy_wh: float | None, source: str | None) -> str:
    """An energy in Wh, or in kWh from 1,000 Wh; estimates are marked."""
    words = energy_words(energy_wh, source)
    if energy_wh is None or energy_wh < 1000:
        return words
    kilo = f"{significant(energy_wh / 1000)} kWh"
    return f"~{kilo} est." if words.startswith("~") else kilo


def best_text(model: StudyModel, width: int) -> Text:
    """The best accuracy, the best efficiency and the hypervolume with its course."""
    accuracy, efficiency = model.best("accuracy"), model.best("efficiency")
    text = Text.assemble(("best accuracy ", GREY))
    text.append(MISSING if accuracy is None else fraction_words(accuracy["accuracy"]), "bold")
    text.append("" if accuracy is None else f" #{accuracy['trial']}", GREY)
    text.append("  efficiency ", GREY)
    text.append(MISSING if efficiency is None else f"{significant(efficiency['efficiency'])}/Wh", "bold")
    text.append("" if efficiency is None else f" #{efficiency['trial']}", GREY)
    text.append("  hypervolume ", GREY)
    values = model.trace.values()
    text.append(f"{values[-1][1]:.3f}" if values else MISSING, "bold")
    room = width - text.cell_len - 2
    if len(values) > 1 and room >= 4:
        counted = model.counts["complete"]
        text.append(" " + sparkline(_steps(values, counted, min(room, 24)), min(room, 24)), GREEN)
    return text


def _steps(values: list[tuple[int, float]], count: int, cells: int) -> list[float]:
    """A stepwise course, read off at even distances."""
    read, at = [], 0
    for cell in range(1, cells + 1):
        while at + 1 < len(values) and values[at + 1][0] <= count * cell / cells:
            at += 1
        read.append(values[at][1])
    return read
