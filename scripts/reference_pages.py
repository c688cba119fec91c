"""Writes the generated parts of the documentation: the keys of a study file, and the commands.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; what stands around it is written by hand.
`scripts/docs` runs this; a test compares the pages with what it would write.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from greenopt.cli import app
from greenopt.search.samplers import SAMPLERS
from greenopt.spec import Direction, Metric, Range, Setting, StudySpec
from greenopt.spec.study import Confirms, DataSpec, EnergySpec, SamplerSpec, StudyTable, TrainingSpec

DOCS = Path(__file__).parents[1] / "greenopt" / "docs"
UNITS = {"_wh": "Wh", "_w": "W", "_s": "s", "_hz": "Hz", "_bytes": "bytes"}
"""Unit of a key by the end of its name, where its description names none."""

_PART = re.compile(r"<!-- generated: (?P<name>[\w.-]+) -->\n.*?<!-- end -->", re.DOTALL)


class UndescribedError(Exception):
    """A key or option has no description."""


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Return the descriptions of a model's fields, which are the strings below them in its source.

    Raises:
        UndescribedError: a field has none.
    """
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    missing = [name for name in model.model_fields if name not in found]
    if missing:
        raise UndescribedError(
            f"{model.__name__}.{missing[0]} has no description: write one as a string below the field"
        )
    return found


def keys_table(model: type[BaseModel]) -> str:
    """Return a table of a model's fields: key, what it takes with its unit, default, meaning."""
    descriptions = field_docs(model)
    properties = model.model_json_schema()
    rows = []
    for name, field in model.model_fields.items():
        meaning, unit = _split_unit(name, descriptions[name])
        takes = _takes(properties["properties"][name], properties.get("$defs", {}))
        rows.append((f"`{name}`", f"{takes}; {unit}" if unit else takes, _default(field), meaning))
    return _table(("key", "takes", "default", "meaning"), rows)


def _split_unit(name: str, text: str) -> tuple[str, str]:
    """Return a description without its sentence `Unit: ...`, and the unit, which its name may tell too."""
    meaning, _, unit = text.partition(" Unit: ")
    by_name = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
    return meaning, unit.removesuffix(".") or by_name


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", ()):
        return "–"
    return f"`{_toml(value)}`"


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case int() if value >= 1_000_000:
            return f"{value:_}"
    return str(value)


def _takes(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return what a JSON schema allows, in words."""
    if "$ref" in schema:
        return _takes(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "allOf" in schema:
        return _takes(schema["allOf"][0], definitions)
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        words = list(dict.fromkeys(_takes(option, definitions) for option in options))
        return "number" if words == ["whole number", "number"] else " or ".join(words)
    if "enum" in schema:
        return ", ".join(f'`"{value}"`' for value in schema["enum"])
    if "const" in schema:
        return f'`"{schema["const"]}"`'
    kinds = {
        "string": "text",
        "boolean": "`true`, `false`",
        "integer": "whole number",
        "number": "number",
        "array": "list of tables",
        "object": "table",
    }
    return " ".join([kinds[schema["type"]], *_bounds(schema)])


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    text = ", ".join(f"{sign} {_bound(schema[key])}" for key, sign in signs.items() if key in schema)
    if text:
        yield text


def _bound(value: float) -> str:
    return "2^31" if value == 2**31 else f"{value:g}"


def samplers_table() -> str:
    """Return a table of the samplers: name, Optuna's class, objectives, what differs from Optuna's defaults."""
    rows = [
        (
            f"`{name}`",
            f"`{entry.class_name}`",
            "one or more" if entry.several_objectives else "one",
            ", ".join(f"`{key} = {_toml(value)}`" for key, value in entry.defaults.items()) or "–",
            f"needs {' and '.join(entry.modules)}" if entry.modules else "–",
        )
        for name, entry in SAMPLERS.items()
    ]
    return _table(("name", "class in Optuna", "objectives", "defaults that differ", "extra packages"), rows)


def objectives_table() -> str:
    """Return a table of the metrics that can be objectives."""
    spec = StudySpec.model_fields["objectives"].get_default()
    directions = ", ".join(f'`"{direction}"`' for direction in Direction)
    rows = [
        (f"`{metric}`", directions, f'`"{spec[metric]}"`' if metric in spec else "not an objective")
        for metric in Metric
    ]
    return _table(("key", "takes", "default"), rows)


def tables_list() -> str:
    """Return a list of the tables of a study file."""
    return "\n".join(
        f"- [`[{name}]`](#{name}): {text[:1].lower()}{text[1:]}" for name, text in field_docs(StudySpec).items()
    )


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command's name and click's view of it."""
    yield from typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]


