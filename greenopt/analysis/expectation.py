"""What settings of a study are expected to measure, tried or not: draws of energy, accuracy and failures.

Accuracy has two parts where some trials learn nothing: whether a setting learns, and how accurate it is if it does. Its
expected accuracy is the mean of both, weighed by their chances. Everything that is compared is compared within draws of
`greenopt.analysis.spike_slab`, so that two settings which differ in idle parameters only are equal.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from greenopt.analysis.encoder import Encoder, Matrix
from greenopt.analysis.failures import failed_trials
from greenopt.analysis.results import Predicted
from greenopt.analysis.spike_slab import Draws, Kind, draw_effects
from greenopt.analysis.trials import other_length
from greenopt.spec import Choice, StudySpec, Value
from greenopt.storage.trial_state import TrialState

MIN_TRIALS = 8
KEPT = 600
"""Trials that effects are drawn from; of more a seeded sample is taken."""
MOST_FAILURES = 0.2
"""Expected share of failures up to which a setting that has not run may be proposed."""
LEAST_IDLE, LEAST_IDLE_SHARE = 3, 0.05
"""Trials that have learnt nothing, from which on learning is a question of its own."""
GAP, NARROW = 1 / 3, 0.1
"""Between those trials and the others there is a gap of a third of the range, to which their own spread is small."""
FAR = 3.0
"""Standard deviations of the noise beyond which a trial is taken for an outlier."""
IS_REAL = 0.5
"""Chance that a single outlier's setting is unusual, and not its measurement: nothing tells, so long as it ran once."""
_TAIL = 0.025

Setting = Mapping[str, Value]
Deviations = Mapping[bytes, Matrix]
"""Encoded setting, as bytes -> draws of its own deviation, `(draws,)`."""


