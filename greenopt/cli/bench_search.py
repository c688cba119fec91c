"""`greenopt bench-search`: the energy that samplers and stopping rules need, on trials that are on record."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenopt.cli.options import DEFAULT_RUNS, Rule, Runs, Storage, study_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from greenopt.cli.tables import Table
    from greenopt.replay.contest import Contender, Share, Spent, TrialTable

DEFAULT_SAMPLERS = ("random", "tpe", "nsga2", "energy_aware")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench-search")(bench_search)


def bench_search(
    table: Annotated[
        str,
        typer.Argument(
            callback=study_name,
            metavar="STUDY|FAMILY",
            help="A study that has run or was imported, or made trials: additive, interactions, crossing, slow_start, "
            "cyclic.",
        ),
    ],
    samplers: Annotated[
        list[str] | None,
        typer.Option("--sampler", help="A sampler; repeatable. random, tpe, nsga2 and energy_aware unless given."),
    ] = None,
    stopping: Annotated[
        list[Rule] | None, typer.Option("--stopping", help="A stopping rule; repeatable. none and pareto unless given.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, max=10_000, help="Searches with each pair of the two.")] = 20,
    seed: Annotated[int, typer.Option(min=0, max=2**30, help="The first seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Compare samplers and stopping rules by the energy that they need to find a study's front.

    Each pair searches the recorded trials anew: it proposes among settings not yet taken, and a trial costs what it
    used until the rule stopped it. Printed is the energy until the finished trials have 95 % and 99 % of the
    hypervolume of all, as a share of what random settings without stopping need. Nothing is trained or written.
    """
    import json

    from rich.console import Console

    from greenopt.cli.output import say_json
    from greenopt.cli.tables import print_lines, print_table
    from greenopt.replay.contest import reference

    rules = list(dict.fromkeys(stopping or [Rule.NONE, Rule.PARETO]))
    contenders = _contenders(list(dict.fromkeys(samplers or DEFAULT_SAMPLERS)), rules)
    make, origin, notes = _tables(table, runs, storage)
    console = Console(stderr=as_json)
    with console.status("searching") as status:
        found = {
            contender: _searched(make, contender, seeds, seed, status.update)
            for contender in dict.fromkeys((reference(), *contenders))
        }
    shares = {contender: _shares(found[contender], found[reference()]) for contender in contenders}
    if as_json:
        head = {"table": table, "origin": origin, "notes": notes, "seeds": seeds, "seed": seed}
        head["trials"] = len(make(seed).curves)
        say_json(json.dumps({**head, **_document(found, shares)}, allow_nan=False, ensure_ascii=False))
        return
    print_lines(console, [_title(table, origin, make(seed), seeds, found[reference()]), *notes])
    print_table(console, _results(shares, found))


def _contenders(samplers: "Sequence[str]", rules: "Sequence[Rule]") -> "list[Contender]":
    """Return every pair of a sampler and a rule.

    Raises:
        UsageError: a sampler is unknown, not installed, or not for two objectives.
    """
    from greenopt.errors import UsageError
    from greenopt.replay.contest import Contender, check_contender
    from greenopt.spec import StoppingSpec

    found = [Contender(sampler, StoppingSpec.model_validate({"kind": rule})) for sampler in samplers for rule in rules]
    for contender in found:
        try:
            check_contender(contender)
        except UsageError as error:
            raise UsageError(f"--sampler: {error}") from None
    return found


def _tables(name: str, runs: "Path", storage: str | None) -> "tuple[Callable[[int], TrialTable], str, list[str]]":
    """Return what makes the table of a seed, its origin, `recorded` or `made`, and what to know of recorded trials.

    A study goes before a family.
    """
    from greenopt.errors import UsageError
    from greenopt.formatting import counted
    from greenopt.replay import read_curves
    from greenopt.replay.contest import TrialTable
    from greenopt.replay.families import FAMILIES, make_table
    from greenopt.runs.folder import RunFolder

    folder = runs.resolve() / name
    if not folder.exists():
        if name in FAMILIES:
            return lambda seed: make_table(name, seed), "made", []
        raise UsageError(f"{name}: is neither a study in {runs.resolve()} nor one of {', '.join(FAMILIES)}")
    read = read_curves(RunFolder(folder), storage, needs_epochs=False)
    recorded = TrialTable(read.space, read.curves)
    left_out = (
        (read.left_out, "has no whole curve of measured energies", "have no whole curves of measured energies"),
        (read.not_completed, "did not complete", "did not complete"),
    )
    notes = [
        f"left out: {counted(len(trials))} that {one if len(trials) == 1 else many}"
        for trials, one, many in left_out
        if trials
    ]
    notes += ["energies are estimates, not measured"] if read.is_estimate else []
    return lambda seed: recorded, "recorded", notes


