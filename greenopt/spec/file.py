"""Reading of study files in TOML, with one clear line for each error."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from greenopt.errors import ProblemsError, UsageError, one_line, shortened, shown
from greenopt.files import read_document
from greenopt.plain_text import printable
from greenopt.shipped import shipped_studies
from greenopt.spec.budget import replaced
from greenopt.spec.objectives import Metric, known_figures
from greenopt.spec.setting import PARAMETERS
from greenopt.spec.space import SearchSpace
from greenopt.spec.study import StudySpec, listed, parse_space


def load_study(
    path: Path,
    overrides: dict[str, Any] | None = None,
    budgets: Sequence[str] = (),
    *,
    folder: Path | None = None,
) -> StudySpec:
    """Read and validate a study file.

    Args:
        path: a TOML file; its stem names the study unless the file does.
        overrides: values by dotted key (`study.trials`) or whole tables (`sampler`) that replace those of the file.
        budgets: budgets that replace those of the same kind in the file.
        folder: what its paths are relative to; the file's folder unless given.

    Raises:
        UsageError: a line for each error, with file, key, value and what would be right.
    """
    raw = read_study_file(path)
    return study_of(raw, path, (folder or path.parent).resolve(), name=path.stem, overrides=overrides, budgets=budgets)


def overrides_of(sampler: str | None, **values: object) -> dict[str, Any]:
    """Return the overrides of `load_study` for what was given beside a study; None was not given.

    Args:
        sampler: a sampler by name, without arguments.
        values: by dotted key, with `__` for the dot: `study__trials`.
    """
    found: dict[str, Any] = {key.replace("__", "."): value for key, value in values.items() if value is not None}
    return found if sampler is None else {**found, "sampler": {"name": sampler}}


def study_of(
    raw: dict[str, Any],
    where: Path,
    folder: Path,
    *,
    name: str | None = None,
    overrides: dict[str, Any] | None = None,
    budgets: Sequence[str] = (),
) -> StudySpec:
    """Validate the tables of a study.

    Args:
        raw: the tables by name; changed.
        where: what messages call them: the study's file.
        folder: where its data and modules are looked for first.
        name: the study's name where neither the tables nor `overrides` have one.
        overrides: see `load_study`.
        budgets: see `load_study`.

    Raises:
        UsageError: a line for each error, with `where`, key, value and what would be right.
    """
    for key, value in (overrides or {}).items():
        table, _, field = key.partition(".")
        if not field:
            raw[table] = value
        elif isinstance(raw.setdefault(table, {}), dict):
            raw[table][field] = value
    if isinstance(raw.get("study"), dict):
        if budgets:
            replaced(raw["study"], budgets)
        if raw["study"].setdefault("name", name) is None:
            raise UsageError(f"{where}: study.name: is missing; a study that is no file needs one")
    if "modules_folder" in raw:
        raise UsageError(f"{where}: modules_folder: unknown key; it follows from where the file is")
    _place(raw, folder)
    try:
        return StudySpec.model_validate(raw)
    except ValidationError as error:
        raise ProblemsError([f"{where}: {problem}" for problem in describe_all(error, raw)]) from None


def stored_study(kept: object, study: str) -> StudySpec:
    """Return the study that a storage keeps.

    Args:
        kept: its specification, as `model_dump(mode="json")` gave it.
        study: its name, for the message.

    Raises:
        UsageError: it is damaged, or of a version that cannot be read.
    """
    try:
        return StudySpec.model_validate(kept)
    except ValidationError as error:
        raise UsageError(f"study {study}: what its storage keeps of its file is damaged: {describe(error)}") from None


def read_study_file(path: Path) -> dict[str, Any]:
    """Return the tables of a study file, not validated.

    Raises:
        UsageError: it cannot be read, or is no TOML.
    """
    try:
        # With or without the mark that Windows's editors put before UTF-8.
        return tomllib.loads(read_document(path).decode("utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file; give the path of a study file, or one that comes along: "
            f"{', '.join(shipped_studies())}"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start}: is not UTF-8; save it in that encoding") from None
    except RecursionError:
        raise UsageError(f"{path}: is nested too deeply; a study file has tables of lists and values") from None
    except ValueError as error:
        # Not of TOML alone: an integer of thousands of digits is one of Python's.
        raise UsageError(f"{path}: not valid TOML: {one_line(str(error), 100)}") from None


def _place(raw: dict[str, Any], folder: Path) -> None:
    """Make the paths of a study absolute: of data, weights and modules, relative to its file, then to this folder.

    A path that leads nowhere stays as it is, for the message about it.
    """
    data = raw.get("data")
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        data["path"] = _placed(data["path"], folder)
    training = raw.get("training")
    weights = training.get("weights") if isinstance(training, dict) else None
    if isinstance(training, dict) and isinstance(weights, str) and weights != "imagenet":
        training["weights"] = _placed(weights, folder)
    for table, key in (("study", "objective"), ("training", "model"), ("space", "model"), ("training", "callbacks")):
        values = raw.get(table)
        for reference in listed(values.get(key)) if isinstance(values, dict) else []:
            if not isinstance(reference, str) or ":" not in reference:
                continue
            module = folder.joinpath(*reference.partition(":")[0].split("."))
            if os.path.isfile(f"{module}.py") or os.path.isfile(module / "__init__.py"):
                raw["modules_folder"] = str(folder)


def _placed(text: str, folder: Path) -> str:
    given = Path(os.path.expanduser(text))
    places = (folder / given, Path.cwd() / given)
    return str(next((place.resolve() for place in places if os.path.exists(place)), text))


def describe(error: ValidationError) -> str:
    """Describe the first validation error as `key: value what is wrong`, and count the others."""
    details = error.errors()
    first = _describe_one(details[0])
    return first if len(details) == 1 else f"{first} (and {len(details) - 1} more)"


def describe_all(error: ValidationError, raw: dict[str, Any]) -> list[str]:
    """Describe every error of a study file, one line each, in the order of the file's tables.

    Args:
        error: what validation found; of the space, its first error only.
        raw: the file's tables.
    """
    details = error.errors()
    # Of a valid file's figures the study itself says what is wrong with them.
    found = _figure_problems(raw) if any(detail["loc"] for detail in details) else []
    for detail in details:
        is_space = detail["loc"][:1] == ("space",) and isinstance(raw.get("space"), dict)
        problems = _space_problems(raw) if is_space else []
        # Where [study] is wrong too, the space was read as that of another kind of study.
        is_of_another_kind = is_space and not problems and _has_objective(raw) and len(details) > 1
        found += problems or ([] if is_of_another_kind else [_describe_one(detail)])
    return list(dict.fromkeys(found + _problems_between_tables(details, raw)))


def _problems_between_tables(details: Sequence[ErrorDetails], raw: dict[str, Any]) -> list[str]:
    """Describe what is wrong between the tables of a file of which single keys are wrong too.

    Unknown keys, and wrong values in the lists of a space, are left out of what is compared. Where anything else is
    wrong there is nothing to compare: a default in its place might be what does not fit.
    """
    rest = deepcopy(raw)
    for detail in details:
        *place, last = detail["loc"] or ("",)
        if place[:1] == ["space"] and isinstance(rest.get("space"), dict):
            continue
        table: Any = rest
        for part in place:
            table = table.get(str(part), {}) if isinstance(table, dict) else {}
        if detail["type"] != "extra_forbidden" or not isinstance(table, dict) or last not in table:
            return []
        del table[str(last)]
    space = rest["space"] if isinstance(rest.get("space"), dict) else {}
    for name, given in space.items():
        if not _parameter_problems(name, given, raw):
            continue
        values = given if isinstance(given, list) else []
        right = [value for value in values if not _parameter_problems(name, [value], raw)]
        if not right or _parameter_problems(name, right, raw):
            return []
        space[name] = right
    try:
        StudySpec.model_validate(rest)
    except ValidationError as error:
        found = error.errors()
        return [_describe_one(detail) for detail in found] if not any(detail["loc"] for detail in found) else []
    return []


def _has_objective(raw: dict[str, Any]) -> bool:
    study = raw.get("study")
    return isinstance(study, dict) and study.get("objective") is not None


def _figure_problems(raw: dict[str, Any]) -> list[str]:
    """Describe the objectives that are no figures of a trial."""
    objectives = raw.get("objectives")
    if not isinstance(objectives, dict) or _has_objective(raw):
        return []
    unknown = (name for name in objectives if name not in tuple(Metric))
    return [f"{_dotted(['objectives', name])}: unknown figure; {known_figures(name)}" for name in unknown]


def _space_problems(raw: dict[str, Any]) -> list[str]:
    """Describe the errors of a search space parameter by parameter, and of a list value by value."""
    found: list[str] = []
    for name, given in raw["space"].items():
        problems = _parameter_problems(name, given, raw)
        if isinstance(given, list) and any(problem.startswith(f"space.{name}[") for problem in problems):
            each = [_parameter_problems(name, [value], raw) for value in given]
            single = [
                problem.replace(f"{name}[0]", f"{name}[{index}]", 1)
                for index, listed in enumerate(each)
                for problem in listed
            ]
            problems = single or problems
        found += problems
    if not found:
        try:
            _parsed_space(raw["space"], raw)
        except ValidationError as error:
            found += [_describe_one({**detail, "loc": ("space", *detail["loc"])}) for detail in error.errors()]
    return list(dict.fromkeys(found))


def _parameter_problems(name: str, given: Any, raw: dict[str, Any]) -> list[str]:
    try:
        _parsed_space({name: given}, raw, alone=True)
    except ValidationError as error:
        return [_describe_one({**detail, "loc": ("space", *detail["loc"])}) for detail in error.errors()]
    except (TypeError, ValueError):
        return []
    return []


def _parsed_space(part: dict[str, Any], raw: dict[str, Any], *, alone: bool = False) -> SearchSpace:
    """Parse a part of a file's search space."""
    training = raw.get("training")
    models = [training.get("model") if isinstance(training, dict) else None, *listed(raw["space"].get("model"))]
    return parse_space(part, own=_has_objective(raw), models=models, alone=alone)


