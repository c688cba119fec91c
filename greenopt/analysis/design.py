"""Settings as the columns of a design matrix, in each coding."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from greenopt.analysis.results import Coding
from greenopt.analysis.trials import effective
from greenopt.spec import Choice, Range, StudySpec, Value, is_too_varied

Matrix = npt.NDArray[np.float64]

NOTHING_NEW = 1e-9
"""Share of a column's length beyond all others, squared, below which it adds nothing."""
MAX_PRODUCTS = 400
"""Products of two parameters' columns, above which their interaction is not looked at: it takes minutes."""
MIN_IN_CELL = 3
"""Trials with both values of a pair, below which their interaction would only describe an outlier."""


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
class Pair:
    """Two parameters' interaction.

    Attributes:
        products: combinations of the products of their columns, `(trials, df)`; less their part inside the design they
            are orthonormal.
    """

    first: str
    second: str
    products: Matrix


@dataclass(frozen=True)
class Design:
    """A design matrix.

    Attributes:
        matrix: `(trials, columns)`.
        columns: what its columns stand for.
        reference: parameter -> the value whose column was left out.
        notes: what the reader must know, as sentences.
        possible: how many columns it would have with every value of the space.
        left_out: parameters of which most trials have a value of their own -> how many values there are.
    """

    matrix: Matrix
    columns: tuple[Column, ...]
    reference: Mapping[str, Value] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    possible: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def basis(self) -> Matrix:
        """Orthonormal columns that span the design, `(trials, rank)`."""
        return orthonormal_basis(self.matrix)

    @cached_property
    def null_space(self) -> Matrix:
        """Combinations of columns that add up to nothing, `(columns, columns - rank)`."""
        triangle = np.linalg.qr(self.matrix, mode="r")
        _, _, rows = np.linalg.svd(triangle, full_matrices=True)
        return np.asarray(rows[self.basis.shape[1] :].T)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair of parameters that says something beyond the design's own columns."""
        groups = list(self.of_parameter.items())
        return tuple(
            pair
            for index, (first, ours) in enumerate(groups)
            for second, theirs in groups[index + 1 :]
            if (pair := self._pair(first, second, ours, theirs)) is not None
        )

    def _pair(self, first: str, second: str, ours: Sequence[int], theirs: Sequence[int]) -> Pair | None:
        if len(ours) * len(theirs) > MAX_PRODUCTS:
            return None
        products = (self.matrix[:, ours, None] * self.matrix[:, None, theirs]).reshape(len(self.matrix), -1)
        products = products[:, np.count_nonzero(products, axis=0) >= MIN_IN_CELL]
        products = products / np.sqrt((products**2).sum(axis=0))
        known = self.basis.T @ products
        sizes, axes = np.linalg.eigh(products.T @ products - known.T @ known)
        new = sizes > NOTHING_NEW
        # Columns of length one, at right angles to one another and, once the design is taken off, to it.
        scaled = axes[:, new] / np.sqrt(sizes[new])
        return Pair(first, second, products @ scaled) if new.any() else None

    @property
    def of_parameter(self) -> dict[str, list[int]]:
        """Parameter -> its columns."""
        found: dict[str, list[int]] = {}
        for index, column in enumerate(self.columns):
            if column.parameter is not None:
                found.setdefault(column.parameter, []).append(index)
        return found


def orthonormal_basis(matrix: Matrix) -> Matrix:
    """Return orthonormal columns that span the same space."""
    left, sizes, _ = np.linalg.svd(matrix, full_matrices=False)
    tolerance = sizes.max(initial=0.0) * max(matrix.shape) * np.finfo(float).eps
    return np.asarray(left[:, sizes > tolerance])


def build_design(trials: "pd.DataFrame", spec: StudySpec, coding: Coding) -> Design:
    """Build the design matrix of the trials.

    A range of numbers is one column: its distance from the baseline's value, in powers of ten where the range is
    logarithmic.
    """
    constant = [] if coding is Coding.PAPER else [(np.ones(len(trials)), Column("const", None, None, len(trials)))]
    made = [*constant]
    reference: dict[str, Value] = {}
    notes: list[str] = []
    left_out: dict[str, int] = {}
    for parameter, distribution in spec.space.distributions.items():
        values = trials[_source(parameter, coding)]
        if isinstance(distribution, Range):
            if values.nunique() > 1:
                made.append(_slope(parameter, distribution, values))
                reference[parameter] = distribution.first
            continue
        if is_too_varied(values.dropna().tolist(), distribution):
            left_out[parameter] = values.nunique()
            notes.append(f"left out: {left_out_words(parameter, left_out[parameter], len(trials))}")
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
    notes += [text for name in spec.space.conditions if (text := _nested_words(name, spec, reference, made))]
    matrix = np.column_stack([values for values, _ in made]) if made else np.empty((len(trials), 0))
    columns = tuple(column for _, column in made)
    return Design(matrix, columns, reference, tuple(notes), _possible(spec, coding, left_out), left_out)


def _nested_words(
    parameter: str, spec: StudySpec, reference: Mapping[str, Value], made: Sequence[tuple[Matrix, Column]]
) -> str:
    """Say what the effects mean of a parameter that not every setting has; nothing where none is estimated."""
    if parameter not in reference or not any(column.parameter == parameter for _, column in made):
        return ""
    parents = ", ".join(spec.space.conditions[parameter])
    return (
        f"{parameter}: effects within {spec.space.condition_text(parameter)}, 0 elsewhere; those of {parents} are at "
        f"{parameter} = {reference[parameter]}"
    )


def left_out_words(parameter: str, values: int, trials: int) -> str:
    """Why a parameter cannot be estimated."""
    return f"{parameter} has {values} different values in {trials} trials, too many to estimate the effect of each"


def _possible(spec: StudySpec, coding: Coding, left_out: Collection[str]) -> int:
    """Return how many columns there are once every value of the space has occurred."""
    count = 0 if coding is Coding.PAPER else 1
    for parameter, distribution in spec.space.distributions.items():
        if isinstance(distribution, Choice) and parameter not in left_out:
            count += len(distribution.values) - (coding is not Coding.PAPER)
        elif isinstance(distribution, Range):
            count += 1
    return count


def matched(
    design: Design, trials: "pd.DataFrame", spec: StudySpec, coding: Coding
) -> tuple[Matrix, "pd.Series[bool]"]:
    """Encode other trials in the columns of a design.

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
    """Return the values that occur, in the order of the search space."""
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
    return _slope_values(distribution, values), Column(name, parameter, None, int(values.notna().sum()))


def _slope_values(distribution: Range, values: "pd.Series[Any]") -> Matrix:
    """Return the distance from the baseline's value; 0 where the parameter has no effect."""
    numbers = values.to_numpy(dtype=float)
    start = float(distribution.low)
    return np.nan_to_num(np.log10(numbers) - math.log10(start) if distribution.log else numbers - start)
