"""The summary printed when a study ends: its trials, why it ended, what to do next."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from greenopt.cli.tables import Table, print_lines, print_table
from greenopt.energy.footprint import Footprint
from greenopt.errors import ExitCode
from greenopt.events import FailReason
from greenopt.forecast import ended_trials, format_larger, spendings
from greenopt.formatting import (
    MISSING,
    counted,
    format_energy,
    format_figure,
    format_seconds,
    format_setting,
    significant,
)
from greenopt.front import plane_of
from greenopt.gpu_models import format_mixed, mixed_models, model_of
from greenopt.identity.mending import failed_trials
from greenopt.reading import EnergySource
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import StudyEnd, elapsed_s, read_entries
from greenopt.search import Storage, StudySnapshot, read_study
from greenopt.spec import Direction
from greenopt.stopping import format_tally, tally_stops
from greenopt.storage.trial_state import FINISHED_STATES, TrialState
from greenopt.validation_gap import MARK_TEXT, accuracy_caution, marked_accuracy

ROWS_SHOWN = 20
STORAGE_LOST_TEXT = "stopped: its storage was away for too long; run the same command to resume, nothing is lost"


def print_summary(
    console: Console, folder: RunFolder, storage: Storage, end: StudyEnd, failure: FailReason | None
) -> ExitCode:
    """Print the table of trials, how the study ended and the next commands; return the exit code of that end."""
    snapshot = read_study(folder.stored_name, storage)
    print_table(console, trial_table(snapshot))
    skipped = sum(1 for row in snapshot.rows if row.get("fail_reason") == FailReason.DUPLICATE)
    failed = snapshot.count(TrialState.FAIL) - skipped
    text = {
        StudyEnd.DONE: "all trials are done",
        StudyEnd.STOPPED: "stopped; run the same command to resume",
        StudyEnd.EQUAL_FAILURES: f"stopped: the last trials all failed: {failure}; see {folder.path}/trials/*/log.txt",
        StudyEnd.BUDGET_SPENT: budget_text(folder, snapshot),
        StudyEnd.FRONT_STILL: f"stopped: its front stood still for {snapshot.spec.study.patience} trials that ended; "
        f"the same command with --patience {2 * (snapshot.spec.study.patience or 1)} goes on",
        StudyEnd.INPUTS_CHANGED: "stopped: its code or data changed while it ran; the same command says what changed",
        StudyEnd.GPUS_FAILED: "stopped: no GPU is left that works; mend them, then the same command resumes",
        StudyEnd.STORAGE_LOST: STORAGE_LOST_TEXT,
        StudyEnd.SPACE_EXHAUSTED: "ended: every setting of the space has been tried",
    }
    complete, pruned = snapshot.count(TrialState.COMPLETE), snapshot.count(TrialState.PRUNED)
    counts = f"{complete} completed, {pruned} stopped early, {failed} failed"
    counts += f", {skipped} settings that had already run skipped" if skipped else ""
    excluded = snapshot.count(TrialState.EXCLUDED)
    counts += f", {excluded} excluded by you" if excluded else ""
    print_lines(console, [f"study {folder.name}: {text[end]} ({counts})"])
    spent = _spent(snapshot)
    if spent:
        print_lines(console, [spent])
    if note := failed_note(folder.name, snapshot.rows):
        print_lines(console, [note])
    if mixed := format_mixed(snapshot.rows):
        print_lines(console, [f"note: {mixed}"])
    tally = tally_stops(snapshot.rows)
    if tally is not None:
        print_lines(console, [format_tally(tally)])
    # Nothing can be said of a study without a completed trial.
    telling = ("analyze", "report") if complete else ()
    commands = "  ·  ".join(f"greenopt {each} {folder.name}" for each in (*telling, "dashboard", "export"))
    print_lines(console, [f"results: {folder.path}", f"next: {commands}"])
    return exit_code(snapshot, end)


def exit_code(snapshot: StudySnapshot, end: StudyEnd) -> ExitCode:
    """Return the exit code of a command that ran a study to this end."""
    ran_out = end in (StudyEnd.DONE, StudyEnd.EQUAL_FAILURES, StudyEnd.SPACE_EXHAUSTED)
    if ran_out and not snapshot.count(TrialState.COMPLETE, TrialState.EXCLUDED):
        return ExitCode.NOTHING_COMPLETED
    return ExitCode.DONE if end is StudyEnd.DONE else ExitCode.STOPPED_EARLY


def failed_note(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence on failed trials that nothing repeats, and how they run again; empty where there are none."""
    left = failed_trials(rows)
    if not left:
        return ""
    reasons = Counter(str(row.get("fail_reason") or FailReason.INTERRUPTED) for row in rows if row["trial"] in left)
    why = ", ".join(f"{count} x {reason}" if len(left) > 1 else reason for reason, count in reasons.most_common())
    what = "them" if len(left) > 1 else "it"
    return (
        f"{counted(len(left))} failed ({why}); once the cause is mended, `greenopt retry {name}` has {what} run again"
    )


