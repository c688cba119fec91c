"""That the documentation is whole and true: links, generated parts, examples, names."""

import inspect
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from greenopt.cli import app
from greenopt.coordination.verdict import metric_names
from greenopt.docs import list_pages
from greenopt.errors import ExitCode
from greenopt.events import FailReason
from greenopt.runs.folder import RunFolder
from greenopt.spec import PARAMETERS, StudySpec
from scripts.reference_pages import PARTS, regenerated
from scripts.reference_tables import UndescribedError
from scripts.study_file_reference import field_docs, keys_table
from tests.pages import DOCS, PAGES, ROOT, Block, anchors, block, blocks, code_spans, links, prose

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@BY_NAME
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        if "://" in target:
            continue
        location, _, anchor = target.partition("#")
        file = (page.parent / location).resolve() if location else page
        assert file.exists(), f"{page.name}: {target}: no such file"
        assert ROOT in file.parents, f"{page.name}: {target}: is outside of the repository"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target}: no such heading"


def test_pages_link_to_one_another_by_name_so_that_the_viewer_can_follow() -> None:
    for page in DOCS.glob("*.md"):
        for target in links(page):
            location = target.partition("#")[0]
            if location.endswith(".md") and (page.parent / location).resolve().parent == DOCS:
                assert "/" not in location, f"{page.name}: {target}"


def test_the_index_lists_every_page_once() -> None:
    names = [page.name for page in list_pages()]
    assert sorted(names) == sorted(path.stem for path in DOCS.glob("*.md"))
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("page", list_pages(), ids=lambda page: page.name)
def test_a_page_begins_with_one_heading(page: Any) -> None:
    text = page.path.read_text(encoding="utf-8")
    assert re.match(r"# \S", text)
    assert len(re.findall(r"^# ", prose(page.path), re.MULTILINE)) == 1


def test_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@BY_NAME
def test_generated_parts_are_what_the_code_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert regenerated(text) == text, f"{page.name}: run scripts/docs"


def test_every_generated_part_stands_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert {name for name in PARTS if f"<!-- generated: {name} -->" not in text} == set()


def test_every_table_of_a_study_file_has_its_part() -> None:
    """A table that is added to the schema is missed here before it is missed on the page."""
    for model, path in _tables(StudySpec):
        assert path in PARTS, f"{model.__name__}: add [{path}] to scripts/reference_pages.py"


def _tables(model: type[BaseModel]) -> list[tuple[type[BaseModel], str]]:
    found = []
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and name != "distributions":
                found += [(kind, name), *(_tables(kind) if name != "space" else [])]
    return found


def test_every_key_of_a_study_file_stands_in_the_reference() -> None:
    text = (DOCS / "study-file.md").read_text(encoding="utf-8")
    tables: list[tuple[type[BaseModel], str]] = [(StudySpec, ""), *_tables(StudySpec)]
    for model, path in tables:
        names = PARAMETERS if path == "space" else field_docs(model)
        for name in names:
            assert f"| `{name}` |" in text or f"[`[{name}]`]" in text, f"{path}.{name}"


def test_a_key_without_description_is_an_error() -> None:
    with pytest.raises(UndescribedError, match=r"Undescribed\.second has no description"):
        field_docs(Undescribed)


def test_a_field_that_no_file_has_is_left_out() -> None:
    assert list(field_docs(WithInternal)) == ["key"]
    assert "folder" not in keys_table(WithInternal)


class WithInternal(BaseModel):
    """A table with a field that is set when the file is read."""

    key: int = 1
    """It is described."""
    folder: str | None = None
    """Set by greenopt when the file is read."""


class Undescribed(BaseModel):
    """A table whose second key says nothing."""

    first: int = 1
    """It is described."""
    second: int = 2


def test_every_recorded_figure_is_explained() -> None:
    text = (DOCS / "numbers.md").read_text(encoding="utf-8")
    assert [name for name in metric_names() if f"`{name}`" not in text] == []


def test_every_way_to_fail_is_explained() -> None:
    text = (DOCS / "running.md").read_text(encoding="utf-8")
    assert [str(reason) for reason in FailReason if f"| `{reason}` |" not in text] == []


def test_every_file_of_a_run_folder_is_explained() -> None:
    text = (DOCS / "running.md").read_text(encoding="utf-8")
    folder = RunFolder(Path("runs/NAME"))
    paths = [value for _, value in inspect.getmembers(folder) if isinstance(value, Path) and value != folder.path]
    paths += [folder.events(7), folder.log(7), Path(folder.default_storage)]
    assert len(paths) > 6
    names = [path.name if path.parent == folder.path else f"{path.parent.name}/{path.name}" for path in paths]
    assert [name for name in names if name.removeprefix("NAME/") not in text] == []


def test_every_environment_variable_is_explained() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "greenopt").rglob("*.py"))
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert [name for name in sorted(set(re.findall(r"GREENOPT_[A-Z]+", source))) if f"| `{name}` |" not in text] == []


def test_every_exit_code_is_explained() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert [int(code) for code in ExitCode if f"| {int(code)} |" not in text] == []


def test_the_version_to_cite_is_this_one() -> None:
    import greenopt

    assert f"version = {{{greenopt.__version__}}}" in block("bibtex", "@software")


