"""Whether a study file still describes the study that was begun: compared by meaning, key by key.

Invariant: what changes the meaning of recorded values is a difference; what does not (reordered tables and keys, 1 and
1.0, a default written out, a path that leads to the same file) is none, and the study goes on in the form in which it
was begun.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from greenopt.errors import UsageError
from greenopt.spec import TRIAL_LIMITS, Choice, DataSpec, Distribution, Range, SearchSpace, StudySpec, on_step

MAX_MESSAGE = 200
MAX_VALUE = 24
DEFAULT_SIDE = 32

_MAY_CHANGE = {
    "study": (
        *("name", "description", "trials", "baseline", "enqueue", "on_duplicate", "stop_after_equal_failures"),
        *("energy_budget_wh", "budget", "patience", "confirms", "extends", "seed", "split_seed", "training_seed"),
    ),
    "training": (*TRIAL_LIMITS, "keep_model"),
    "energy": ("country", "carbon_g_per_kwh", "price_per_kwh", "currency"),
}
_SEEDS = {"sampler": "study.seed", "split": "study.split_seed", "training": "study.training_seed"}


class Difference(NamedTuple):
    """The first key that changes what recorded values mean; a value that is not there is None."""

    key: str
    before: Any
    after: Any


def as_begun(begun: StudySpec, now: StudySpec, *, is_same_data: bool | None = None) -> StudySpec:
    """Return a study in the form in which it was begun: its objectives and its space in their first order.

    Ranges that became wider are those of now, where the study can go on with them as it is.

    Args:
        begun: the study as its storage has it.
        now: the study as its file has it now.
        is_same_data: whether the data's contents are known to be equal (or not), whatever their path; None where that
            is not known, and then paths are compared.

    Raises:
        UsageError: recorded values would mean something else; one line that names the key.
    """
    found = difference(begun, now, is_same_data=is_same_data)
    if found is not None:
        raise UsageError(_message(found, now.name))
    return now.model_copy(
        update={
            "study": now.study.model_copy(update={"extends": begun.study.extends}),
            "objectives": begun.objectives,
            "space": with_wider_ranges(begun, now),
        }
    )


def difference(begun: StudySpec, now: StudySpec, *, is_same_data: bool | None = None) -> Difference | None:
    """Return the first difference that changes what recorded values mean; None where there is none."""
    begun = begun.model_copy(update={"space": with_wider_ranges(begun, now)})
    before, after = dict(_meaning(begun)), dict(_meaning(now))
    if is_same_data is not None:
        before.pop("data.path", None)
        after.pop("data.path", None)
    for key in [*before, *(key for key in after if key not in before)]:
        if not _is_equal(before.get(key), after.get(key)):
            return Difference(key, before.get(key), after.get(key))
    return None


_FIXED_RANGES = ("qmc", "cmaes")
"""Samplers that go on with the ranges that a study was begun with."""


def with_wider_ranges(begun: StudySpec, now: StudySpec) -> SearchSpace:
    """Return the space in which a study was begun, with the ranges of now where those hold all of its values.

    Optuna takes another range of the same kind in the course of a study, but no other list of values.
    """
    keeps_ranges = begun.sampler.name in _FIXED_RANGES or now.sampler.name in _FIXED_RANGES
    if keeps_ranges or now.sampler.arguments.get("group") or begun.space.own != now.space.own:
        return begun.space
    wider = {
        name: after
        for name, before in begun.space.distributions.items()
        if isinstance(before, Range)
        and isinstance(after := now.space.distributions.get(name), Range)
        and is_wider(before, after)
    }
    # Built anew: a copy would keep what the old one has counted.
    return SearchSpace(
        own=begun.space.own,
        distributions={**begun.space.distributions, **wider},
        conditions=begun.space.conditions,
        defaults=begun.space.defaults,
    )


def is_wider(before: Range, after: Range) -> bool:
    """Return whether a range holds all values of another one of the same kind."""
    is_alike = (before.log, before.is_integer, before.step) == (after.log, after.is_integer, after.step)
    step = grid_step(before)
    is_on_grid = step is None or on_step(before.low, after.low, step) == before.low
    return is_alike and after.low <= before.low and before.high <= after.high and is_on_grid


def grid_step(distribution: Range) -> int | float | None:
    """Return the distance between two values of a range; None where it has none."""
    if distribution.step is None and distribution.is_integer and not distribution.log:
        return 1
    return distribution.step


def _meaning(spec: StudySpec) -> Iterator[tuple[str, Any]]:
    """Yield each key that matters with what it amounts to."""
    yield from ((f"objectives.{metric}", str(direction)) for metric, direction in spec.objectives.items())
    yield from ((key, getattr(spec.seeds, seed)) for seed, key in _SEEDS.items())
    for table in ("study", "training", "energy"):
        values = getattr(spec, table).model_dump(mode="json")
        yield from ((f"{table}.{key}", value) for key, value in values.items() if key not in _MAY_CHANGE[table])
    if spec.data is not None:
        yield from _data(spec.data)
    for name, distribution in spec.space.distributions.items():
        yield from _distribution(f"space.{name}", distribution)
        if name in spec.space.conditions:
            yield f"space.{name}.when", spec.space.condition_text(name)


def _data(data: DataSpec) -> Iterator[tuple[str, Any]]:
    for key, value in data.model_dump(mode="json").items():
        if key == "path" and value is not None:
            yield "data.path", str(Path(os.path.expanduser(value)).resolve())
        elif key == "image_size" and not data.name.is_own:
            yield "data.image_size", value or DEFAULT_SIDE
        else:
            yield f"data.{key}", value


def _distribution(key: str, distribution: Distribution) -> Iterator[tuple[str, Any]]:
    if isinstance(distribution, Choice):
        yield from ((f"{key}[{index}]", value) for index, value in enumerate(distribution.values))
        return
    yield f"{key}.low", distribution.low
    yield f"{key}.high", distribution.high
    yield (
        f"{key}.step",
        (distribution.step or 1) if distribution.is_integer and not distribution.log else (distribution.step),
    )
    yield f"{key}.log", distribution.log
    yield f"{key}, whole numbers", distribution.is_integer


def _is_equal(a: Any, b: Any) -> bool:
    """Return whether two values mean the same; true and 1 do not, 1 and 1.0 do."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _message(found: Difference, study: str) -> str:
    before, after = _shown(found.before), _shown(found.after)
    way_out = "put it back, or give the changed study another name with --name"
    text = f"{found.key}: {after}: study {study} was begun with {before}; {way_out}"
    if len(text) > MAX_MESSAGE:
        text = f"{_cut(found.key, 50)}: {after}: the study was begun with {before}; {way_out}"
    return text


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return _cut(str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"'), MAX_VALUE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