def _searched(
    make: "Callable[[int], TrialTable]", contender: "Contender", seeds: int, seed: int, say: "Callable[[str], None]"
) -> "list[Spent]":
    from greenopt.replay.contest import search_once

    found = []
    for number in range(seed, seed + seeds):
        say(f"{contender.sampler}, stopping {contender.stopping.kind}: seed {number}")
        found.append(search_once(make(number), contender, number))
    return found


def _shares(spent: "Sequence[Spent]", reference: "Sequence[Spent]") -> "dict[tuple[str, float], Share]":
    from greenopt.replay.contest import GOALS, SCALES, compare

    return {(scale, goal): compare(spent, reference, scale, goal) for scale in SCALES for goal in GOALS}


def _title(table: str, origin: str, trials: "TrialTable", seeds: int, reference: "Sequence[Spent]") -> str:
    from statistics import median

    needed = median(_or_infinite(each.shares["linear", 0.95]) for each in reference)
    return (
        f"{table}: {len(trials.curves)} {origin} trials, {seeds} seeds; random settings without stopping spend "
        f"{needed:.0%} of their energy until 95 % of the hypervolume"
    )


def _or_infinite(share: float | None) -> float:
    return float("inf") if share is None else share


def _results(
    shares: "Mapping[Contender, Mapping[tuple[str, float], Share]]", found: "Mapping[Contender, Sequence[Spent]]"
) -> "Table":
    from statistics import median

    from greenopt.cli.tables import Table
    from greenopt.replay.contest import GOALS, SCALES

    goals = [(scale, goal) for scale in SCALES for goal in GOALS]
    heads = [f"{goal:.0%}{' log' if scale == 'log' else ''}" for scale, goal in goals]
    table = Table("sampler", "stopping", *heads, "trials", left=("sampler", "stopping"))
    for contender, of in shares.items():
        cells = [_cell(of[goal]) for goal in goals]
        trials = median(each.trials for each in found[contender])
        table.add_row(contender.sampler, str(contender.stopping.kind), *cells, f"{trials:.0f}")
    table.caption = (
        "energy until this share of the hypervolume, against random without stopping = 1: median [90 % interval], "
        "bootstrap over seeds. log: with the logarithm of energy. never: for more than half of the seeds; (of n %): "
        "only so many reached it"
    )
    return table


def _cell(share: "Share") -> str:
    reached = "" if share.reached == 1 else f" (of {share.reached:.0%})"
    if share.median is None:
        return f"never{reached}"
    high = "never" if share.high is None else f"{share.high:.3f}"
    low = "never" if share.low is None else f"{share.low:.3f}"
    return f"{share.median:.3f} [{low}, {high}]{reached}"


def _document(
    found: "Mapping[Contender, Sequence[Spent]]", shares: "Mapping[Contender, Mapping[tuple[str, float], Share]]"
) -> dict[str, Any]:
    from dataclasses import asdict
    from statistics import median

    contenders = []
    for contender, of in shares.items():
        goals = [{"scale": scale, "goal": goal, **asdict(share)} for (scale, goal), share in of.items()]
        searches = [
            {
                "trials": each.trials,
                "energies_wh": [
                    {"scale": scale, "goal": goal, "energy_wh": energy_wh}
                    for (scale, goal), energy_wh in each.energies_wh.items()
                ],
            }
            for each in found[contender]
        ]
        contenders.append(
            {
                "sampler": contender.sampler,
                "stopping": str(contender.stopping.kind),
                "goals": goals,
                "trials": median(each.trials for each in found[contender]),
                "searches": searches,
            }
        )
    return {"reference": {"sampler": "random", "stopping": "none"}, "contenders": contenders}
