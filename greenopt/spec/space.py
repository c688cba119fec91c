"""The search space: for each hyperparameter a list of values, a range, or one fixed value.

Invariant: every value that can be drawn from a space is valid for the parameter it belongs to.
"""

import difflib
import keyword
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from greenopt.spec.setting import PARAMETERS, Setting
from greenopt.spec.steps import last_value, steps_between

Value: TypeAlias = str | bool | int | float

Check: TypeAlias = Callable[[str, Value, tuple[str | int, ...]], Value]
"""Returns a value of a parameter as it is kept, or raises with the location in the study file."""

_RANGED = {"batch_size": int, "lr": float, "optimizer_momentum": float}


class Choice(BaseModel):
    """A categorical parameter: any of these values, the first being the baseline's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: tuple[Value, ...] = Field(min_length=1)

    @property
    def first(self) -> Value:
        """The baseline's value."""
        return self.values[0]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def holds(self, value: object) -> bool:
        """Return whether it is one of the values."""
        return value in self.values


def _checked_bound(value: object) -> object:
    """Check a number of a range: whole, of at most 64 bits, or a finite fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("bound", "input should be a number")
    if isinstance(value, int) and not -(2**63) < value < 2**63:
        raise PydanticCustomError("bound", "a whole number of a range has at most 64 bits")
    if not math.isfinite(value):
        raise PydanticCustomError("bound", "input should be a finite number")
    return value


Bound: TypeAlias = Annotated[int | float, BeforeValidator(_checked_bound)]

MAX_STEPS = 2**53
"""Steps of a range up to which each of its values is a number of its own."""


class Range(BaseModel):
    """A numeric parameter between two bounds, both included.

    `step` and `log` exclude each other; an integer range without either has step 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: Bound
    """Lower bound, included. It is the baseline's value."""
    high: Bound
    """Upper bound, included."""
    step: Bound | None = None
    """Distance between two values. Whole numbers have step 1 unless `log` is true; other ranges are continuous unless a
    step is given."""
    log: bool = False
    """Whether values are drawn evenly on a logarithmic scale; not together with `step`."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise PydanticCustomError("range_order", "low must be below high")
        if self.step is not None and self.step <= 0:
            raise PydanticCustomError("range_step", "the step must be above 0")
        if self.log and self.step is not None:
            raise PydanticCustomError("range_step", "give log = true or a step, not both")
        if self.log and self.low <= 0:
            raise PydanticCustomError("range_log", "low must be above 0 when log = true")
        if not math.isfinite(float(self.high) - float(self.low)):
            raise PydanticCustomError("range_width", "high - low must be below 1.8e308")
        if self.step is not None and steps_between(self.low, self.high, self.step) > MAX_STEPS:
            raise PydanticCustomError("range_steps", "the step must be larger: there would be more than 2**53 values")
        return self

    @property
    def is_integer(self) -> bool:
        """Whether only whole numbers are drawn."""
        return all(isinstance(bound, int) for bound in (self.low, self.high, self.step or 0))

    @property
    def first(self) -> Value:
        """The baseline's value: the lower bound."""
        return self.low

    @property
    def size(self) -> float:
        """How many values there are; infinite where they are not countable."""
        step = 1 if self.is_integer and self.step is None else self.step
        return math.inf if step is None else steps_between(self.low, self.high, step) + 1

    @property
    def last(self) -> int | float:
        """The largest value that is drawn: below the upper bound where the step does not divide the range."""
        return self.high if self.step is None else last_value(self.low, self.high, self.step)

    def holds(self, value: object) -> bool:
        """Return whether it lies between the bounds; a step is not looked at."""
        return isinstance(value, int | float) and self.low <= value <= self.high


Distribution: TypeAlias = Choice | Range


MAX_LISTED = 10
"""Values of a parameter up to which each is looked at by itself, however few trials there are."""