def _describe_one(detail: ErrorDetails) -> str:
    location = [part for part in detail["loc"] if not _is_kind(part)]
    key = _dotted(location)
    message = detail["msg"].removeprefix("Value error, ")
    match detail["type"]:
        case "missing":
            return f"{key}: is missing"
        case "extra_forbidden":
            return f"{key}: unknown key{_known_keys(location)}"
        case "too_short":
            return f"{key}: needs at least one"
        case "string_pattern_mismatch":
            message = "may hold letters, digits, '.', '_' and '-' only"
        case "enum" | "literal_error":
            message += _did_you_mean(detail["input"], re.findall(r"'([^']*)'", str(detail["msg"])))
    if message.startswith("unknown parameter"):
        message = (
            f"unknown parameter{_did_you_mean(location[-1], PARAMETERS) or message.removeprefix('unknown parameter')}"
        )
    value = detail["input"]
    if isinstance(value, dict) or not key:
        return f"{key}: {message}" if key else message
    return f"{key}: {shown(value)}: {message[:1].lower() + message[1:]}"


def _did_you_mean(given: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(given)[:100], list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _is_kind(part: int | str) -> bool:
    """Return whether a part of a location names one of several types that a key may have, and no key."""
    return part in ("int", "[key]") or str(part).startswith(("literal[", "constrained-int", "function-after["))


def _dotted(location: list[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{shortened(printable(part), 40)}"
    return text.removeprefix(".")


def _known_keys(location: list[int | str]) -> str:
    """Return the keys of the table at a location, the most similar first."""
    model: type[BaseModel] = StudySpec
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field is not None else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ""
        model = annotation
    known = list(model.model_fields)
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"
