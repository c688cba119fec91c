"""What `greenopt run --dry-run` prints: the study, the devices and the first settings."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from greenopt.execution import Slot
from greenopt.search import Search, sampler_arguments
from greenopt.spec import PARAMETERS, StudySpec, inert_parameters

SETTINGS_SHOWN = 3


def print_plan(console: Console, spec: StudySpec, slots: Sequence[Slot]) -> None:
    """Print what a run would do; the settings come from a study in memory."""
    size = "infinitely many" if math.isinf(spec.space.size) else f"{int(spec.space.size):,}"
    arguments = ", ".join(f"{name}={value}" for name, value in sampler_arguments(spec).items())
    console.print(
        f"study      {spec.name}: {spec.study.trials} trials x {spec.training.epochs} epochs, {spec.training.model}"
    )
    console.print(f"data       {spec.data.name}")
    console.print(f"objectives {', '.join(f'{direction} {metric}' for metric, direction in spec.objectives.items())}")
    console.print(f"sampler    {spec.sampler.name}({arguments}), seed {spec.seeds.sampler}", highlight=False)
    console.print(f"space      {size} settings; {len(spec.space.free)} of {len(PARAMETERS)} parameters vary")
    console.print(f"runs on    {', '.join(slot.name for slot in slots)}", highlight=False)
    console.print(_settings(spec))
    console.print("nothing was written")


def _settings(spec: StudySpec) -> Table:
    """The first settings, one a column: ten parameters fit a narrow terminal's height better than its width."""
    search = Search(spec, None)
    search.enqueue_baseline()
    settings = [search.ask().setting for _ in range(min(SETTINGS_SHOWN, spec.study.trials))]
    inert = [inert_parameters(setting, spec.training) for setting in settings]
    table = Table("first settings", *(f"trial {number}" for number in range(len(settings))))
    for name in PARAMETERS:
        values = zip(settings, inert, strict=True)
        shown = [
            f"({getattr(setting, name)})" if name in idle else str(getattr(setting, name)) for setting, idle in values
        ]
        table.add_row(name, *shown)
    table.caption = "(in brackets: has no effect in that setting)" if any(inert) else None
    return table