def is_too_varied(values: Sequence[object], distribution: Distribution | None = None) -> bool:
    """Return whether most trials have a value of their own, so that the effects of values cannot be estimated.

    Args:
        values: a parameter's value in each trial; None where it has none.
        distribution: the parameter's; a range is one slope, whatever its values.
    """
    different = set(values) - {None}
    return not isinstance(distribution, Range) and len(different) > MAX_LISTED and 2 * len(different) > len(values)


MAX_NAME = 100
"""Letters of the name of a parameter of one's own."""


def _check_own(parameter: str, value: object, location: tuple[str | int, ...]) -> Value:
    """Check a value of an objective function's own parameter."""
    if isinstance(value, int | float) and not _is_finite(value):
        raise _fail("a number is finite and below 1.8e308", value, location)
    if isinstance(value, str | bool | int | float):
        return value
    raise _fail("a value is a text, a number, true or false", value, location)


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _check_name(name: str, value: object) -> None:
    """Check the name of an objective function's own parameter, which is also that of a column and of a keyword."""
    if not name.isprintable() or not name.strip() or len(name) > MAX_NAME:
        raise _fail(f"a parameter's name has 1 to {MAX_NAME} letters and no control characters", value, (name,))


def _check_value(parameter: str, value: Value, location: tuple[str | int, ...]) -> Value:
    """Return the value as `Setting` holds it, or raise with the location in the study file."""
    try:
        checked = getattr(Setting(**{parameter: value}), parameter)
    except ValidationError as error:
        first = error.errors()[0]
        detail = InitErrorDetails(
            type=PydanticCustomError("value", "{message}", {"message": first["msg"]}), loc=location, input=value
        )
        raise ValidationError.from_exception_data("space", [detail]) from None
    return str(checked) if isinstance(checked, str) else checked


def _unknown(name: str, further: Mapping[str, Check]) -> str:
    """Return what to say about a name that is no parameter: the most similar one, or all."""
    close = difflib.get_close_matches(name, [*PARAMETERS, *further], n=1)
    beside = (
        f"; these may vary too: {', '.join(further)}; others are passed on to a model of your own" if further else ""
    )
    if close:
        return f"unknown parameter; did you mean {close[0]}?"
    return f"unknown parameter; the ten are {', '.join(PARAMETERS)}{beside}"


def _fail(message: str, value: object, location: tuple[str | int, ...]) -> ValidationError:
    custom = PydanticCustomError("space", "{message}", {"message": message})
    return ValidationError.from_exception_data("space", [InitErrorDetails(type=custom, loc=location, input=value)])


def _parse_list(parameter: str, raw: list[Any], check: Check) -> Choice:
    values = tuple(check(parameter, value, (parameter, index)) for index, value in enumerate(raw))
    if not values:
        raise _fail("a list of values needs at least one", raw, (parameter,))
    for index, value in enumerate(values):
        if value in values[:index]:
            raise _fail("is in the list twice", value, (parameter, index))
    return Choice(values=values)


def _parse_further_range(parameter: str, raw: dict[str, Any], check: Check) -> Range:
    """Read the range of a field of the study file that varies: of the numbers that the field takes."""
    parsed = _range(parameter, raw)
    low, high = (check(parameter, getattr(parsed, bound), (parameter, bound)) for bound in ("low", "high"))
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in (low, high)):
        raise _fail("is not a number and takes a list of values", raw, (parameter,))
    if isinstance(low, float):
        step = None if parsed.step is None else float(parsed.step)
        return parsed.model_copy(update={"low": low, "high": float(high), "step": step})
    if not parsed.is_integer:
        raise _fail("a range of whole numbers has whole bounds and a whole step", raw, (parameter,))
    return parsed


def _range(parameter: str, raw: dict[str, Any]) -> Range:
    try:
        return Range.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise _fail(first["msg"], first["input"], (parameter, *first["loc"])) from None


