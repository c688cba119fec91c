"""The look of a report: pages that are filled, code that is not cut, numbers under figures, colours in the dark."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pypdf
import pytest
from matplotlib.image import imread

from greenopt.report import document as blocks
from greenopt.report.compose import compose
from greenopt.report.document import Document, Section
from greenopt.report.environment import Environment
from greenopt.report.figures import Drawing, draw, save, style
from greenopt.report.inputs import ReportInputs
from greenopt.report.render import html, page_pictures, pdf
from tests.unit.report.studies import made_report_data

FOOTER, TOP, BOTTOM = 0.93, 2.0 / 29.7, 1 - 2.2 / 29.7


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, Path]:
    """The report of a study that has everything, and the folder of its figures."""
    folder = tmp_path_factory.mktemp("figures")
    report_data = replace(made_report_data(60), curves=made_report_data(60).curves[:12])
    pictures = {}
    with style():
        for picture in draw(report_data):
            pictures[picture.slug] = picture
            if isinstance(picture, Drawing):
                save(picture.figure, folder, picture.slug)
    return compose(ReportInputs(report_data, Environment(0, 0), {}), pictures, (), "2026-01-01"), folder


def longest_gap(page: bytes) -> float:
    """The highest empty strip of a page, footer and margins aside, as a share of what can be filled."""
    pixels = imread(io.BytesIO(page), format="png")[..., :3].min(axis=2)
    height = len(pixels)
    rows = np.flatnonzero((pixels < 0.97).any(axis=1)) / height
    inside = rows[(rows > TOP - 0.01) & (rows < FOOTER)]
    edges = np.concatenate(([TOP], inside, [BOTTOM]))
    return float(np.diff(edges).max() / (BOTTOM - TOP))


def test_no_page_but_the_last_is_a_third_empty(whole: tuple[Document, Path]) -> None:
    gaps = [longest_gap(page) for page in page_pictures(*whole)]
    assert len(gaps) > 5
    assert [(number, round(gap, 2)) for number, gap in enumerate(gaps[:-1], 1) if gap > 1 / 3] == []


def test_a_gap_would_be_seen(whole: tuple[Document, Path]) -> None:
    tall = [["x"]] * 14
    sections = tuple(
        Section(title, (blocks.figure("distributions", "a", floats=False), blocks.table("b", ["c"], tall)))
        for title in "ab"
    )
    empty = Document("a", "b", (Section("only", (blocks.text("short"),)), *sections))
    assert longest_gap(page_pictures(replace(empty, sections=empty.sections[:1]), whole[1])[0]) > 0.5


def test_toml_is_not_cut_over_pages(tmp_path: Path) -> None:
    piece = "\n".join(["[[study.enqueue]]", *(f'parameter_{number} = "value"' for number in range(10))])
    filler = [blocks.text("word " * 400)] * 2
    for lines in range(0, 24, 3):
        made = Document("a", "b", (Section("c", (*filler, *[blocks.text("x")] * lines, blocks.code([piece] * 6))),))
        pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf(made, tmp_path))).pages]
        assert sum(page.count("enqueue") for page in pages) == 6
        for page in pages:
            assert page.count("[[study.enqueue]]") == page.count("parameter_9 =") == page.count("parameter_0 =")


def test_a_table_stays_with_its_caption(tmp_path: Path) -> None:
    filler = [blocks.text("word " * 400)] * 2
    rows = [[f"cell{number}", "x"] for number in range(20)]
    for lines in range(8, 26, 2):
        body = (*filler, *[blocks.text("x")] * lines, blocks.table("The caption.", ["a", "b"], rows, wide=1))
        pages = pypdf.PdfReader(io.BytesIO(pdf(Document("a", "b", (Section("c", body),)), tmp_path))).pages
        (page,) = [each.extract_text() for each in pages if "The caption." in each.extract_text()]
        assert "cell0" in page, lines


def test_long_names_do_not_run_into_the_next_column(tmp_path: Path) -> None:
    name = "number_of_layers_that_are_kept_frozen_during_the_warmup_of_the_training"
    row = [name, "a value of several words, as in a list", "another one of many words, as before", "x 0.5 (0.4 to 0.6)"]
    made = Document("a", "b", (Section("c", (blocks.table("t", ["p", "v", "w", "e"], [row] * 3, wide=0),)),))
    page = pypdf.PdfReader(io.BytesIO(pdf(made, tmp_path))).pages[0]
    shown = page.extract_text()
    assert name not in shown
    assert re.sub(r"[\s\u200b]+", "", shown).count(name) == 3


def test_figures_and_tables_are_numbered_in_html_as_in_the_pdf(whole: tuple[Document, Path]) -> None:
    page = html(*whole).decode()
    kinds: list[str] = [block.kind for section in whole[0].sections for block in section.blocks]
    for kind, label in (("figure", "Figure"), ("table", "Table")):
        numbers = [int(number) for number in re.findall(rf"<(?:fig)?caption>{label} (\d+): ", page)]
        assert numbers == list(range(1, kinds.count(kind) + 1))


def test_the_dark_page_changes_colours_alone(whole: tuple[Document, Path]) -> None:
    css = html(*whole).decode().split("<style>")[1].split("</style>")[0]
    dark = css[css.index("prefers-color-scheme: dark") :]
    assert set(re.findall(r"([a-z-]+):\s[^;{]+;", dark)) <= {"background", "color", "border-color"}
    assert "text-align" not in dark
