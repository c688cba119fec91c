"""greenopt's own sampler: proposes the setting whose expected gain in hypervolume is largest for its forecast energy.

Energy is forecast by the log-linear model of the stopping rules, accuracy by a Gaussian process on the scale
log(a / (1 - a)). Of many candidates the one is proposed whose expected gain in hypervolume, per Wh that it is expected
to cost, is largest. Where trials are stopped early, one that is likely to be lost is expected to cost less. Running
trials count as ended as they are forecast to end, so that several GPUs try different settings.
"""

import math
import random
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import FrozenTrial

from greenopt.pareto import Point
from greenopt.search.evidence import Evidence, read_evidence
from greenopt.search.exhaustive import Place, Places, WholeSettingSampler, draw_untried
from greenopt.search.gaussian_process import Encoder, Process
from greenopt.search.prior import kept_prior
from greenopt.spec import Choice, Range, SearchSpace, StudySpec, Value, value_at_step
from greenopt.stopping.accuracy import AccuracyForecast
from greenopt.stopping.curve import Curve
from greenopt.stopping.energy import EnergyForecast, EnergyModel
from greenopt.stopping.gain import Frame, Front

Floats = npt.NDArray[np.float64]

MAX_TRIALS = 300
"""Trials that the models learn from; of more the front, and the latest."""

ACCURACY_SCALE = 2.0
"""Standard deviation of log(a / (1 - a)) between settings before the trials tell."""

BATCH_SIZE = "batch_size"
BATCH_SLOPE = 0.6
"""How log energy an epoch falls with the log of the batch size, until trials tell: from about 1 where a GPU is mostly
idle to 0 where it is full. In Zeus's public traces (ShuffleNet V2 on an A40, batches of 8 to 1,024) it is 0.5."""

NEIGHBOURS = 0.5
"""Share of the candidates that differ in one or two values from a setting of the front; the others are drawn evenly."""


class EnergyAwareSampler(WholeSettingSampler):
    """See the module."""

    def __init__(
        self,
        spec: StudySpec,
        seed: int,
        n_startup_trials: int = 1,
        n_candidates: int = 400,
        settings: Sequence[Mapping[str, Value]] | None = None,
    ) -> None:
        """Prepare for one trial.

        Args:
            spec: the study.
            seed: decides what is drawn.
            n_startup_trials: trials that are drawn at random before it learns; those of a prior study count.
            n_candidates: settings that it chooses among.
            settings: the only ones that may be proposed; all of the space unless given.
        """
        self._spec, self._seed = spec, seed
        self._startup, self._candidates, self._settings = n_startup_trials, n_candidates, settings

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Choose the trial's setting."""
        prior = kept_prior(study, self._spec)
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        ended, pending = read_evidence(others, self._spec)
        tried = Places(self._spec.space).tried(others)
        rng = random.Random(self._seed)
        known = [*prior, *ended]
        candidates = self._drawn(known, tried, rng)
        if len(known) < self._startup or len(candidates) == 1:
            logs, _ = Energies(self._spec, known).forecast(candidates)
            # As much energy is likely to be spent on each: nothing is known yet that a dear one would be worth.
            self._setting = dict(rng.choices(candidates, weights=list(np.exp(logs.min() - logs)))[0])
        else:
            self._setting = dict(best_candidate(self._spec, known, pending, candidates))

    def _drawn(self, known: Sequence[Evidence], tried: set[Place], rng: random.Random) -> Sequence[Mapping[str, Value]]:
        """Return settings to choose among, none that was tried while there are others."""
        space = self._spec.space
        if self._settings is not None:
            return self._settings
        places = Places(space)
        front = [each.setting for each in known if each.whole is not None and _leads(each, known)]
        found: dict[Place, Mapping[str, Value]] = {}
        for number in range(self._candidates):
            near = front and number < NEIGHBOURS * self._candidates
            setting = _neighbour(rng.choice(front), space, rng) if near else _draw(space, rng)
            place = places.of(setting)
            if place is not None and place not in tried:
                found[place] = setting
        if found:
            return list(found.values())
        return [draw_untried(space, tried, rng) if math.isfinite(space.size) else _draw(space, rng)]


def best_candidate(
    spec: StudySpec,
    known: Sequence[Evidence],
    pending: Sequence[Mapping[str, Value]],
    candidates: Sequence[Mapping[str, Value]],
) -> Mapping[str, Value]:
    """Return the candidate of the largest expected gain in hypervolume per Wh.

    Args:
        spec: the study.
        known: what ended trials tell.
        pending: settings of running trials.
        candidates: settings to choose among.
    """
    known = _newest(known)
    energy = Energies(spec, known)
    encoder = Encoder(spec.space)
    taught = [each for each in known if each.accuracy is not None]
    accuracies = [each.accuracy for each in taught if each.accuracy is not None]
    settings = [each.setting for each in taught]
    points = [each.whole for each in known if each.whole is not None]
    if not accuracies:
        return candidates[0]
    if pending:
        process = _process(encoder, settings, accuracies)
        means, spreads = process.predict(encoder.encode(pending))
        logs, _ = energy.forecast(pending)
        for setting, mean, spread, log in zip(pending, means, spreads, logs, strict=True):
            settings.append(setting)
            accuracies.append(AccuracyForecast(float(mean), float(spread)))
            points.append(Point(math.exp(log), AccuracyForecast(float(mean), 0.0).quantile(0.5)))
    process = _process(encoder, settings, accuracies)
    means, spreads = process.predict(encoder.encode(candidates))
    logs, deviations = energy.forecast(candidates)
    scores = _gains_per_wh(points, means, spreads, logs, deviations, _share_of_stopped(known))
    return candidates[int(np.argmax(scores))]


