"""What each value gives against the baseline's on the mean over the space, in draws: energy, accuracy, both at once.

Effects are of effective values: those of a value that does nothing in some settings are its effects where it acts.
Accuracy is given for completed trials, and with the chance to fail counted as an accuracy of 0. What is claimed of a
value is claimed with the probability that it is so, of energy and accuracy together and not of each by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greenopt.analysis.encoder import Matrix
from greenopt.analysis.expectation import Expectation
from greenopt.analysis.results import CLEAR_GAIN, CLEAR_SAVING, MARGIN
from greenopt.analysis.spike_slab import Draws
from greenopt.spec import Choice, Value

Marks = npt.NDArray[np.bool_]
BACKGROUNDS = 64
"""Random settings over which effects are averaged where they do not simply add up."""
SLIGHTLY_MORE = float(np.log(1.05))
"""Energy that more accuracy may cost, as a log ratio."""


@dataclass(frozen=True)
class ValueEffect:
    """Draws of a value's effects against the baseline's, `(draws,)` each.

    Attributes:
        energy: on log Wh.
        accuracy: of completed trials.
        with_failures: of all, those that fail with an accuracy of 0.
    """

    energy: Matrix
    accuracy: Matrix
    with_failures: Matrix

    @property
    def _keeps(self) -> Marks:
        return np.asarray((self.accuracy >= -MARGIN) & (self.with_failures >= -MARGIN))

    @property
    def keeps_accuracy(self) -> float:
        """Probability of a loss of at most `MARGIN` of accuracy."""
        return float(self._keeps.mean())

    @property
    def is_better(self) -> float:
        """Probability of a saving at no loss beyond `MARGIN`, or of more accuracy at hardly more energy.

        Of the two the larger, not that of either: a value without any effect is one of them by chance in most draws.
        """
        saves = self._keeps & (self.energy < 0)
        gains = (self.accuracy > 0) & (self.with_failures > 0) & (self.energy <= SLIGHTLY_MORE)
        return float(max(saves.mean(), gains.mean()))

    @property
    def pays(self) -> Marks:
        """In which draws it saves clearly at no loss beyond `MARGIN`, or is clearly more accurate, `(draws,)`."""
        return np.asarray((self._keeps & (self.energy <= CLEAR_SAVING)) | (self.accuracy >= CLEAR_GAIN))


def draw_value_effects(
    expected: Expectation, reference: Mapping[str, Value], seed: int = 0
) -> dict[str, dict[Value, ValueEffect]]:
    """Return the effects of all values of each parameter but the reference; of a range, of its upper end.

    Args:
        expected: what settings are expected to measure.
        reference: parameter -> the value that its effects are compared with.
        seed: of the settings that effects are averaged over.
    """
    backgrounds = _backgrounds(expected, seed)
    found: dict[str, dict[Value, ValueEffect]] = {}
    for place, name in enumerate(expected.encoder.names):
        if name not in reference:
            continue
        distribution = expected.encoder.spec.space.distributions[name]
        values = expected.completed_values[name]
        if not isinstance(distribution, Choice):
            values = [distribution.high]
        base = _means(expected, backgrounds, place, name, reference[name])
        found[name] = {
            value: _against(base, _means(expected, backgrounds, place, name, value))
            for value in values
            if value != reference[name]
        }
    return found


def _against(base: tuple[Matrix, ...], means: tuple[Matrix, Matrix, Matrix]) -> ValueEffect:
    energy, accuracy, with_failures = (ours - theirs for ours, theirs in zip(means, base, strict=True))
    return ValueEffect(energy, accuracy, with_failures)


def _backgrounds(expected: Expectation, seed: int) -> Matrix:
    generator = np.random.default_rng(seed)
    encoder = expected.encoder
    options = expected.completed_values
    picks = {name: generator.integers(len(values), size=BACKGROUNDS) for name, values in options.items()}
    return encoder.encode_plain(
        [{name: values[picks[name][i]] for name, values in options.items()} for i in range(BACKGROUNDS)]
    )


def _means(
    expected: Expectation, backgrounds: Matrix, place: int, name: str, value: Value
) -> tuple[Matrix, Matrix, Matrix]:
    """Return log Wh, accuracy and accuracy with failures, with a value on the mean over settings, `(draws,)` each."""
    at = backgrounds.copy()
    at[:, place] = expected.encoder.encode_plain([{**expected.encoder.spec.space.baseline, name: value}])[0, place]
    energy = _mean(expected.energy, at, place)
    if expected.accuracy is None:
        accuracy = np.full(len(energy), expected.only_accuracy)
        if expected.failure is None:
            return energy, accuracy, accuracy
        return energy, accuracy, accuracy * (1 - expected.failure.at(at)).mean(axis=1)
    if expected.learning is None and expected.failure is None:
        accuracy = _mean(expected.accuracy, at, place)
        return energy, accuracy, accuracy
    reached = expected.accuracy.at(at)
    if expected.learning is not None:
        reached = expected.idle_accuracy + expected.learning.at(at) * (reached - expected.idle_accuracy)
    runs = 1.0 if expected.failure is None else 1 - expected.failure.at(at)
    return energy, reached.mean(axis=1), (reached * runs).mean(axis=1)


def _mean(draws: Draws, at: Matrix, place: int) -> Matrix:
    """Return the part of the mean over settings that a parameter has, `(draws,)`."""
    found = np.zeros(len(draws.constant))
    for group, effects in draws.effects.items():
        if place in group:
            level, factor = draws.columns.place(group, at)
            found += (effects[:, level] * factor).mean(axis=1)
    return found
