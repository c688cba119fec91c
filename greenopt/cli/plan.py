"""What `greenopt run --dry-run` prints: the study, the devices and the first settings."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from greenopt.cli.executors import Executor
from greenopt.cli.measured_plan import measure_shapes
from greenopt.cli.tables import Table, print_lines, print_table
from greenopt.coordination.pilots import PilotResult
from greenopt.coordination.preflight import check_places, input_notes
from greenopt.energy.footprint import Footprint
from greenopt.errors import UsageError
from greenopt.execution import Slot
from greenopt.forecast import MIN_TRIALS, StudyForecaster, ended_trials, format_forecast, spendings, used_wh
from greenopt.forecast.study import MAX_SIMULATED
from greenopt.formatting import MISSING, counted
from greenopt.identity.anew import changed_key
from greenopt.identity.going_on import check_extension, going_on
from greenopt.identity.snapshot import read_folder
from greenopt.identity.start import check_start
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import elapsed_s, read_entries
from greenopt.search import ADAPTIVE, PRIOR_ATTRIBUTE, Prior, Search, sampler_arguments, startup_note
from greenopt.spec import StoppingKind, StudySpec, Value, inert_parameters
from greenopt.storage.snapshot import StudySnapshot
from greenopt.storage.trial_state import is_settled

SETTINGS_SHOWN = 3

_CONSTANTS = {
    StoppingKind.NONE: (),
    StoppingKind.PARETO: ("patience", "audit", "refuse", "min_epochs"),
    StoppingKind.MOASHA: ("min_epochs", "reduction_factor"),
}


def print_plan(
    console: Console,
    spec: StudySpec,
    slots: Sequence[Slot],
    forecast: Sequence[str] = (),
    prior: Prior | None = None,
) -> None:
    """Print what a run would do, and what it is forecast to take; the settings come from a study in memory."""
    size = "infinitely many" if math.isinf(spec.space.size) else f"{int(spec.space.size):,}"
    arguments = ", ".join(f"{name}={value}" for name, value in sampler_arguments(spec).items())
    what = spec.study.objective or spec.training.model
    data = [f"data       {spec.data.label}"] if spec.data is not None else []
    conditions = [f"{name} only with {spec.space.condition_text(name)}" for name in spec.space.conditions]
    lines = [
        f"study      {spec.name}: {spec.study.trials} trials x {spec.epochs_text} epochs, {what}",
        *data,
        f"objectives {', '.join(f'{direction} {metric}' for metric, direction in spec.objectives.items())}",
        f"sampler    {spec.sampler.name}({arguments}), seed {spec.seeds.sampler}",
        *([f"prior      {counted(len(prior.trials))} of study {prior.name}"] if prior is not None else []),
        *([f"stopping   {_stopping(spec)}"] if _stopping(spec) else []),
        f"space      {size} settings; {len(spec.space.free)} of {len(spec.space.distributions)} parameters vary",
        *(f"           {condition}" for condition in conditions),
        f"runs on    {', '.join(slot.name for slot in slots)}",
        *([f"budgets    {', '.join(map(str, spec.budgets))}"] if spec.budgets else []),
        *([f"patience   {spec.study.patience} trials without a change of the front"] if spec.study.patience else []),
        *forecast,
    ]
    print_lines(console, lines)
    print_table(console, _settings(spec, prior))
    print_lines(console, ["nothing was written"])


def start_notes(spec: StudySpec) -> list[str]:
    """Return lines on what a study's file means, where one might expect something else."""
    startup = startup_note(spec)
    return [f"note: {note}" for note in (*spec.space.notes, *([startup] if startup is not None else []))]