def _gains_per_wh(
    points: Sequence[Point], means: Floats, spreads: Floats, logs: Floats, deviations: Floats, share: float
) -> Floats:
    medians_wh = np.exp(logs)
    frame = Frame.around([*(point.energy_wh for point in points), *map(float, medians_wh)])
    front = Front(points, frame)
    scores = np.empty(len(means))
    for index, (mean, spread, wh, deviation) in enumerate(zip(means, spreads, medians_wh, deviations, strict=True)):
        nodes = AccuracyForecast(float(mean), float(spread)).nodes()
        gain = front.gain(float(wh), nodes)
        promising = float(np.mean(nodes > front.height_at(float(wh))))
        cost = promising + (1 - promising) * share
        scores[index] = gain / (wh * math.exp(0.5 * deviation**2) * cost)
    return scores


def _share_of_stopped(known: Sequence[Evidence]) -> float:
    """Return the share of its energy that a stopped trial has used, in the mean; 1 where none was stopped."""
    shares = [each.cost_share for each in known if each.energy is not None and each.whole is None]
    return sum(shares) / len(shares) if shares else 1.0


class Energies:
    """Log energies of settings, from what is known beforehand and from the trials so far."""

    def __init__(self, spec: StudySpec, known: Sequence[Evidence]) -> None:
        """Learn from trials whose energy is known or forecast."""
        self._model, self._epochs = EnergyModel(spec.space), spec.training.epochs
        self._is_learnt = sum(1 for each in known if each.energy is not None) > 1
        for each in known:
            if each.energy is not None:
                beyond = EnergyForecast(each.energy.mean - expected_log(each.setting), each.energy.deviation)
                self._model.add(Curve(0, each.setting, self._epochs, (), ()), beyond)

    def forecast(self, settings: Sequence[Mapping[str, Value]]) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of log(Wh) of each setting; up to a constant before two trials ended."""
        expected = np.array([expected_log(setting) for setting in settings])
        if not self._is_learnt:
            return expected, np.ones(len(settings))
        found = [self._model.forecast(setting, self._epochs) for setting in settings]
        means = np.array([each.mean for each in found if each is not None])
        return expected + means, np.array([each.deviation for each in found if each is not None])


def expected_log(setting: Mapping[str, Value]) -> float:
    """Return what is known of a setting's log energy before any trial, up to a constant.

    A larger batch needs less energy an epoch, because a GPU that has less to do at a time does it less efficiently.
    """
    batch_size = setting.get(BATCH_SIZE)
    known = isinstance(batch_size, int | float) and not isinstance(batch_size, bool) and batch_size > 0
    return -BATCH_SLOPE * math.log(float(batch_size or 1)) if known else 0.0


def _process(
    encoder: Encoder, settings: Sequence[Mapping[str, Value]], accuracies: Sequence[AccuracyForecast]
) -> Process:
    response = np.array([each.mean for each in accuracies])
    deviations = np.array([each.deviation for each in accuracies])
    return Process(encoder, encoder.encode(settings), response, deviations, ACCURACY_SCALE)


def _newest(known: Sequence[Evidence]) -> Sequence[Evidence]:
    """Return the latest, and of the others those of the front."""
    if len(known) <= MAX_TRIALS:
        return known
    old, new = known[:-MAX_TRIALS], known[-MAX_TRIALS:]
    return [*(each for each in old if each.whole is not None and _leads(each, known)), *new]


def _leads(each: Evidence, others: Sequence[Evidence]) -> bool:
    """Return whether no other trial has more accuracy for less energy."""
    own = each.whole
    assert own is not None
    points = (other.whole for other in others if other.whole is not None)
    return not any(
        point.accuracy >= own.accuracy and point.energy_wh <= own.energy_wh and point[:2] != own[:2] for point in points
    )


def _draw(space: SearchSpace, rng: random.Random) -> dict[str, Value]:
    return space.trimmed({name: _value(distribution, rng) for name, distribution in space.distributions.items()})


def _neighbour(setting: Mapping[str, Value], space: SearchSpace, rng: random.Random) -> dict[str, Value]:
    free = list(space.free)
    changed = rng.sample(free, min(len(free), rng.choice((1, 1, 2))))
    near = {**setting, **{name: _value(space.distributions[name], rng) for name in changed}}
    # What a changed value brings with it is drawn as well.
    return space.trimmed({**_draw(space, rng), **near} if space.lacking(near) else near)


def _value(distribution: Choice | Range, rng: random.Random) -> Value:
    if isinstance(distribution, Choice):
        return rng.choice(distribution.values)
    if math.isfinite(distribution.size):
        value = value_at_step(distribution.low, distribution.step or 1, rng.randrange(int(distribution.size)))
        return int(value) if distribution.is_integer else float(value)
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        return min(high, max(low, math.exp(rng.uniform(math.log(low), math.log(high)))))
    return rng.uniform(low, high)
