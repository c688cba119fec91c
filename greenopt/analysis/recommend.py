"""The setting that is advised: what the model proposes, held against the trials that ran.

The best of many noisy trials regresses to the mean, and so does a model's best guess. Both are therefore judged by the
same posterior (`greenopt.analysis.posterior`), in which a trial's own figures are shrunk towards what similar trials
lead one to expect. The rule: of the trials that ran, take the one of least expected energy that is expected to keep the
baseline's accuracy and is hardly dominated by another; advise the model's setting in its place only if, with a
probability of at least `SURE`, it takes less energy and loses at most `MARGIN` of accuracy against that trial.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr

from greenopt.analysis.failures import failed_trials, has_only_failed
from greenopt.analysis.posterior import Encoder, Matrix, Posterior, fit_posterior
from greenopt.analysis.results import MARGIN, MeasuredTrial, Predicted, Recommendation
from greenopt.analysis.trials import other_length, plain_setting
from greenopt.pareto import Point, pareto_front
from greenopt.spec import Choice, StudySpec, Value
from greenopt.storage.trial_state import TrialState

SURE = 0.8
"""Probability from which on the model's setting is advised in place of the best trial that ran."""
HARDLY_DOMINATED = 0.3
"""Probability up to which a trial may be advised that some one other trial is better in both.

One and not any: of many settings that are as good as equal, each is likely to be beaten a little by one of the others.
"""
COMPARED = 60
"""Trials that are held against one another: the expected front, and the fronts behind it."""
SHOWN = 4
DRAWS = 2000
MOST_FAILURES = 0.2
"""Expected share of failures up to which a setting that has not run may be proposed."""
_SWEEPS = 2
_BEYOND = 1.96

Setting = Mapping[str, Value]


@dataclass(frozen=True)
class Expectation:
    """What settings of a study are expected to measure.

    Attributes:
        energy: of log Wh.
        accuracy: of completed trials; None where accuracy is the same in all of them.
        failure: of 1 for a trial that failed because of its setting and 0 for a completed one; None without failures.
        only_accuracy: the accuracy of all trials where it is; NaN where it is not known.
        tried: completed trials that may be compared, one row a setting.
        settings: of those, encoded.
    """

    encoder: Encoder
    energy: Posterior
    accuracy: Posterior | None
    failure: Posterior | None
    only_accuracy: float
    tried: "pd.DataFrame"
    settings: Matrix

    def marginal(self, settings: Matrix) -> tuple[Matrix, Matrix, Matrix, Matrix]:
        """Return expected log Wh and its variance, expected accuracy and its variance, of encoded settings."""
        if self.accuracy is None:
            flat = np.full(len(settings), self.only_accuracy)
            return (*self.energy.marginal(settings), flat, np.zeros(len(settings)))
        return (*self.energy.marginal(settings), *self.accuracy.marginal(settings))

    def may_run(self, settings: Sequence[Setting], most: float = MOST_FAILURES) -> list[Setting]:
        """Return those of the settings that are expected to fail in at most this share of trials."""
        if self.failure is None or not settings:
            return list(settings)
        share = self.failure.marginal(self.encoder.encode(settings))[0]
        return [setting for setting, one in zip(settings, share, strict=True) if one <= most]

    def ratio(self, setting: Setting, other: Setting) -> tuple[float, float, float]:
        """Return how much energy a setting takes against another: expected, and the bounds of its 95 % interval."""
        mean, covariance = self.energy.at(self.encoder.encode([setting, other]))
        variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        log_ratio, reach = float(mean[0] - mean[1]), _BEYOND * math.sqrt(max(variance, 0.0))
        return math.exp(log_ratio), math.exp(log_ratio - reach), math.exp(log_ratio + reach)

    def predict(self, setting: Setting) -> Predicted:
        """Return what one more training of a setting is expected to measure."""
        log_wh, wh_variance, accuracy, variance = (
            float(one[0]) for one in self.marginal(self.encoder.encode([setting]))
        )
        reach = _BEYOND * math.sqrt(wh_variance + self.energy.noise_std**2)
        noise = self.accuracy.noise_std if self.accuracy is not None else 0.0
        half = _BEYOND * math.sqrt(variance + noise**2)
        return Predicted(
            energy_wh=math.exp(log_wh),
            energy_low_wh=math.exp(log_wh - reach),
            energy_high_wh=math.exp(log_wh + reach),
            accuracy=_fraction(accuracy),
            accuracy_low=_fraction(accuracy - half),
            accuracy_high=_fraction(accuracy + half),
        )


def _fraction(value: float) -> float | None:
    return None if math.isnan(value) else min(max(value, 0.0), 1.0)