@dataclass(frozen=True)
class Expectation:
    """What settings of a study are expected to measure.

    Attributes:
        energy: of log Wh.
        accuracy: of completed trials that learn; None where accuracy is the same in all of them.
        learning: of the chance that a completed trial learns; None where all do.
        failure: of the chance that a trial fails because of its setting; None without failures.
        idle_accuracy: mean accuracy of trials that do not learn.
        only_accuracy: the accuracy of all trials where it is; NaN where it is not known.
        tried: completed trials that may be compared, one row a setting.
        settings: of those, encoded.
        trained: settings of the trials that energy was drawn from, encoded.
        own_energy, own_accuracy: what settings that ran deviate by from the sums of their effects (`own_deviations`).
    """

    encoder: Encoder
    energy: Draws
    accuracy: Draws | None
    learning: Draws | None
    failure: Draws | None
    idle_accuracy: float
    only_accuracy: float
    tried: "pd.DataFrame"
    settings: Matrix
    trained: Matrix
    own_energy: Deviations
    own_accuracy: Deviations

    @cached_property
    def completed_values(self) -> dict[str, list[Value]]:
        """The values of each free parameter that a trial has completed with; of a range its two ends."""
        found: dict[str, list[Value]] = {}
        for name, distribution in self.encoder.spec.space.free.items():
            if isinstance(distribution, Choice):
                seen = set(self.tried[name])
                found[name] = [value for value in distribution.values if value in seen]
            else:
                found[name] = [distribution.low, distribution.high]
        return found

    def draws(self, settings: Matrix) -> tuple[Matrix, Matrix]:
        """Return draws of log Wh and of expected accuracy of encoded settings, `(draws, settings)` each."""
        log_wh = _with_own(self.energy.at(settings), settings, self.own_energy)
        return log_wh, self.completed_accuracy(settings, self.own_accuracy)

    def completed_accuracy(self, settings: Matrix, own: Deviations | None = None) -> Matrix:
        """Return draws of the expected accuracy of completed trials of encoded settings, `(draws, settings)`.

        Args:
            settings: encoded.
            own: what settings deviate by from the sums of their effects; None where that is not looked at.
        """
        if self.accuracy is None:
            return np.full((len(self.energy.constant), len(settings)), self.only_accuracy)
        reached = _with_own(self.accuracy.at(settings), settings, own or {})
        if self.learning is None:
            return reached
        return self.idle_accuracy + self.learning.at(settings) * (reached - self.idle_accuracy)

    def failures(self, settings: Matrix) -> Matrix:
        """Return the expected share of failures of encoded settings."""
        return np.zeros(len(settings)) if self.failure is None else self.failure.at(settings).mean(axis=0)

    def may_run(self, settings: Sequence[Setting], most: float = MOST_FAILURES) -> list[Setting]:
        """Return those of the settings that are expected to fail in at most this share of trials."""
        if self.failure is None or not settings:
            return list(settings)
        share = self.failures(self.encoder.encode(settings))
        return [setting for setting, one in zip(settings, share, strict=True) if one <= most]

    def ratio(self, setting: Setting, other: Setting) -> tuple[float, float, float]:
        """Return how much energy a setting takes against another: the median, and the bounds of its 95 % interval."""
        log_wh = self.energy.at(self.encoder.encode([setting, other]))
        low, median, high = np.exp(np.quantile(log_wh[:, 0] - log_wh[:, 1], (_TAIL, 0.5, 1 - _TAIL)))
        return float(median), float(low), float(high)

    def predict(self, setting: Setting) -> Predicted:
        """Return what one more training of a setting is expected to measure."""
        encoded = self.encoder.encode([setting])
        generator = np.random.default_rng(0)
        log_wh = _once_more(self.energy, self.own_energy, encoded, generator)
        low_wh, wh, high_wh = np.exp(np.quantile(log_wh, (_TAIL, 0.5, 1 - _TAIL)))
        low = middle = high = self.only_accuracy
        if self.accuracy is not None:
            reached = _once_more(self.accuracy, self.own_accuracy, encoded, generator)
            if self.learning is not None:
                learns = generator.random(len(reached)) < self.learning.at(encoded)[:, 0]
                reached = np.where(learns, reached, self.idle_accuracy)
            low, high = np.quantile(reached, (_TAIL, 1 - _TAIL))
            middle = float(self.draws(encoded)[1].mean())
        return Predicted(
            energy_wh=float(wh),
            energy_low_wh=float(low_wh),
            energy_high_wh=float(high_wh),
            accuracy=_fraction(middle),
            accuracy_low=_fraction(float(low)),
            accuracy_high=_fraction(float(high)),
        )


def _fraction(value: float) -> float | None:
    return None if math.isnan(value) else min(max(value, 0.0), 1.0)


def _once_more(draws: Draws, own: Deviations, encoded: Matrix, generator: np.random.Generator) -> Matrix:
    """Return draws of what one more trial of a setting measures, `(draws,)`."""
    expected = _with_own(draws.at(encoded), encoded, own)[:, 0]
    df = np.where(np.isinf(draws.tails), 1e6, draws.tails)
    return np.asarray(expected + draws.noise_at(encoded)[:, 0] * generator.standard_t(df))


def _with_own(expected: Matrix, settings: Matrix, own: Deviations) -> Matrix:
    for column, setting in enumerate(settings):
        if own and (deviation := own.get(setting.tobytes())) is not None:
            expected[:, column] += deviation
    return expected


def own_deviations(draws: Draws, encoded: Matrix) -> Deviations:
    """Draw by how much the settings of outlying trials deviate from the sums of their effects.

    A trial far from what its values lead one to expect was measured badly, or its values act together as nobody knows.
    A setting that ran more than once, and far off on average, is certainly unusual.

    Args:
        draws: of effects, with what they leave of each trial.
        encoded: settings of those trials.
    """
    generator = np.random.default_rng(1)
    found: dict[bytes, Matrix] = {}
    settings, place, count = np.unique(encoded, axis=0, return_inverse=True, return_counts=True)
    for index, setting in enumerate(settings):
        left = draws.left[:, place == index].mean(axis=1)
        is_far = np.abs(left) > FAR * draws.noise_at(setting[None])[:, 0] / math.sqrt(count[index])
        is_real = is_far & (generator.random(len(left)) < (IS_REAL if count[index] == 1 else 1.0))
        if is_real.any():
            found[setting.tobytes()] = np.where(is_real, left, 0.0)
    return found


