"""What `greenopt run --dry-run` prints: the study, the devices and the first settings."""

import math
from collections.abc import Sequence

from rich.console import Console

from greenopt.cli.tables import Table, print_lines, print_table
from greenopt.execution import Slot
from greenopt.search import Search, sampler_arguments
from greenopt.spec import Setting, StoppingKind, StudySpec, inert_parameters

SETTINGS_SHOWN = 3

_CONSTANTS = {
    StoppingKind.NONE: (),
    StoppingKind.PARETO: ("patience", "audit", "refuse", "min_epochs"),
    StoppingKind.MOASHA: ("min_epochs", "reduction_factor"),
}


def print_plan(console: Console, spec: StudySpec, slots: Sequence[Slot]) -> None:
    """Print what a run would do; the settings come from a study in memory."""
    size = "infinitely many" if math.isinf(spec.space.size) else f"{int(spec.space.size):,}"
    arguments = ", ".join(f"{name}={value}" for name, value in sampler_arguments(spec).items())
    what = spec.study.objective or spec.training.model
    data = [f"data       {spec.data.name}"] if spec.data is not None else []
    lines = [
        f"study      {spec.name}: {spec.study.trials} trials x {spec.training.epochs} epochs, {what}",
        *data,
        f"objectives {', '.join(f'{direction} {metric}' for metric, direction in spec.objectives.items())}",
        f"sampler    {spec.sampler.name}({arguments}), seed {spec.seeds.sampler}",
        *([f"stopping   {_stopping(spec)}"] if _stopping(spec) else []),
        f"space      {size} settings; {len(spec.space.free)} of {len(spec.space.distributions)} parameters vary",
        f"runs on    {', '.join(slot.name for slot in slots)}",
    ]
    print_lines(console, lines)
    print_table(console, _settings(spec))
    print_lines(console, ["nothing was written"])


def _stopping(spec: StudySpec) -> str:
    """Return by what trials are stopped early, in words; empty where nothing stops them."""
    table = spec.stopping
    rule = [f"{table.kind} ({', '.join(f'{key}={getattr(table, key):g}' for key in _CONSTANTS[table.kind])})"]
    chance = f"at chance after {table.chance_epochs} epochs"
    can_be_stuck = 0 < table.chance_epochs < spec.training.epochs and spec.study.objective is None
    parts = (rule if table.kind is not StoppingKind.NONE else []) + ([chance] if can_be_stuck else [])
    return "; ".join(parts)


def _settings(spec: StudySpec) -> Table:
    """Return a table of the first settings, one per column: ten parameters fit a narrow terminal as rows."""
    search = Search(spec, None)
    search.enqueue_baseline()
    settings = [search.ask().values for _ in range(min(SETTINGS_SHOWN, spec.study.trials))]
    inert = [{} if spec.space.own else inert_parameters(Setting(**values), spec.training) for values in settings]
    heads = ("first settings", *(f"trial {number}" for number in range(len(settings))))
    table = Table(*heads, left=heads)
    for name in spec.space.distributions:
        pairs = zip(settings, inert, strict=True)
        shown = [f"({values[name]})" if name in idle else str(values[name]) for values, idle in pairs]
        table.add_row(name, *shown)
    table.caption = "(in brackets: has no effect in that setting)" if any(inert) else ""
    return table