def expect(trials: "pd.DataFrame", spec: StudySpec) -> Expectation | None:
    """Return what settings are expected to measure; None with too few trials.

    Args:
        trials: all trials, as `analysed_trials` makes them.
        spec: the study.
    """
    encoder = Encoder(spec)
    inside = trials[trials["in_space"]]
    whole = inside[inside["in_regressions"] & ~other_length(inside, spec)]
    measured = whole[whole["energy_wh"] > 0]
    energy = fit_posterior(encoder, encoder.encode_trials(measured), np.log(measured["energy_wh"].to_numpy(float)))
    if energy is None:
        return None
    judged = measured[measured["accuracy"].notna()]
    reached = judged["accuracy"].to_numpy(float)
    accuracy = fit_posterior(encoder, encoder.encode_trials(judged), reached)
    lost = failed_trials(inside)
    ended = inside[lost | (inside["state"] == TrialState.COMPLETE)]
    failure = fit_posterior(encoder, encoder.encode_trials(ended), lost[ended.index].to_numpy().astype(np.float64))
    tried = (judged if len(judged) else measured).sort_values("trial")
    settings = encoder.encode_trials(tried)
    _, first = np.unique(settings, axis=0, return_index=True)
    first.sort()
    only = float(reached[0]) if len(reached) else math.nan
    return Expectation(encoder, energy, accuracy, failure, only, tried.iloc[first], settings[first])


def recommend(
    expected: Expectation,
    together: Setting,
    kept: Collection[str],
    doubtful: Collection[int] = (),
    only_failed: Sequence[Setting] = (),
) -> Recommendation | None:
    """Hold the model's setting against the trials that ran, and say which to take.

    Args:
        expected: what settings are expected to measure.
        together: the advised values together, the baseline's where there is none.
        kept: parameters whose advised value stands; the others may take any value that trials have completed with.
        doubtful: trials whose accuracy is not to be believed.
        only_failed: values and pairs of values whose trials have all failed.
    """
    rivals = _rivals(expected, doubtful)
    if rivals is None:
        return None
    best = rivals.best(expected)
    stands = {name: together[name] for name in kept}
    starts = (together, {**rivals.setting(best, expected), **stands})
    proposals = [_improve(expected, start, rivals.settings[best], kept, only_failed) for start in starts]
    scores = _better(expected, expected.encoder.encode(proposals), rivals.settings[best])
    proposed = proposals[int(np.argmax(scores))]
    encoded = expected.encoder.encode([proposed])
    better = float(_better(expected, encoded, rivals.settings[best])[0])
    chosen = better >= SURE and not has_only_failed(proposed, only_failed) and bool(expected.may_run([proposed]))
    ran = int(rivals.rows.iloc[best]["trial"])
    same = (rivals.settings == encoded).all(axis=1)
    tried_by = int(rivals.rows.iloc[int(np.argmax(same))]["trial"]) if same.any() else None
    shown = [best, *(index for index in rivals.nearest(expected, encoded) if index != best)][:SHOWN]
    return Recommendation(
        trial=tried_by if chosen else ran,
        setting=proposed if chosen else rivals.setting(best, expected),
        proposed=proposed,
        predicted=expected.predict(proposed),
        proposed_trial=tried_by,
        measured=tuple(rivals.measured(index, expected) for index in shown),
        probability_better=better,
        probability_needed=SURE,
        probability_dominated=float(rivals.dominated[best]),
    )


@dataclass(frozen=True)
class _Rivals:
    """The trials that are held against one another, with draws of what their settings truly measure.

    Attributes:
        dominated: the largest probability with which one of the others is better in both.
    """

    rows: "pd.DataFrame"
    settings: Matrix
    log_wh: Matrix
    accuracy: Matrix
    dominated: Matrix

    def best(self, expected: Expectation) -> int:
        """Return the one of least expected energy that keeps the baseline's accuracy and is hardly dominated."""
        baseline = expected.encoder.encode([expected.encoder.spec.space.baseline])
        least = float(expected.marginal(baseline)[2][0]) - MARGIN
        able = self.accuracy >= least if (self.accuracy >= least).any() else np.ones(len(self.accuracy), dtype=bool)
        sound = able & (self.dominated <= max(HARDLY_DOMINATED, float(self.dominated[able].min())))
        return int(np.flatnonzero(sound)[np.argmin(self.log_wh[sound])])

    def nearest(self, expected: Expectation, encoded: Matrix) -> list[int]:
        """Return the trials on the measured front, those nearest to a setting in energy first."""
        points = [
            Point(float(row["energy_wh"]), float(row["accuracy"]), index)
            for index, row in enumerate(self.rows.to_dict(orient="records"))
        ]
        target = float(expected.marginal(encoded)[0][0])
        return [
            point.trial
            for point in sorted(pareto_front(points), key=lambda point: abs(math.log(point.energy_wh) - target))
        ]

    def setting(self, index: int, expected: Expectation) -> dict[str, Value]:
        """Return the setting of one of them."""
        return plain_setting(self.rows.iloc[index].to_dict(), tuple(expected.encoder.spec.space.distributions))

    def measured(self, index: int, expected: Expectation) -> MeasuredTrial:
        """Return what one of them has measured, and what its setting is expected to measure."""
        row = self.rows.iloc[index].to_dict()
        setting = self.setting(index, expected)
        return MeasuredTrial(
            trial=int(row["trial"]),
            params=setting,
            energy_wh=float(row["energy_wh"]),
            accuracy=None if pd.isna(row["accuracy"]) else float(row["accuracy"]),
            energy_source=None if pd.isna(row["energy_source"]) else str(row["energy_source"]),
            expected=expected.predict(setting),
        )


