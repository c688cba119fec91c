"""Conditions of a search space: which parameters a setting has, given the values of others.

A parameter with a condition is part of a setting where every parameter that it names has one of the values that it
lists; else it is left out. Invariant: conditions have no circle, so that a setting can be built parents first.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from greenopt.errors import shortened
from greenopt.spec.distributions import Choice, Distribution, Value

Condition: TypeAlias = Mapping[str, tuple[Value, ...]]
"""Parameter -> values, with one of which the conditioned parameter is part of a setting; all must hold."""

MAX_CASES = 10_000
"""Combinations of the values that conditions name, of parameters that depend on one another."""


class Problem(NamedTuple):
    """What is wrong with a condition: the conditioned parameter, the one it names, which value of its list, and why."""

    parameter: str
    named: str
    place: int | None
    value: object
    message: str


def problems(conditions: Mapping[str, Condition], distributions: Mapping[str, Distribution]) -> Iterator[Problem]:
    """Yield what is wrong with conditions on the parameters of a space."""
    sound = True
    for parameter, condition in conditions.items():
        for named, values in condition.items():
            for problem in _of_one(parameter, named, values, distributions):
                sound = False
                yield problem
    if not sound:
        return
    try:
        ordered(list(distributions), conditions)
    except CircleError as error:
        parameter = error.parameters[0]
        circle = shortened(" -> ".join([*error.parameters, parameter]), 80)
        named = next(iter(conditions[parameter]))
        yield Problem(parameter, named, None, conditions[parameter], f"depends on itself: {circle}")
        return
    for group in groups(distributions, conditions):
        named_ones = [name for name in group if any(name in condition for condition in conditions.values())]
        if math.prod(int(distributions[name].size) for name in named_ones) > MAX_CASES:
            parameter = next(name for name in group if name in conditions)
            message = f"there are more than {MAX_CASES:,} combinations of {shortened(', '.join(named_ones), 80)}"
            yield Problem(parameter, named_ones[0], None, conditions[parameter], message)


def _of_one(
    parameter: str, named: str, values: Sequence[Value], distributions: Mapping[str, Distribution]
) -> Iterator[Problem]:
    given = values[0] if len(values) == 1 else list(values)
    if named == parameter:
        yield Problem(parameter, named, None, given, "depends on itself")
    elif named not in distributions:
        yield Problem(parameter, named, None, given, "unknown parameter")
    elif not isinstance(distribution := distributions[named], Choice):
        yield Problem(parameter, named, None, given, "is a range; a condition is on a list of values")
    elif not values:
        yield Problem(parameter, named, None, given, "needs at least one value")
    else:
        for index, value in enumerate(values):
            if not is_listed(value, distribution.values):
                listed = shortened(", ".join(map(str, distribution.values)), 60)
                yield Problem(parameter, named, index, value, f"is not among the values of {named}: {listed}")


def is_listed(value: object, values: Collection[Value]) -> bool:
    """Return whether a value is one of a list; true and 1 are two."""
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in values)


class CircleError(Exception):
    """Parameters depend on one another in a circle."""

    def __init__(self, parameters: Sequence[str]) -> None:
        """Keep the parameters of the circle."""
        super().__init__(", ".join(parameters))
        self.parameters = parameters


def ordered(names: Sequence[str], conditions: Mapping[str, Condition]) -> tuple[str, ...]:
    """Return parameters with those first that others depend on, and else in their order.

    Raises:
        CircleError: they depend on one another in a circle.
    """
    found: dict[str, None] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise CircleError(path[path.index(name) :])
        if name in found:
            return
        for named in conditions.get(name, ()):
            add(named, (*path, name))
        found[name] = None

    for name in names:
        add(name, ())
    return tuple(found)


def groups(names: Collection[str], conditions: Mapping[str, Condition]) -> list[list[str]]:
    """Return parameters in groups that depend on one another, in their order; most are alone."""
    group_of = {name: [name] for name in names}
    for name, condition in conditions.items():
        for named in condition:
            if group_of[name] is not group_of[named]:
                joined = group_of[name] + group_of[named]
                group_of.update(dict.fromkeys(joined, joined))
    places = {name: place for place, name in enumerate(names)}
    different = {id(group): group for group in group_of.values()}
    return [sorted(group, key=places.__getitem__) for group in different.values()]


@dataclass(frozen=True)
class Settings:
    """The different settings of a space whose parameters have conditions: counts them, and numbers them from 0."""

    distributions: Mapping[str, Distribution]
    conditions: Mapping[str, Condition]

    @cached_property
    def _cases(self) -> list[list[tuple[dict[str, Value], list[str]]]]:
        """By group: values of the parameters that conditions name, and the other parameters that go with them."""
        named = {parent for condition in self.conditions.values() for parent in condition}
        order = ordered(list(self.distributions), self.conditions)
        found = []
        for group in groups(self.distributions, self.conditions):
            cases: list[dict[str, Value]] = [{}]
            for name in (each for each in order if each in group and each in named):
                cases = [longer for case in cases for longer in self._with_values(case, name)]
            leaves = [name for name in group if name not in named]
            found.append([(case, [name for name in leaves if has(name, case, self.conditions)]) for case in cases])
        return found

    def _with_values(self, case: dict[str, Value], name: str) -> list[dict[str, Value]]:
        """Return a case with each of a parameter's values; itself where it does not have the parameter."""
        distribution = self.distributions[name]
        assert isinstance(distribution, Choice)
        if not has(name, case, self.conditions):
            return [case]
        return [{**case, name: value} for value in distribution.values]

    @cached_property
    def _counts(self) -> list[list[float]]:
        """By group and case, how many settings there are."""
        return [
            [math.prod(self.distributions[name].size for name in leaves) for _, leaves in cases]
            for cases in self._cases
        ]

    @cached_property
    def count(self) -> float:
        """How many there are; infinite with a continuous range."""
        return math.prod(sum(counts) for counts in self._counts)

    def at(self, number: int) -> dict[str, Value]:
        """Return the setting of a number below the count, which is finite."""
        found: dict[str, Value] = {}
        for cases, counts in zip(self._cases, self._counts, strict=True):
            ends = list(accumulate(int(count) for count in counts))
            number, index = divmod(number, ends[-1])
            place = bisect_right(ends, index)
            values, leaves = cases[place]
            found |= values
            index -= ends[place] - int(counts[place])
            for name in leaves:
                index, at = divmod(index, int(self.distributions[name].size))
                found[name] = self.distributions[name].value_at(at)
        return {name: found[name] for name in self.distributions if name in found}


def has(name: str, setting: Mapping[str, Value], conditions: Mapping[str, Condition]) -> bool:
    """Return whether a setting has a parameter; the values of the parameters that it depends on are known."""
    return all(
        named in setting and is_listed(setting[named], values) for named, values in conditions.get(name, {}).items()
    )
