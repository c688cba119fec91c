"""That what `scripts/check` is to check is found by it."""

import tomllib
from pathlib import Path

from tests.pages import ROOT


def _python_scripts() -> set[str]:
    """Return the scripts without .py, which ruff does not know for Python."""
    files = [path for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix]
    return {f"scripts/{path.name}" for path in files if "python" in _first_line(path)}


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0]


def _settings() -> dict[str, dict[str, list[str]]]:
    tools: dict[str, dict[str, list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "tool"
    ]
    return tools


def test_every_python_script_is_linted() -> None:
    found = _python_scripts()
    assert len(found) > 5
    assert set(_settings()["ruff"]["extend-include"]) == found


def test_types_of_tests_and_scripts_are_checked() -> None:
    assert {"greenopt", "tests", "scripts"} <= set(_settings()["mypy"]["packages"])
