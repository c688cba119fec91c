"""The search space: for each hyperparameter a list of values, a range, or one fixed value.

Invariant: every value that can be drawn from a space is valid for the parameter it belongs to.
"""

import difflib
import keyword
import math
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, NamedTuple, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from greenopt.plain_text import printable
from greenopt.spec.conditions import Condition, Settings, has, is_listed, ordered, problems
from greenopt.spec.distributions import MAX_LISTED, Choice, Distribution, Range, Value, is_too_varied
from greenopt.spec.setting import PARAMETERS, Setting

__all__ = ["MAX_LISTED", "Check", "Choice", "Distribution", "Range", "SearchSpace", "Value", "is_too_varied"]

Check: TypeAlias = Callable[[str, Value, tuple[str | int, ...]], Value]
"""Returns a value of a parameter as it is kept, or raises with the location in the study file."""

_RANGED = {"batch_size": int, "lr": float, "optimizer_momentum": float}


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
            same = values[values.index(value)]
            is_same = type(same) is type(value)
            told = "is in the list twice" if is_same else f"counts as equal to {same!r}, which is in the list too"
            raise _fail(told, value, (parameter, index))
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
        details = [
            InitErrorDetails(
                type=PydanticCustomError("space", "{message}", {"message": each["msg"]}),
                loc=(parameter, *each["loc"]),
                input=each["input"] if each["loc"] else raw,
            )
            for each in error.errors()
        ]
        raise ValidationError.from_exception_data("space", details) from None


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


class _Given(NamedTuple):
    """A parameter as the study file gives it: its values or its range, on what it depends, and what it had before."""

    values: object
    when: object = None
    default: object = None


def _split(name: str, raw: object) -> _Given:
    """Take the condition, and a list of values, out of a parameter's table."""
    if not isinstance(raw, dict) or not {"when", "values", "default"} & raw.keys():
        return _Given(raw)
    beside = raw.get("when"), raw.get("default")
    rest = {key: value for key, value in raw.items() if key not in ("when", "values", "default")}
    if "values" not in raw:
        if not rest:
            raise _fail("needs values, or low and high", raw, (name,))
        return _Given(rest, *beside)
    if rest:
        more = ", ".join(map(printable, rest))
        raise _fail(f"beside values it takes `when` and `default` alone, not {more}", raw, (name,))
    values = raw["values"]
    if isinstance(values, dict):
        raise _fail("values is a list of values, or one value", raw, (name, "values"))
    return _Given(values, *beside)


def _parse_default(name: str, default: object, distribution: Distribution, *, is_free: bool) -> Value:
    """Read `default`: the value of one's own parameter in trials that ran before the file had it."""
    location = (name, "default")
    if not is_free:
        raise _fail("is for parameters of your own function; of this one it is known", default, location)
    value = _check_own(name, default, location)
    if not distribution.holds(value):
        raise _fail("is not among the parameter's values", default, location)
    return value


def _parse_condition(name: str, raw: object) -> dict[str, tuple[Value, ...]]:
    """Read `when`: a table of other parameters, each with a value or a list of values."""
    if not isinstance(raw, dict) or not raw:
        raise _fail('when is a table of other parameters: when = { optimizer = "SGD" }', raw, (name, "when"))
    found = {}
    for named, given in raw.items():
        values = given if isinstance(given, list) else [given]
        location = (name, "when", named)
        found[str(named)] = tuple(_check_own(named, value, (*location, i)) for i, value in enumerate(values))
    return found


def _check_conditions(conditions: Mapping[str, Condition], distributions: Mapping[str, Distribution]) -> None:
    """Raise ValidationError with all that is wrong with conditions, each with its location."""
    details = []
    for found in problems(conditions, distributions):
        at = (found.parameter, "when", found.named)
        kind = PydanticCustomError("space", "{message}", {"message": found.message})
        location = (
            at if found.place is None or len(conditions[found.parameter][found.named]) == 1 else (*at, found.place)
        )
        details.append(InitErrorDetails(type=kind, loc=location, input=found.value))
    if details:
        raise ValidationError.from_exception_data("space", details)