def plan_run(
    console: Console,
    spec: StudySpec,
    slots: Sequence[Slot],
    storage: str | None,
    runs: Path,
    *,
    like: str | None = None,
    measured_on: Executor | None = None,
    accepts_changes: bool = False,
) -> None:
    """Check all that can be checked without training the study, and print what a run would do; nothing is written.

    Args:
        console: where it is printed.
        spec: the study as its file has it.
        slots: where its trials would run.
        storage: URL of its storage; that of its folder unless given.
        runs: folder of all studies' results.
        like: the study whose trials the forecast is made from; its own unless given.
        measured_on: where each shape is trained for some seconds to make the forecast from that; not unless given.
        accepts_changes: whether it would go on with changed code or data, or on another kind of device.

    Raises:
        UsageError: the study may not be run.
    """
    found = going_on(spec, RunFolder(runs.resolve() / spec.name))
    spec, folder = found.spec, RunFolder(runs.resolve() / found.spec.name)
    check_places(folder, storage)
    lines, prior = [f"note: {found.note}"] if found.note else [], None
    if found.origin is not None:
        check_extension(found, slots, accepts_changes=accepts_changes)
    elif (changed := changed_key(spec, folder, storage)) is not None:
        lines = [f"note: {changed} changed, and nothing of study {spec.name} completed: it begins anew"]
    else:
        prior = check_start(spec, folder, storage, slots, accepts_changes=accepts_changes).prior
    results = None if measured_on is None else measure_shapes(console, spec, measured_on, slots)
    others = None if like is None else RunFolder(runs.resolve() / like)
    forecast = plan_forecast(spec, folder, storage, others, slots, results, prior)
    lines += _spent(spec, folder, storage)
    print_lines(console, [*lines, *start_notes(spec), *(f"note: {note}" for note in input_notes(spec))])
    print_plan(console, spec, slots, forecast, prior)


def _stopping(spec: StudySpec) -> str:
    """Return by what trials are stopped early, in words; empty where nothing stops them."""
    table = spec.stopping
    rule = [
        f"{table.kind} ({', '.join(f'{key} = {json.dumps(getattr(table, key))}' for key in _CONSTANTS[table.kind])})"
    ]
    chance = f"at chance after {table.chance_epochs} epochs"
    can_be_stuck = 0 < table.chance_epochs < spec.training.epochs and spec.study.objective is None
    parts = (rule if table.kind is not StoppingKind.NONE else []) + ([chance] if can_be_stuck else [])
    return "; ".join(parts)


def plan_forecast(
    spec: StudySpec,
    folder: RunFolder,
    storage: str | None,
    like: RunFolder | None,
    slots: Sequence[Slot],
    measured: Sequence[PilotResult] | None = None,
    prior: Prior | None = None,
) -> list[str]:
    """Return lines on what a study will take, by what was measured, an earlier study's trials, or its own.

    Args:
        spec: the study.
        folder: its results, which need not exist.
        storage: URL of its storage; that of the folder unless given.
        like: results of the study whose trials tell; the study's own unless given.
        slots: where trials would run.
        measured: pilots that tell in place of trials.
        prior: what the study starts from.

    Raises:
        UsageError: there is no study `like`, or it has other parameters.
    """
    own = _rows(folder, storage) if folder.study_file.exists() else None
    told = own if like is None else read_folder(like)
    if like is not None and told is not None and set(told.spec.space.distributions) != set(spec.space.distributions):
        raise UsageError(f"--like {like.name}: its trials have other parameters than study {spec.name}")
    forecaster = StudyForecaster(spec.space, adapts=spec.sampler.name in ADAPTIVE, seed=spec.seeds.sampler)
    origin = "" if like is None else f" by the trials of {like.name}"
    if measured is not None:
        later = max(0.0, 1 - len(measured) / spec.study.trials)
        for result in measured:
            forecaster.add(result.as_trial(later))
        forecaster.used_wh, origin = 0.0, " by what was measured"
    elif told is not None:
        _teach(forecaster, spec, told, is_own=like is None)
    search = _search_in_memory(
        spec.model_copy(update={"study": spec.study.model_copy(update={"name": "forecast"})}), prior
    )
    if own is not None:
        # What its own trials have used is spent, whatever tells what the others will take.
        forecaster.used_wh = _used_wh(own)
    settled = 0 if own is None else sum(is_settled(row["state"], row) for row in own.rows)
    left = max(0, spec.study.trials - settled)
    upcoming = search.upcoming(min(spec.study.trials, settled + MAX_SIMULATED))[settled:]
    made = forecaster.forecast([], upcoming, left, len(slots))
    footprint = Footprint.from_spec(spec.energy)
    if made.energy_wh is None and made.left_s is None:
        return [
            f"forecast   not known before {MIN_TRIALS} trials have run; --like STUDY forecasts from another's trials"
            + (", --measure from some seconds of training" if spec.study.objective is None else "")
        ]
    drift = ", if it goes on to propose settings like the latest" if spec.sampler.name in ADAPTIVE else ""
    rests = counted(made.ended) if measured is None else counted(made.ended, "measured setting")
    basis = f"90 % interval in brackets; rests on {rests}{drift}"
    return [f"forecast   {format_forecast(made, footprint)}{origin}", f"           {basis}"]


