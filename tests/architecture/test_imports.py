"""What a command may not import, asked of a clean interpreter."""

import subprocess
import sys

import pytest

HEAVY = (
    "tensorflow",
    "keras",
    "keras_cv",
    "optuna",
    "textual",
    "statsmodels",
    "pandas",
    "numpy",
    "pydantic",
    "sklearn",
    "optuna_dashboard",
    "plotly",
    "scipy",
    "matplotlib",
    "typst",
    "jinja2",
    "ray",
)


def modules_after(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stderr.splitlines()}


def test_help_imports_nothing_heavy() -> None:
    statement = """
sys.argv = ["greenopt", "--help"]
from greenopt.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0
"""
    assert modules_after(statement).isdisjoint(HEAVY)


def test_the_live_view_opens_without_what_is_slow_to_import() -> None:
    assert modules_after("import greenopt.tui.app").isdisjoint(
        {"optuna", "sqlalchemy", "pandas", "tensorflow", "keras", "sklearn"}
    )


@pytest.mark.parametrize(
    "module",
    [
        "greenopt.coordination.coordinator",
        "greenopt.execution.gpus",
        "greenopt.coordination.preflight",
        "greenopt.coordination.progress",
        "greenopt.doctor.machine",
    ],
)
def test_the_coordinators_side_never_imports_tensorflow(module: str) -> None:
    assert modules_after(f"import {module}").isdisjoint(
        {"tensorflow", "keras", "keras_cv", "sklearn", "ai_edge_litert"}
    )


def test_what_the_coordinator_writes_for_the_dashboard_stays_light() -> None:
    """optuna_dashboard takes seconds to import and brings pandas and scikit-learn."""
    assert modules_after("import greenopt.dashboard").isdisjoint(
        {"optuna_dashboard", "pandas", "sklearn", "matplotlib", "tensorflow", "keras"}
    )
