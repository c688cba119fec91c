"""The Optuna study: asking for settings, telling results, and counting what is left.

Sole owner of optuna. Invariants: no intermediate values are ever written (TPE breaks on them in a multi-objective
study); every trial that ended has its figures as flat user attributes; a setting that was interrupted is enqueued
again at most `MAX_RETRIES` times, and exactly once for each interruption, however often this is repeated.
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from greenopt.events import FailReason, Outcome
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE, STUDY_ID_ATTRIBUTE, new_id
from greenopt.identity.sameness import as_begun
from greenopt.search.asking import suggest_all
from greenopt.search.energy_aware import EnergyAwareSampler
from greenopt.search.energy_view import EnergyView, seeing
from greenopt.search.exhaustive import Place, Places, setting_of
from greenopt.search.known_space import knowing_space, learnt_trials
from greenopt.search.lease import StudyLease
from greenopt.search.prior import kept_front
from greenopt.search.rows import drawn_values
from greenopt.search.samplers import build_sampler, build_untried, sampler_arguments, visits_each_once
from greenopt.search.tally import TrialTally
from greenopt.search.trial_cache import writing_together
from greenopt.spec import Choice, Direction, Distribution, OnDuplicate, Range, StudySpec, Value, stored_study
from greenopt.storage.marks import MARKS_ATTRIBUTE, TrialMarks
from greenopt.storage.rows import SPEC_ATTRIBUTE, sound
from greenopt.storage.trial_state import STATE_BY_OUTCOME, TrialState, failure_of, is_settled, outcome_of

SAMPLER_ATTRIBUTE = "greenopt:sampler"
ENQUEUED_ATTRIBUTE = "wanted"
"""Attribute of a trial that `study.enqueue` asked for: its setting, as JSON."""

PRIOR_FRONT_ATTRIBUTE = "from_prior"
"""Attribute of a trial whose setting is of the front of an earlier study: that study's name."""

_DOUBLED = "enqueued twice, because the storage went away meanwhile"
_MADE_TWICE = "made twice, because the storage went away meanwhile"
_RAN_OR_RUNS = (OptunaState.COMPLETE, OptunaState.PRUNED, OptunaState.RUNNING)


@dataclass(frozen=True)
class Proposal:
    """A trial that Optuna knows as running and that has to be run or told.

    Attributes:
        trial: Optuna's trial number.
        values: the setting, by parameter.
        retry_of: the trial that it repeats because that one was interrupted.
        same_as: other trials that finished or run with this very setting, oldest first. A failed one is among them only
            for what the sampler proposed: who enqueues its setting wants it to run again.
        repetition: how often the sampler had proposed this setting before; a retry has that of the trial it repeats.
        out_of_memory_in: an earlier trial in which this setting ran out of memory.
        is_asked_for: whether the user asked for this setting: the baseline, or one of `study.enqueue`.
    """

    trial: int
    values: dict[str, Value]
    retry_of: int | None = None
    same_as: tuple[int, ...] = ()
    repetition: int = 0
    out_of_memory_in: int | None = None
    is_asked_for: bool = False


@dataclass(frozen=True)
class PastTrial:
    """A trial that has ended, as the storage has it.

    Attributes:
        reason: its `stop_reason` or `fail_reason`; empty for a completed one.
        attempt_id: its attempt; None where it was never started.
    """

    number: int
    setting: Mapping[str, Value]
    outcome: Outcome
    reason: str
    attempt_id: str | None


