"""What each value gives against the baseline's on the mean over the space, in draws: energy, accuracy, both at once.

Effects are means over random settings, in which a value may make others act or not: an optimizer without momentum gives
up what momentum does. Those of a parameter that does nothing in some settings are its effects where it acts.
Accuracy is given for completed trials, and with the chance to fail counted as an accuracy of 0. What is claimed of a
value is claimed with the probability that it is so, of energy and accuracy together and not of each by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greenopt.analysis.encoder import Matrix
from greenopt.analysis.expectation import Expectation
from greenopt.analysis.results import CLEAR_GAIN, CLEAR_SAVING, MARGIN
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
        acts: whether any trial had the value with an effect of its own; one may amount to another in all of them.
    """

    energy: Matrix
    accuracy: Matrix
    with_failures: Matrix
    acts: bool = True

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
        return max(self._saves, self._gains)

    @property
    def is_saving(self) -> bool:
        """Whether it is rather the saving than the accuracy by which it is better."""
        return self._saves >= self._gains

    @property
    def _saves(self) -> float:
        return float((self._keeps & (self.energy < 0)).mean())

    @property
    def _gains(self) -> float:
        gains = (self.accuracy > 0) & (self.with_failures > 0) & (self.energy <= SLIGHTLY_MORE)
        return float(gains.mean())

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
    for name, distribution in expected.encoder.spec.space.free.items():
        if name not in reference:
            continue
        values = expected.completed_values[name] if isinstance(distribution, Choice) else [distribution.high]
        settings = _where_it_acts(expected, backgrounds, name, dict.fromkeys((reference[name], *values)))
        base = _means(expected, settings[reference[name]])
        found[name] = {
            value: _against(base, _means(expected, settings[value]), acts=_acts(expected, name, value))
            for value in values
            if value != reference[name]
        }
    return found


def _against(base: tuple[Matrix, ...], means: tuple[Matrix, Matrix, Matrix], *, acts: bool) -> ValueEffect:
    energy, accuracy, with_failures = (ours - theirs for ours, theirs in zip(means, base, strict=True))
    return ValueEffect(energy, accuracy, with_failures, acts)


def _acts(expected: Expectation, name: str, value: Value) -> bool:
    """Return whether any trial had a value with an effect of its own."""
    place = expected.encoder.names.index(name)
    plain = expected.encoder.encode_plain([{**expected.encoder.spec.space.baseline, name: value}])[0, place]
    return bool((expected.trained[:, place] == plain).any())


def _backgrounds(expected: Expectation, seed: int) -> list[dict[str, Value]]:
    generator = np.random.default_rng(seed)
    options = expected.completed_values
    picks = {name: generator.integers(len(values), size=BACKGROUNDS) for name, values in options.items()}
    baseline = expected.encoder.spec.space.baseline
    return [
        {**baseline, **{name: values[picks[name][i]] for name, values in options.items()}} for i in range(BACKGROUNDS)
    ]


def _where_it_acts(
    expected: Expectation, backgrounds: Sequence[Mapping[str, Value]], name: str, values: Iterable[Value]
) -> dict[Value, Matrix]:
    """Return the backgrounds with each value of a parameter, encoded: those in which its values differ at all."""
    found = {
        value: expected.encoder.encode([{**background, name: value} for background in backgrounds]) for value in values
    }
    first = next(iter(found.values()))
    acts = np.any([(encoded != first).any(axis=1) for encoded in found.values()], axis=0)
    return {value: encoded[acts] if acts.any() else encoded for value, encoded in found.items()}


def _means(expected: Expectation, settings: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Return log Wh, accuracy and accuracy with failures, on the mean over encoded settings, `(draws,)` each."""
    energy = expected.energy.mean_at(settings)
    if expected.accuracy is not None and expected.learning is None and expected.failure is None:
        accuracy = expected.accuracy.mean_at(settings)
        return energy, accuracy, accuracy
    reached = expected.completed_accuracy(settings)
    runs = 1.0 if expected.failure is None else 1 - expected.failure.at(settings)
    return energy, reached.mean(axis=1), (reached * runs).mean(axis=1)
