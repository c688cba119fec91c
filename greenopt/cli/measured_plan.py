"""What `greenopt run --dry-run --measure` does: it trains each shape of a study for some seconds."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from greenopt.cli.executors import Executor
from greenopt.cli.tables import Table, print_lines, print_table
from greenopt.coordination.pilot_settings import MAX_PILOTS, SHAPE, choose_pilots
from greenopt.coordination.pilots import PilotResult, measure
from greenopt.coordination.preflight import fetch_inputs
from greenopt.errors import UsageError
from greenopt.execution import Slot
from greenopt.formatting import MISSING, counted, format_energy, format_seconds
from greenopt.reading import EnergySource
from greenopt.spec import StudySpec


def check_measurable(spec: StudySpec) -> None:
    """Raise UsageError where trials of a study cannot be shortened."""
    if spec.study.objective is not None:
        raise UsageError(
            "--measure: cannot shorten a function of your own (study.objective); run a few trials, or give --like STUDY"
        )


def measure_shapes(console: Console, spec: StudySpec, executor: Executor, slots: Sequence[Slot]) -> list[PilotResult]:
    """Train each shape of a study for some seconds, print what it takes, and return it.

    Args:
        console: where progress and the table are printed.
        spec: the study; `check_measurable`.
        executor: takes the slots.
        slots: what it found.

    Raises:
        UsageError: a slot is in use, or the study's images are not known.
    """
    check_measurable(spec)

    def say(line: str) -> None:
        print_lines(console, [line])

    fetch_inputs(spec, say)
    with ExitStack() as stack:
        opened = stack.enter_context(executor.opened(slots, say))
        engine = opened.engine
        pilots = choose_pilots(spec, on_gpu=any(slot.gpu_uuid for slot in engine.slots))
        if pilots is None:
            raise UsageError("--measure: how many images there are is not known before the study has prepared them")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="greenopt-measure-")))
        opened.bring(spec)
        print_lines(console, [f"measuring {counted(len(pilots), 'setting')}, some seconds of training each"])
        began_s, results = time.monotonic(), list[PilotResult]()
        for result in measure(spec, pilots, engine, folder):
            results.append(result)
            print_lines(console, [f"  {len(results)} of {len(pilots)}: {_shape(spec, result)}: {_outcome(result)}"])
        took_s = time.monotonic() - began_s
    print_table(console, _table(spec, results))
    used_wh = [result.used_wh for result in results if result.used_wh is not None]
    source = EnergySource.ESTIMATE if any(result.is_estimate for result in results) else None
    used = f" and {format_energy(sum(used_wh), source)}" if used_wh else ""
    print_lines(console, [f"measured in {format_seconds(took_s)}{used}", ""])
    return results


def _shape(spec: StudySpec, result: PilotResult) -> str:
    """Return what a result is of: the values of the parameters that vary and decide what trains."""
    shown = [name for name in SHAPE if name in spec.space.free and name in result.values]
    return ", ".join(f"{name} {result.values[name]}" for name in shown) or "the one shape there is"


def _outcome(result: PilotResult) -> str:
    if result.problem:
        return f"failed: {result.problem}"
    return f"{format_energy(result.energy_wh, _source(result))}, {format_seconds(result.seconds)} a trial"


def _source(result: PilotResult) -> EnergySource | None:
    return EnergySource.ESTIMATE if result.is_estimate else None


def _table(spec: StudySpec, results: Sequence[PilotResult]) -> Table:
    """Return the table of what a whole trial of each shape takes, the most expensive first."""
    table = Table("a trial of", "images/s", "set-up", "time", "energy", left=("a trial of",))
    for result in sorted(results, key=lambda each: -(each.seconds or 0.0)):
        rate = MISSING if result.images_per_s is None else f"{result.images_per_s:,.0f}"
        energy = f"failed: {result.problem}" if result.problem else format_energy(result.energy_wh, _source(result))
        table.add_row(
            _shape(spec, result), rate, format_seconds(result.setup_s), format_seconds(result.seconds), energy
        )
    more = f"; at most {MAX_PILOTS} combinations are measured" if len(results) == MAX_PILOTS else ""
    table.caption = (
        f"(the first of its shape, trained and validated to the end; without test and conversion to int8{more})"
    )
    return table