class SearchSpace(BaseModel):
    """Distributions by parameter name.

    Attributes:
        own: the parameters are those of the study's objective function, and not the ten.
        distributions: of the ten, one that is left out keeps the default of `Setting`; then further ones, in their
            order: fields of `[training]` and `[data]` that vary, and parameters of the user's own model.
        conditions: of the parameters that not every setting has.
        defaults: values of one's own parameters in trials that ran before the study had them, where the file says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    own: bool = False
    distributions: Mapping[str, Distribution]
    conditions: Mapping[str, Mapping[str, tuple[Value, ...]]] = {}
    defaults: Mapping[str, Value] = {}

    @field_validator("distributions")
    @classmethod
    def _complete(cls, given: Mapping[str, Distribution], info: ValidationInfo) -> Mapping[str, Distribution]:
        if info.data.get("own"):
            return given
        defaults = Setting().model_dump(mode="json")
        ten = {name: given.get(name) or Choice(values=(defaults[name],)) for name in PARAMETERS}
        return {**ten, **{name: d for name, d in given.items() if name not in ten}}

    @model_validator(mode="after")
    def _has_sound_conditions(self) -> Self:
        unknown = next((name for name in self.conditions if name not in self.distributions), None)
        if unknown is not None:
            raise PydanticCustomError("space", "{name}: unknown parameter", {"name": unknown})
        found = next(problems(self.conditions, self.distributions), None)
        if found is not None:
            where = {"at": f"{found.parameter}.when.{found.named}", "why": found.message}
            raise PydanticCustomError("space", "{at}: {why}", where)
        return self

    @classmethod
    def parse(
        cls,
        raw: Mapping[str, Any],
        *,
        own: bool = False,
        further: Mapping[str, Check] | None = None,
        passes_on: bool = False,
        fixed: Collection[str] = (),
        alone: bool = False,
    ) -> Self:
        """Read the `[space]` table of a study file.

        Args:
            raw: parameter name to a list of values, one value, or a table with `low`, `high` and `step` or `log`; a
                table may have `values` in their place, and `when` beside.
            own: the names are those of an objective function's parameters.
            further: other fields of the study file that may vary, with what checks a value.
            passes_on: whether any further name is a parameter of the user's own model.
            fixed: fields of the study file that may not vary.
            alone: whether conditions are not looked at, because the parameters that they name are not there.

        Raises:
            ValidationError: with the location inside the table.
        """
        parsed: dict[str, Distribution] = {}
        conditions: dict[str, dict[str, tuple[Value, ...]]] = {}
        defaults: dict[str, Value] = {}
        known = further or {}
        for name, given in raw.items():
            if name in fixed and not own:
                raise _fail("is the same for all trials: it stands in [training]", given, (name,))
            is_free = own or (name not in PARAMETERS and name not in known and passes_on)
            if is_free:
                _check_name(name, given)
            if is_free and not own and not (name.isidentifier() and not keyword.iskeyword(name)):
                raise _fail("is passed on to the model's function and cannot be a name there", given, (name,))
            if not is_free and name not in PARAMETERS and name not in known:
                raise _fail(_unknown(name, known), given, (name,))
            value, when, default = _split(name, given)
            check = _check_own if is_free else known.get(name, _check_value)
            if not isinstance(value, dict):
                parsed[name] = _parse_list(name, value if isinstance(value, list) else [value], check)
            elif name in known and not is_free:
                parsed[name] = _parse_further_range(name, value, check)
            else:
                parsed[name] = _parse_range(name, value, own=is_free)
            if isinstance(given, dict) and "when" in given:
                conditions[name] = _parse_condition(name, when)
            if isinstance(given, dict) and "default" in given:
                defaults[name] = _parse_default(name, default, parsed[name], is_free=is_free)
        if alone:
            return cls(own=own, distributions=parsed)
        _check_conditions(conditions, cls(own=own, distributions=parsed).distributions)
        return cls(own=own, distributions=parsed, conditions=conditions, defaults=defaults)

    @property
    def free(self) -> dict[str, Distribution]:
        """The parameters with more than one value."""
        return {name: d for name, d in self.distributions.items() if d.size > 1}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The parameters, those first that others depend on."""
        return ordered(tuple(self.distributions), self.conditions)

    @cached_property
    def settings(self) -> Settings:
        """The different settings, counted and numbered, of a space with conditions."""
        return Settings(self.distributions, self.conditions)

    def condition_text(self, name: str) -> str:
        """Return when a setting has a parameter, `optimizer = SGD or RMSProp`; empty where it always has."""
        return " and ".join(
            f"{named} = {' or '.join(map(str, values))}" for named, values in self.conditions.get(name, {}).items()
        )

    def is_left_out(self, name: str, setting: Mapping[Any, Any]) -> bool:
        """Return whether a setting does not have a parameter, as far as the values are known that it depends on."""
        return any(
            self.is_left_out(named, setting)
            or (setting.get(named) is not None and not is_listed(setting[named], values))
            for named, values in self.conditions.get(name, {}).items()
        )

    def left_out(self, setting: Mapping[Any, Any]) -> tuple[str, ...]:
        """Return the parameters that a setting does not have."""
        return tuple(name for name in self.conditions if self.is_left_out(name, setting))

    def trimmed(self, setting: Mapping[Any, Any]) -> dict[str, Any]:
        """Return what a setting has of the parameters, without those that are left out or have no value."""
        left_out = self.left_out(setting) if self.conditions else ()
        return {
            name: setting[name]
            for name in self.distributions
            if name not in left_out and not _is_missing(setting.get(name))
        }

    def whole(self, setting: Mapping[Any, Any]) -> dict[str, Any]:
        """Return a setting with exactly the parameters that it has; one without a value gets the baseline's."""
        found: dict[str, Any] = {}
        for name in self.order:
            if has(name, found, self.conditions):
                value = setting.get(name)
                found[name] = self.distributions[name].first if _is_missing(value) else value
        return {name: found[name] for name in self.distributions if name in found}

    def lacking(self, setting: Mapping[Any, Any]) -> tuple[str, ...]:
        """Return the parameters that a setting should have and has no value of."""
        return tuple(
            name
            for name in self.distributions
            if _is_missing(setting.get(name)) and not self.is_left_out(name, setting)
        )

    def holds(self, setting: Mapping[Any, Any]) -> bool:
        """Return whether a setting has all of its parameters, each with a value of the space."""
        if not self.conditions:
            return all(distribution.holds(setting.get(name)) for name, distribution in self.distributions.items())
        return not self.lacking(setting) and all(
            self.distributions[name].holds(value) for name, value in self.trimmed(setting).items()
        )

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
        if self.conditions:
            return self.settings.count
        return math.prod(d.size for d in self.distributions.values())

    @property
    def baseline(self) -> dict[str, Value]:
        """The first value of each parameter."""
        return self.whole({})


def _is_missing(value: object) -> bool:
    """Return whether a table's cell has no value."""
    return value is None or value != value  # a data frame's missing number is no number