def _parse_range(parameter: str, raw: dict[str, Any], *, own: bool) -> Range:
    if not own and parameter not in _RANGED:
        raise _fail(
            f"is not a number and takes a list of values; ranges are for {', '.join(_RANGED)}", raw, (parameter,)
        )
    parsed = _range(parameter, raw)
    if own:
        return parsed
    if _RANGED[parameter] is int and not parsed.is_integer:
        raise _fail("a range of whole numbers has whole bounds and a whole step", raw, (parameter,))
    for bound in ("low", "high"):
        _check_value(parameter, getattr(parsed, bound), (parameter, bound))
    if _RANGED[parameter] is float:
        step = None if parsed.step is None else float(parsed.step)
        parsed = parsed.model_copy(update={"low": float(parsed.low), "high": float(parsed.high), "step": step})
    return parsed


class SearchSpace(BaseModel):
    """Distributions by parameter name.

    Attributes:
        own: the parameters are those of the study's objective function, and not the ten.
        distributions: of the ten, one that is left out keeps the default of `Setting`; then further ones, in their
            order: fields of `[training]` and `[data]` that vary, and parameters of the user's own model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    own: bool = False
    distributions: Mapping[str, Distribution]

    @field_validator("distributions")
    @classmethod
    def _complete(cls, given: Mapping[str, Distribution], info: ValidationInfo) -> Mapping[str, Distribution]:
        if info.data.get("own"):
            return given
        defaults = Setting().model_dump(mode="json")
        ten = {name: given.get(name) or Choice(values=(defaults[name],)) for name in PARAMETERS}
        return {**ten, **{name: d for name, d in given.items() if name not in ten}}

    @classmethod
    def parse(
        cls,
        raw: Mapping[str, Any],
        *,
        own: bool = False,
        further: Mapping[str, Check] | None = None,
        passes_on: bool = False,
        fixed: Collection[str] = (),
    ) -> Self:
        """Read the `[space]` table of a study file.

        Args:
            raw: parameter name to a list of values, one value, or a table with `low`, `high` and `step` or `log`.
            own: the names are those of an objective function's parameters.
            further: other fields of the study file that may vary, with what checks a value.
            passes_on: whether any further name is a parameter of the user's own model.
            fixed: fields of the study file that may not vary.

        Raises:
            ValidationError: with the location inside the table.
        """
        parsed: dict[str, Distribution] = {}
        known = further or {}
        for name, value in raw.items():
            if name in fixed and not own:
                raise _fail("is the same for all trials: it stands in [training]", value, (name,))
            is_free = own or (name not in PARAMETERS and name not in known and passes_on)
            if is_free:
                _check_name(name, value)
            if is_free and not own and not (name.isidentifier() and not keyword.iskeyword(name)):
                raise _fail("is passed on to the model's function and cannot be a name there", value, (name,))
            if not is_free and name not in PARAMETERS and name not in known:
                raise _fail(_unknown(name, known), value, (name,))
            check = _check_own if is_free else known.get(name, _check_value)
            if not isinstance(value, dict):
                parsed[name] = _parse_list(name, value if isinstance(value, list) else [value], check)
            elif name in known and not is_free:
                parsed[name] = _parse_further_range(name, value, check)
            else:
                parsed[name] = _parse_range(name, value, own=is_free)
        return cls(own=own, distributions=parsed)

    @property
    def free(self) -> dict[str, Distribution]:
        """The parameters with more than one value."""
        return {name: d for name, d in self.distributions.items() if d.size > 1}

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each range whose last value is below its upper bound, because the step does not divide it."""
        ranges = {name: d for name, d in self.distributions.items() if isinstance(d, Range) and d.step is not None}
        return tuple(
            f"space.{name}: {each.low} to {each.high} in steps of {each.step}: the last value is {each.last}"
            for name, each in ranges.items()
            if each.last < each.high
        )

    @property
    def size(self) -> float:
        """How many different settings there are; infinite with a continuous range."""
        return math.prod(d.size for d in self.distributions.values())

    @property
    def baseline(self) -> dict[str, Value]:
        """The first value of each parameter."""
        return {name: d.first for name, d in self.distributions.items()}
