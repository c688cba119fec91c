"""`greenopt report`: a study's figures, and the report that is handed on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, Storage, StudyName


class ReportFormat(StrEnum):
    """File formats of a report."""

    PDF = "pdf"
    HTML = "html"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    study: StudyName,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; report.pdf or .html in the study's folder unless given."),
    ] = None,
    file_format: Annotated[
        ReportFormat | None, typer.Option("--format", help="From the file's ending, else pdf.", show_default=False)
    ] = None,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Draw a study's figures and write its report: one PDF, or one HTML file with everything in it.

    Summary, winner, advice, tables, regressions, figures, method, environment and limits. The figures are also kept as
    PNG and SVG in the study's folder. Works on studies that run, failed or were imported, and says what they lack.
    """
    from rich.console import Console

    from greenopt.report.build import Format, make_report
    from greenopt.runs.folder import RunFolder

    folder = RunFolder(runs.resolve() / study)
    folder.storage()
    chosen = Format(_chosen(output, file_format))
    target = (output or folder.path / f"report.{chosen}").resolve()
    with Console(stderr=True).status("reading") as status:
        made = make_report(folder, target, chosen, storage, lambda words: status.update(words))
    print(f"report: {made.report}")
    print(f"figures: {made.figures} ({made.drawn}, as PNG and SVG)")
    if made.undrawn:
        print(f"not drawn, for want of data: {', '.join(picture.slug for picture in made.undrawn)}")


def _chosen(output: Path | None, file_format: ReportFormat | None) -> str:
    """The format that is named, or that the file's ending names."""
    from greenopt.errors import UsageError

    if file_format is not None:
        return file_format
    if output is None:
        return ReportFormat.PDF
    ending = output.suffix.removeprefix(".").lower()
    if ending not in tuple(ReportFormat):
        raise UsageError(f"{output}: the ending tells no format; name one with --format pdf or --format html")
    if not output.resolve().parent.is_dir():
        raise UsageError(f"{output}: there is no folder {output.parent}")
    return ending
