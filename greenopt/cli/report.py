"""`greenopt report`: a study's figures, and the report that is handed on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, Storage, StudyName, named_path


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
        typer.Option(
            "--output",
            "-o",
            callback=named_path,
            help="File to write; report.pdf or .html in the study's folder unless given.",
        ),
    ] = None,
    file_format: Annotated[
        ReportFormat | None, typer.Option("--format", help="Default: the file's suffix, else pdf.", show_default=False)
    ] = None,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Draw a study's figures and write its report: one PDF, or one HTML file with everything in it.

    Summary, winner, advice, tables, regressions, figures, method, environment and limits. The figures are also kept as
    PNG and SVG in the study's folder. Works on studies that run, failed or were imported, and says what they lack.
    """
    from rich.console import Console

    from greenopt.cli.output import say
    from greenopt.report.build import Format, build_report
    from greenopt.runs.folder import RunFolder

    folder = RunFolder(runs.resolve() / study)
    folder.storage()
    chosen = Format(_chosen(output, file_format))
    target = (output or folder.path / f"report.{chosen}").resolve()
    with Console(stderr=True).status("reading") as status:
        result = build_report(folder, target, chosen, storage, lambda text: status.update(text))
    say(f"report: {result.report}")
    say(f"figures: {result.figures} ({result.drawn}, as PNG and SVG)")
    if result.skipped:
        say(f"not drawn for lack of data: {', '.join(picture.slug for picture in result.skipped)}")


def _chosen(output: Path | None, file_format: ReportFormat | None) -> str:
    """Return the requested format, or the one of the file's suffix."""
    from greenopt.errors import UsageError

    if file_format is not None:
        return file_format
    if output is None:
        return ReportFormat.PDF
    ending = output.suffix.removeprefix(".").lower()
    if ending not in tuple(ReportFormat):
        raise UsageError(f"{output}: unknown suffix; give a format with --format pdf or --format html")
    if not output.resolve().parent.is_dir():
        raise UsageError(f"{output}: folder {output.parent} does not exist")
    return ending
