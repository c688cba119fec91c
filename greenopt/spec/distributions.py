"""Distributions of one parameter: a list of values, or a range of numbers."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from greenopt.spec.steps import last_value, steps_between, value_at_step

Value: TypeAlias = str | bool | int | float


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

    def value_at(self, index: int) -> Value:
        """Return the value at a place of the list."""
        return self.values[index]


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
        found = [
            InitErrorDetails(type=PydanticCustomError("range", "{line}", {"line": line}), loc=(), input=line)
            for line in self._problems()
        ]
        if found:
            raise ValidationError.from_exception_data("range", found)
        return self

    def _problems(self) -> Iterator[str]:
        is_ordered = self.low < self.high
        if not is_ordered:
            yield "low must be below high"
        if self.step is not None and self.step <= 0:
            yield "the step must be above 0"
        if self.log and self.step is not None:
            yield "give log = true or a step, not both"
        if self.log and self.low <= 0:
            yield "low must be above 0 when log = true"
        if not math.isfinite(float(self.high) - float(self.low)):
            yield "high - low must be below 1.8e308"
        elif is_ordered and self._has_too_many_steps():
            yield "the step must be larger: there would be more than 2**53 values"

    def _has_too_many_steps(self) -> bool:
        return self.step is not None and self.step > 0 and steps_between(self.low, self.high, self.step) > MAX_STEPS

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

    def value_at(self, index: int) -> Value:
        """Return the value so many steps above the lower bound; of a range whose values are countable."""
        value = value_at_step(self.low, self.step or 1, index)
        return int(value) if self.is_integer else float(value)


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
