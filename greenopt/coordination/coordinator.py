"""The coordinator, which alone asks, runs, records and tells until a study has all its trials.

Invariants: what a trial says is appended to its events file before anything is derived from it; the storage is told
once a trial, at its end; killed at any moment, the next coordinator finds in storage and events all that it needs.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from greenopt.coordination.early_stops import EarlyStops, past_curves
from greenopt.coordination.events_file import EventsFile
from greenopt.coordination.limits import Limits
from greenopt.coordination.observers import ForecastObserver, Observer, SlotsObserver, StorageObserver
from greenopt.coordination.slots import GpuStates, Slots
from greenopt.coordination.storage_access import StorageAccess, StorageLostError, StoragePlace, through
from greenopt.coordination.trial_specs import build_trial_spec
from greenopt.coordination.verdict import Verdict, judge, objective_values, refused, trial_metrics
from greenopt.errors import UsageError
from greenopt.events import AttemptBegan, Event, FailReason, Outcome, read_events
from greenopt.execution import Engine, EventArrived, Message, ProcessEnded, Slot
from greenopt.forecast import StudyForecast
from greenopt.identity.belongings import take_trial_folder
from greenopt.identity.ids import new_id
from greenopt.logs import get_logger
from greenopt.reading import EnergySource
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import RunState, StudyEnd
from greenopt.search import Proposal, Search
from greenopt.spec import OnDuplicate, StudySpec, TrialSpec
from greenopt.stopping import Stop
from greenopt.summary import TrialSummary, summarise, summarise_fold

_log = get_logger(__name__)

RECEIVE_TIMEOUT_S = 0.5
MAX_SKIPS_IN_A_ROW = 5
"""Settings in a row that have run already, after which one is drawn that has not."""


class Inputs(Protocol):
    """The code and the data that trials run with, as they are now."""

    def change(self) -> str | None:
        """Return what changed and was not accepted, in words; None where trials may start."""
        ...

    @property
    def marks(self) -> Mapping[str, str | None]:
        """What a trial that starts now keeps of them."""
        ...


class Annotator(Protocol):
    """Adds notes to a trial before it is told. Its methods must be fast, and raise nothing but a storage's outage."""

    def annotate(self, trial: int, verdict: Verdict, metrics: Mapping[str, Any]) -> None:
        """Add notes to a trial before it is told with this verdict and these metrics."""
        ...


@dataclass
class _Running:
    spec: TrialSpec
    slot: Slot
    attempt_id: str
    deadline_s: float | None
    events: EventsFile
    cause: FailReason | Stop | None = None
    has_ended: bool = False


