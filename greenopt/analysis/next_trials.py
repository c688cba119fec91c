"""The trials to run next: those that together tell most about the questions that are still open.

A question is a parameter of which it is not settled whether its advised value beats the baseline's. Trials are chosen
one after the other, each where it lowers the variance of the open contrasts most (greedy c-optimal augmentation of the
trials that there are; Atkinson, Donev and Tobias 2007, chapter 10), weighted by how much there is to gain: an effect
whose sign is nearly clear more than one that would take a hundred trials. Every trial speaks of all questions at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from greenopt.analysis.failures import has_only_failed
from greenopt.analysis.posterior import Encoder, Matrix, Posterior
from greenopt.analysis.recommend import Expectation, completed_values
from greenopt.analysis.results import CLEAR_GAIN, CLEAR_SAVING
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
_RULED_OUT = 1.96
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
    only_failed: Sequence[Mapping[str, Value]] = (),
    seed: int = 0,
) -> list[dict[str, Value]]:
    """Return the settings to run next, at most `NEXT_TRIALS`.

    Args:
        expected: what settings are expected to measure.
        questions: the open ones.
        first: settings that come first in any case.
        only_failed: values and pairs of values whose trials have all failed, and that are not run again.
        seed: of the settings drawn.
    """
    chosen = [dict(setting) for setting in first][:NEXT_TRIALS]
    if not questions:
        return chosen
    pool = expected.may_run(
        [one for one in _drawn(expected, questions, seed) if not has_only_failed(one, only_failed)], MOST_FAILURES
    )
    if not pool:
        return chosen
    columns = _Columns(expected.encoder)
    coded = columns.of(expected.encoder.encode(pool))
    log_wh = expected.marginal(expected.encoder.encode(pool))[0]
    states = [_Known(columns, expected.energy, questions, -CLEAR_SAVING)]
    if expected.accuracy is not None:
        states.append(_Known(columns, expected.accuracy, questions, -CLEAR_GAIN))
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


def _drawn(expected: Expectation, questions: Sequence[Question], seed: int) -> list[Mapping[str, Value]]:
    """Return random settings: parameters in question have one of the two values, others one that has completed."""
    generator = np.random.default_rng(seed)
    space = expected.encoder.spec.space
    options: dict[str, Sequence[Value]] = dict(completed_values(expected))
    for one in questions:
        options[one.parameter] = [
            one.baseline,
            *(other.value for other in questions if other.parameter == one.parameter),
        ]
    picks = {name: generator.integers(len(values), size=POOL) for name, values in options.items()}
    return [
        space.whole({**space.baseline, **{name: values[picks[name][i]] for name, values in options.items()}})
        for i in range(POOL)
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

    def __init__(self, columns: _Columns, model: Posterior, questions: Sequence[Question], bound: float) -> None:
        """Start from the trials that there are.

        Args:
            columns: of settings.
            model: of the response.
            questions: the open ones.
            bound: the effect that is worth having, with its sign changed: below 0 for accuracy, whose gains count.
        """
        design = columns.of(model.settings)
        prior = np.array([100.0, *(max(float(model.weights[p]), 1e-4) for p in columns.parameters)])
        self._noise = float(model.weights[-1] + model.weights[-2])
        self._inverse = np.linalg.inv(design.T @ design / self._noise + np.diag(1 / prior))
        self._contrasts = np.array([columns.contrast(one) for one in questions])
        standard = model.standard
        effects = self._inverse @ design.T @ standard / self._noise
        errors = np.sqrt(self._variances())
        found = self._contrasts @ effects
        # A question is answered by an effect that is clearly there, or that is clearly too small to be worth having.
        shown = np.abs(found) / errors / _CLEAR
        ruled_out = np.sign(bound) * (found + bound / model.scale) / errors / _RULED_OUT
        near = np.maximum(np.minimum(shown, 1.0), np.where(ruled_out < 1, np.maximum(ruled_out, 0.0), 0.0))
        self._weights = np.maximum(near**2, _LEAST_WEIGHT)

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
