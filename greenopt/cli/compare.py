"""`greenopt compare`: studies side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, Storage, study_names

if TYPE_CHECKING:
    from rich.console import Console

    from greenopt.comparison import Comparison


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    studies: Annotated[
        list[str],
        typer.Argument(
            callback=study_names,
            help="Names of two or more studies; equal settings of all others are compared with the first's.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document with every figure.")] = False,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", help="Draw all Pareto fronts in one plot: a file that ends in .svg or .png."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the comparison as a report: a .pdf or .html file.")
    ] = None,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Compare studies: their best trials, Pareto fronts, equal settings, and where and with what they ran.

    Hypervolumes share one reference. Settings that two studies both completed are compared in pairs, with 95 %
    intervals. Other GPUs, meters, epochs, code or data are named, for figures then do not compare. Imported studies
    are compared like others.
    """
    import json

    from rich.console import Console

    from greenopt.cli.output import say, say_json
    from greenopt.comparison import build_comparison_document, compare_studies, read_compared

    for target, endings, option in ((figure, ("svg", "png"), "--figure"), (report, ("pdf", "html"), "--report")):
        if target is not None:
            _check_target(target, endings, option)
    with Console(stderr=True).status("reading") as status:
        compared = read_compared(studies, runs.resolve(), storage, lambda text: status.update(text))
        comparison = compare_studies(compared)
        if figure is not None or report is not None:
            status.update("drawing")
            _write(comparison, figure, report)
    if as_json:
        say_json(json.dumps(build_comparison_document(comparison), allow_nan=False, ensure_ascii=False))
    else:
        print_comparison(Console(), comparison)
    for name, target in (("figure", figure), ("report", report)):
        if target is not None:
            say(f"{name}: {target}", is_error=as_json)


def _check_target(target: Path, endings: tuple[str, ...], option: str) -> None:
    """Check that a file can be asked for, before anything is read."""
    from greenopt.errors import UsageError

    if target.suffix.removeprefix(".").lower() not in endings:
        raise UsageError(f"{option} {target}: unknown suffix; give a file that ends in .{' or .'.join(endings)}")
    if not target.resolve().parent.is_dir():
        raise UsageError(f"{option} {target}: folder {target.parent} does not exist")


def _write(comparison: "Comparison", figure: Path | None, report: Path | None) -> None:
    from greenopt.comparison.output import write_comparison_report, write_figure

    if figure is not None:
        write_figure(comparison, figure)
    if report is not None:
        write_comparison_report(comparison, report)


def print_comparison(console: "Console", comparison: "Comparison") -> None:
    """Print a comparison: what is compared, what to be careful about, and the tables."""
    from greenopt.cli.tables import Table, print_lines, print_table
    from greenopt.comparison.tables import comparison_tables, headline

    print_lines(console, [*headline(comparison), *comparison.cautions])
    for one in comparison_tables(comparison):
        table = Table(
            *one.heads, title=f"\n{one.title}", left=(*one.heads[:2], *_LEFT), wraps=_wraps(one.heads, one.wide)
        )
        for row in one.rows:
            table.add_row(*row)
        print_table(console, table)


_LEFT = ("setting", "energy (95 % interval)", "accuracy (95 % interval)", "most accurate")


def _wraps(heads: tuple[str, ...], wide: int | None) -> tuple[str, ...]:
    return () if wide is None else heads[wide:]