class Search:
    """One Optuna study. Not for use by two threads; the coordinator alone writes through it.

    Attributes:
        spec: the study, its objectives and its space in the order in which it was begun: Optuna keeps directions and
            values by position.
        study_id: the study's identity.
        run_id: the identity of this coordinator's run.
    """

    def __init__(
        self,
        spec: StudySpec,
        storage: optuna.storages.BaseStorage | None,
        *,
        is_same_data: bool | None = None,
        study_id: str | None = None,
    ) -> None:
        """Create the study, or load it and check that it is the same study.

        Args:
            spec: what the study file says, overrides applied.
            storage: None for a study in memory that is thrown away.
            is_same_data: whether the data's contents are known to be those that the study was begun with; None where
                that is not known, and then paths are compared.
            study_id: the identity of a study that is made anew; one of its own unless given.

        Raises:
            UsageError: a study of this name exists and differs from the file in what its trials mean, or another
                coordinator runs it.
        """
        build_sampler(spec, 0)
        self._storage = storage or optuna.storages.InMemoryStorage()
        self._is_same_data = is_same_data
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            study_name=spec.name,
            storage=self._storage,
            directions=[StudyDirection[direction.name] for direction in spec.objectives.values()],
            load_if_exists=True,
        )
        self.spec = spec = self._spec = self._as_begun(spec)
        names = [str(metric) for metric in spec.objectives]
        self.lease = StudyLease(spec.name, self._storage)
        if self._study.metric_names != names:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.set_metric_names(names)
        self.study_id = str(self._study.user_attrs.get(STUDY_ID_ATTRIBUTE) or study_id or new_id())
        self.run_id = new_id()
        self._record(STUDY_ID_ATTRIBUTE, self.study_id)
        self._record(SPEC_ATTRIBUTE, spec.model_dump(mode="json"))
        prior = {"prior": spec.sampler.prior} if spec.sampler.prior is not None else {}
        self._record(SAMPLER_ATTRIBUTE, {"name": spec.sampler.name, **sampler_arguments(spec), **prior})
        self._marks = TrialMarks.from_kept(self._study.user_attrs.get(MARKS_ATTRIBUTE))
        self._view = EnergyView(spec, self._marks.excluded)
        self._plain_view = EnergyView(spec, self._marks.excluded, logarithms=False)
        self._has_steps = any(isinstance(d, Range) and d.step for d in spec.space.distributions.values())
        self._places = Places(spec.space)
        self._placed: set[int] = set()
        self._ended_at: dict[Place | None, list[FrozenTrial]] = {}
        self._learnt = learnt_trials(spec)
        self._asked: set[int] = set()
        self._tally = TrialTally()
        self._foreseen: dict[int, dict[str, Any]] = {}
        self._distributions = {name: as_optuna(d) for name, d in spec.space.distributions.items()}

    def enqueue_baseline(self) -> None:
        """Put the first value of each parameter at the head of an empty study."""
        if self._spec.study.baseline and not self._trials():
            self._study.enqueue_trial(self._spec.space.baseline, user_attrs={"baseline": True})

    def enqueue_listed(self) -> None:
        """Put the settings of `study.enqueue` at the head of the queue, each as often as it is listed and no more."""
        there = [trial.user_attrs.get(ENQUEUED_ATTRIBUTE) for trial in self._trials()]
        for setting in self._spec.enqueued:
            setting = {name: self._as_listed(name, value) for name, value in setting.items()}
            enqueued = json.dumps(setting, sort_keys=True)
            if enqueued in there:
                there.remove(enqueued)
            else:
                self._study.enqueue_trial(setting, user_attrs={ENQUEUED_ATTRIBUTE: enqueued})

        self._enqueue_front()

    def _enqueue_front(self) -> None:
        """Put the front's settings of the study that this one was started from into the queue, once."""
        prior = self._spec.sampler.prior
        if prior is None:
            return
        tried = self._places.tried(self._trials())
        for setting in kept_front(self._study):
            if (place := self._places.of(setting)) is not None and place not in tried:
                tried.add(place)
                self._study.enqueue_trial(setting, user_attrs={PRIOR_FRONT_ATTRIBUTE: prior})

    def ask(self, *, untried: bool = False) -> Proposal:
        """Return the next setting to run; enqueued ones come first.

        A trial that was begun to be asked for and not finished, because the storage went away or the coordinator was
        killed, is asked for to its end, with what was enqueued for it or drawn already.

        Args:
            untried: whether, where none is enqueued, one is drawn that no trial has had, in place of one of the
                sampler's.
        """
        while True:
            history = self._trials()
            with writing_together(self._storage):
                trial = self._ask_to_the_end(history, untried=untried)
            if not self._is_doubled(trial, history):
                break
            self._asked.add(trial.number)
            self.tell(trial.number, Outcome.FAILED, {"fail_reason": str(FailReason.DUPLICATE), "message": _DOUBLED})
        self._asked.add(trial.number)
        for double in self._made_twice(history, trial):
            self.tell(double, Outcome.FAILED, {"fail_reason": str(FailReason.DUPLICATE), "message": _MADE_TWICE})
        same = self._others_like(trial, history)
        return Proposal(
            trial=trial.number,
            values=self._values(trial),
            retry_of=trial.user_attrs.get("retry_of"),
            same_as=tuple(other.number for other in same if _has_run(other, is_enqueued=_is_enqueued(trial))),
            repetition=_repetition(trial.user_attrs.get("retry_of"), same),
            out_of_memory_in=next((other.number for other in same if _ran_out_of_memory(other)), None),
            is_asked_for=_is_asked_for(trial, history),
        )

    def has_more(self) -> bool:
        """Return whether there is a setting to ask for: one that is enqueued, or one that the sampler may propose.

        What visits each setting once, or skips those that ran, has no more once every setting of the space was tried.
        """
        once = visits_each_once(self._spec) or self._spec.study.on_duplicate is OnDuplicate.SKIP
        if not once or math.isinf(self._spec.space.size):
            return True
        trials = self._trials()
        unended = self._tally.update(trials).unended
        if any(trial.state is OptunaState.WAITING or self._is_unfinished(trial) for trial in unended):
            return True
        return len(self._places.tried(trials)) < self._spec.space.size

    def _ask_to_the_end(self, history: list[FrozenTrial], *, untried: bool) -> optuna.Trial:
        """Return a new trial with all its parameters, or the one that was begun and not handed out."""
        unended = self._tally.update(history).unended
        begun = next((trial for trial in unended if self._is_unfinished(trial)), None)
        # One that is waiting is asked for first: with its own number, as if nobody had been killed over it.
        waiting = (trial.number for trial in unended if trial.state is OptunaState.WAITING)
        number = next(waiting, len(history)) if begun is None else begun.number
        sampler = (build_untried if untried else build_sampler)(self._spec, number, self._places)
        if isinstance(sampler, EnergyAwareSampler):
            sampler = seeing(sampler, self._plain_view)
        elif not untried:
            knowing = knowing_space(sampler, self._spec, self._distributions, self._learnt)
            sampler = seeing(knowing, self._view)
        self._study.sampler = sampler
        trial = self._study.ask() if begun is None else optuna.Trial(self._study, begun._trial_id)
        suggest_all(trial, self._spec.space, self._distributions)
        return trial

    def _is_unfinished(self, trial: FrozenTrial) -> bool:
        """Return whether a trial was begun to be asked for and never handed out."""
        return _is_half_asked(trial) and trial.number not in self._asked

    def _is_doubled(self, trial: optuna.Trial, history: list[FrozenTrial]) -> bool:
        """Return whether the same retry is there already: Optuna repeats a creation whose answer was lost."""
        retry_of = trial.user_attrs.get("retry_of")
        if retry_of is None:
            return False
        return any(o.user_attrs.get("retry_of") == retry_of for o in history if o.number != trial.number)

    def _made_twice(self, history: list[FrozenTrial], trial: optuna.Trial) -> list[int]:
        """Return the trials that were made in place of one: Optuna repeats a creation whose answer was lost."""
        if trial.number <= len(history):
            return []
        between = self._trials()[len(history) : trial.number]
        return [other.number for other in between if self._is_unfinished(other) and not other.params]

    def _others_like(self, trial: optuna.Trial, history: list[FrozenTrial]) -> list[FrozenTrial]:
        """Return the other trials of a trial's setting, oldest first; each that has ended is looked at once."""
        not_ended = []
        for other in [each for each in history if each.number not in self._placed]:
            if other.state.is_finished():
                self._placed.add(other.number)
                self._ended_at.setdefault(self._places.of(other.params), []).append(other)
            elif other.number != trial.number:
                not_ended.append(other)
        place = self._places.of(trial.params)
        same = self._ended_at.get(place, []) + [other for other in not_ended if self._places.of(other.params) == place]
        return sorted(same, key=lambda other: other.number)

    def begin(self, trial: int, attempt_id: str, marks: Mapping[str, Any]) -> None:
        """Record that a trial's process is about to start.

        Args:
            trial: its number.
            attempt_id: the identity of this attempt, as in its events file.
            marks: what else the trial is to keep, whatever becomes of it; None is left out.
        """
        frozen = self._trials()[trial]
        with writing_together(self._storage):
            for name, value in {ATTEMPT_ATTRIBUTE: attempt_id, **marks}.items():
                if value is not None:
                    self._storage.set_trial_user_attr(frozen._trial_id, name, value)

    def note(self, name: str, value: object) -> None:
        """Keep an attribute of the study."""
        self._record(name, value)

    def attempt(self, trial: int) -> str | None:
        """Return the identity of a trial's attempt; None where it was begun before there were any."""
        return self._trials()[trial].user_attrs.get(ATTEMPT_ATTRIBUTE)

    def attempts_before(self, trial: int) -> int:
        """Return how often a trial's setting was interrupted before it."""
        return int(self._trials()[trial].user_attrs.get("attempt", 0))

    def tell(self, trial: int, outcome: Outcome, metrics: dict[str, Any], values: list[float] | None = None) -> None:
        """Record how a trial ended; a trial that is already recorded stays as it is.

        Args:
            trial: its number.
            outcome: completed ones need `values`, one for each objective.
            metrics: flat figures; those that are None are left out.
            values: the objectives' values, in the order of the study file.
        """
        frozen = self._trials()[trial]
        if frozen.state.is_finished():
            return
        with suppress(optuna.exceptions.UpdateFinishedTrialError), writing_together(self._storage):
            for name, value in metrics.items():
                if value is not None:
                    self._storage.set_trial_user_attr(frozen._trial_id, name, value)
            self._study.tell(trial, values, state=stored_state(outcome), skip_if_finished=True)

    def enqueue_retries(self) -> None:
        """Enqueue every setting whose last attempt was interrupted and that has attempts left."""
        tally = self._tally.update(self._trials())
        for trial in sorted(tally.interrupted, key=lambda trial: trial.number):
            if trial.number not in tally.retried:
                attempt = int(trial.user_attrs.get("attempt", 0)) + 1
                setting = self._spec.space.trimmed(setting_of(trial))
                self._study.enqueue_trial(setting, user_attrs={"retry_of": trial.number, "attempt": attempt})

    def running(self) -> list[int]:
        """Numbers of the trials that Optuna holds for running."""
        return [trial.number for trial in self._trials() if trial.state is OptunaState.RUNNING]

    def ended_trials(self) -> list[PastTrial]:
        """Return the trials that have ended and were not excluded, by number."""
        return [
            PastTrial(
                trial.number,
                self._values(trial),
                outcome,
                str(trial.user_attrs.get("stop_reason") or trial.user_attrs.get("fail_reason") or ""),
                trial.user_attrs.get(ATTEMPT_ATTRIBUTE),
            )
            for trial in self._trials()
            if trial.number not in self._marks.excluded
            and (outcome := outcome_of(_state(trial), trial.user_attrs)) is not None
        ]

    def settled(self) -> int:
        """Return how many trials count towards the study's size: all ended ones, except retried or skipped ones."""
        return self._tally.update(self._trials()).settled - len(self._tally.settled_of(self._marks.retried))

    def ended_rows(self) -> list[dict[str, Any]]:
        """Return setting, state and figures of each trial that has ended, in the order of their ends."""
        ended = [trial for trial in self._trials() if trial.state.is_finished()]
        ended.sort(key=lambda trial: (trial.datetime_complete is None, trial.datetime_complete or 0, trial.number))
        rows = [
            {
                **self._values(trial),
                **sound(trial.user_attrs),
                "trial": trial.number,
                "state": _state(trial),
                "values": None if trial.number in self._marks.excluded else trial.values,
                "began": trial.datetime_start,
                "ended": trial.datetime_complete,
            }
            for trial in ended
        ]
        for row in rows:
            self._marks.add_to(row)
        return rows

    def upcoming(self, most: int) -> list[dict[str, Value]]:
        """Return the settings of the next trials, as far as they are known before they are asked for.

        Enqueued ones are; and those of the random sampler, which follow from the seed and the trial's number.

        Args:
            most: how many at most.
        """
        trials = self._trials()
        unended = self._tally.update(trials).unended
        waiting = [setting_of(trial) for trial in unended if trial.state is OptunaState.WAITING]
        known = [setting for setting in waiting if not self._spec.space.lacking(setting)][:most]
        if len(known) < min(most, len(waiting)) or self._spec.sampler.name != "random":
            return known
        return [*known, *(self._random_setting(len(trials) + index) for index in range(most - len(known)))]

    def _random_setting(self, number: int) -> dict[str, Value]:
        if number not in self._foreseen:
            sampler = build_sampler(self._spec, number)
            drawn: dict[str, Any] = {}
            for name in self._spec.space.order:
                distribution = self._distributions[name]
                if self._spec.space.is_left_out(name, drawn):
                    continue
                if distribution.single():
                    value = next(iter(_only_values(distribution)))
                else:
                    value = sampler.sample_independent(self._study, _UNUSED, name, distribution)
                drawn[name] = value
            self._foreseen[number] = drawn_values(drawn, self._distributions)
        return self._foreseen[number]

    def used_wh(self) -> float:
        """Return the energy used by ended trials, set-up included, in Wh; unknown energies count as nothing."""
        return self._tally.update(self._trials()).used_wh

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _values(self, trial: optuna.Trial | FrozenTrial) -> dict[str, Any]:
        """Return a trial's values by parameter; only those of ranges with a step are others than Optuna keeps."""
        return drawn_values(trial.params, trial.distributions) if self._has_steps else dict(trial.params)

    def _record(self, name: str, value: object) -> None:
        if self._study.user_attrs.get(name) != value:
            self._study.set_user_attr(name, value)

    def _as_begun(self, spec: StudySpec) -> StudySpec:
        """Return the study in the form in which it was begun; raises UsageError where it means something else."""
        kept = self._study.user_attrs.get(SPEC_ATTRIBUTE)
        if kept is None:
            return spec
        begun = stored_study(kept, spec.name)
        begun = begun.model_copy(update={"objectives": self._in_stored_order(begun.objectives)})
        return as_begun(begun, spec, is_same_data=self._is_same_data)

    def _in_stored_order(self, objectives: dict[str, Direction]) -> dict[str, Direction]:
        """Return the objectives in the order of the directions that Optuna holds; older versions might turn it."""
        directions = [direction.name for direction in self._study.directions]
        for order in permutations(objectives):
            if [objectives[metric].name for metric in order] == directions:
                return {metric: objectives[metric] for metric in order}
        return objectives

    def _as_listed(self, parameter: str, value: Value) -> Value:
        """Return a value as the study's space lists it, so that 1 and 1.0 are one setting."""
        distribution = self._spec.space.distributions[parameter]
        listed = distribution.values if isinstance(distribution, Choice) else ()
        return next(
            (each for each in listed if each == value and isinstance(each, bool) == isinstance(value, bool)), value
        )


