"""What could let something in is done in one place each, and nowhere else."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.pages import ROOT

PACKAGE = ROOT / "greenopt"
FILES = sorted(PACKAGE.rglob("*.py"))

PRINTING = {
    "cli/output.py": "the door of plain lines",
    "execution/gpus.py": "one line on standard error, made printable there",
    "cache_folder.py": "one line on standard error, made printable there",
    "trial/meter_check.py": "JSON to the process that started it",
}
CONSOLE = {"cli/tables.py": "the door of tables and sentences", "coordination/progress.py": "made printable there"}
PICKLES = {"trial/data/archives.py": "its unpickler builds arrays and plain values alone; tests try others"}
RUNNING = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
LOADING = {
    *("pickle.load", "pickle.loads", "marshal.loads", "marshal.load", "shelve.open", "dill.load", "joblib.load"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "keras.models.load_model", "keras.saving.load_model"),
    *("load_model", "enable_unsafe_deserialization", "os.system", "os.popen", "tempfile.mktemp", "read_pickle"),
    *("subprocess.getoutput", "torch.load", "os.chown", "extractall", "unpack_archive", "from_markup"),
    *("ElementTree.parse", "minidom.parse", "lxml.etree.parse"),
}


def name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in nodes(file):
        if isinstance(node, ast.Call):
            yield name(node.func), node


def place(file: Path, node: ast.AST) -> str:
    return f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', '?')}"


def keyword(call: ast.Call, wanted: str) -> object:
    found = next((each.value for each in call.keywords if each.arg == wanted), None)
    return found.value if isinstance(found, ast.Constant) else None


def test_lines_are_printed_at_few_doors_which_make_them_printable() -> None:
    """A name, a value or a message may hold terminal escapes: whoever prints goes through a door."""
    found = [
        place(file, call)
        for file in FILES
        for called, call in calls(file)
        if (called == "print" and file.relative_to(PACKAGE).as_posix() not in PRINTING)
        or (called.endswith("onsole.print") and file.relative_to(PACKAGE).as_posix() not in CONSOLE)
        or called in ("typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write", "rich.print")
    ]
    assert found == []


def test_nothing_builds_objects_or_runs_commands_from_text() -> None:
    found = [
        f"{place(file, call)}: {called}"
        for file in FILES
        for called, call in calls(file)
        if called in RUNNING
        or any(called == each or called.endswith(f".{each}") for each in LOADING)
        or keyword(call, "shell") is True
        or keyword(call, "allow_pickle") is True
        or keyword(call, "safe_mode") is False
    ]
    assert found == []


def test_arrays_are_loaded_without_pickles_by_name() -> None:
    found = [
        place(file, call)
        for file in FILES
        for called, call in calls(file)
        if called in ("np.load", "numpy.load", "np.save") and keyword(call, "allow_pickle") is not False
    ]
    assert found == []


def test_pickles_are_opened_in_one_module() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix()
        for file in FILES
        for node in nodes(file)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and {getattr(node, "module", None), *(each.name for each in node.names)} & {"pickle", "marshal", "shelve"}
    }
    assert found == set(PICKLES)


@pytest.mark.parametrize("called", ["webbrowser.open", "urllib.request.urlopen"])
def test_addresses_are_opened_where_they_are_known(called: str) -> None:
    """The dashboard's own address, and those of published data sets."""
    places = {file.relative_to(PACKAGE).as_posix() for file in FILES for each, _ in calls(file) if each == called}
    assert places <= {"cli/dashboard.py", "trial/data/files.py"}


def test_widgets_are_given_no_text_with_a_value_in_it_that_they_would_read_for_markup() -> None:
    """Textual and Rich read a plain string for markup: what holds a value is a `Text`, or says `markup=False`."""
    found = []
    for file in (PACKAGE / "tui").rglob("*.py"):
        for called, call in calls(file):
            method = called.rpartition(".")[2]
            is_formatted = any(isinstance(part, ast.JoinedStr) for part in call.args[:1])
            if method in ("Static", "Label", "notify") and is_formatted and keyword(call, "markup") is not False:
                found.append(place(file, call))
            if method == "update" and is_formatted:
                found.append(place(file, call))
        for node in nodes(file):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.JoinedStr):
                names = [each.attr for each in node.targets if isinstance(each, ast.Attribute)]
                found += [place(file, node) for each in names if each in ("border_title", "border_subtitle", "tooltip")]
    assert found == []