def _rivals(expected: Expectation, doubtful: Collection[int]) -> _Rivals | None:
    sound = ~expected.tried["trial"].isin(list(doubtful)).to_numpy()
    if not sound.any():
        return None
    rows, settings = expected.tried[sound], expected.settings[sound]
    log_wh, _, accuracy, _ = expected.marginal(settings)
    chosen = _first_fronts(log_wh, accuracy)
    rows, settings = rows.iloc[chosen], settings[chosen]
    generator = np.random.default_rng(0)
    energies = _draws(expected.energy, settings, generator)
    accuracies = _draws(expected.accuracy, settings, generator) if expected.accuracy is not None else 0 * energies
    dominated = np.zeros(len(chosen))
    for other in range(len(chosen)):
        by_this = ((energies[other] < energies) & (accuracies[other] >= accuracies)).mean(axis=1)
        dominated = np.maximum(dominated, by_this)
    return _Rivals(rows, settings, log_wh[chosen], accuracy[chosen], dominated)


def _first_fronts(log_wh: Matrix, accuracy: Matrix) -> "npt.NDArray[np.int64]":
    """Return the trials on the expected Pareto front, on the one behind it, and so on, up to `COMPARED`."""
    left = {i: Point(float(log_wh[i]), float(np.nan_to_num(accuracy[i])), i) for i in range(len(log_wh))}
    found: list[int] = []
    while left and len(found) < COMPARED:
        front = [point.trial for point in pareto_front(left.values())]
        found += front
        for index in front:
            del left[index]
    return np.array(found[:COMPARED])


def _draws(posterior: Posterior, settings: Matrix, generator: np.random.Generator) -> Matrix:
    mean, covariance = posterior.at(settings)
    sizes, axes = np.linalg.eigh(covariance)
    normal = generator.standard_normal((len(mean), DRAWS))
    return np.asarray(mean[:, None] + axes @ (np.sqrt(np.maximum(sizes, 0.0))[:, None] * normal))


def _better(expected: Expectation, settings: Matrix, rival: Matrix) -> Matrix:
    """Return each setting's probability to take less energy than a rival and lose at most `MARGIN` of accuracy."""
    together = np.vstack([settings, rival[None]])
    saves = _below(*expected.energy.at(together))
    if expected.accuracy is None:
        return saves
    mean, covariance = expected.accuracy.at(together)
    return saves * _below(-mean, covariance, MARGIN)


def _below(mean: Matrix, covariance: Matrix, margin: float = 0.0) -> Matrix:
    """Return the probability that each is below the last one by more than `-margin`."""
    variance = np.diag(covariance)[:-1] + covariance[-1, -1] - 2 * covariance[:-1, -1]
    gap = mean[-1] + margin - mean[:-1]
    # A setting is not below itself.
    return np.asarray(ndtr(gap / np.sqrt(np.maximum(variance, 1e-18))) * (variance > 1e-15))


def _improve(
    expected: Expectation,
    start: Setting,
    rival: Matrix,
    kept: Collection[str],
    only_failed: Sequence[Setting],
) -> dict[str, Value]:
    """Give the parameters that no advice stands for the values that make the setting most probably better."""
    space = expected.encoder.spec.space
    setting = space.whole(start)
    options = {name: values for name, values in completed_values(expected).items() if name not in kept}
    for _ in range(_SWEEPS):
        before = dict(setting)
        for name, values in options.items():
            others = [space.whole({**setting, name: value}) for value in values]
            allowed = expected.may_run([one for one in others if not has_only_failed(one, only_failed)]) or [setting]
            scores = _better(expected, expected.encoder.encode(allowed), rival)
            top = int(np.argmax(scores))
            now = float(_better(expected, expected.encoder.encode([setting]), rival)[0])
            if scores[top] > now + 1e-6 or has_only_failed(setting, only_failed):
                setting = dict(allowed[top])
        if setting == before:
            break
    return setting


def completed_values(expected: Expectation) -> dict[str, list[Value]]:
    """Return the values of each free parameter that a trial has completed with; of a range its two ends."""
    found: dict[str, list[Value]] = {}
    for name, distribution in expected.encoder.spec.space.free.items():
        if isinstance(distribution, Choice):
            seen = set(expected.tried[name])
            found[name] = [value for value in distribution.values if value in seen]
        else:
            found[name] = [distribution.low, distribution.high]
    return found