def as_optuna(distribution: Distribution) -> BaseDistribution:
    """Convert a distribution of the search space to Optuna's."""
    if isinstance(distribution, Choice):
        return CategoricalDistribution(distribution.values)
    if distribution.is_integer:
        return IntDistribution(
            int(distribution.low), int(distribution.last), log=distribution.log, step=int(distribution.step or 1)
        )
    with warnings.catch_warnings():
        # Of a last value whose digits were rounded; what a step does not divide `SearchSpace.notes` says.
        warnings.simplefilter("ignore", UserWarning)
        return FloatDistribution(
            float(distribution.low), float(distribution.last), log=distribution.log, step=distribution.step
        )


_UNUSED = optuna.trial.create_trial(state=OptunaState.RUNNING)
"""In the place of the trial that a random sampler draws for, and does not look at."""


def _only_values(distribution: BaseDistribution) -> Sequence[Any]:
    """Return the value of a distribution that has but one."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return (distribution.low,)


def _repetition(retry_of: int | None, same: list[FrozenTrial]) -> int:
    """How many of these trials of one setting were proposed, and not retried, before this one was first proposed."""
    retried = {trial.number: trial.user_attrs.get("retry_of") for trial in same}
    while retry_of is not None and retried.get(retry_of) is not None:
        retry_of = retried[retry_of]
    return sum(1 for number, of in retried.items() if of is None and (retry_of is None or number < retry_of))


def stored_state(outcome: Outcome) -> OptunaState:
    """Return Optuna's state of a trial that ended like this."""
    return OptunaState[STATE_BY_OUTCOME[outcome].name]


