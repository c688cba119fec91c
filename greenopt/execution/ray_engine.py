"""Trials on a Ray cluster: one actor a slot, which holds one whole GPU of a node and runs trials as `LocalEngine` does.

Invariants: Ray's resources are the leases, so that two studies never share a GPU; nothing runs again by itself (a retry
is a new trial, which the coordinator decides); whatever ends this process ends its actors and their trials.
Nodes are looked at again and again: what joins gives slots, what is lost takes its slots and ends its trials.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from greenopt.errors import UsageError, one_line
from greenopt.events import decode
from greenopt.execution.contract import EventArrived, Message, ProcessEnded, Slot
from greenopt.execution.ray_cluster import (
    FoundNode,
    Node,
    ask,
    asked,
    choose_kind,
    connected,
    failure_text,
    found_node,
    has_free,
    list_nodes,
    named_apart,
)
from greenopt.execution.ray_places import (
    Place,
    RunningTrial,
    Stage,
    ask_missing,
    listen,
    open_place,
    pieces_of,
    send,
)
from greenopt.execution.travel import Parcel
from greenopt.files import append_privately
from greenopt.formatting import counted
from greenopt.logs import get_logger
from greenopt.reading import EnergySource
from greenopt.spec import TrialSpec

_log = get_logger(__name__)

OPEN_S = 120.0
"""How long the first slot may take: Ray starts a worker, which imports greenopt, maybe from a slow file system."""

BUSY_S = 20.0
"""How long to wait where others have all GPUs: those of a coordinator that was killed are free again within seconds."""

SETTLE_S = 5.0
"""How long the others are waited for after the first one."""

LOOK_EVERY_S = 2.0
FAILING_S = 4.0
"""How long a node may take to be reported lost after its actor was; until then the actor alone may have ended."""

MAX_REOPENINGS = 3
"""A node whose places end so often, though it is alive, gets no more of them."""

_CLOSE_S = 5.0
_TRAVELLING = ("TF_", "XLA_", "KERAS_BACKEND", "NVIDIA_TF32_OVERRIDE", "GREENOPT_START", "GREENOPT_VERBOSE")
"""Environment variables that begin so reach trials on other machines: they change what is computed."""


@dataclass(frozen=True)
class RayOptions:
    """What a cluster is asked for.

    Attributes:
        selection: `all`, `none` (the CPU), or None for GPUs where there are any.
        share: whether GPUs may be used on which other processes compute.
        limit: the most trials at once; None for as many as there are GPUs.
        gpu_model: GPUs of this model alone; None for any.
        command: program in the place of a trial's, for tests.
    """

    selection: str | None = None
    share: bool = False
    limit: int | None = None
    gpu_model: str | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class GpuState:
    """What a node last said of a slot's GPU; see the coordinator."""

    failure: str | None = None
    is_in_doubt: bool = False


def _unheard(line: str) -> None:
    """Say a line to nobody."""