def budget_text(folder: RunFolder, snapshot: StudySnapshot) -> str:
    """Return what was spent of which budget, and how to go on."""
    used_wh = sum(trial.energy_wh or 0.0 for trial in ended_trials(snapshot.spec, snapshot.rows))
    spent = spendings(snapshot.spec, used_wh, elapsed_s(read_entries(folder.study_log, folder.study_id)))
    fullest = max(spent, key=lambda each: each.used / each.budget.amount, default=None)
    if fullest is None:
        return "stopped: its budget is spent"
    rest = "" if fullest.is_spent else "; the next trial would take more than what is left"
    used = ", ".join(map(str, spent))
    return f"stopped: its budget is spent: {used}{rest}; the same command with {format_larger([fullest])} goes on"


def _spent(snapshot: StudySnapshot) -> str:
    """Return the energy of all trials, failed ones included, with carbon and cost; empty if none was measured."""
    known = [row for row in snapshot.rows if row.get("total_wh") is not None]
    if not known:
        return ""
    total_wh = sum(row["total_wh"] for row in known)
    is_estimate = any(row.get("total_source") == EnergySource.ESTIMATE for row in known)
    footprint = Footprint.from_spec(snapshot.spec.energy)
    text = f"all trials, set-up included: {format_energy(total_wh, EnergySource.ESTIMATE if is_estimate else None)}"
    if not footprint.is_known:
        return text
    return f"{text}, {footprint.format(total_wh)}{f' ({footprint.origin})' if footprint.origin else ''}"


def _state(row: Mapping[str, Any]) -> str:
    if row["state"] == TrialState.EXCLUDED:
        return f"excluded: {row.get('excluded') or ''}"
    return str(row.get("fail_reason") or row.get("stop_reason") or row["state"])


def trial_table(snapshot: StudySnapshot) -> Table:
    """Return a table of the study's trials, the best in the first figure first, those without a result last."""
    ended = [
        row
        for row in snapshot.rows
        if row["state"] in FINISHED_STATES and row.get("fail_reason") != FailReason.DUPLICATE
    ]
    plane = plane_of(snapshot.spec)
    sign = 1.0 if snapshot.spec.objectives.get(plane.up) is Direction.MINIMIZE else -1.0
    ended.sort(key=lambda row: (row["state"] != TrialState.COMPLETE, sign * (row.get(plane.up) or 0.0)))
    is_mixed = bool(mixed_models(snapshot.rows))
    model = ("GPU",) if is_mixed else ()
    heads = ("trial", "state", *model, *plane.others, "accuracy", "energy", "time", "1/Wh", "setting")
    table = Table(*heads, left=heads, wraps=("state", "setting"))
    for row in ended[:ROWS_SHOWN]:
        table.add_row(
            str(row["trial"]),
            _state(row),
            *([model_of(row)] if is_mixed else []),
            *(format_figure(name, row.get(name), row["energy_source"], 4) for name in plane.others),
            marked_accuracy(snapshot.spec, row),
            format_energy(row["energy_wh"], row["energy_source"]),
            format_seconds(row["seconds"]),
            significant(row["efficiency"]) if row["efficiency"] is not None else MISSING,
            format_setting({name: row[name] for name in snapshot.spec.space.distributions}),
        )
    if plane.others:
        # A study of other figures may have no accuracy, and then no efficiency.
        table.drop_empty("accuracy", "1/Wh")
    sources = sorted({row["energy_source"] for row in ended if row["energy_source"]})
    more = [f"and {len(ended) - ROWS_SHOWN} more"] if len(ended) > ROWS_SHOWN else []
    more += [MARK_TEXT] if any(accuracy_caution(snapshot.spec, row) for row in ended[:ROWS_SHOWN]) else []
    table.caption = "; ".join([*more, *([f"energy from: {', '.join(sources)}"] if sources else [])])
    return table
