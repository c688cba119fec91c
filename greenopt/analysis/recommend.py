"""The setting that is advised: what the model proposes, held against the trials that ran.

The best of many noisy trials regresses to the mean, and so does a model's best guess. Both are therefore judged by the
same draws (`greenopt.analysis.expectation`), in which a trial's own figures are shrunk towards what similar trials lead
one to expect. The rule: of the trials that ran and are expected to keep the baseline's accuracy and energy, take the
one of least expected energy among those that are hardly dominated by another. The model's setting is one that keeps
both and is dominated by no trial, as surely as can be, and of such settings the one of least energy. It is advised in
the trial's place if it is all that, and takes less energy than the trial at hardly any loss, with a probability of at
least `SURE` each, and is hardly dominated or no more probably than the trial; or if the trial may well be dominated,
and it is clearly less probable that the model's setting is not sound.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from greenopt.analysis.encoder import Matrix
from greenopt.analysis.expectation import Expectation, Setting
from greenopt.analysis.failures import has_only_failed
from greenopt.analysis.results import MARGIN, MeasuredTrial, Recommendation
from greenopt.analysis.trials import plain_setting
from greenopt.analysis.value_effects import SLIGHTLY_MORE
from greenopt.pareto import Point, pareto_front
from greenopt.spec import Value

SURE = 0.8
"""Probability from which on the model's setting is advised in place of the best trial that ran."""
HARDLY_DOMINATED = 0.05
"""Probability up to which it does not matter that another trial may be better than the advised one."""
SAFER = 0.75
"""Share of the trial's probability of being dominated, down to which the model's of not being sound must fall: what ran
is preferred to what did not where both are about as doubtful."""
COMPARED = 60
"""Trials that are held against one another: the expected front, and the fronts behind it."""
SURE_ENOUGH = 0.99
"""Probability of being sound, from which on less energy counts and more certainty does not."""
STARTS = 2
"""Trials hardly dominated from which the model's setting is looked for, beside the best one."""
SHOWN = 4
_SWEEPS = 3
_AS_GOOD = 1e-9
"""Difference below which two draws are equal: they are the same sum, or not."""


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
    best = rivals.best()
    stands = {name: together[name] for name in kept}
    ran_best = dict.fromkeys((best, *rivals.soundest()))
    starts = (together, *({**rivals.setting(index, expected), **stands} for index in ran_best))
    proposals = [_improve(expected, rivals, start, kept, only_failed) for start in starts]
    proposed = proposals[int(np.argmax(_scores(expected, expected.encoder.encode(proposals), rivals)))]
    encoded = expected.encoder.encode([proposed])
    sound = float(_sound(expected, encoded, rivals)[0])
    better = float(_better(expected, encoded, rivals, best)[0])
    dominated, theirs = float(rivals.dominate(*expected.draws(encoded)).mean()), float(rivals.dominated[best])
    may_run = not has_only_failed(proposed, only_failed) and bool(expected.may_run([proposed]))
    chosen = may_run and beats_the_trial(sound=sound, better=better, dominated=dominated, theirs=theirs)
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
        probability_dominated=theirs,
        probability_sound=sound,
        proposed_dominated=dominated,
    )


def beats_the_trial(*, sound: float, better: float, dominated: float, theirs: float) -> bool:
    """Return whether the model's setting is advised in place of the best trial that ran.

    Args:
        sound: probability that it runs, keeps the baseline's accuracy and energy, and no trial is better.
        better: probability that it takes less energy than the best trial at a loss of at most `MARGIN`.
        dominated: probability that a trial is better than it.
        theirs: the same of the best trial that ran.
    """
    is_better = sound >= SURE and better >= SURE and dominated <= max(HARDLY_DOMINATED, theirs)
    return is_better or (theirs > HARDLY_DOMINATED and 1 - sound <= SAFER * theirs)


