"""The winner's course, and whether it was confirmed."""

from collections.abc import Iterable

from greenopt.analysis.results import Ranked
from greenopt.confirmation import Confirmation, comparison_table, confirmation_lines, end_lines
from greenopt.formatting import energy_words, fraction_words
from greenopt.report.document import Section, bullets, figure, table, text
from greenopt.report.figures import Drawing
from greenopt.report.reading import StudyReading
from greenopt.report.sections.words import full_setting, plural, run_words, stopped


def winners(reading: StudyReading) -> list[tuple[str, Ranked]]:
    """The most efficient trial, as in the paper, and the most accurate one if that is another."""
    ranking = reading.analysis.ranking
    found: dict[int, tuple[str, Ranked]] = {}
    for name, words in (("efficiency", "the most efficient"), ("accuracy", "the most accurate")):
        for one in ranking.get(name, ())[:1]:
            found.setdefault(one.trial, (words, one))
    return list(found.values())


def winner(reading: StudyReading, courses: Iterable[Drawing]) -> Section | None:
    """The courses of the winners; None without a completed trial."""
    drawn = {drawing.slug: drawing for drawing in courses}
    blocks = []
    for words, one in winners(reading):
        blocks.append(
            text(
                stopped(
                    f"Trial {run_words(one)}, {words}: accuracy {fraction_words(one.accuracy)}, "
                    f"{energy_words(one.energy_wh, one.energy_source)}"
                ),
                f"Its setting: {full_setting(one.params)}.",
            )
        )
        drawing = drawn.get(f"course-{one.trial}")
        if drawing is not None:
            blocks.append(figure(drawing.slug, f"{drawing.title}. {drawing.caption}"))
        else:
            blocks.append(text("Its course is not on file."))
    return Section("The winner", tuple(blocks)) if blocks else None


def confirmations(reading: StudyReading) -> list[Section]:
    """What trainings of the winner with other seeds say."""
    return [_confirmation(one) for one in reading.confirmations]


def _confirmation(one: Confirmation) -> Section:
    heads, rows = comparison_table(one)
    chosen = f"chosen by {one.picked.by}" if one.picked.by is not None else "chosen by its number"
    return Section(
        f"Confirmation of trial {one.picked.trial}, {plural(one.epochs, 'epoch')}",
        (
            text(f"Trial {one.picked.trial}, {chosen}, was trained again with {plural(len(one.seeds), 'other seed')}."),
            *bullets(confirmation_lines(one)),
            table("The study's trial, and the new trainings of its setting.", heads, rows, wide=0),
            *bullets(stopped(line) for line in end_lines(one)),
        ),
        2,
    )
