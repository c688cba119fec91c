"""What `greenopt run --dry-run` prints: the study, the devices and the first settings."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from greenopt.execution import Slot
from greenopt.search import Search, sampler_arguments
from greenopt.spec import Setting, StudySpec, inert_parameters

SETTINGS_SHOWN = 3


def print_plan(console: Console, spec: StudySpec, slots: Sequence[Slot]) -> None:
    """Print what a run would do; the settings come from a study in memory."""
    size = "infinitely many" if math.isinf(spec.space.size) else f"{int(spec.space.size):,}"
    arguments = ", ".join(f"{name}={value}" for name, value in sampler_arguments(spec).items())
    what = spec.study.objective or spec.training.model
    console.print(f"study      {spec.name}: {spec.study.trials} trials x {spec.training.epochs} epochs, {what}")
    if spec.data is not None:
        console.print(f"data       {spec.data.name}")
    console.print(f"objectives {', '.join(f'{direction} {metric}' for metric, direction in spec.objectives.items())}")
    console.print(f"sampler    {spec.sampler.name}({arguments}), seed {spec.seeds.sampler}", highlight=False)
    console.print(
        f"space      {size} settings; {len(spec.space.free)} of {len(spec.space.distributions)} parameters vary"
    )
    console.print(f"runs on    {', '.join(slot.name for slot in slots)}", highlight=False)
    console.print(_settings(spec))
    console.print("nothing was written")


def _settings(spec: StudySpec) -> Table:
    """The first settings, one a column: ten parameters fit a narrow terminal's height better than its width."""
    search = Search(spec, None)
    search.enqueue_baseline()
    settings = [search.ask().values for _ in range(min(SETTINGS_SHOWN, spec.study.trials))]
    inert = [{} if spec.space.own else inert_parameters(Setting(**values), spec.training) for values in settings]
    table = Table("first settings", *(f"trial {number}" for number in range(len(settings))))
    for name in spec.space.distributions:
        pairs = zip(settings, inert, strict=True)
        shown = [f"({values[name]})" if name in idle else str(values[name]) for values, idle in pairs]
        table.add_row(name, *shown)
    table.caption = "(in brackets: has no effect in that setting)" if any(inert) else None
    return table
