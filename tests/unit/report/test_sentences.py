"""Sentences of the report: true of what the trials say, one number a trial, terms explained where they first stand."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import greenopt.docs
from greenopt.analysis.analyse import analyse
from greenopt.analysis.results import SETTLED_FROM, Coding, Response, ValueAdvice
from greenopt.exchange.studies import PAPER_SPACE
from greenopt.formatting import fixed_digits, format_energy_amount, format_percent
from greenopt.report.compose import compose
from greenopt.report.document import Document, Section, bullets, table, text
from greenopt.report.environment import Environment
from greenopt.report.figures import Drawing, draw, style
from greenopt.report.figures.curves import accuracy_curves, loss_curves, winner_curves
from greenopt.report.figures.interactions import interactions, named_interactions
from greenopt.report.figures.parallel import AXES_DRAWN, parallel_by_energy
from greenopt.report.inputs import ReportInputs
from greenopt.report.report_data import ReportData
from greenopt.report.terms import TERMS, with_terms
from greenopt.spec import StudySpec
from tests.unit.report.studies import curve, made_rows


def inputs(trials: int = 60, spec_changes: dict[str, Any] | None = None, **changed: Any) -> ReportInputs:
    spec, rows = made_rows(trials, **changed)
    if spec_changes:
        raw = spec.model_dump(mode="json")
        for part, values in spec_changes.items():
            raw[part] = {**(PAPER_SPACE if part == "space" else raw[part]), **values}
        spec = StudySpec.model_validate(raw)
    if changed.get("run"):
        rows = [{**row, "run": f"{2 * row['trial']:03d}"} for row in rows]
    return ReportInputs(ReportData(analyse(spec, rows)), Environment(0, 0), {})


def composed(given: ReportInputs) -> Document:
    """The report without its figures, which are not drawn here."""
    with style():
        pictures = {one.slug: one for one in draw(replace(given.report_data, curves=()))}
    return compose(given, pictures, (), "2026-01-01")


def words(document: Document) -> str:
    parts = []
    for section in document.sections:
        parts.append(section.title)
        for block in section.blocks:
            cells = (cell for row in block.rows for cell in row)
            parts += [block.text, *block.items, *block.heads, *cells]
    return "\n".join(parts)


@pytest.mark.parametrize(
    ("energy_wh", "source", "told"),
    [
        (15200.0, "nvml_counter", "15.2 kWh"),
        (51.0, "nvml_counter", "51.0 Wh"),
        (0.16, "nvml_counter", "0.160 Wh"),
        (999.6, "nvml_counter", "1.00 kWh"),
        (999.4, None, "999 Wh"),
        (2.5e6, None, "2.50 MWh"),
        (0.0, None, "0 Wh"),
        (1234.0, "estimate", "~1.23 kWh est."),
        (None, None, "–"),
    ],
)
def test_energies_have_the_unit_that_suits_them_and_all_digits(
    energy_wh: float | None, source: str | None, told: str
) -> None:
    assert format_energy_amount(energy_wh, source) == told


def test_digits_are_kept_and_percent_has_one_sign() -> None:
    numbers = [51.0, 0.16, 100.0, 12345.0, 1.5e-7, 0.0, -2.0]
    assert [fixed_digits(number) for number in numbers] == [
        *("51.0", "0.160", "100", "12300", "0.000000150", "0", "-2.00")
    ]
    assert fixed_digits(math.inf) == "inf"
    assert [format_percent(share) for share in (0.28, 0.052, 1.0, 0.0)] == ["28 %", "5.2 %", "100 %", "0 %"]


def test_an_imported_study_is_told_nothing_that_only_greenopts_own_trials_know() -> None:
    told = words(composed(inputs(run="yes", energy_source="nvidia_smi_snapshot")))
    for untrue in (
        *("Planned are", "Settings come from the sampler", "the coordinator's clock", "share one split"),
        *("The search optimised", "set-up and compilation are not in it", "sampler 0", "were sampled evenly"),
        *("set-up included", "Each trial trains"),
    ):
        assert untrue not in told, untrue
    for true in (
        *("All trials ran elsewhere and were imported.", "How their settings were chosen", "as far as their files say"),
        "Trials are numbered as in this study; the appendix lists the runs that they were imported from.",
    ):
        assert true in told, true


def test_a_trial_has_one_number_and_its_run_stands_in_the_appendix_alone() -> None:
    document = composed(inputs(run="yes"))
    *others, last = document.sections
    assert last.title == "Appendix: imported runs"
    assert "118" in [cell for block in last.blocks for row in block.rows for cell in row]
    assert "(run" not in words(replace(document, sections=tuple(others)))


def test_a_study_that_varies_its_partitioning_does_not_claim_one_split() -> None:
    varied = words(composed(inputs()))
    assert "All trials share one split" not in varied
    assert "Trials of different partitionings are validated and tested on different images" in varied
    assert "whose share of the images varies (60-20-20, 70-15-15, 80-10-10, 90-5-5 %" in varied
    fixed = words(composed(inputs(spec_changes={"space": {"partitioning": ["60-20-20"]}}, partitioning="60-20-20")))
    assert "All trials share one split." in fixed


def test_trials_of_another_length_are_counted_where_the_length_is_told() -> None:
    spec, rows = made_rows(30)
    rows[3]["epochs_done"] = 100
    told = words(composed(ReportInputs(ReportData(analyse(spec, rows)), Environment(0, 0), {})))
    assert "for 50 epochs (1 for 100)" in told


@pytest.mark.parametrize(
    ("sampler", "told"),
    [("random", "Settings did not depend on results"), ("tpe", "The sampler tpe chose settings by earlier results")],
)
def test_what_regressions_show_depends_on_who_chose_the_settings(sampler: str, told: str) -> None:
    assert told in words(composed(inputs(spec_changes={"sampler": {"name": sampler}})))


def test_without_a_test_accuracy_nobody_is_sent_to_it() -> None:
    told = words(composed(inputs(test_accuracy=None)))
    assert "read test accuracy" not in told
    assert "no test accuracy is known" in told


def test_percent_has_a_space_everywhere() -> None:
    assert re.findall(r"\d%", words(composed(inputs()))) == []


def test_coefficients_stand_in_the_appendix() -> None:
    document = composed(inputs())
    titles = [section.title for section in document.sections]
    appendix = titles.index("Appendix: coefficients and settings")
    assert appendix > titles.index("Limits")
    captions = [[b.text for b in section.blocks if b.kind == "table"] for section in document.sections]
    assert not [caption for each in captions[:appendix] for caption in each if caption.startswith("Coefficients")]
    assert len([caption for caption in captions[appendix] if caption.startswith("Coefficients of")]) == 3


def test_each_term_is_explained_once_and_directly_where_it_first_stands() -> None:
    document = composed(inputs())
    explained: list[str] = []
    for section in document.sections:
        for block in section.blocks:
            explained += [item.partition(":")[0] for item in block.items] if block.kind == "terms" else []
    assert len(explained) == len(set(explained))
    assert {"partial eta squared", "Holm", "Cook's distance"} <= set(explained)
    summary = document.sections[0]
    assert summary.blocks[-1].kind == "terms"
    assert "partial eta squared" in " ".join(summary.blocks[-1].items)


@pytest.mark.parametrize("term", ["settled", "likely", "partial eta squared", "Holm", "Cook's distance"])
def test_the_words_that_readers_asked_about_are_explained(term: str) -> None:
    document = with_terms(Document("a", "b", (Section("c", (text(f"So it is {term}."),)),)))
    (explanation,) = [item for block in document.sections[0].blocks for item in block.items if block.kind == "terms"][
        :1
    ]
    assert explanation.startswith(f"{term}: ")


def test_report_and_documentation_name_the_probability_by_which_a_value_is_settled() -> None:
    explained = {name: text for name, _, text in TERMS}
    page = (Path(greenopt.docs.__file__).parent / "analysis.md").read_text(encoding="utf-8")

    assert f"with a probability of {SETTLED_FROM:g}," in explained["settled"]
    assert f"better with a probability of at least {SETTLED_FROM:g} " in " ".join(page.split())
    assert f"better with a probability of {SETTLED_FROM:g}," in str(ValueAdvice.__doc__)


def test_terms_that_do_not_stand_anywhere_are_not_explained() -> None:
    plain = Document("a", "b", (Section("c", (text("Two trials were unlikely to end."), *bullets(["one", "two"]))),))
    assert with_terms(plain) == plain


def test_a_term_that_its_own_sentence_defines_is_not_explained_again() -> None:
    defined = Document("a", "b", (Section("c", bullets(["Pareto front: the best.", "average power (W): so much"])),))
    assert with_terms(defined) == defined


def test_an_explanation_follows_its_block_and_may_need_another() -> None:
    document = with_terms(Document("a", "b", (Section("c", (table("By Huber.", ["x"], [["1"]]), text("end"))),)))
    kinds = [block.kind for block in document.sections[0].blocks]
    assert kinds == ["table", "terms", "text"]
    assert all(re.compile(pattern) for _, pattern, _ in TERMS)


def test_axes_of_curves_are_named_after_what_they_show() -> None:
    report_data = replace(inputs().report_data, curves=(curve(0, 0.5, 10.0), curve(1, 0.6, 9.0)), curves_of=2)
    with style():
        accuracy, loss = accuracy_curves(report_data), loss_curves(report_data)
        winner = winner_curves(report_data.curves[0], report_data)
    assert isinstance(accuracy, Drawing)
    assert isinstance(loss, Drawing)
    assert accuracy.figure.axes[0].get_ylabel() == "accuracy"
    assert loss.figure.axes[0].get_ylabel() == "loss (cross-entropy)"
    assert loss.figure.axes[0].get_yscale() == "log"
    assert [axis.get_ylabel() for axis in winner.figure.axes] == ["accuracy", "loss", "energy so far (Wh)"]


def test_parallel_coordinates_have_a_line_a_trial_and_mark_the_front() -> None:
    report_data = inputs(40).report_data
    with style():
        picture = parallel_by_energy(report_data)
    assert isinstance(picture, Drawing)
    others, front = picture.figure.axes[0].collections[:2]
    assert len(others.get_paths()) + len(front.get_paths()) == 40
    assert len(front.get_paths()) == len(report_data.analysis.pareto)
    assert front.get_linewidth()[0] > others.get_linewidth()[0]  # type: ignore[index]
    labels = [label.get_text() for label in picture.figure.axes[0].get_xticklabels()]
    assert labels[-2:] == ["accuracy", "energy (Wh)"]
    assert len(labels) == 12 <= AXES_DRAWN + 2


def test_an_interaction_that_the_analysis_names_is_drawn_and_no_other() -> None:
    spec, rows = made_rows(150)
    for row in rows:
        both = row["batch_size"] == 4 and row["internal"] == "jit_compilation"
        row["energy_wh"] *= 20.0 if both else 1.0
    given = ReportInputs(ReportData(analyse(spec, rows)), Environment(0, 0), {})
    fit = given.analysis.regressions[Response.LOG_ENERGY_WH][Coding.EFFECTIVE]
    pairs = [{one.first, one.second} for one in named_interactions(fit)]
    assert {"batch_size", "internal"} in pairs
    with style():
        picture = interactions(given.report_data, fit.response)
    assert isinstance(picture, Drawing)
    drawn = [
        {axis.get_xlabel(), axis.get_legend().get_title().get_text()}  # type: ignore[union-attr]
        for axis in picture.figure.axes
    ]
    assert drawn == pairs[:3]
    assert "interactions-log-energy-wh" in composed(given).figures
