"""What observers of a running study are told."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from greenopt.coordination.verdict import Verdict
from greenopt.events import Event, FailReason
from greenopt.execution import Slot
from greenopt.forecast import StudyForecast
from greenopt.runs.study_log import RunState, StudyEnd
from greenopt.spec import StudySpec, TrialSpec
from greenopt.summary import TrialSummary


class Observer(Protocol):
    """An observer of a running study. Its methods must not raise and must be fast."""

    def study_began(self, spec: StudySpec, settled: int) -> None:
        """Handle the start of the study; `settled` trials are already recorded."""
        ...

    def trial_began(self, spec: TrialSpec, slot: Slot) -> None:
        """Handle the start of a trial's process."""
        ...

    def event_arrived(self, trial: int, event: Event) -> None:
        """Handle an event of a running trial."""
        ...

    def trial_ended(self, trial: int, summary: TrialSummary, verdict: Verdict, settled: int) -> None:
        """Handle the recording of a trial; `settled` of the study's trials are now recorded."""
        ...

    def run_state_changed(self, run_state: RunState) -> None:
        """Handle that the study was paused, resumed or told to stop."""
        ...

    def slot_set_aside(self, slot: Slot, failure: str, others: Sequence[Slot]) -> None:
        """Handle that a slot's GPU failed, in words; trials go on in the others."""
        ...

    def study_ended(self, end: StudyEnd, failure: FailReason | None) -> None:
        """Handle the end of the study; `failure` is the reason if equal failures stopped it."""
        ...


@runtime_checkable
class StorageObserver(Protocol):
    """An observer that is also told of outages of the study's storage."""

    def storage_changed(self, name: str, cause: str | None) -> None:
        """Handle that the storage is away, and why in words; None where it is back."""
        ...


@runtime_checkable
class SlotsObserver(Protocol):
    """An observer that is also told of slots that come and go."""

    def slots_changed(self, slots: Sequence[Slot], joined: Sequence[Slot], gone: Sequence[Slot]) -> None:
        """Handle that there are other slots now; `slots` are all of them."""
        ...


@runtime_checkable
class ForecastObserver(Protocol):
    """An observer that is also told what the study is forecast to take."""

    def forecast_made(self, forecast: StudyForecast, settled: int, used_wh: float) -> None:
        """Handle a forecast, made when so many trials counted and had used this energy in Wh."""
        ...
