"""From a study's folder to its figures and its report."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path

from greenopt.errors import UsageError
from greenopt.report.compose import compose
from greenopt.report.figures import Drawing, Picture, Undrawn, curves, draw, save, style
from greenopt.report.reading import StudyReading, read_for_report
from greenopt.report.render import html, pdf, write
from greenopt.report.sections.winner import winners
from greenopt.runs.folder import RunFolder


class Format(StrEnum):
    """File formats of a report."""

    PDF = "pdf"
    HTML = "html"


@dataclass(frozen=True)
class Made:
    """What was written.

    Attributes:
        report: the report's file.
        figures: folder of the figures; `drawn` is how many it holds, each as PNG and SVG.
        undrawn: figures without data, with the reason.
    """

    report: Path
    figures: Path
    drawn: int
    undrawn: tuple[Undrawn, ...]


def make_report(
    folder: RunFolder,
    target: Path,
    file_format: Format,
    storage: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Made:
    """Draw all figures into the study's folder, and write the report.

    Args:
        folder: the study's results.
        target: the report's file; an existing one is replaced once the new one is whole.
        file_format: what it is written as.
        storage: URL of the study's storage; the one that it was last run with unless given.
        tell: told what is being done, for a progress display.

    Raises:
        UsageError: there is no such study, or something cannot be written.
    """
    reading = read_for_report(folder, storage, tell)
    figures = folder.path / "figures"
    try:
        figures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{figures}: cannot be made: {error.strerror}") from None
    pictures, courses = _drawn(reading, figures, tell)
    tell("writing the report")
    document = compose(reading, pictures, courses, date.today().isoformat())
    render = {Format.PDF: pdf, Format.HTML: html}[file_format]
    write(render(document, figures), target)
    drawn = [picture for picture in pictures.values() if isinstance(picture, Drawing)]
    undrawn = tuple(picture for picture in pictures.values() if isinstance(picture, Undrawn))
    return Made(target, figures, len(drawn) + len(courses), undrawn)


def _drawn(
    reading: StudyReading, folder: Path, tell: Callable[[str], None]
) -> tuple[dict[str, Picture], list[Drawing]]:
    """Draw and save everything; a figure that has no data any more takes its old files with it."""
    pictures: dict[str, Picture] = {}
    for picture in draw(reading.material):
        tell(f"drawing {picture.slug}")
        pictures[picture.slug] = picture
        if isinstance(picture, Drawing):
            save(picture.figure, folder, picture.slug)
            picture.figure.clear()
        else:
            _removed(folder, picture.slug)
    for old in folder.glob("course-*.*"):
        old.unlink(missing_ok=True)
    courses = []
    known = {curve.trial: curve for curve in reading.material.curves}
    with style():
        for _, one in winners(reading):
            if one.trial in known:
                courses.append(curves.course(known[one.trial], reading.material))
                save(courses[-1].figure, folder, courses[-1].slug)
    return pictures, courses


def _removed(folder: Path, slug: str) -> None:
    for ending in ("png", "svg"):
        (folder / f"{slug}.{ending}").unlink(missing_ok=True)