def _state(trial: FrozenTrial) -> TrialState:
    return TrialState[trial.state.name]


def _is_enqueued(trial: optuna.Trial) -> bool:
    return ENQUEUED_ATTRIBUTE in trial.user_attrs


def _is_asked_for(trial: optuna.Trial | FrozenTrial, history: Sequence[FrozenTrial]) -> bool:
    """Return whether the user asked for a trial's setting, or for that of the trial that it repeats."""
    attributes = trial.user_attrs
    while (repeated := attributes.get("retry_of")) is not None and repeated < len(history):
        attributes = history[repeated].user_attrs
    return ENQUEUED_ATTRIBUTE in attributes or bool(attributes.get("baseline"))


def _has_run(trial: FrozenTrial, *, is_enqueued: bool) -> bool:
    failed = is_settled(_state(trial), trial.user_attrs) and not is_enqueued
    return trial.state in _RAN_OR_RUNS or failed


def _is_half_asked(trial: FrozenTrial) -> bool:
    """Return whether a trial is running that nobody has begun an attempt of."""
    return trial.state is OptunaState.RUNNING and ATTEMPT_ATTRIBUTE not in trial.user_attrs


def _ran_out_of_memory(trial: FrozenTrial) -> bool:
    return failure_of(_state(trial), trial.user_attrs) is FailReason.OUT_OF_MEMORY