@dataclass(frozen=True)
class _Rivals:
    """The trials that are held against one another, with draws of what their settings truly measure.

    Attributes:
        log_wh, accuracy: `(draws, trials)`.
        dominated: the probability with which any of the others is at least as good in both and better in one.
        baseline: draws of the baseline's log Wh and accuracy, `(draws, 1)` each.
    """

    rows: "pd.DataFrame"
    settings: Matrix
    log_wh: Matrix
    accuracy: Matrix
    dominated: Matrix
    baseline: tuple[Matrix, Matrix]

    def best(self) -> int:
        """Return the one of least expected energy that keeps the baseline's accuracy and is hardly dominated."""
        able = self._able()
        sound = able & (self.dominated <= max(HARDLY_DOMINATED, float(self.dominated[able].min())))
        return int(np.flatnonzero(sound)[np.argmin(self.log_wh.mean(axis=0)[sound])])

    def soundest(self) -> list[int]:
        """Return those that keep the baseline's accuracy and are least probably dominated, at most `STARTS`."""
        able = np.flatnonzero(self._able())
        return [int(index) for index in able[np.argsort(self.dominated[able], kind="stable")][:STARTS]]

    def _able(self) -> "npt.NDArray[np.bool_]":
        """Return which are expected to keep the baseline's accuracy and energy; all where none is."""
        log_wh, reached = (float(one.mean()) for one in self.baseline)
        able = (self.accuracy.mean(axis=0) >= reached - MARGIN) & (self.log_wh.mean(axis=0) <= log_wh + SLIGHTLY_MORE)
        return able if able.any() else np.ones(len(able), dtype=bool)

    def nearest(self, expected: Expectation, encoded: Matrix) -> list[int]:
        """Return the trials on the measured front, those nearest to a setting in energy first."""
        points = [
            Point(float(row["energy_wh"]), float(row["accuracy"]), index)
            for index, row in enumerate(self.rows.to_dict(orient="records"))
        ]
        target = float(expected.draws(encoded)[0].mean())
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

    def dominate(
        self, log_wh: Matrix, accuracy: Matrix, more_wh: float = _AS_GOOD, less_accuracy: float = _AS_GOOD
    ) -> "npt.NDArray[np.bool_]":
        """Return in which draws any of the trials is better than settings, `(draws, settings)`.

        Args:
            log_wh: of the settings, `(draws, settings)`.
            accuracy: the same.
            more_wh: by how much more energy a trial still counts as good, as a log ratio.
            less_accuracy: with how much less accuracy it does.
        """
        found = np.zeros(log_wh.shape, dtype=bool)
        for ours, theirs in zip(self.log_wh.T[:, :, None], np.nan_to_num(self.accuracy).T[:, :, None], strict=True):
            other = np.nan_to_num(accuracy)
            as_good = (ours <= log_wh + more_wh) & (theirs >= other - less_accuracy)
            found |= as_good & ((ours < log_wh - _AS_GOOD) | (theirs > other + _AS_GOOD))
        return found


def _rivals(expected: Expectation, doubtful: Collection[int]) -> _Rivals | None:
    sound = ~expected.tried["trial"].isin(list(doubtful)).to_numpy()
    if not sound.any():
        return None
    rows, settings = expected.tried[sound], expected.settings[sound]
    log_wh, accuracy = expected.draws(settings)
    chosen = _first_fronts(log_wh.mean(axis=0), accuracy.mean(axis=0))
    found = _Rivals(
        rows=rows.iloc[chosen],
        settings=settings[chosen],
        log_wh=log_wh[:, chosen],
        accuracy=accuracy[:, chosen],
        dominated=np.zeros(len(chosen)),
        baseline=expected.draws(expected.encoder.encode([expected.encoder.spec.space.baseline])),
    )
    found.dominated[:] = found.dominate(found.log_wh, found.accuracy).mean(axis=0)
    return found


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


def _sound(
    expected: Expectation, settings: Matrix, rivals: _Rivals, more_wh: float = _AS_GOOD, less: float = _AS_GOOD
) -> Matrix:
    """Return each setting's probability to run, to keep the baseline's accuracy and energy, and not to be dominated.

    A setting that takes more energy than the baseline is not what is asked for, however accurate it is.
    """
    log_wh, accuracy = expected.draws(settings)
    base_wh, reached = rivals.baseline
    is_sound = ~rivals.dominate(log_wh, accuracy, more_wh, less) & (log_wh <= base_wh + SLIGHTLY_MORE)
    if expected.accuracy is not None:
        is_sound &= accuracy >= reached - MARGIN
    return np.asarray(is_sound.mean(axis=0) * (1 - expected.failures(settings)))


def _scores(expected: Expectation, settings: Matrix, rivals: _Rivals) -> Matrix:
    """Return how good settings are: the probability of being sound and, once that is large enough, less energy.

    The model is not exact: a setting is wanted that stays sound though a trial were a little better than is thought.
    """
    log_wh = expected.energy.at(settings).mean(axis=0)
    sound = _sound(expected, settings, rivals, SLIGHTLY_MORE, MARGIN)
    return np.asarray(np.minimum(sound, SURE_ENOUGH) - 1e-3 * log_wh)


def _better(expected: Expectation, settings: Matrix, rivals: _Rivals, best: int) -> Matrix:
    """Return each setting's probability to take less energy than the best trial at a loss of at most `MARGIN`."""
    log_wh, accuracy = expected.draws(settings)
    saves = log_wh < rivals.log_wh[:, [best]] - _AS_GOOD
    if expected.accuracy is not None:
        saves &= accuracy >= rivals.accuracy[:, [best]] - MARGIN
    return np.asarray(saves.mean(axis=0))


def _improve(
    expected: Expectation, rivals: _Rivals, start: Setting, kept: Collection[str], only_failed: Sequence[Setting]
) -> dict[str, Value]:
    """Give the parameters that no advice stands for the values that make the setting best."""
    space = expected.encoder.spec.space
    setting = space.whole(start)
    options = {name: values for name, values in expected.completed_values.items() if name not in kept}
    for _ in range(_SWEEPS):
        before = dict(setting)
        for name, values in options.items():
            others = [space.whole({**setting, name: value}) for value in values]
            allowed = expected.may_run([one for one in others if not has_only_failed(one, only_failed)])
            scores = _scores(expected, expected.encoder.encode([setting, *allowed]), rivals)
            top = int(np.argmax(scores[1:])) if allowed else -1
            if allowed and (scores[1 + top] > scores[0] + 1e-6 or has_only_failed(setting, only_failed)):
                setting = dict(allowed[top])
        if setting == before:
            break
    return setting