def _used_wh(own: StudySnapshot) -> float:
    return sum(used_wh(row) or 0.0 for row in own.rows)


def _spent(spec: StudySpec, folder: RunFolder, storage: str | None) -> list[str]:
    """Return a line for each budget of which nothing is left, so that no trial would start."""
    own = _rows(folder, storage) if spec.budgets and folder.study_file.exists() else None
    if own is None:
        return []
    elapsed = elapsed_s(read_entries(folder.study_log, folder.study_id))
    return [
        f"note: the budget of {each.budget} is spent: no trial would start; give a larger one"
        for each in spendings(spec, _used_wh(own), elapsed)
        if each.is_spent
    ]


def _rows(folder: RunFolder, storage: str | None) -> StudySnapshot | None:
    try:
        return read_folder(folder, storage)
    except UsageError:
        return None


def _teach(forecaster: StudyForecaster, spec: StudySpec, told: StudySnapshot, *, is_own: bool) -> None:
    """Add the trials of an earlier study; those of another one tell what a trial takes, and were not spent by this."""
    epochs = spec.training.epochs / told.spec.training.epochs
    for trial in ended_trials(told.spec, told.rows):
        if is_own:
            forecaster.add(trial)
            continue
        # Set-up is taken to grow with the epochs too: it is a small part of all but the shortest trainings.
        energy_wh = None if trial.energy_wh is None else trial.energy_wh * epochs
        seconds = None if trial.seconds is None else trial.seconds * epochs
        forecaster.add(replace(trial, energy_wh=energy_wh, seconds=seconds))
    if not is_own:
        forecaster.used_wh = 0.0


def _inert(spec: StudySpec, values: Mapping[str, Value]) -> dict[str, str]:
    left_out = spec.space.left_out(values)
    return inert_parameters(spec.setting_of(values), spec.training_of(values), further=spec.further, left_out=left_out)


def _search_in_memory(spec: StudySpec, prior: Prior | None) -> Search:
    """Return a search that proposes what the study's own does at its start."""
    search = Search(spec, None)
    if prior is not None:
        search.note(PRIOR_ATTRIBUTE, prior.kept)
    search.enqueue_baseline()
    search.enqueue_listed()
    return search


def _settings(spec: StudySpec, prior: Prior | None) -> Table:
    """Return a table of the first settings, one per column: ten parameters fit a narrow terminal as rows."""
    search = _search_in_memory(spec, prior)
    settings = [search.ask().values for _ in range(min(SETTINGS_SHOWN, spec.study.trials))]
    inert = [{} if spec.space.own else _inert(spec, values) for values in settings]
    heads = ("first settings", *(f"trial {number}" for number in range(len(settings))))
    table = Table(*heads, left=heads)
    for name in spec.space.distributions:
        pairs = zip(settings, inert, strict=True)
        cells = [(values.get(name), name in idle) for values, idle in pairs]
        shown = [MISSING if value is None else f"({value})" if is_idle else str(value) for value, is_idle in cells]
        table.add_row(name, *shown)
    table.caption = "(in brackets: has no effect in that setting)" if any(inert) else ""
    return table
