"""Settings as the columns of a design matrix, in each coding."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from greenopt.analysis.results import Coding
from greenopt.analysis.trials import effective
from greenopt.spec import Range, StudySpec, Value

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """A column of a design matrix.

    Attributes:
        parameter: None for the constant.
        value: the value that it marks; None for the constant and for the slope of a range.
        trials: how many trials have the value.
    """

    name: str
    parameter: str | None
    value: Value | None
    trials: int


@dataclass(frozen=True)
class Design:
    """A design matrix.

    Attributes:
        matrix: `(trials, columns)`.
        columns: what its columns stand for.
        reference: parameter -> the value whose column was left out.
        notes: what the reader must know, as sentences.
    """

    matrix: Matrix
    columns: tuple[Column, ...]
    reference: Mapping[str, Value] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def of_parameter(self) -> dict[str, list[int]]:
        """Parameter -> its columns."""
        found: dict[str, list[int]] = {}
        for index, column in enumerate(self.columns):
            if column.parameter is not None:
                found.setdefault(column.parameter, []).append(index)
        return found


def design_of(trials: "pd.DataFrame", spec: StudySpec, coding: Coding) -> Design:
    """The design matrix of these trials.

    A range of numbers is one column: its distance from the baseline's value, in powers of ten where the range is
    logarithmic.
    """
    constant = [] if coding is Coding.PAPER else [(np.ones(len(trials)), Column("const", None, None, len(trials)))]
    made = [*constant]
    reference: dict[str, Value] = {}
    notes: list[str] = []
    for parameter, distribution in spec.space.distributions.items():
        values = trials[_source(parameter, coding)]
        if isinstance(distribution, Range):
            if values.nunique() > 1:
                made.append(_slope(parameter, distribution, values))
                reference[parameter] = distribution.first
            continue
        levels = _levels(values, distribution.values)
        unseen = [value for value in distribution.values if value not in levels]
        if coding is Coding.PAPER:
            made += [_mark(parameter, level, values) for level in levels]
        elif len(levels) > 1 or (values.isna().any() and levels):
            compared = levels[0] if levels[0] == distribution.first else _commonest(values)
            reference[parameter] = compared
            made += [_mark(parameter, level, values) for level in levels if level != compared]
            if compared != distribution.first:
                notes.append(
                    f"{parameter}: the baseline's {distribution.first} is in no trial; compared with {compared}"
                )
        if unseen and distribution.size > 1 and coding is not Coding.EFFECTIVE:
            notes.append(f"{parameter}: no trial has {', '.join(map(str, unseen))}")
    matrix = np.column_stack([values for values, _ in made]) if made else np.empty((len(trials), 0))
    return Design(matrix, tuple(column for _, column in made), reference, tuple(notes))


def matched(
    design: Design, trials: "pd.DataFrame", spec: StudySpec, coding: Coding
) -> tuple[Matrix, "pd.Series[bool]"]:
    """Other trials in the columns of a design.

    Returns:
        The matrix of those trials whose every value the design knows, and which of the trials they are.
    """
    known = pd.Series(True, index=trials.index)
    for parameter, reference in design.reference.items():
        values = trials[_source(parameter, coding)]
        marked = [column.value for column in design.columns if column.parameter == parameter]
        if not isinstance(spec.space.distributions[parameter], Range):
            known &= values.isin([*marked, reference]) | values.isna()
    chosen = trials[known]
    made = []
    for column in design.columns:
        if column.parameter is None:
            made.append(np.ones(len(chosen)))
            continue
        values = chosen[_source(column.parameter, coding)]
        distribution = spec.space.distributions[column.parameter]
        made.append(
            _slope_values(distribution, values) if isinstance(distribution, Range) else _marks(column.value, values)
        )
    return np.column_stack(made), known


def _source(parameter: str, coding: Coding) -> str:
    return effective(parameter) if coding is Coding.EFFECTIVE else parameter


def _levels(values: "pd.Series[Any]", ordered: Sequence[Value]) -> list[Value]:
    """The values that occur, in the space's order."""
    occurring = set(values.dropna().unique())
    return [*(value for value in ordered if value in occurring), *sorted(occurring.difference(ordered), key=str)]


def _commonest(values: "pd.Series[Any]") -> Value:
    counted = values.value_counts()
    value: Any = counted.index[0]
    plain: Value = value.item() if hasattr(value, "item") else value
    return plain


def _mark(parameter: str, level: Value, values: "pd.Series[Any]") -> tuple[Matrix, Column]:
    marked = _marks(level, values)
    return marked, Column(f"{parameter}_{level}", parameter, level, int(marked.sum()))


def _marks(level: Value | None, values: "pd.Series[Any]") -> Matrix:
    return (values == level).to_numpy().astype(np.float64)


def _slope(parameter: str, distribution: Range, values: "pd.Series[Any]") -> tuple[Matrix, Column]:
    name = f"log10_{parameter}" if distribution.log else parameter
    return _slope_values(distribution, values), Column(name, parameter, None, len(values))


def _slope_values(distribution: Range, values: "pd.Series[Any]") -> Matrix:
    """Distance from the baseline's value; 0 where the parameter does nothing."""
    numbers = values.to_numpy(dtype=float)
    start = float(distribution.low)
    return np.nan_to_num(np.log10(numbers) - math.log10(start) if distribution.log else numbers - start)
