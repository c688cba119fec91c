"""What a changed study file adds to a study that has begun, and what the trials that are there mean in it.

Invariant: a file that takes anything away adds nothing here; it is refused, with the key that differs. A trial keeps
every value that it was trained with; a parameter that is new has the value with which the trial was trained without it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from greenopt.errors import UsageError, shortened
from greenopt.identity.sameness import DEFAULT_SIDE, difference, grid_step, is_wider
from greenopt.spec import PARAMETERS, Choice, Distribution, Range, Setting, StudySpec, TrainingSpec, Value, on_step

MAX_TEXT = 120
"""Letters of what a file adds, in words."""


class Growth(NamedTuple):
    """The first key of `[space]` that adds something, and in words what all of them add."""

    key: str
    text: str


def growth(begun: StudySpec, now: StudySpec) -> Growth | None:
    """Return what a file adds to the space of a study, in a way that needs a study of its own.

    Args:
        begun: the study as it was begun.
        now: the study as its file has it now.

    Returns:
        None where nothing was added, or where more changed than what was added.
    """
    before, after = begun.space, now.space
    if before.own != after.own or not set(before.distributions) <= set(after.distributions):
        return None
    new = [name for name in after.distributions if name not in before.distributions]
    rest = {name: getattr(begun.training, name) for name in new if name in TrainingSpec.model_fields}
    update: dict[str, Any] = {"space": before, "training": now.training.model_copy(update=rest)}
    if "image_size" in new and begun.data is not None and now.data is not None:
        update["data"] = now.data.model_copy(update={"image_size": begun.data.image_size})
    if difference(begun, now.model_copy(update=update)) is not None:
        return None
    changes = {}
    for name, distribution in before.distributions.items():
        change = _added(distribution, after.distributions[name])
        if change is None:
            return None
        if not change and before.conditions.get(name) != after.conditions.get(name):
            condition = after.condition_text(name)
            change = f"is there only with {condition}" if condition else "is in every setting"
        changes[name] = change
    changes |= dict.fromkeys(new, "is new")
    found = {f"space.{name}": text for name, text in changes.items() if text}
    text = "; ".join(f"{key} {text}" for key, text in found.items())
    return Growth(next(iter(found)), shortened(text, MAX_TEXT)) if found else None


def _added(before: Distribution, after: Distribution) -> str | None:
    """Return in words what a parameter's values gained, empty where nothing; None where one was taken away."""
    if isinstance(before, Range):
        if not isinstance(after, Range) or not is_wider(before, after):
            return None
        is_same = (before.low, before.high) == (after.low, after.high)
        return "" if is_same else f"goes from {after.low:g} to {after.high:g}"
    if isinstance(after, Range):
        return "is a range" if all(_is_on(after, value) for value in before.values) else None
    ours, theirs = list(map(_kind, before.values)), list(map(_kind, after.values))
    if ours == theirs:
        return ""
    more = [value for value, kind in zip(after.values, theirs, strict=True) if kind not in ours]
    return f"has {', '.join(map(str, more))} more" if more and set(ours) <= set(theirs) else None


def _kind(value: Value) -> tuple[bool, Value]:
    return isinstance(value, bool), value


def _is_on(after: Range, value: Value) -> bool:
    """Return whether a value is one of a range's, on its steps."""
    if isinstance(value, bool | str) or not after.holds(value) or (after.is_integer and not isinstance(value, int)):
        return False
    step = grid_step(after)
    return step is None or on_step(value, after.low, step) == value


def setting_before(
    begun: StudySpec, now: StudySpec, values: Mapping[str, Any], inert: str, trial: int
) -> dict[str, Value]:
    """Return the setting that a trial of the begun study has in the space of now.

    Args:
        begun: the study as it was begun.
        now: the study as its file has it now.
        values: the trial's by parameter.
        inert: names of the parameters without effect in it, as recorded.
        trial: its number, for messages.

    Raises:
        UsageError: it was trained with a value that the space of now has no place for; one line.
    """
    space = now.space
    values = {name: value for name, value in values.items() if value is not None}
    for name in space.left_out(values):
        if name in values and name not in inert.split() and values[name] != _default(name, begun, now):
            raise UsageError(
                f"space.{name}.when: trial {trial} has {values[name]!r} where it would be left out, with effect; "
                "put the condition back, or give the changed study another name with --name"
            )
    found = {name: value for name, value in values.items() if name not in space.left_out(values)}
    known = {*begun.space.distributions} - {*begun.space.conditions}
    while lacking := [name for name in space.order if name in space.lacking(found) and name not in known]:
        name = lacking[0]
        value = _default(name, begun, now)
        if value is None or not space.distributions[name].holds(value):
            raise UsageError(_unknown_before(name, value, now))
        found[name] = value
    return found


def _default(name: str, begun: StudySpec, now: StudySpec) -> Value | None:
    """Return the value that a trial is trained with which does not have a parameter; None where that is not known."""
    if name in now.space.defaults:
        return now.space.defaults[name]
    if begun.space.own:
        return None
    if name in PARAMETERS:
        value: Value = Setting().model_dump(mode="json")[name]
        return value
    if name in TrainingSpec.model_fields:
        known: Value | None = getattr(begun.training, name)
        return known
    if name == "image_size" and begun.data is not None:
        return begun.data.image_size or (None if begun.data.name.is_own else DEFAULT_SIDE)
    return None


def _unknown_before(name: str, value: Value | None, now: StudySpec) -> str:
    if value is not None:
        listed = now.space.distributions[name]
        what = ", ".join(map(str, listed.values)) if isinstance(listed, Choice) else f"{listed.low} to {listed.high}"
        return f"space.{name}: the trials of study {now.name} ran with {value}, which is not among {what[:60]}; add it"
    return (
        f"space.{name}: is new, and with which value the trials of study {now.name} ran is not known; say it: "
        f"{name} = {{ values = [...], default = ... }}"
    )
