"""Writes a comparison's figure, as SVG or PNG, and its report, as PDF or HTML."""

import tempfile
from datetime import date
from pathlib import Path

from greenopt.comparison.compare import Comparison
from greenopt.comparison.tables import comparison_tables, headline
from greenopt.errors import UsageError
from greenopt.files import requested_file
from greenopt.reading import EnergySource
from greenopt.report.document import Document, Section, bullets, figure, note, table, text
from greenopt.report.figures import save, style
from greenopt.report.figures.fronts import StudyPoints, draw_fronts
from greenopt.report.render import html, pdf, write
from greenopt.report.terms import with_terms

_SLUG = "fronts"
_LABELS = {
    "energy_wh": "energy (Wh)",
    "total_wh": "energy with set-up (Wh)",
    "wh_per_epoch": "energy per epoch (Wh)",
}


def write_figure(comparison: Comparison, target: Path) -> None:
    """Write the fronts in one plot.

    Raises:
        UsageError: there is nothing to draw, or the file cannot be written.
    """
    if not _drawable(comparison):
        raise UsageError(f"{target}: not written; no completed trial has both accuracy and an energy to compare by")
    with style():
        drawing = draw_fronts(_drawable(comparison), _label(comparison))
        with requested_file(target) as scratch:
            drawing.savefig(scratch, format=target.suffix.removeprefix(".").lower())


def write_comparison_report(comparison: Comparison, target: Path) -> None:
    """Write the report of a comparison, PDF or HTML by its suffix; an existing file stays until the new one is whole.

    Raises:
        UsageError: it cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        if _drawable(comparison):
            with style():
                save(draw_fronts(_drawable(comparison), _label(comparison)), Path(folder), _SLUG)
        document = compose_comparison(comparison, date.today().isoformat())
        render = html if target.suffix.lower() == ".html" else pdf
        write(render(document, Path(folder)), target)


def compose_comparison(comparison: Comparison, today: str) -> Document:
    """Return the report of a comparison as a document.

    Args:
        comparison: of the studies.
        today: the day that it is made on, as it is printed.
    """
    names = [side.study.name for side in comparison.sides]
    best, fronts, differences, facts = (
        table(f"{one.title}.", one.heads, one.rows, wide=one.wide) for one in comparison_tables(comparison)
    )
    drawing = (
        (figure(_SLUG, _caption(comparison), floats=False),)
        if _drawable(comparison)
        else (note("Not drawn: no completed trial has both accuracy and an energy to compare by."),)
    )
    cautions = tuple(note(caution) for caution in comparison.cautions)
    return with_terms(
        Document(
            f"Comparison of {len(names)} studies",
            f"{', '.join(names)}, {today}",
            (
                Section("Summary", (*bullets(headline(comparison)), *cautions)),
                Section("Pareto fronts", (*drawing, fronts)),
                Section("Best trials", (best,)),
                Section("Equal settings", (text(_PAIRED), differences)),
                Section("Protocol and environment", (facts,)),
            ),
        )
    )


_PAIRED = (
    "Settings are equal where all parameters that both spaces have take the same values. Repeated trials of a setting "
    "are averaged first, energies on the log scale. The mean of the paired differences is given with its 95 % interval "
    "by Student's t; what settings themselves do cancels out."
)


def _drawable(comparison: Comparison) -> list[StudyPoints]:
    found = []
    for side in comparison.sides:
        on_front = {one.trial for one in side.front}
        front = sorted(point for point in side.points if point.trial in on_front)
        if side.points:
            found.append(StudyPoints(side.study.name, side.points, front))
    return found


def _label(comparison: Comparison) -> str:
    sources = {source for side in comparison.sides for source in side.study.values("energy_source")}
    mark = " (estimated in part)" if EnergySource.ESTIMATE in sources and len(sources) > 1 else ""
    mark = " (est.)" if sources == {EnergySource.ESTIMATE} else mark
    return f"{_LABELS.get(comparison.energy or '', 'energy (Wh)')}{mark}"


def _caption(comparison: Comparison) -> str:
    caution = " Read the cautions of the summary before comparing." if comparison.cautions else ""
    return (
        "Completed trials of each study, faint, and its Pareto front, in brackets how many of how many trials are on "
        f"it.{caution}"
    )