class RayEngine:
    """Trials on the nodes of the cluster that this process is connected to; see `Engine`. Knows its GPUs too."""

    def __init__(
        self,
        options: RayOptions = RayOptions(),
        *,
        known: dict[str, FoundNode] | None = None,
        say: Callable[[str], None] = _unheard,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store the arguments; `open` takes the slots.

        Args:
            options: what is asked for.
            known: what nodes have said already; see `survey`.
            say: told in a line what becomes of nodes.
            clock: monotonic seconds.
        """
        self._options, self._say, self._clock = options, say, clock
        self._known = {} if known is None else known
        self._places: list[Place] = []
        self._nodes: dict[str, Node] = {}
        self._asked: dict[Any, Node] = {}
        self._reopened: dict[str, int] = {}
        self._on_gpus = True
        self._looked_s = 0.0
        self._code: Callable[[], Mapping[str, bytes]] = dict
        self._parcels: tuple[Parcel, ...] = ()
        self._messages: list[Message] = []

    @property
    def slots(self) -> Sequence[Slot]:
        """Those that can take a trial, or run one."""
        return [place.slot for place in self._places if place.slot is not None and place.stage is Stage.READY]

    def open(self) -> None:
        """Take all slots that are free; those that others hold are taken when they are given back.

        Raises:
            UsageError: a node cannot run trials, or no slot is free.
        """
        nodes = list_nodes()
        self._on_gpus = choose_kind(self._options.selection, nodes)
        asked(nodes, self._on_gpus, self._known)
        are_all_taken = not has_free(self._on_gpus)
        for node in nodes:
            self._nodes[node.node_id] = node
            self._open_places(node)
        refusals: list[str] = []
        began_s = self._clock()
        until_s = began_s + OPEN_S
        say, self._say = self._say, refusals.append
        try:
            while self._clock() < until_s and any(place.stage is Stage.WAITING for place in self._places):
                had = bool(self.slots)
                self._progress(0.5)
                is_pending = all(place.opening is not None for place in self._places)
                if are_all_taken and is_pending and self._clock() > began_s + BUSY_S:
                    break
                if self.slots and not had:
                    until_s = min(until_s, self._clock() + SETTLE_S)
        finally:
            self._say = say
        if not self.slots:
            raise UsageError(refusals[0] if refusals else self._busy_text())
        for line in refusals:
            self._say(line)

    def _busy_text(self) -> str:
        count = sum(node.places(self._on_gpus) for node in self._nodes.values())
        what = counted(count, "GPU") if self._on_gpus else f"CPUs of {count} machines"
        return f"--executor ray: the {what} of the cluster are in use by another study or program; wait for it"

    def bring(self, code: Callable[[], Mapping[str, bytes]], parcels: Sequence[Parcel] = ()) -> None:
        """Say what of the user's trials need, and bring the data to the nodes that have slots.

        Args:
            code: gives the user's modules, by their paths, for each trial that starts.
            parcels: their data.

        Raises:
            UsageError: they cannot be brought to a node.
        """
        self._code, self._parcels = code, tuple(parcels)
        if not parcels:
            return
        for place in self._places:
            if place.stage is Stage.READY:
                self._load(place)
        while any(place.stage is Stage.LOADING for place in self._places):
            self._progress(0.5)
        if not self.slots:
            raise UsageError("--executor ray: the study's data could not be brought to any node; see the lines above")

    def start(self, spec: TrialSpec, slot: Slot, log: Path) -> None:
        """Start a trial; its specification is written beside its log, as is what it keeps, at its end.

        Raises:
            OSError: its files, or the user's modules, cannot be written or read here.
        """
        place = next((each for each in self._places if each.slot == slot and each.stage is Stage.READY), None)
        # Made here with its permissions: what a trial prints may be anything.
        opened = append_privately(log)
        log.with_name("spec.json").write_text(spec.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if place is None:
            opened.close()
            self._messages.append(ProcessEnded(spec.trial, None, None, "", lost=f"{slot.name} is gone"))
            return
        try:
            code = dict(self._code())
        except OSError:
            opened.close()
            raise
        place.running = RunningTrial(spec.trial, opened, log.parent)
        place.actor.start.remote(spec.model_dump(mode="json"), code, list(self._parcels))

    def receive(self, timeout_s: float) -> list[Message]:
        """Messages of all trials; nodes that join or are lost are seen to meanwhile."""
        if not self._messages:
            self._progress(timeout_s)
        messages, self._messages = self._messages, []
        return messages

    def end(self, trial: int) -> None:
        """Ask a trial to end; its node kills it if it does not."""
        for place in self._places:
            if place.running is not None and place.running.trial == trial:
                place.actor.end.remote(trial)

    def look(self, uuid: str) -> GpuState:
        """Return what the GPU's node last said of it."""
        for place in self._places:
            if place.slot is not None and place.slot.gpu_uuid == uuid:
                return GpuState(*place.health)
        return GpuState()

    def close(self) -> None:
        """End all actors, and thereby their trials."""
        import ray

        living = [place for place in self._places if place.stage is not Stage.GONE]
        closing = [place.actor.close.remote() for place in living if place.slot is not None]
        with suppress(Exception):
            ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_S) if closing else None
        for place in living:
            with suppress(Exception):
                ray.kill(place.actor)
            self._forget(place)

    def _progress(self, timeout_s: float) -> None:
        """Wait for what the cluster tells, and see to it."""
        import ray

        self._look_at_nodes()
        references = [reference for place in self._places for reference in place.references] + list(self._asked)
        if not references:
            time.sleep(min(timeout_s, 0.1))
            return
        ready, _ = ray.wait(references, num_returns=1, timeout=max(0.0, min(timeout_s, self._patience_s())))
        if ready:
            ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
        for reference in ready:
            self._take(reference)
        self._settle_failing()

    def _patience_s(self) -> float:
        return 0.2 if any(place.stage is Stage.FAILING for place in self._places) else LOOK_EVERY_S

    def _take(self, reference: Any) -> None:
        """Take an answer that is there."""
        import ray

        node = self._asked.pop(reference, None)
        place = next((each for each in self._places if reference in each.references), None)
        try:
            answer = ray.get(reference)
        except Exception as error:
            if node is not None:
                self._say(f"{node.name}: does not answer: {one_line(failure_text(error), 100)}")
            elif place is not None:
                self._fail(place, error)
            return
        if node is not None:
            self._join(node, answer)
        elif place is not None and reference == place.opening:
            place.opening = None
        elif place is not None and reference == place.missing:
            place.missing, place.pieces = None, pieces_of(answer)
            self._send_next(place)
        elif place is not None and reference == place.stored:
            place.stored = None
            if answer is None:
                self._send_next(place)
            else:
                self._refuse(place, answer)
        elif place is not None:
            for number, message in answer:
                place.arrived = number
                self._heed(place, message)
            if place.stage is not Stage.GONE:
                listen(place)

    def _look_at_nodes(self) -> None:
        """Notice nodes that have joined and that were lost."""
        if self._clock() < self._looked_s + LOOK_EVERY_S:
            return
        self._looked_s = self._clock()
        try:
            now = {node.node_id: node for node in list_nodes()}
        except Exception as error:
            # The head does not answer; where it stays away Ray ends this process, and the same command goes on.
            _log.warning("the cluster does not answer: %s", failure_text(error))
            return
        for node in now.values():
            if node.node_id not in self._nodes:
                self._nodes[node.node_id] = node
                if node.places(self._on_gpus):
                    self._asked[ask(node, self._on_gpus)] = node
        for node_id in [each for each in self._nodes if each not in now]:
            del self._nodes[node_id]
            for place in list(self._places):
                if place.node.node_id == node_id:
                    self._lose(place, f"node {place.node.name} was lost")

    def _join(self, node: Node, answer: Mapping[str, Any]) -> None:
        found = self._known[node.node_id] = found_node(node, answer, self._on_gpus)
        if found.problem is not None:
            self._say(f"{found.problem}; it is not used")
        elif not any(self._is_of_the_model(slot.gpu_name) for slot in found.slots):
            self._say(f"{node.name}: has no {self._options.gpu_model}, on which this study trains; it is not used")
        elif node.node_id in self._nodes:
            self._open_places(node)

    def _open_places(self, node: Node) -> None:
        for _ in range(node.places(self._on_gpus)):
            self._open_place(node)

    def _open_place(self, node: Node) -> None:
        variables = {name: value for name, value in os.environ.items() if name.startswith(_TRAVELLING)}
        place = open_place(
            node,
            on_gpus=self._on_gpus,
            share=self._options.share,
            command=self._options.command,
            variables=variables,
        )
        self._places.append(place)

    def _heed(self, place: Place, message: Mapping[str, Any]) -> None:
        match message["kind"]:
            case "opened":
                self._opened(place, message)
            case "refused":
                self._say(str(message["reason"]))
                self._drop(place)
            case "health":
                place.health = (message["failure"], message["is_in_doubt"])
            case "event":
                with suppress(ValidationError):
                    self._messages.append(EventArrived(message["trial"], decode(message["event"])))
            case "file":
                if place.running is not None:
                    place.running.keep(message)
            case "ended":
                self._ended(place, message)
            case "gone":
                place.cause = str(message["reason"])
                self._lose(place, f"its place on {place.node.name} ended: {place.cause}")

    def _opened(self, place: Place, message: Mapping[str, Any]) -> None:
        facts = {key: value for key, value in message.items() if key != "kind"}
        if facts["cpu_source"] is not None:
            facts["cpu_source"] = EnergySource(facts["cpu_source"])
        names = {each.slot.name for each in self._places if each.slot is not None and each.stage is not Stage.GONE}
        limit = self._options.limit
        if (limit is not None and len(self.slots) >= limit) or not self._is_of_the_model(facts["gpu_name"]):
            self._drop(place)
            return
        place.slot, place.stage = named_apart(Slot(**facts), names), Stage.READY
        if self._parcels:
            self._load(place)

    def _is_of_the_model(self, gpu_name: str | None) -> bool:
        return self._options.gpu_model in (None, gpu_name)

    def _load(self, place: Place) -> None:
        """Bring the user's data to a place; one place of a node after another, so that they travel there once."""
        place.stage = Stage.LOADING
        if not any(each.is_sending for each in self._places if each.node == place.node):
            ask_missing(place, self._parcels)

    def _send_next(self, place: Place) -> None:
        """Send the next piece of data to a place; after the last one it is ready."""
        try:
            piece = next(place.pieces, None) if place.pieces is not None else None
        except OSError as error:
            self._refuse(place, f"the study's data cannot be read: {error}")
            return
        if piece is not None:
            send(place, piece)
            return
        place.stage = Stage.READY
        self._load_waiting(place.node)

    def _load_waiting(self, node: Node) -> None:
        for place in self._places:
            if place.node == node and place.stage is Stage.LOADING:
                self._load(place)

    def _refuse(self, place: Place, why: str) -> None:
        """Do without a place that cannot take trials."""
        self._say(f"{place.node.name}: {why}; it is not used")
        self._drop(place)
        self._load_waiting(place.node)

    def _ended(self, place: Place, message: Mapping[str, Any]) -> None:
        facts = {key: value for key, value in message.items() if key != "kind"}
        self._end(place, ProcessEnded(**facts))

    def _end(self, place: Place, ended: ProcessEnded) -> None:
        running, place.running = place.running, None
        if running is not None and running.trial == ended.trial:
            running.log.close()
            self._messages.append(ended)

    def _fail(self, place: Place, error: Exception) -> None:
        """Note that an actor is gone, or cannot be reached at the moment."""
        import ray

        place.poll = place.missing = place.stored = place.opening = None
        if isinstance(error, ray.exceptions.ActorUnavailableError):
            # It may yet be there: it tells again what did not arrive.
            listen(place)
            return
        place.stage, place.failing_since_s, place.cause = Stage.FAILING, self._clock(), failure_text(error)
        self._looked_s = -LOOK_EVERY_S

    def _settle_failing(self) -> None:
        """Give places up whose node is alive all the same."""
        for place in list(self._places):
            if place.stage is Stage.FAILING:
                if self._clock() > place.failing_since_s + FAILING_S:
                    cause = one_line(place.cause, 120)
                    self._lose(place, f"its place on {place.node.name} ended, though the node is alive: {cause}")
                else:
                    self._looked_s = min(self._looked_s, self._clock() - LOOK_EVERY_S)

    def _lose(self, place: Place, why: str) -> None:
        """Take a place away that is gone, end its trial, and ask for another one if its node is alive."""
        if place.stage is Stage.GONE:
            return
        self._say(f"{place.slot.name if place.slot else place.node.name}: {why}")
        running = place.running
        if running is not None:
            self._end(place, ProcessEnded(running.trial, None, None, "", lost=why))
        self._drop(place)
        node = self._nodes.get(place.node.node_id)
        if node is not None and place.slot is not None:
            self._reopened[node.node_id] = self._reopened.get(node.node_id, 0) + 1
            if self._reopened[node.node_id] > MAX_REOPENINGS:
                self._say(f"{node.name}: its places end again and again; it is not used any more")
        self._reopen(list(self._nodes.values()) if self._options.limit is not None else [node] if node else [])

    def _reopen(self, nodes: Sequence[Node]) -> None:
        """Ask for what is free on nodes; what goes beyond the limit is given back when it comes."""
        for node in nodes:
            found = self._known.get(node.node_id)
            if found is None or found.problem is not None:
                continue
            own = sum(place.node.node_id == node.node_id for place in self._places)
            if self._reopened.get(node.node_id, 0) <= MAX_REOPENINGS:
                for _ in range(node.places(self._on_gpus) - own):
                    self._open_place(node)

    def _drop(self, place: Place) -> None:
        import ray

        with suppress(Exception):
            ray.kill(place.actor)
        self._forget(place)

    def _forget(self, place: Place) -> None:
        place.stage = Stage.GONE
        place.opening = place.poll = place.missing = place.stored = None
        if place.running is not None:
            place.running.log.close()
        if place in self._places:
            self._places.remove(place)


@contextmanager
def ray_engine(
    address: str,
    options: RayOptions,
    say: Callable[[str], None] = _unheard,
    known: dict[str, FoundNode] | None = None,
) -> Iterator[RayEngine]:
    """Connect to a cluster and take its slots; all of it is given back at the end.

    Args:
        address: see `connected`.
        options: what is asked for.
        say: told in a line what becomes of nodes.
        known: what nodes have said already; see `survey`.

    Raises:
        UsageError: as `connected` and `RayEngine.open`.
    """
    with connected(address):
        engine = RayEngine(options, known=known, say=say)
        try:
            engine.open()
            yield engine
        finally:
            engine.close()
