"""That every file which the pages name is where they say."""

import re
from pathlib import Path

import pytest

from tests.pages import PAGES, ROOT, code_spans

_PATH = re.compile(r"(?:greenopt/)?(?:[a-z_]+/)+(?:[a-z_]+\.py)?|greenopt/[a-z_]+\.py")


def _named() -> list[tuple[str, str]]:
    """Return page and path of every module or room that a page names."""
    found = {(page.name, span) for page in PAGES for span in code_spans(page) if _PATH.fullmatch(span)}
    return sorted(pair for pair in found if pair[1].partition("/")[0] in _rooms() or pair[1].endswith(".py"))


def _rooms() -> set[str]:
    return {"greenopt", *(path.name for path in (ROOT / "greenopt").iterdir() if path.is_dir())}


@pytest.mark.parametrize(("page", "path"), _named())
def test_a_module_that_a_page_names_exists(page: str, path: str) -> None:
    inside = path if path.startswith("greenopt/") else f"greenopt/{path}"
    assert (ROOT / inside).exists(), f"{page}: {path}"


def test_every_room_stands_on_the_page_of_the_architecture() -> None:
    text = (ROOT / "greenopt" / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (ROOT / "greenopt").glob("*/__init__.py")}
    assert {room for room in rooms if f"| `greenopt/{room}/` |" not in text} == set()


def test_every_module_at_the_root_stands_on_the_page_of_the_architecture() -> None:
    text = (ROOT / "greenopt" / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = {path.name for path in (ROOT / "greenopt").glob("*.py") if not path.name.startswith("__")}
    assert {name for name in modules if f"`greenopt/{name}`" not in text} == set()


def test_names_that_the_page_gives_to_functions_are_there() -> None:
    """Names in a step of a walk are defined in one of the files that the step names."""
    text = (ROOT / "greenopt" / "docs" / "architecture.md").read_text(encoding="utf-8")
    for step in re.findall(r"^\d\. .*?(?=^\d\. |^### |^## )", text, re.MULTILINE | re.DOTALL):
        files = [ROOT / name for name in re.findall(r"`(greenopt/[\w/]+\.py)`", step)]
        source = "".join(file.read_text(encoding="utf-8") for file in files if Path(file).is_file())
        for name in re.findall(r"`([A-Za-z_]\w+)`", step):
            assert re.search(rf"\b{name}\b", source), f"{name}: {step}"
