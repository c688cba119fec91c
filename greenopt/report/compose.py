"""Puts the sections of a report in their order."""

from collections.abc import Mapping, Sequence

from greenopt.report.document import Document, Section
from greenopt.report.figures import Drawing, Picture
from greenopt.report.reading import StudyReading
from greenopt.report.sections import effects, limits, method, results, summary, winner
from greenopt.report.sections.words import plural


def compose(reading: StudyReading, pictures: Mapping[str, Picture], courses: Sequence[Drawing], today: str) -> Document:
    """The report of a study.

    Args:
        reading: the study.
        pictures: its figures by name, drawn or not.
        courses: of the winners.
        today: the day that it is made on, as it is printed.
    """
    analysis = reading.analysis
    sections: list[Section | None] = [summary.summary(reading)]
    if analysis.counts.complete:
        sections += [winner.winner(reading, courses), *winner.confirmations(reading), effects.advice(reading)]
    sections += [method.method(reading), method.environment(reading)]
    if analysis.counts.complete:
        sections.append(results.trials_section(reading, pictures))
    if analysis.counts.complete >= results.FEW:
        sections += [*effects.effects(reading, pictures), results.matrices(pictures)]
    if reading.material.curves or analysis.counts.complete:
        sections.append(results.distributions(reading, pictures))
    sections += [results.endings(reading), limits.limits(reading)]
    kept = tuple(section for section in sections if section is not None and section.blocks)
    return Document(
        f"Study {analysis.study.name}",
        f"Accuracy and energy of {plural(analysis.counts.trials, 'trial')}, {today}",
        kept,
    )
