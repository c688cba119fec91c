"""The reference of study files, made from the schema: keys with type, bounds, unit, default and description."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from greenopt.search.samplers import SAMPLERS
from greenopt.spec import Direction, Metric, StudySpec
from scripts.reference_tables import UndescribedError, markdown_table

UNITS = {"_wh": "Wh", "_w": "W", "_s": "s", "_hz": "Hz", "_bytes": "bytes"}
"""Unit of a key by the end of its name, where its description names none."""


INTERNAL = "Set by greenopt"
"""A description that begins so is of a field that no study file has."""


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Return the descriptions of a model's keys, which are the strings below its fields in its source.

    Fields that no file has are left out; their description begins with `INTERNAL`.

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
    return {name: text for name, text in found.items() if not text.startswith(INTERNAL)}


def keys_table(model: type[BaseModel]) -> str:
    """Return a table of a model's fields: key, what it takes with its unit, default, meaning."""
    descriptions = field_docs(model)
    properties = model.model_json_schema()
    rows = []
    for name, field in model.model_fields.items():
        if name not in descriptions:
            continue
        meaning, unit = _split_unit(name, descriptions[name])
        takes = _takes(properties["properties"][name], properties.get("$defs", {}))
        rows.append((f"`{name}`", f"{takes}; {unit}" if unit else takes, _default(field), meaning))
    return markdown_table(("key", "takes", "default", "meaning"), rows)


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
    if schema["type"] == "array" and schema.get("items", {}).get("type") == "string":
        return "list of texts"
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
            "greenopt's own" if entry.is_own else f"`{entry.class_name}`",
            "one or more" if entry.several_objectives else "one",
            ", ".join(f"`{key} = {_toml(value)}`" for key, value in entry.defaults.items()) or "–",
            f"needs {' and '.join(entry.modules)}: `pip install 'greenopt[{entry.extra}]'`" if entry.extra else "–",
        )
        for name, entry in SAMPLERS.items()
    ]
    return markdown_table(("name", "class in Optuna", "objectives", "defaults that differ", "extra packages"), rows)


def objectives_table() -> str:
    """Return a table of the metrics that can be objectives."""
    spec = StudySpec.model_fields["objectives"].get_default()
    directions = ", ".join(f'`"{direction}"`' for direction in Direction)
    rows = [
        (f"`{metric}`", directions, f'`"{spec[metric]}"`' if metric in spec else "not an objective")
        for metric in Metric
    ]
    return markdown_table(("key", "takes", "default"), rows)


def tables_list() -> str:
    """Return a list of the tables of a study file."""
    return "\n".join(
        f"- [`[{name}]`](#{name}): {text[:1].lower()}{text[1:]}" for name, text in field_docs(StudySpec).items()
    )
