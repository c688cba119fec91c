"""Builds a study's figures and its report from its folder."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path

from greenopt.errors import UsageError
from greenopt.report.compose import compose
from greenopt.report.figures import Drawing, Picture, SkippedFigure, curves, draw, save, style
from greenopt.report.figures.confusion import confusion_matrix
from greenopt.report.inputs import ReportInputs, read_report_inputs
from greenopt.report.render import html, pdf, write
from greenopt.report.sections.winner import winners
from greenopt.runs.folder import RunFolder


class Format(StrEnum):
    """File formats of a report."""

    PDF = "pdf"
    HTML = "html"


@dataclass(frozen=True)
class ReportResult:
    """The files that were written.

    Attributes:
        report: the report's file.
        figures: folder of the figures; `drawn` is how many it holds, each as PNG and SVG.
        skipped: figures without data, with the reason.
    """

    report: Path
    figures: Path
    drawn: int
    skipped: tuple[SkippedFigure, ...]


def build_report(
    folder: RunFolder,
    target: Path,
    file_format: Format,
    storage: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> ReportResult:
    """Draw all figures into the study's folder, and write the report.

    Args:
        folder: the study's results.
        target: the report's file; an existing one is replaced once the new one is whole.
        file_format: what it is written as.
        storage: URL of the study's storage; the one that it was last run with unless given.
        tell: called with the current step, for a progress display.

    Raises:
        UsageError: there is no such study, or something cannot be written.
    """
    inputs = read_report_inputs(folder, storage, tell)
    folder.check_links()
    figures = folder.path / "figures"
    try:
        figures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{figures}: cannot be created: {error.strerror}") from None
    pictures, winner_drawings = _drawn(inputs, figures, tell)
    tell("writing the report")
    document = compose(inputs, pictures, winner_drawings, date.today().isoformat())
    render = {Format.PDF: pdf, Format.HTML: html}[file_format]
    write(render(document, figures), target)
    drawn = [picture for picture in pictures.values() if isinstance(picture, Drawing)]
    skipped = tuple(picture for picture in pictures.values() if isinstance(picture, SkippedFigure))
    return ReportResult(target, figures, len(drawn) + len(winner_drawings), skipped)


def _drawn(inputs: ReportInputs, folder: Path, tell: Callable[[str], None]) -> tuple[dict[str, Picture], list[Drawing]]:
    """Draw and save all figures; old files of a figure without data are deleted."""
    pictures: dict[str, Picture] = {}
    for picture in draw(inputs.report_data):
        tell(f"drawing {picture.slug}")
        pictures[picture.slug] = picture
        if isinstance(picture, Drawing):
            save(picture.figure, folder, picture.slug)
            picture.figure.clear()
        else:
            _removed(folder, picture.slug)
    for old in (*folder.glob("course-*.*"), *folder.glob("confusion-*.*")):
        old.unlink(missing_ok=True)
    winner_drawings = []
    known = {curve.trial: curve for curve in inputs.report_data.curves}
    with style():
        for _, one in winners(inputs):
            if one.trial in known:
                winner_drawings.append(curves.winner_curves(known[one.trial], inputs.report_data))
                save(winner_drawings[-1].figure, folder, winner_drawings[-1].slug)
            if one.trial in inputs.confusions:
                winner_drawings.append(confusion_matrix(one.trial, inputs.confusions[one.trial]))
                save(winner_drawings[-1].figure, folder, winner_drawings[-1].slug)
    return pictures, winner_drawings


def _removed(folder: Path, slug: str) -> None:
    for ending in ("png", "svg"):
        (folder / f"{slug}.{ending}").unlink(missing_ok=True)
