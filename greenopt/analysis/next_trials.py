"""The trials to run next: those that together tell most about the questions that are still open.

A question is a parameter of which it is not settled whether its advised value beats the baseline's. Trials are chosen
one after the other, each where it lowers the variance of the open contrasts most (greedy c-optimal augmentation of the
trials that there are; Atkinson, Donev and Tobias 2007, chapter 10), weighted by what each lacks for an answer: a sign
that is nearly clear counts more than one that would take a hundred trials. Trials at values that spread much, that may
fail, or may learn nothing, tell little. Every trial speaks of all questions at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from greenopt.analysis.encoder import Encoder, Matrix
from greenopt.analysis.expectation import Expectation
from greenopt.analysis.failures import has_only_failed
from greenopt.analysis.questions import Question
from greenopt.analysis.spike_slab import Draws
from greenopt.spec import Choice, Value

NEXT_TRIALS = 10
MOST_FAILURES = 0.5
"""Expected share of failures up to which a trial is worth running to learn from."""
POOL = 400
"""Settings drawn at random, of which the trials are chosen."""
NEARLY = 0.9
"""Share of the largest gain from which on the trial of least energy is taken."""


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
    encoded = expected.encoder.encode(pool)
    coded = columns.of(encoded)
    log_wh = expected.energy.at(encoded).mean(axis=0)
    energy, accuracy = (
        _Known(columns, draws, expected, questions, has_learnt=has_learnt)
        for draws, has_learnt in ((expected.energy, False), (expected.accuracy or expected.energy, True))
    )
    ran = columns.of(expected.trained)
    times = np.array([(ran == one).all(axis=1).sum() for one in coded])
    for setting in chosen:
        one = expected.encoder.encode([setting])
        times += (coded == columns.of(one)[0]).all(axis=1)
        for state in (energy, accuracy):
            state.add(columns.of(one)[0], float(state.noise(one)[0]))
    noises = energy.noise(encoded), accuracy.noise(encoded)
    while len(chosen) < NEXT_TRIALS:
        gain = energy.gain(coded, noises[0]) + accuracy.gain(coded, noises[1])
        # A setting that ran has the same seeds again, and tells less than another: only where there is no other.
        left = np.flatnonzero(times == times.min())
        near = left[gain[left] >= NEARLY * gain[left].max()]
        index = int(near[np.argmin(log_wh[near])])
        chosen.append(dict(pool[index]))
        times += (coded == coded[index]).all(axis=1)
        for state, noise in zip((energy, accuracy), noises, strict=True):
            state.add(coded[index], float(noise[index]))
    return chosen


def _drawn(expected: Expectation, questions: Sequence[Question], seed: int) -> list[Mapping[str, Value]]:
    """Return random settings: parameters in question have one of the two values, others one that has completed."""
    generator = np.random.default_rng(seed)
    space = expected.encoder.spec.space
    options: dict[str, Sequence[Value]] = dict(expected.completed_values)
    for one in questions:
        options[one.parameter] = [
            one.baseline,
            *(other.value for other in questions if other.parameter == one.parameter),
        ]
    picks = {name: generator.integers(len(values), size=POOL) for name, values in options.items()}
    baseline = space.baseline
    drawn: list[Mapping[str, Value]] = [
        {**baseline, **{name: values[picks[name][i]] for name, values in options.items()}} for i in range(POOL)
    ]
    return [space.whole(one) for one in drawn] if space.conditions else drawn


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

    def both(self, question: Question) -> Matrix:
        """Return the baseline with either value of a question, encoded, `(2, parameters)`."""
        baseline = self.encoder.spec.space.baseline
        values = (question.value, question.baseline)
        return self.encoder.encode_plain([{**baseline, question.parameter: value} for value in values])

    def contrast(self, question: Question) -> Matrix:
        """Return the columns in which the two values of a question differ, `(columns,)`."""
        index = self.encoder.names.index(question.parameter)
        found = np.subtract(*self.of(self.both(question)))
        keep = np.array([False, *(parameter == index for parameter in self.parameters)])
        return np.where(keep, found, 0.0)


class _Known:
    """What the trials, and those chosen, tell of the questions in one response."""

    def __init__(
        self,
        columns: _Columns,
        draws: Draws,
        expected: Expectation,
        questions: Sequence[Question],
        *,
        has_learnt: bool,
    ) -> None:
        """Start from the trials that there are.

        Args:
            columns: of settings.
            draws: of effects on the response.
            expected: what settings are expected to measure.
            questions: the open ones.
            has_learnt: whether trials that have learnt nothing tell nothing.
        """
        self._draws, self._expected, self._has_learnt = draws, expected, has_learnt
        design = columns.of(expected.trained)
        noise = self.noise(expected.trained)
        usual, count = float((draws.noise_std**2).mean()), len(columns.encoder.names)
        slabs = [max(float((draws.effects[(place,)] ** 2).mean()), 1e-3 * usual) for place in range(count)]
        prior = np.array([1e4 * usual, *(slabs[place] for place in columns.parameters)])
        self._inverse = np.linalg.inv(design.T @ (design / noise[:, None]) + np.diag(1 / prior))
        self._contrasts = np.array([columns.contrast(one) for one in questions])
        lacks = [one.accuracy if has_learnt else one.energy for one in questions]
        self._weights = np.array(
            [0.0 if lack is None else one.weight * lack.near for one, lack in zip(questions, lacks, strict=True)]
        )

    def noise(self, encoded: Matrix) -> Matrix:
        """Return the variance of one more trial of each setting, larger the less often it tells of the response."""
        noise = (self._draws.noise_at(encoded) ** 2).mean(axis=0)
        tells = 1 - self._expected.failures(encoded)
        if self._has_learnt and self._expected.learning is not None:
            tells = tells * self._expected.learning.at(encoded).mean(axis=0)
        return np.asarray(noise / np.maximum(tells, 1e-3))

    def _variances(self) -> Matrix:
        return np.asarray(np.einsum("ij,jk,ik->i", self._contrasts, self._inverse, self._contrasts))

    def gain(self, settings: Matrix, noise: Matrix) -> Matrix:
        """Return by how much each setting would lower the weighted variances, as shares of them.

        Args:
            settings: columns of settings.
            noise: of each.
        """
        along = settings @ self._inverse
        total = noise + np.einsum("ij,ij->i", along, settings)
        lowered = (along @ self._contrasts.T) ** 2 / total[:, None]
        return np.asarray((lowered / np.maximum(self._variances(), 1e-300)) @ self._weights)

    def add(self, setting: Matrix, noise: float) -> None:
        """Count a setting as run."""
        along = self._inverse @ setting
        self._inverse = self._inverse - np.outer(along, along) / (noise + float(setting @ along))
