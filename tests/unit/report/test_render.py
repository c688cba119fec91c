"""PDF and HTML from a document: words arrive letter by letter, whatever they are."""

import io
import os
import re
import socket
from pathlib import Path

import pypdf
import pytest

from greenopt.errors import UsageError
from greenopt.report import document as blocks
from greenopt.report.document import Document, Section
from greenopt.report.figures import save, style
from greenopt.report.figures.style import new_figure, plain
from greenopt.report.render import html, pdf, write

NASTY = (
    "#panic(1)",
    "$x^2$",
    "*bold* _it_",
    '"quoted" \\ back\\slash',
    "[a](b) <tag> & amp;",
    "= Heading",
    "{{ 7 * 7 }} {% if %}",
    "@label <label>",
    "// comment",
    "Umlaut äöü, dash –, ²",
)


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    with style():
        figure, _ = new_figure()
        save(figure, tmp_path, "empty")
    return tmp_path


def document(*words: str) -> Document:
    body = (
        *(blocks.text(word) for word in words),
        *(blocks.note(word) for word in words),
        *blocks.bullets(words),
        blocks.table(words[0], ["what", words[0]], [["1", word] for word in words], wide=1),
        blocks.code(words),
        blocks.figure("empty", words[0]),
    )
    return Document(words[0], words[-1], (Section(words[0], body), Section(words[-1], body, 2)))


def text_of(content: bytes) -> str:
    pages = pypdf.PdfReader(io.BytesIO(content)).pages
    return re.sub(r"\s+", "", "".join(page.extract_text() for page in pages))


def test_words_are_shown_letter_by_letter(figures: Path) -> None:
    made = document(*NASTY)
    shown, page = text_of(pdf(made, figures)), html(made, figures).decode()
    for word in NASTY:
        assert shown.count(re.sub(r"\s+", "", word)) >= 8, word
    assert "<tag>" not in page
    assert "&lt;tag&gt;" in page
    assert "49" not in re.sub(r"data:image[^\"]*", "", page)


def test_a_pdf_has_its_fonts_inside_and_its_title(figures: Path) -> None:
    reader = pypdf.PdfReader(io.BytesIO(pdf(document("A study"), figures)))
    assert reader.metadata is not None
    assert reader.metadata.title == "A study"
    fonts = {name: font for page in reader.pages for name, font in page["/Resources"]["/Font"].items()}  # type: ignore[index]
    assert fonts
    for font in fonts.values():
        descendant = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
        assert {"/FontFile2", "/FontFile3"} & set(descendant)


def test_an_html_page_needs_nothing_but_itself(figures: Path) -> None:
    page = html(document("A study"), figures).decode()
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "<script" not in page
    assert "url(" not in page
    assert page.count("data:image/png;base64,") == 2


def test_nothing_goes_to_the_network(figures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert pdf(document("A study"), figures)
    template = (Path(blocks.__file__).parent / "templates" / "report.typ").read_text()
    assert "@preview" not in template


def test_a_long_table_runs_over_pages_and_repeats_its_head(figures: Path) -> None:
    rows = [[str(number), "x" * 30] for number in range(200)]
    made = Document("Long", "", (Section("Table", (blocks.table("rows", ["numberhead", "x"], rows, wide=1),)),))
    pages = pypdf.PdfReader(io.BytesIO(pdf(made, figures))).pages
    assert len(pages) > 2
    assert all("numberhead" in page.extract_text() for page in pages)


def test_columns_of_numbers_are_told_from_words() -> None:
    rows = [["trial 1", "0.5", "–", "x 0.6 (0.2 to 1)", "keep"], ["trial 2", "< 0.0001", "~6.1 Wh est.", "–", "0.5"]]
    assert blocks.table("", ["a", "b", "c", "d", "e"], rows).numeric == (1, 2, 3)


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere/report\.pdf: cannot be written"):
        write(b"new", tmp_path / "nowhere" / "report.pdf")
    target = tmp_path / "report.pdf"
    target.write_bytes(b"old")
    (tmp_path / f"report.part-{os.getpid()}.pdf").mkdir()
    with pytest.raises((UsageError, OSError)):
        write(b"new", target)
    assert target.read_bytes() == b"old"


def test_what_is_not_seen_is_an_escape(figures: Path) -> None:
    made = document("\x1b[31mred", "\u202ereversed", "a\nb", "\x00\x9b")
    page = html(made, figures).decode()
    assert [one for one in page if one != "\n" and not one.isprintable()] == []
    assert "\\x1b[31mred" in page
    assert pdf(made, figures)


@pytest.mark.parametrize("text", ["$x^2$", "\\$x$", "a$b", "$$", "\x1b[31m$\\frac{$"])
def test_a_label_of_a_figure_is_no_formula(tmp_path: Path, text: str) -> None:
    figure, (axis,) = new_figure()
    axis.set(title=plain(text))
    save(figure, tmp_path, "f")
    assert "\x1b" not in (tmp_path / "f.svg").read_text()