class Coordinator:
    """Runs one study to its end. Used by one thread; `stop`, `pause` and `resume` may come from signal handlers."""

    def __init__(
        self,
        spec: StudySpec,
        search: Search,
        engine: Engine,
        folder: RunFolder,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.monotonic,
        annotator: Annotator | None = None,
        wait: Callable[[float], None] = time.sleep,
        inputs: Inputs | None = None,
        metered_by: EnergySource | None = None,
        gpus: GpuStates | None = None,
        place: StoragePlace | None = None,
        elapsed_before_s: float = 0.0,
    ) -> None:
        """Wire the parts; nothing runs yet. The caller holds the folder's lock and the GPUs' leases."""
        self._spec = spec
        self._place = place or StoragePlace()
        self._access = StorageAccess(
            self._place,
            meanwhile=self._serve,
            may_give_up=lambda: all(running.has_ended for running in self._running.values()),
            is_told_to_give_up=lambda: self._kill,
            announce=self._announce_storage,
        )
        self._search = through(self._access, search)
        self._engine = engine
        self._folder = folder
        self._clock = clock
        self._slots = Slots(engine, gpus, clock, self._slot_failed)
        self._limits = Limits(spec, self._search, len(engine.slots), clock, self._announce_forecast, elapsed_before_s)
        # First, so that the others know of the forecast when they tell of the trial that changed it.
        self._observers: tuple[Observer, ...] = (self._limits, *observers)
        self._annotator = annotator
        self._wait = wait
        self._inputs = inputs
        self._metered_by = metered_by
        self._stops = EarlyStops(spec)
        self._running: dict[int, _Running] = {}
        self._ended: deque[ProcessEnded] = deque()
        self._failures: deque[FailReason] = deque(maxlen=spec.study.stop_after_equal_failures)
        self._end: StudyEnd | None = None
        self._kill = False
        self._is_paused = False
        self._run_state = RunState.RUNNING

    def pause(self) -> None:
        """Start no new trials until `resume`; running trials continue."""
        self._is_paused = True

    def resume(self) -> None:
        """Start trials again."""
        self._is_paused = False

    def stop(self) -> None:
        """Start no new trials; a second call ends the running trials too."""
        self._kill = self._end is StudyEnd.STOPPED
        self._end = self._end or StudyEnd.STOPPED

    def stop_now(self) -> None:
        """Start no new trials and end the running ones; they run again when the study is resumed."""
        self._end, self._kill = self._end or StudyEnd.STOPPED, True

    @property
    def repeated_failure(self) -> FailReason | None:
        """The reason, where the study stopped because the same failure came again and again."""
        return self._failures[-1] if self._end is StudyEnd.EQUAL_FAILURES else None

    @property
    def is_storage_busy(self) -> bool:
        """Whether an operation on the storage runs or waits, or the storage was given up."""
        return self._access.is_busy

    def run(self) -> StudyEnd:
        """Run until the study is done or stopped, or its storage was away for too long; return why it ended."""
        try:
            self._run()
        except StorageLostError as error:
            _log.warning("%s", error)
            self._end = StudyEnd.STORAGE_LOST
        finally:
            self._access.close()
        return self._conclude()

    def _run(self) -> None:
        self._recover()
        if self._stops.is_learning:
            self._stops.learn(past_curves(self._search, self._folder))
        self._search.enqueue_baseline()
        self._search.enqueue_listed()
        settled = self._search.settled()
        for observer in self._observers:
            observer.study_began(self._spec, settled)
        self._limits.forecast()
        while True:
            self._heed_limits()
            self._heed_slots()
            self._slots.look_now_and_then()
            self._announce_run_state()
            self._fill_slots()
            self._heed_failed_gpus()
            if not self._running:
                if not self._waits():
                    if self._end is StudyEnd.STOPPED and not self._wants_more():
                        # Its last trials ended after it was asked to stop.
                        self._end = StudyEnd.DONE
                    return
                self._wait(RECEIVE_TIMEOUT_S)
            self._take(self._engine.receive(RECEIVE_TIMEOUT_S))
            while self._ended:
                self._finish(self._ended.popleft())
            self._end_overdue()
            if self._search.lease.is_due:
                self._access(self._search.lease.renew)

    def _serve(self, timeout_s: float) -> None:
        """Go on with the running trials while the storage is waited for."""
        self._announce_run_state()
        self._take(self._engine.receive(timeout_s))
        self._end_overdue()

    def _take(self, messages: Sequence[Message]) -> None:
        """Record events at once; ends of processes wait for the storage."""
        for message in messages:
            match message:
                case EventArrived():
                    self._record_event(message.trial, message.event)
                case ProcessEnded():
                    self._running[message.trial].has_ended = True
                    self._ended.append(message)

    def _waits(self) -> bool:
        """Whether trials are to start later, though none runs: resumed, on a GPU that answers again, on a new slot."""
        is_waiting = self._is_paused or self._slots.may_come()
        return is_waiting and self._end is None and self._wants_more()

    def _conclude(self) -> StudyEnd:
        self._end = self._end or StudyEnd.DONE
        _log.info("the study ended: %s", self._end)
        for observer in self._observers:
            observer.study_ended(self._end, self.repeated_failure)
        return self._end

    def _announce_storage(self, cause: str | None) -> None:
        _log.info("storage %s: %s", self._place.name, cause or "is back")
        for observer in self._observers:
            if isinstance(observer, StorageObserver):
                observer.storage_changed(self._place.name, cause)

    def _announce_forecast(self, forecast: StudyForecast, settled: int, used_wh: float) -> None:
        for observer in self._observers:
            if isinstance(observer, ForecastObserver):
                observer.forecast_made(forecast, settled, used_wh)

    def _announce_run_state(self) -> None:
        """Notify the observers, from the loop's own thread, of changes by signal handlers."""
        run_state = RunState.PAUSED if self._is_paused else RunState.RUNNING
        if self._end is not None:
            run_state = RunState.STOPPING_NOW if self._kill else RunState.STOPPING
        if run_state is not self._run_state:
            self._run_state = run_state
            _log.info("the study is %s", run_state)
            for observer in self._observers:
                observer.run_state_changed(run_state)

    def _recover(self) -> None:
        """Settle what an earlier coordinator left running, and enqueue what it owes a retry."""
        for trial in self._search.running():
            attempt_id = self._search.attempt(trial)
            if attempt_id is None and not self._folder.events(trial).exists() and self._wants_more():
                continue  # its coordinator was killed while it asked for it: the next ask goes on with it
            summary = summarise(read_events(self._folder.own_events(trial, attempt_id)))
            self._settle(trial, summary, judge(summary, self._spec, FailReason.INTERRUPTED, None))
        self._search.enqueue_retries()

    def _heed_limits(self) -> None:
        """Stop starting trials once a budget is spent, or the front has stood still for long enough."""
        # The storage is asked last: this is looked at with every event of every trial.
        if self._end is None and (end := self._limits.end()) is not None and self._wants_more():
            self._end = end

    def _has_room(self) -> bool:
        """Return whether the budgets have room for another trial; end the study where nothing runs that may leave some.

        A running trial may need less than is reserved for it.
        """
        has_room = self._limits.may_start()
        if not has_room and not self._running:
            self._end = StudyEnd.BUDGET_SPENT
        return has_room

    def _heed_slots(self) -> None:
        """Tell of slots that have come and gone; where none has been left for long, start no more trials."""
        if (changes := self._slots.changes()) is not None:
            for observer in self._observers:
                if isinstance(observer, SlotsObserver):
                    observer.slots_changed(*changes)
        if self._slots.are_lost() and self._end is None and self._wants_more():
            self._end = StudyEnd.GPUS_FAILED

    def _heed_failed_gpus(self) -> None:
        """Start no more trials where all GPUs have failed."""
        if self._end is None and self._slots.have_failed() and self._wants_more():
            self._end = StudyEnd.GPUS_FAILED

    def _slot_failed(self, slot: Slot, failure: str, others: Sequence[Slot]) -> None:
        """Tell that a slot's GPU failed, and end the trial that runs there."""
        for observer in self._observers:
            observer.slot_set_aside(slot, failure, others)
        for trial, running in self._running.items():
            if running.slot == slot and running.cause is None:
                running.cause = FailReason.GPU_FAILED
                if not running.has_ended:
                    self._engine.end(trial)

    def _fill_slots(self) -> None:
        busy = {running.slot for running in self._running.values()}
        for slot in self._engine.slots:
            if slot in busy:
                continue
            if self._end is not None or self._is_paused or not self._wants_more():
                return
            if not self._slots.is_sound(slot) or not self._has_room():
                continue
            while self._end is None and (proposal := self._next_unchanged_proposal()) is not None:
                if self._start(proposal, slot):
                    break

    def _next_unchanged_proposal(self) -> Proposal | None:
        """Return the next setting to train; None where there is none, or where code or data changed."""
        if self._inputs is not None and self._access(self._inputs.change) is not None:
            self._end = StudyEnd.INPUTS_CHANGED
            return None
        return self._next_proposal()

    def _wants_more(self) -> bool:
        return self._search.settled() + len(self._running) < self._spec.study.trials

    def _next_proposal(self) -> Proposal | None:
        """Return the next setting that must be trained; skipped ones are told on the way."""
        skips = 0
        while self._end is None and self._wants_more():
            if not self._search.has_more():
                # One that is running may yet have to run again.
                if not self._running:
                    self._end = StudyEnd.SPACE_EXHAUSTED
                return None
            proposal = self._search.ask(untried=skips >= MAX_SKIPS_IN_A_ROW)
            _log.debug("trial %d asked for: %s", proposal.trial, proposal.values)
            skipped = self._skipped(proposal)
            if skipped is None:
                return proposal
            skips += skipped.reason is FailReason.DUPLICATE
            self._settle(proposal.trial, summarise(()), skipped)
            self._serve(0.0)
        return None

    def _skipped(self, proposal: Proposal) -> Verdict | None:
        if proposal.retry_of is not None:
            return None
        if proposal.out_of_memory_in is not None:
            message = f"trial {proposal.out_of_memory_in} ran out of memory with this setting; not run again"
            return Verdict(Outcome.FAILED, FailReason.OUT_OF_MEMORY, message, ran=False)
        if proposal.same_as and self._spec.study.on_duplicate is OnDuplicate.SKIP:
            message = f"same setting as trial {proposal.same_as[0]}"
            return Verdict(Outcome.FAILED, FailReason.DUPLICATE, message, ran=False)
        refusal = self._stops.refusal(proposal)
        return None if refusal is None else refused(refusal)

    def _start(self, proposal: Proposal, slot: Slot) -> bool:
        """Start a trial; return whether it runs."""
        folder = self._folder.trial(proposal.trial)
        spec = build_trial_spec(self._spec, proposal, slot, folder)
        try:
            attempt_id = self._begin_attempt(spec.trial)
            self._engine.start(spec, slot, self._folder.log(spec.trial))
        except OSError as error:
            self._fail_start(spec, error)
            return False
        _log.info("trial %d started on %s, attempt %s", spec.trial, slot.name, attempt_id)
        limit_s = self._spec.training.time_limit_s
        deadline_s = None if limit_s is None else self._clock() + limit_s
        events = EventsFile(self._folder.events(spec.trial))
        self._running[spec.trial] = _Running(spec, slot, attempt_id, deadline_s, events)
        self._stops.trial_began(proposal)
        for observer in self._observers:
            observer.trial_began(spec, slot)
        return True

    def _fail_start(self, spec: TrialSpec, error: OSError) -> None:
        """Record a trial whose folder or process could not be made; it has drawn nothing."""
        what = f"{error.filename}: " if error.filename else ""
        message = f"it could not be started: {what}{error.strerror or error}"
        verdict = Verdict(Outcome.FAILED, FailReason.NOT_RECORDED, message)
        self._settle(spec.trial, summarise(()), verdict, spec)
        self._search.enqueue_retries()
        self._watch_failures(verdict)

    def _begin_attempt(self, trial: int) -> str:
        """Give a trial's attempt an identity, in the storage first and then in its folder; return it."""
        head = AttemptBegan(
            study_id=self._search.study_id, run_id=self._search.run_id, attempt_id=new_id(), trial=trial
        )
        self._search.begin(trial, head.attempt_id, self._inputs.marks if self._inputs is not None else {})
        try:
            take_trial_folder(self._folder.trial(trial), head)
        except FileExistsError:
            raise UsageError(
                f"{self._folder.trial(trial)}: holds something of another study or attempt, which is not written over; "
                "move it away"
            ) from None
        return head.attempt_id

    def _record_event(self, trial: int, event: Event) -> None:
        running = self._running[trial]
        running.events.append(event)
        if running.events.is_gone and running.cause is None:
            running.cause = FailReason.NOT_RECORDED
            self._engine.end(trial)
        stop = self._stops.event_arrived(trial, event)
        if stop is not None and running.cause is None:
            _log.info("trial %d is stopped: %s", trial, stop.message)
            running.cause = stop
            self._engine.end(trial)
        for observer in self._observers:
            observer.event_arrived(trial, event)

    def _finish(self, ended: ProcessEnded) -> None:
        running = self._running[ended.trial]
        _log.debug("trial %d: its process ended, code %s, signal %s", ended.trial, ended.exit_code, ended.signal)
        running.events.flush()
        own = self._folder.own_events(ended.trial, running.attempt_id)
        problem = running.events.problem or (None if own is not None else "was deleted or replaced")
        summary = summarise(read_events(own)) if problem is None else summarise_fold(running.events.fold)
        if running.cause is None and not self._slots.is_sound(running.slot):
            running.cause = FailReason.GPU_FAILED
        verdict = judge(summary, self._spec, running.cause, ended, self._metered_by)
        if problem is not None:
            message = f"{self._folder.events(ended.trial)} {problem}; its results could not be kept"
            verdict = Verdict(Outcome.FAILED, FailReason.NOT_RECORDED, message)
        if verdict.outcome is Outcome.COMPLETED:
            verdict = replace(verdict, decision=self._stops.audit(ended.trial))
        self._settle(ended.trial, summary, verdict, running.spec)
        self._stops.trial_ended(ended.trial, verdict)
        del self._running[ended.trial]
        self._search.enqueue_retries()
        self._watch_failures(verdict)

    def _settle(self, trial: int, summary: TrialSummary, verdict: Verdict, spec: TrialSpec | None = None) -> None:
        metrics = trial_metrics(summary, verdict, spec)
        values = objective_values(summary, self._spec) if verdict.outcome is Outcome.COMPLETED else None
        if (annotator := self._annotator) is not None:
            self._access(lambda: annotator.annotate(trial, verdict, metrics))
        self._search.tell(trial, verdict.outcome, metrics, values)
        _log.info("trial %d told: %s %s %s", trial, verdict.outcome, values or verdict.reason or "", verdict.message)
        settled = self._search.settled()
        for observer in self._observers:
            observer.trial_ended(trial, summary, verdict, settled)

    def _watch_failures(self, verdict: Verdict) -> None:
        if verdict.outcome is not Outcome.FAILED or not isinstance(verdict.reason, FailReason):
            self._failures.clear()
        elif verdict.reason not in (FailReason.INTERRUPTED, FailReason.GPU_FAILED, FailReason.NODE_LOST):
            self._failures.append(verdict.reason)
        full = len(self._failures) == self._failures.maxlen
        if full and len(set(self._failures)) == 1 and self._end is None:
            self._end = StudyEnd.EQUAL_FAILURES

    def _end_overdue(self) -> None:
        for trial, running in self._running.items():
            if running.has_ended:
                continue
            if self._kill and running.cause is None:
                running.cause = FailReason.INTERRUPTED
                self._engine.end(trial)
            elif running.deadline_s is not None and running.cause is None and self._clock() > running.deadline_s:
                running.cause = FailReason.TIMEOUT
                self._engine.end(trial)
