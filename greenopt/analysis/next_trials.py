"""The trials to run next: those that together tell most about the questions that are still open.

A question is a parameter of which it is not settled whether its advised value beats the baseline's. Trials are chosen
one after the other, each where it lowers the variance of the open contrasts most (greedy c-optimal augmentation of the
trials that there are; Atkinson, Donev and Tobias 2007, chapter 10), weighted by how much there is to gain: an effect
whose sign is nearly clear more than one that would take a hundred trials. Every trial speaks of all questions at once.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from greenopt.analysis.posterior import Encoder, Matrix, Posterior
from greenopt.analysis.recommend import Expectation, completed_values
from greenopt.analysis.results import ValueAdvice
from greenopt.spec import Choice, Value

NEXT_TRIALS = 10
MOST_FAILURES = 0.5
"""Expected share of failures up to which a trial is worth running to learn from."""
POOL = 1500
"""Settings drawn at random, of which the trials are chosen."""
NEARLY = 0.9
"""Share of the largest gain from which on the trial of least energy is taken."""
_CLEAR = 3.0
"""Standard errors at which an effect is about to be settled."""
_LEAST_WEIGHT = 0.05


@dataclass(frozen=True)
class Question:
    """An open contrast: does this value of a parameter differ from the baseline's?"""

    parameter: str
    value: Value
    baseline: Value


def choose_next(
    expected: Expectation,
    questions: Sequence[Question],
    first: Iterable[Mapping[str, Value]] = (),
    seed: int = 0,
    is_allowed: Callable[[Mapping[str, Value]], bool] = lambda _: True,
) -> list[dict[str, Value]]:
    """Return the settings to run next, at most `NEXT_TRIALS`.

    Args:
        expected: what settings are expected to measure.
        questions: the open ones.
        first: settings that come first in any case.
        seed: of the settings drawn.
        is_allowed: tells whether a setting may be run.
    """
    chosen = [dict(setting) for setting in first][:NEXT_TRIALS]
    if not questions:
        return chosen
    pool = expected.may_run([one for one in _drawn(expected, questions, seed) if is_allowed(one)], MOST_FAILURES)
    if not pool:
        return chosen
    columns = _Columns(expected.encoder)
    coded = columns.of(expected.encoder.encode(pool))
    log_wh = expected.marginal(expected.encoder.encode(pool))[0]
    models = [m for m in (expected.energy, expected.accuracy) if m is not None]
    states = [_Known(columns, model, questions) for model in models]
    for setting in chosen:
        row = columns.of(expected.encoder.encode([setting]))[0]
        for state in states:
            state.add(row)
    while len(chosen) < NEXT_TRIALS:
        gain = np.sum([state.gain(coded) for state in states], axis=0)
        near = np.flatnonzero(gain >= NEARLY * gain.max())
        index = int(near[np.argmin(log_wh[near])])
        chosen.append(dict(pool[index]))
        for state in states:
            state.add(coded[index])
    return chosen


def questions_of(expected: Expectation, values: Iterable[ValueAdvice], is_open: Collection[str]) -> list[Question]:
    """Return the open questions; where no value is better than the baseline's, its closest rival in energy is asked of.

    Args:
        expected: what settings are expected to measure.
        values: the advice by parameter.
        is_open: the confidences that leave a question.
    """
    encoder, found = expected.encoder, []
    for one in values:
        if one.confidence not in is_open or one.parameter not in encoder.names:
            continue
        value = one.value
        if value == one.baseline:
            others = [other for other in completed_values(expected)[one.parameter] if other != one.baseline]
            if not others:
                continue
            settings = [{**encoder.spec.space.baseline, one.parameter: other} for other in others]
            value = others[int(np.argmin(expected.marginal(encoder.encode(settings))[0]))]
        found.append(Question(one.parameter, value, one.baseline))
    return found


def _drawn(expected: Expectation, questions: Sequence[Question], seed: int) -> list[Mapping[str, Value]]:
    """Return random settings: parameters in question have one of the two values, others one that has completed."""
    generator = np.random.default_rng(seed)
    space = expected.encoder.spec.space
    options: dict[str, Sequence[Value]] = dict(completed_values(expected))
    options |= {one.parameter: (one.value, one.baseline) for one in questions}
    picks = {name: generator.integers(len(values), size=POOL) for name, values in options.items()}
    return [
        {**space.baseline, **{name: values[picks[name][i]] for name, values in options.items()}} for i in range(POOL)
    ]


@dataclass(frozen=True)
class _Columns:
    """Encoded settings as marks: one column a value of a list, one a range, and the constant."""

    encoder: Encoder

    @property
    def parameters(self) -> list[int]:
        """Return the parameter of each column but the constant's."""
        sizes = [len(d.values) + 1 if isinstance(d, Choice) else 1 for d in self.encoder.spec.space.free.values()]
        return [index for index, size in enumerate(sizes) for _ in range(size)]

    def of(self, encoded: Matrix) -> Matrix:
        """Return the columns of encoded settings, `(settings, columns)`."""
        made = [np.ones(len(encoded))]
        for index, distribution in enumerate(self.encoder.spec.space.free.values()):
            if isinstance(distribution, Choice):
                # -1 is what an inert value amounts to where that is not in the list.
                made += [(encoded[:, index] == place) * 1.0 for place in range(-1, len(distribution.values))]
            else:
                made.append(encoded[:, index])
        return np.column_stack(made)

    def contrast(self, question: Question) -> Matrix:
        """Return the columns in which the two values of a question differ, `(columns,)`."""
        baseline = self.encoder.spec.space.baseline
        both = [{**baseline, question.parameter: value} for value in (question.value, question.baseline)]
        index = self.encoder.names.index(question.parameter)
        found = np.subtract(*(self.of(self.encoder.encode_plain([one]))[0] for one in both))
        keep = np.array([False, *(parameter == index for parameter in self.parameters)])
        return np.where(keep, found, 0.0)


class _Known:
    """What the trials, and those chosen, tell of the questions in one response."""

    def __init__(self, columns: _Columns, model: Posterior, questions: Sequence[Question]) -> None:
        """Start from the trials that there are."""
        design = columns.of(model.settings)
        prior = np.array([100.0, *(max(float(model.weights[p]), 1e-4) for p in columns.parameters)])
        self._noise = float(model.weights[-1] + model.weights[-2])
        self._inverse = np.linalg.inv(design.T @ design / self._noise + np.diag(1 / prior))
        self._contrasts = np.array([columns.contrast(one) for one in questions])
        standard = model.standard
        effects = self._inverse @ design.T @ standard / self._noise
        errors = np.sqrt(self._variances())
        clearness = np.abs(self._contrasts @ effects) / errors
        # Most is gained where an effect is half way to being settled or further, and none where nothing shows.
        self._weights = np.maximum(np.minimum(clearness / _CLEAR, 1.0) ** 2, _LEAST_WEIGHT)

    def _variances(self) -> Matrix:
        return np.asarray(np.einsum("ij,jk,ik->i", self._contrasts, self._inverse, self._contrasts))

    def gain(self, settings: Matrix) -> Matrix:
        """Return by how much each setting would lower the weighted variances, as shares of them."""
        along = settings @ self._inverse
        noise = self._noise + np.einsum("ij,ij->i", along, settings)
        lowered = (along @ self._contrasts.T) ** 2 / noise[:, None]
        return np.asarray((lowered / np.maximum(self._variances(), 1e-300)) @ self._weights)

    def add(self, setting: Matrix) -> None:
        """Count a setting as run."""
        along = self._inverse @ setting
        self._inverse = self._inverse - np.outer(along, along) / (self._noise + float(setting @ along))