def command_list() -> str:
    """Return a table of the commands: how each is called, and what it does."""
    rows = [(f"[`greenopt {name}`](#greenopt-{name})", _summary(command)) for name, command in commands()]
    return _table(("command", "what it does"), rows)


def command_sections() -> str:
    """Return a section for each command: its call, its help, its arguments and options."""
    return "\n\n".join(_command_section(name, command) for name, command in commands())


def _summary(command: Any) -> str:
    return str(command.help).strip().splitlines()[0]


def _command_section(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    pieces = [_usage(piece) for piece in command.collect_usage_pieces(context)]
    paragraphs = [
        " ".join(part.split()) for part in re.split(r"\n\s*\n|\n(?=\s*Exit code)", inspect.cleandoc(command.help))
    ]
    rows = [
        _parameter(parameter, context, name) for parameter in command.params if not getattr(parameter, "hidden", False)
    ]
    table = _table(("argument or option", "takes", "default", "meaning"), rows)
    call = f"```\ngreenopt {name} {' '.join(pieces)}\n```"
    return "\n\n".join([f"### greenopt {name}", call, *paragraphs, table])


def _usage(piece: str) -> str:
    """Return a piece of a usage line as it is usually written: `STUDY`, `[PAGE]`, `[OPTIONS]`."""
    return piece.replace("{", "").replace("}", "").upper()


_METAVARS = {"str": "text", "path": "path", "int": "whole number", "float": "number"}


def _parameter(parameter: Any, context: Any, command: str) -> tuple[str, ...]:
    left, text = parameter.get_help_record(context)
    names, _, metavar = left.partition(" <")
    text, _, extras = text.partition("  [") if text.endswith("]") else (text, "", "")
    if not text:
        raise UndescribedError(f"{command} {names} has no help text")
    known = dict(part.partition(": ")[::2] for part in extras.removesuffix("]").split("; "))
    variable = known.get("env var")
    default = "required" if parameter.required else f"`{known['default']}`" if "default" in known else "–"
    bounds = next((part for part in known if "x" in part and "=" in part), "")
    if parameter.param_type_name == "argument":
        names = names.upper()
    takes = _metavar(metavar.removesuffix(">"), bounds)
    meaning = f"{text} Environment variable: `{variable}`." if variable else text
    return (f"`{names}`", takes, default, meaning)


def _metavar(metavar: str, bounds: str) -> str:
    if not metavar:
        return "flag"
    chosen = metavar.removeprefix("list[").removesuffix("]")
    again = "; may be given again" if chosen != metavar else ""
    if "|" in chosen:
        return ", ".join(f"`{value}`" for value in chosen.split("|")) + again
    words = _METAVARS[chosen.removesuffix(" range")]
    if match := re.fullmatch(r"x>=(\d+)", bounds):
        return f"{words} ≥ {match[1]}"
    if match := re.fullmatch(r"(\d+)<=x<=(\d+)", bounds):
        return f"{words} from {match[1]} to {match[2]}"
    return words + again


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PARTS: dict[str, Callable[[], str]] = {
    "tables": tables_list,
    "study": lambda: keys_table(StudyTable),
    "confirms": lambda: keys_table(Confirms),
    "objectives": objectives_table,
    "sampler": lambda: keys_table(SamplerSpec),
    "samplers": samplers_table,
    "data": lambda: keys_table(DataSpec),
    "training": lambda: keys_table(TrainingSpec),
    "energy": lambda: keys_table(EnergySpec),
    "space": lambda: keys_table(Setting),
    "range": lambda: keys_table(Range),
    "command-list": command_list,
    "commands": command_sections,
}


def regenerated(page: str) -> str:
    """Return a page with its generated parts made anew."""
    return _PART.sub(
        lambda match: f"<!-- generated: {match['name']} -->\n\n{PARTS[match['name']]()}\n\n<!-- end -->", page
    )


def main() -> None:
    """Write the generated parts into all pages."""
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = regenerated(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.name}: written anew")


if __name__ == "__main__":
    main()
