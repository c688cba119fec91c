"""A function that no module holds becomes a module with what it uses, or is refused with the reason."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from greenopt.api.functions import kept_function
from greenopt.errors import UsageError

TOP = """
import math
import os.path as paths
from collections import OrderedDict as Ordered, namedtuple
from greenopt import metered

LIMITS = {"low": 0.5, "names": ["a", "b"], "none": None}
ARRAY = bytearray(3)
log = "not the module's"


class Base:
    def twice(self, x):
        return 2 * x * LIMITS["low"]


class Scaled(Base):
    def log(self, x):
        return math.log(x)


def recursive(n):
    return 1 if n == 0 else n * recursive(n - 1)


@metered(report=None, gpu="none")
def decorated(x):
    return x + 1


def uses_all(trial, start=LIMITS["low"]):
    \"\"\"With "quotes" and a \\\\ in it.\"\"\"
    names = [paths.basename(name) for name in LIMITS["names"]]
    inner = lambda: recursive(3)
    return Scaled().twice(4) + inner() + decorated(1) + len(Ordered(zip(names, names))) + Scaled().log(1) + start


def uses_array(trial):
    return ARRAY


def around():
    seen = 3

    def inside(trial):
        return seen

    return inside


nested, anonymous = around(), lambda trial: 1.0
"""

KEEP = """
import sys
from pathlib import Path
from greenopt.api.functions import kept_function
with kept_function(globals()[sys.argv[1]], Path(sys.argv[2])) as found:
    print(found.reference)
"""


def kept(tmp_path: Path, function: str) -> "subprocess.CompletedProcess[str]":
    """Keep a function of a script that runs, which is what `__main__` and a notebook's cell are."""
    script = tmp_path / "script.py"
    script.write_text(TOP + KEEP, encoding="utf-8")
    command = [sys.executable, str(script), function, str(tmp_path / "kept")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def loaded(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_function_takes_what_it_uses_with_it(tmp_path: Path) -> None:
    done = kept(tmp_path, "uses_all")
    assert done.stdout == "notebook_objective:uses_all\n", done.stderr
    file = tmp_path / "kept" / "notebook_objective.py"
    module = loaded(file)
    assert module.uses_all(None) == 4 + 6 + 2 + 2 + 0 + 0.5
    assert not hasattr(module, "ARRAY")
    assert not hasattr(module, "log")
    assert "greenopt.run_study" in file.read_text(encoding="utf-8").splitlines()[0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("uses_array", "objective: uses_array uses ARRAY, of type bytearray, which cannot be written into a module"),
        ("nested", "objective: has to be a function defined with `def`, not inside another one"),
        ("anonymous", "objective: has to be a function defined with `def`, not inside another one"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path: Path, function: str, message: str) -> None:
    done = kept(tmp_path, function)
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "kept").exists()


def train(trial: Any) -> float:
    return float(trial.params["n"])


def test_a_function_of_a_module_is_named_where_it_is(tmp_path: Path) -> None:
    with kept_function(train, tmp_path / "kept") as found:
        assert found.reference == f"{__name__}:train"
        module = found.folder.joinpath(*__name__.split("."))
        assert module.with_suffix(".py") == Path(__file__).resolve()
    assert not (tmp_path / "kept").exists()


def test_where_the_study_is_refused_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenopt.api.functions._module_folder", lambda _: None)
    folder = tmp_path / "kept"

    def refuse() -> None:
        with kept_function(train, folder):
            assert (folder / "notebook_objective.py").is_file()
            raise UsageError("no")

    with pytest.raises(UsageError):
        refuse()
    assert not folder.exists()
    folder.mkdir()
    (folder / "notebook_objective.py").write_text("before", encoding="utf-8")
    with pytest.raises(UsageError):
        refuse()
    assert (folder / "notebook_objective.py").read_text(encoding="utf-8") == "before"
