"""Filtering and sorting of trials."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from greenopt.errors import UsageError

_TERM = re.compile(r"([A-Za-z_][\w.]*)(<=|>=|!=|=|<|>)(.*)")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Condition = Callable[[Mapping[str, Any], str], bool]


class TrialFilter:
    """A filter of words and comparisons separated by blanks: `accuracy>0.5 optimizer=SGD memory`. All must hold."""

    def __init__(self, text: str = "", known: Iterable[str] = ()) -> None:
        """Read a filter.

        Args:
            text: as typed; empty lets all through.
            known: names that can be compared.

        Raises:
            UsageError: a name is unknown, or `<` and `>` are not followed by a number.
        """
        self.text = text.strip()
        names = set(known)
        self._conditions = [_condition(term, names) for term in self.text.split()]

    def lets_through(self, row: Mapping[str, Any], state: str) -> bool:
        """Return whether a trial is shown; `state` is its state in words."""
        return all(condition(row, state) for condition in self._conditions)


def _condition(term: str, known: set[str]) -> Condition:
    match = _TERM.fullmatch(term)
    if match is None:
        word = term.lower()
        return lambda row, state: word in _searched(row, state)
    name, sign, asked = match.groups()
    if name not in known and name != "state":
        raise UsageError(f"{name}: unknown column; known: state, {', '.join(sorted(known))}")
    if sign in ("=", "!="):
        return lambda row, state: _equals(state if name == "state" else row.get(name), asked) == (sign == "=")
    try:
        bound = float(asked)
    except ValueError:
        raise UsageError(f"{term}: {sign} needs a number") from None
    compare = _COMPARISONS[sign]
    return lambda row, _: isinstance(row.get(name), int | float) and compare(row[name], bound)


def _equals(value: Any, asked: str) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return bool(value == float(asked))
        except ValueError:
            return False
    return str(value).lower() == asked.lower()


def _searched(row: Mapping[str, Any], state: str) -> str:
    text = (value for value in row.values() if isinstance(value, str))
    return " ".join((state, f"#{row['trial']}", *text)).lower()


def ordered(rows: Iterable[Mapping[str, Any]], column: str, *, falling: bool) -> Sequence[Mapping[str, Any]]:
    """Sort rows by one column, those without a value last; ties by number."""
    having: list[Mapping[str, Any]] = []
    lacking: list[Mapping[str, Any]] = []
    for row in rows:
        (having if row.get(column) is not None else lacking).append(row)
    numeric = all(isinstance(row[column], int | float) for row in having)
    having.sort(key=lambda row: row["trial"])
    having.sort(key=lambda row: row[column] if numeric else str(row[column]), reverse=falling)
    return [*having, *lacking]
