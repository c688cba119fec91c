"""Renders a document as a PDF file or as one HTML file. Sole owner of typst and jinja2; both work offline.

Invariant: texts reach both renderers as data, never as source, so nothing in a study's words can be markup there.
"""

import base64
import json
from importlib import resources
from pathlib import Path
from typing import Any, cast

import matplotlib

from greenopt.files import requested_file
from greenopt.report.document import Document

_TEMPLATES = resources.files("greenopt.report") / "templates"


def pdf(document: Document, figures: Path) -> bytes:
    """Typeset a document.

    Args:
        document: the report.
        figures: folder with its figures as SVG.

    Returns:
        A PDF file with its fonts embedded.
    """
    content = _typeset(document, figures, format="pdf")
    assert isinstance(content, bytes)
    return content


def page_pictures(document: Document, figures: Path, ppi: float = 40.0) -> list[bytes]:
    """Typeset a document and return each page as a PNG file, to be looked at.

    Args:
        document: the report.
        figures: folder with its figures as SVG.
        ppi: pixels per inch.
    """
    content = _typeset(document, figures, format="png", ppi=ppi)
    return [bytes(page) for page in content] if isinstance(content, list) else [bytes(content)]


def _typeset(document: Document, figures: Path, **options: Any) -> Any:
    import typst

    files = {
        "main.typ": (_TEMPLATES / "report.typ").read_bytes(),
        "data.json": json.dumps(document.plain()).encode(),
        **{f"{name}.svg": (figures / f"{name}.svg").read_bytes() for name in document.figures},
    }
    # The fonts come with typst and matplotlib, so a report looks the same on every machine.
    fonts = [str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")]
    return typst.compile(cast(Any, files), font_paths=fonts, ignore_system_fonts=True, **options)


def html(document: Document, figures: Path) -> bytes:
    """Render one self-contained HTML page.

    Args:
        document: the report.
        figures: folder with its figures as PNG.
    """
    import jinja2

    source = (_TEMPLATES / "report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    images = {name: base64.b64encode((figures / f"{name}.png").read_bytes()).decode() for name in document.figures}
    return environment.from_string(source).render(doc=document.plain(), images=images).encode()


def write(content: bytes, target: Path) -> None:
    """Write a file atomically.

    Raises:
        UsageError: it cannot be written.
    """
    with requested_file(target) as scratch:
        scratch.write_bytes(content)
