"""The slots of a running study: which have come and gone, and on whose GPUs trials may start.

Invariants: a slot whose GPU has failed gets no further trial; one whose GPU is in doubt waits until it is not.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from greenopt.execution import Slot
from greenopt.logs import get_logger

_log = get_logger(__name__)

LOOK_EVERY_S = 10.0
"""How often the GPUs of running trials are looked at."""

SLOT_PATIENCE_S = 600.0
"""How long the study waits for a slot where all are gone, with the machines that they belonged to."""


class GpuState(Protocol):
    """What a look at a GPU found."""

    @property
    def failure(self) -> str | None:
        """Why no trial should run there any more, in words; None while it has not failed."""
        ...

    @property
    def is_in_doubt(self) -> bool:
        """Whether no trial should start there at the moment."""
        ...


class GpuStates(Protocol):
    """The health of the study's GPUs."""

    def look(self, uuid: str) -> GpuState:
        """Look at a GPU. Must not raise and must be fast."""
        ...


class SlotHolder(Protocol):
    """What has the slots; they may change at any time."""

    @property
    def slots(self) -> Sequence[Slot]:
        """Those of now."""
        ...


class Slots:
    """The slots that a study has, with what is known of their GPUs."""

    def __init__(
        self,
        holder: SlotHolder,
        gpus: GpuStates | None,
        clock: Callable[[], float],
        failed: Callable[[Slot, str, Sequence[Slot]], None],
    ) -> None:
        """Begin with the slots of now, all of them sound.

        Args:
            holder: the engine.
            gpus: the health of the GPUs; all are taken to be sound unless given.
            clock: the time in s.
            failed: called once for a slot whose GPU failed, with the failure in words and the slots that are left.
        """
        self._holder, self._gpus, self._clock, self._failed = holder, gpus, clock, failed
        self._known = tuple(holder.slots)
        self._set_aside: set[Slot] = set()
        self._doubtful: set[Slot] = set()
        self._look_at_s = -float("inf")
        self._none_since_s: float | None = None

    def changes(self) -> tuple[tuple[Slot, ...], list[Slot], list[Slot]] | None:
        """Return the slots of now, with those that have joined and those that are gone since the last call, if any."""
        now, before = tuple(self._holder.slots), self._known
        if now == before:
            return None
        self._known = now
        joined, gone = [slot for slot in now if slot not in before], [slot for slot in before if slot not in now]
        _log.info("slots: %s joined, %s gone", [slot.name for slot in joined], [slot.name for slot in gone])
        self._set_aside -= set(gone)
        self._doubtful -= set(gone)
        return now, joined, gone

    def are_lost(self) -> bool:
        """Return whether there has been no slot for so long that none is waited for any more."""
        if self._known:
            self._none_since_s = None
            return False
        self._none_since_s = self._clock() if self._none_since_s is None else self._none_since_s
        return self._clock() - self._none_since_s > SLOT_PATIENCE_S

    def look_now_and_then(self) -> None:
        """Look at all GPUs, if it is time: a trial can hang on one that was lost."""
        if self._clock() >= self._look_at_s:
            self._look_at_s = self._clock() + LOOK_EVERY_S
            for slot in self._holder.slots:
                self.is_sound(slot)

    def is_sound(self, slot: Slot) -> bool:
        """Look at a slot's GPU and return whether a trial may start there; set the slot aside if the GPU has failed."""
        if self._gpus is None or slot.gpu_uuid is None or slot in self._set_aside:
            return slot not in self._set_aside
        found = self._gpus.look(slot.gpu_uuid)
        (self._doubtful.add if found.is_in_doubt else self._doubtful.discard)(slot)
        if found.failure is not None:
            self._set_aside.add(slot)
            _log.warning("%s is set aside: %s", slot.name, found.failure)
            self._failed(slot, found.failure, [other for other in self._holder.slots if other not in self._set_aside])
        return found.failure is None and not found.is_in_doubt

    def have_failed(self) -> bool:
        """Return whether the GPUs of all slots have failed."""
        slots = self._holder.slots
        return bool(slots) and self._set_aside.issuperset(slots)

    def may_come(self) -> bool:
        """Return whether a slot may be had later: of a GPU that answers again, or of a machine that joins."""
        return bool(self._doubtful) or not self._holder.slots