def expect(trials: "pd.DataFrame", spec: StudySpec) -> Expectation | None:
    """Return what settings are expected to measure; None with too few trials.

    Args:
        trials: all trials, as `analysed_trials` makes them.
        spec: the study.
    """
    encoder = Encoder(spec)
    inside = trials[trials["in_space"]]
    whole = inside[inside["in_regressions"] & ~other_length(inside, spec)]
    measured = _sampled(whole[whole["energy_wh"] > 0])
    log_wh, encoded = np.log(measured["energy_wh"].to_numpy(float)), encoder.encode_trials(measured)
    energy = _drawn(encoder, encoded, log_wh, Kind.NUMBER)
    if energy is None:
        return None
    has_accuracy = measured["accuracy"].notna().to_numpy()
    judged, reached = measured[has_accuracy], measured["accuracy"].to_numpy(float)[has_accuracy]
    learnt = has_learnt(reached)
    learners = encoded[has_accuracy][learnt]
    accuracy = _drawn(encoder, learners, reached[learnt], Kind.NUMBER)
    learning = (
        _drawn(encoder, encoded[has_accuracy], learnt.astype(np.float64), Kind.EVENT) if accuracy is not None else None
    )
    lost = failed_trials(inside)
    ended = _sampled(inside[lost | (inside["state"] == TrialState.COMPLETE)])
    failed = lost[ended.index].to_numpy().astype(np.float64)
    failure = _drawn(encoder, encoder.encode_trials(ended), failed, Kind.EVENT) if failed.any() else None
    tried = (judged if len(judged) else measured).sort_values("trial")
    settings = encoder.encode_trials(tried)
    _, first = np.unique(settings, axis=0, return_index=True)
    first.sort()
    return Expectation(
        encoder=encoder,
        energy=energy,
        accuracy=accuracy,
        learning=learning,
        failure=failure,
        idle_accuracy=float(reached[~learnt].mean()) if not learnt.all() else 0.0,
        only_accuracy=float(reached.mean()) if len(reached) else math.nan,
        tried=tried.iloc[first],
        settings=settings[first],
        trained=encoded,
        own_energy=own_deviations(energy, encoded),
        own_accuracy={} if accuracy is None else own_deviations(accuracy, learners),
    )


def _sampled(trials: "pd.DataFrame") -> "pd.DataFrame":
    return trials.sample(KEPT, random_state=0).sort_index() if len(trials) > KEPT else trials


def has_learnt(accuracy: Matrix) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Return which trials have learnt; all have, where none stand clearly apart below the others.

    Args:
        accuracy: of completed trials, 0..1.
    """
    everything = np.ones(len(accuracy), dtype=bool)
    if len(accuracy) < MIN_TRIALS:
        return everything
    ordered = np.sort(accuracy)
    gaps = np.diff(ordered)
    widest = int(np.argmax(gaps))
    below = ordered[: widest + 1]
    is_apart = gaps[widest] >= GAP * (ordered[-1] - ordered[0]) > 0 and below.std() <= NARROW * gaps[widest]
    is_enough = len(below) >= max(LEAST_IDLE, LEAST_IDLE_SHARE * len(accuracy))
    return accuracy > below[-1] if is_apart and is_enough else everything


def _drawn(encoder: Encoder, encoded: Matrix, response: Matrix, kind: Kind) -> Draws | None:
    """Draw effects on a response; None with too few trials, or where all are the same."""
    varies = len(response) >= MIN_TRIALS and np.ptp(response) > 1e-12 * float(np.abs(response).max())
    return draw_effects(encoder.columns, encoded, response, kind) if varies and encoder.names else None
