"""The order of a report's sections."""

from collections.abc import Mapping, Sequence

from greenopt.analysis.results import Analysis
from greenopt.front import plane_of
from greenopt.report.document import Document, Section
from greenopt.report.figures import Drawing, Picture
from greenopt.report.inputs import ReportInputs
from greenopt.report.sections import effects, limits, method, results, summary, winner
from greenopt.report.sections.formatting import plural
from greenopt.report.terms import with_terms


def compose(
    inputs: ReportInputs, pictures: Mapping[str, Picture], winner_drawings: Sequence[Drawing], today: str
) -> Document:
    """Return the report of a study.

    Args:
        inputs: the study.
        pictures: its figures by name, drawn or not.
        winner_drawings: of the winners.
        today: the day that it is made on, as it is printed.
    """
    analysis = inputs.analysis
    sections: list[Section | None] = [summary.summary(inputs)]
    if analysis.counts.complete:
        sections += [winner.winner(inputs, winner_drawings), *winner.confirmations(inputs), effects.advice(inputs)]
    sections += [method.method(inputs), method.environment(inputs)]
    if analysis.counts.complete:
        sections.append(results.trials_section(inputs, pictures))
    if analysis.counts.complete >= results.FEW:
        sections += effects.effects(inputs, pictures)
    sections += [results.endings(inputs), limits.limits(inputs)]
    if analysis.counts.complete >= results.FEW:
        sections.append(results.parallels(pictures))
    if inputs.report_data.curves or analysis.counts.complete:
        sections.append(results.distributions(inputs, pictures))
    if analysis.counts.complete >= results.FEW:
        sections += effects.appendix(inputs, pictures)
    sections.append(results.runs(inputs))
    kept = tuple(section for section in sections if section is not None and section.blocks)
    document = Document(
        f"Study {analysis.study.name}",
        f"{_measured(analysis)} and energy of {plural(analysis.counts.trials, 'trial')}, {today}",
        kept,
    )
    return with_terms(document)


def _measured(analysis: Analysis) -> str:
    """Return what the trials tell beside energy: accuracy, or the objectives of a study without it."""
    return "Accuracy" if analysis.tells_accuracy else ", ".join(plane_of(analysis.study).others)
