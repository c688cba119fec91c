"""The winner's training curves, and whether the winner was confirmed."""

from collections.abc import Iterable

from greenopt.analysis.results import Ranked
from greenopt.confirmation import Confirmation, comparison_table, confirmation_lines, end_lines
from greenopt.formatting import format_energy_amount, format_fraction
from greenopt.report.document import Section, bullets, figure, table, text
from greenopt.report.figures import Drawing
from greenopt.report.inputs import ReportInputs
from greenopt.report.sections.formatting import format_trial, full_setting, plural, stopped


def winners(inputs: ReportInputs) -> list[tuple[str, Ranked]]:
    """Return the most efficient trial, as in the paper, and the most accurate one if that is another."""
    ranking = inputs.analysis.ranking
    found: dict[int, tuple[str, Ranked]] = {}
    for name, title in (("efficiency", "the most efficient"), ("accuracy", "the most accurate")):
        for one in ranking.get(name, ())[:1]:
            found.setdefault(one.trial, (title, one))
    return list(found.values())


def winner(inputs: ReportInputs, winner_drawings: Iterable[Drawing]) -> Section | None:
    """Return the section on the winners' curves; None without a completed trial."""
    drawn = {drawing.slug: drawing for drawing in winner_drawings}
    blocks = []
    for title, one in winners(inputs):
        blocks.append(
            text(
                stopped(
                    f"Trial {format_trial(one)}, {title}: accuracy {format_fraction(one.accuracy)}, "
                    f"{format_energy_amount(one.energy_wh, one.energy_source)}"
                ),
                f"Its setting: {full_setting(one.params)}.",
                *([stopped(f"Caution: {one.caution}")] if one.caution else []),
            )
        )
        drawing = drawn.get(f"course-{one.trial}")
        if drawing is not None:
            blocks.append(figure(drawing.slug, f"{drawing.title}. {drawing.caption}"))
        else:
            blocks.append(text("Its epochs are not on file."))
        classes = drawn.get(f"confusion-{one.trial}")
        if classes is not None:
            blocks.append(figure(classes.slug, f"{classes.title}. {classes.caption}"))
    return Section("The winner", tuple(blocks)) if blocks else None


def confirmations(inputs: ReportInputs) -> list[Section]:
    """Return the sections on what trainings of the winner with other seeds say."""
    return [_confirmation(one) for one in inputs.confirmations]


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