@pytest.mark.parametrize("example", blocks("toml"), ids=lambda example: example.place)
def test_every_toml_block_is_a_study(example: Block) -> None:
    """A block without [study] completes the quickstart's file, table by table; [space] is taken whole."""
    raw = tomllib.loads(example.text)
    if "trials" not in raw.get("study", {}):
        whole = tomllib.loads((ROOT / "studies" / "quickstart.toml").read_text(encoding="utf-8"))
        enqueued = raw.get("study", {}).get("enqueue", [])
        for name, table in raw.items():
            whole[name] = table if name in ("space", "objectives") else {**whole.get(name, {}), **table}
        if enqueued:
            whole["study"]["enqueue"] = enqueued
        raw = whole
    StudySpec.model_validate({**raw, "study": {"name": "example", **raw["study"]}})


def _command_lines() -> list[tuple[str, str]]:
    return [
        (example.place, line)
        for example in blocks("")
        for line in example.text.splitlines()
        if line.startswith("greenopt ") and "[OPTIONS]" not in line
    ]


@pytest.mark.parametrize(("place", "line"), _command_lines())
def test_every_command_line_is_understood(place: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    name, *arguments = shlex.split(line, comments=True)[1:]
    assert name in COMMANDS, f"{place}: {line}"
    COMMANDS[name].make_context(name, arguments)


@BY_NAME
def test_commands_in_sentences_exist_with_their_options(page: Path) -> None:
    for span in code_spans(page):
        words = span.split()
        if words[0] != "greenopt" or len(words) == 1 or words[1] == "COMMAND" or words[1].startswith("-"):
            continue
        assert words[1] in COMMANDS, f"{page.name}: {span}"
        known = {name for each in COMMANDS[words[1]].params for name in (*each.opts, *each.secondary_opts)}
        options = {word.partition("=")[0] for word in words[2:] if word.startswith("-")}
        assert options <= {*known, "--help"}, f"{page.name}: {span}"


@BY_NAME
def test_options_in_sentences_exist(page: Path) -> None:
    known = {
        name for each in COMMANDS.values() for option in each.params for name in (*option.opts, *option.secondary_opts)
    }
    of_scripts = {"--images"}
    named = {span.split()[0] for span in code_spans(page) if span.startswith("--")}
    of_slurm = {"--mem", "--cpus-per-task", "--exclusive"}
    assert named <= known | of_scripts | of_slurm | {"--help"}


@BY_NAME
def test_files_of_the_repository_that_are_named_exist(page: Path) -> None:
    for span in code_spans(page):
        first = span.split()[0]
        if re.match(r"(scripts|studies|tests|\.ci)/[\w./-]*$", first):
            assert (ROOT / first).exists(), f"{page.name}: {span}"


@pytest.mark.parametrize("example", blocks("python"), ids=lambda example: example.place)
def test_every_python_block_compiles(example: Block) -> None:
    compile(example.text, example.place, "exec")


def test_only_known_languages_are_used() -> None:
    """So that no block escapes these tests by a misspelt mark."""
    marked = set()
    for page in PAGES:
        marked |= set(re.findall(r"^```(\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert marked <= {"toml", "python", "bibtex", "bash", "yaml"}


def test_what_the_api_page_names_is_there() -> None:
    from greenopt import energy
    from greenopt.reading import EnergyReading

    text = (DOCS / "api.md").read_text(encoding="utf-8")
    section = text[text.index("## greenopt.energy") : text.index("A reading, the energy of a window")]
    for call in re.findall(r"^\| `(\w+)\((.*?)\)`", section, re.MULTILINE):
        target = getattr(energy, call[0])
        known = inspect.signature(target).parameters
        for name in re.findall(r"(\w+)(?:=[\w.]+)?(?:, |$)", call[1]):
            assert name in known, f"{call[0]}({name})"
    table = text[text.index("| attribute | meaning") : text.index("A meter never raises")]
    for names in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            assert name in EnergyReading.model_fields or hasattr(EnergyReading, name), name


def test_what_is_public_is_what_the_api_page_names() -> None:
    import greenopt
    from greenopt import energy

    text = (DOCS / "api.md").read_text(encoding="utf-8")
    section = text[text.index("## greenopt.energy") : text.index("A reading, the energy of a window")]
    assert {name for name in re.findall(r"`(\w+)[(`]", section) if hasattr(energy, name)} == set(energy.__all__)
    named = set(re.findall(r"^\| `(?:study\.)?(\w+)", text[: text.index("## Meter a function")], re.MULTILINE))
    members = {name for name in vars(greenopt.Study) if not name.startswith("_")} | {"path"}
    assert named == {"run_study", "load_study", *members} - {"path", "spec"}
    assert {name for name in greenopt.__all__ if name not in text} == {"__version__"}


def test_the_arguments_of_running_a_study_are_those_of_the_api_page() -> None:
    import greenopt

    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for function in (greenopt.run_study, greenopt.load_study):
        (given,) = re.findall(rf"^\| `{function.__name__}\((.*?)\)` \|", text, re.MULTILINE)
        assert re.findall(r"(\w+)(?:=[^,]+)?(?:, |$)", given.replace("*, ", "")) == list(
            inspect.signature(function).parameters
        )


def test_what_the_api_page_says_of_a_trial_is_there() -> None:
    from greenopt.trial.objective import Trial

    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in re.findall(r"`trial\.(\w+)\(", text):
        assert callable(getattr(Trial, name)), name
    (arguments,) = re.findall(r"`trial\.end_epoch\((.*?)\)`", text)
    for name in re.findall(r"(\w+)=None", arguments):
        assert name in inspect.signature(Trial.end_epoch).parameters, name
    for name in ("params", "epochs", "seed"):
        assert f"`trial.{name}`" in text
