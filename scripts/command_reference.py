"""The reference of commands, made from the command line: calls, arguments, options, defaults, help."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from greenopt.cli import app
from scripts.reference_tables import UndescribedError, markdown_table


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command's name and click's view of it."""
    yield from typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]


def command_list() -> str:
    """Return a table of the commands: how each is called, and what it does."""
    rows = [(f"[`greenopt {name}`](#greenopt-{name})", _summary(command)) for name, command in commands()]
    return markdown_table(("command", "what it does"), rows)


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
    table = markdown_table(("argument or option", "takes", "default", "meaning"), rows)
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
