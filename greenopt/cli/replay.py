"""`greenopt replay`: what a stopping rule would have spent and kept on a study that has run."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenopt.cli.options import DEFAULT_RUNS, Rule, Runs, Storage, StudyName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from greenopt.cli.tables import Table
    from greenopt.replay import Replay, StudyCurves
    from greenopt.spec import StoppingSpec

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""By which `--sensitivity` multiplies each constant of a rule."""

CONSTANTS = {
    "pareto": ("patience", "growth", "growth_spread", "wander", "audit"),
    "moasha": ("reduction_factor",),
}


_TAKEN = {
    Rule.NONE: (),
    Rule.PARETO: (*CONSTANTS["pareto"], "refuse", "min_epochs"),
    Rule.MOASHA: (*CONSTANTS["moasha"], "min_epochs"),
}
"""What `--set` takes of each rule. The number of epochs at chance needs what no curve holds."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay_study)


def replay_study(
    study: StudyName,
    stopping: Annotated[Rule, typer.Option("--stopping", help="The rule.")] = Rule.PARETO,
    constants: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A constant of the rule, such as patience=0.3; repeatable."),
    ] = None,
    orders: Annotated[int, typer.Option(min=1, max=100_000, help="Random orders of the trials.")] = 50,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the orders.")] = 0,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Also with each constant a quarter to four times as large.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Say what a stopping rule would have spent and kept on a study's trials.

    The completed trials come again in random orders, epoch by epoch as recorded, and the rule stops those that it
    finds not worth their energy. Nothing is trained and nothing is written.
    """
    import json

    from rich.console import Console

    from greenopt.cli.output import say_json
    from greenopt.cli.tables import print_lines, print_table
    from greenopt.errors import UsageError
    from greenopt.replay import read_curves
    from greenopt.runs.folder import RunFolder

    if sensitivity and stopping not in CONSTANTS:
        raise UsageError(f"--sensitivity: the rule {stopping} has no constants")
    rule = _rule(stopping, constants or [])
    read = read_curves(RunFolder(runs.resolve() / study), storage)
    done = _replayed(read, rule, orders, seed)
    others = _varied(read, rule, orders, seed) if sensitivity else []
    if as_json:
        say_json(json.dumps(_document(study, rule, read, seed, done, others), allow_nan=False, ensure_ascii=False))
        return
    console = Console()
    print_lines(console, [_title(study, rule, read, done)])
    print_table(console, _figures(done))
    if sensitivity:
        print_table(console, _sensitivities(done, others))


def _rule(kind: Rule, constants: "Sequence[str]") -> "StoppingSpec":
    """Return a rule with its constants.

    Raises:
        UsageError: a constant is unknown or out of its range.
    """
    from pydantic import ValidationError

    from greenopt.errors import UsageError, shown
    from greenopt.spec import StoppingSpec, describe

    given: dict[str, Any] = {"kind": kind}
    for constant in constants:
        name, equals, value = constant.partition("=")
        if not equals or name not in _TAKEN[kind]:
            known = f"give KEY=VALUE with one of {', '.join(_TAKEN[kind])}" if _TAKEN[kind] else "has no constants"
            raise UsageError(f"--set {shown(constant)}: the rule {kind}: {known}")
        given[name] = value
    try:
        return StoppingSpec.model_validate_strings({key: str(value) for key, value in given.items()})
    except ValidationError as error:
        raise UsageError(f"--set {describe(error)}") from None


def _replayed(read: "StudyCurves", rule: "StoppingSpec", orders: int, seed: int) -> "Replay":
    from greenopt.replay import replay
    from greenopt.stopping import build_rule

    return replay(read.curves, lambda number: build_rule(rule, read.space, number), orders, seed)


def _varied(
    read: "StudyCurves", rule: "StoppingSpec", orders: int, seed: int
) -> "list[tuple[str, float, Replay | None]]":
    """Replay with each constant of the rule changed; None where that value is not allowed."""
    from pydantic import ValidationError

    from greenopt.spec import StoppingSpec

    found: list[tuple[str, float, Replay | None]] = []
    for name in CONSTANTS.get(rule.kind, ()):
        for factor in FACTORS:
            value = getattr(rule, name) * factor
            try:
                changed = StoppingSpec.model_validate({**rule.model_dump(), name: value})
            except ValidationError:
                found.append((name, value, None))
                continue
            found.append((name, value, _replayed(read, changed, orders, seed)))
    return found


def _title(study: str, rule: "StoppingSpec", read: "StudyCurves", done: "Replay") -> str:
    from greenopt.formatting import counted, format_energy
    from greenopt.reading import EnergySource

    left = f"; {len(read.left_out)} without a whole curve left out" if read.left_out else ""
    others = f"; {len(read.not_completed)} not completed left out" if read.not_completed else ""
    energy = format_energy(done.energy_wh, EnergySource.ESTIMATE if read.is_estimate else None)
    trials, orders = counted(done.trials, "completed trial"), counted(done.orders, "order")
    return f"{study}: rule {rule.kind} on {trials} ({energy}), {orders}{left}{others}"


def _figures(done: "Replay") -> "Table":
    from greenopt.cli.tables import Table

    table = Table("", "mean", "worst", left=("",))
    for name, figure in (
        ("share of the energy", done.energy_share),
        ("share of the hypervolume", done.hypervolume_ratio),
        ("the same in log energy", done.log_hypervolume_ratio),
    ):
        table.add_row(name, f"{figure.mean:.1%}", f"{figure.worst:.1%}")
    lost = done.front_lost
    table.add_row(f"lost of the front's {done.front} trials", f"{lost.mean:.2f}", f"{lost.worst:.0f}")
    for text, count in (
        ("trials trained to their end", done.finished),
        ("of them audited: to be stopped, trained to measure the rule's error", done.audited),
        ("of the audited on the final front", done.wrongly_stopped),
        ("trials not started", done.refused),
    ):
        table.add_row(text, f"{count:.2f}", "")
    table.caption = "reference of the hypervolume: accuracy 0 and the largest energy of a trial"
    return table


def _sensitivities(done: "Replay", others: "list[tuple[str, float, Replay | None]]") -> "Table":
    from greenopt.cli.tables import Table

    heads = ("constant", "energy", "hypervolume", "worst", "front lost")
    table = Table(*heads, left=("constant",), title="With one constant changed")
    for name, value, one in others:
        if one is None:
            table.add_row(f"{name} = {value:g}", "not allowed")
            continue
        shares = (one.energy_share.mean, one.hypervolume_ratio.mean, one.hypervolume_ratio.worst)
        table.add_row(f"{name} = {value:g}", *(f"{share:.1%}" for share in shares), f"{one.front_lost.mean:.2f}")
    return table


def _document(
    study: str,
    rule: "StoppingSpec",
    read: "StudyCurves",
    seed: int,
    done: "Replay",
    others: "list[tuple[str, float, Replay | None]]",
) -> dict[str, Any]:
    from dataclasses import asdict

    varied = [
        {"constant": name, "value": value, **({"allowed": False} if one is None else asdict(one))}
        for name, value, one in others
    ]
    return {
        "study": study,
        "stopping": rule.model_dump(mode="json"),
        "seed": seed,
        **asdict(done),
        "is_estimate": read.is_estimate,
        "left_out": list(read.left_out),
        "not_completed": list(read.not_completed),
        "sensitivity": varied,
    }
